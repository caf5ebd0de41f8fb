package middleware

import "context"

// An Operation describes what a call does.
type Operation struct {
	// Name is the operation in spans, such as "PutObject" or "GET": one of a small
	// fixed set, without identifiers.
	Name string
	// Key is the instance of the dependency that the call goes to, such as
	// "https://example.com" or a bucket. Policies with a state per key use it.
	Key string
	// Idempotent says that running the operation several times, also at the same time,
	// does the same as running it once. A policy that runs it beside itself asks.
	Idempotent bool
}

type operationKey struct{}

// WithOperation returns a context that says which operation the next call
// through a chain is. Adapters set it; a caller of [Chain.Do] may. Its [Attempt] is 1.
func WithOperation(ctx context.Context, op Operation) context.Context {
	return &OperationContext{Context: ctx, Operation: op}
}

// OperationOf returns the operation that ctx was given by [WithOperation], or the
// zero Operation.
func OperationOf(ctx context.Context) Operation {
	if op, ok := ctx.Value(operationKey{}).(*Operation); ok {
		return *op
	}
	return Operation{}
}

// An OperationContext is what [WithOperation] returns, for an adapter that keeps it in
// a value of its own. It must not be changed once it is in use.
type OperationContext struct {
	context.Context
	Operation Operation
}

// Value implements [context.Context].
func (c *OperationContext) Value(key any) any {
	switch key {
	case operationKey{}:
		return &c.Operation
	case attemptKey{}: // of another call, which this one is part of
		return nil
	default:
		return c.Context.Value(key)
	}
}

type readsKey struct{}

// WithReads returns a context whose streamed result (see [Stream]) is watched while it
// is read: the reader calls reads(true) before each read that may block, and
// reads(false) after it. An outer context's function is called too. reads may be called
// by several goroutines at once; it must not block.
func WithReads(ctx context.Context, reads func(begin bool)) context.Context {
	if outer := ReadsOf(ctx); outer != nil {
		inner := reads
		reads = func(begin bool) {
			outer(begin)
			inner(begin)
		}
	}
	return context.WithValue(ctx, readsKey{}, reads)
}

// ReadsOf returns the function that a reader of a streamed result calls before and
// after each read, as [WithReads] says, or nil. An adapter asks the context of the run
// that produced the result.
func ReadsOf(ctx context.Context) func(begin bool) {
	reads, _ := ctx.Value(readsKey{}).(func(bool))
	return reads
}
