package middleware

import "context"

type outerKey struct{}

// A remoteAttempt is an attempt in another process.
type remoteAttempt int

// OuterAttempt returns the number of the repeated attempt that ctx is part of: that of
// the innermost retry which is past its first attempt, in whichever chain, or the one that
// [WithOuterAttempt] says. elsewhere says that it is in another process. Without any the
// number is 1.
//
// What is part of a repeated attempt should itself repeat little, or layers of retries
// multiply the calls. Who sends a request to another process may tell it the number.
func OuterAttempt(ctx context.Context) (number int, elsewhere bool) {
	switch a := ctx.Value(outerKey{}).(type) {
	case *attemptContext:
		return a.number, false
	case remoteAttempt:
		return int(a), a > 1
	default:
		return 1, false
	}
}

// WithOuterAttempt returns a context that says that all of this happens in attempt n of a
// retry in another process, which has told so with its request. With n below 2 it happens
// in no repeated attempt, of this process neither.
func WithOuterAttempt(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, outerKey{}, remoteAttempt(max(n, 1)))
}
