package middleware

import "context"

type attemptKey struct{}

// Attempt returns the number of the current attempt, counted from 1. It is 1
// outside of a chain and until a policy repeats the call.
func Attempt(ctx context.Context) int {
	if n, ok := ctx.Value(attemptKey{}).(int); ok {
		return n
	}
	return 1
}

// WithAttempt returns a context with the number of the attempt, for policies that
// run next more than once. They call it from the second attempt on, so that the
// first one costs nothing.
func WithAttempt(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, attemptKey{}, n)
}

// An Operation describes what a call does.
type Operation struct {
	// Name is the operation in spans, such as "PutObject" or "GET": one of a small
	// fixed set, without identifiers.
	Name string
	// Key is the instance of the dependency that the call goes to, such as
	// "https://example.com" or a bucket. Policies with a state per key use it.
	Key string
}

type operationKey struct{}

// WithOperation returns a context that says which operation the next call
// through a chain is. Adapters set it; a caller of [Chain.Do] may.
func WithOperation(ctx context.Context, op Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, op)
}

// OperationOf returns the operation that ctx was given by [WithOperation], or the
// zero Operation.
func OperationOf(ctx context.Context) Operation {
	op, _ := ctx.Value(operationKey{}).(Operation)
	return op
}
