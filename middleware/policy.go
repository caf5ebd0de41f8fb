package middleware

import "context"

// A Policy decorates one call: it decides whether, when, how often and for how
// long the rest of a chain runs.
//
// Execute may call next.Do zero or more times, one after another or
// concurrently, always with a context derived from ctx. Calling it zero times
// refuses the call, and Execute then returns a [*Rejection] or the result of
// something else it did instead.
//
// Execute returns when its work is over: no goroutine and no timer that it
// started outlives it, save those whose end it has ordered and that end
// promptly. It returns the error that next.Do returned, unchanged, or a
// *Rejection made by [Next.Reject]; it must not invent other errors, because
// callers branch on their own. Which of several results the caller gets follows
// from the error: nil hands over the successful result, an error of next.Do
// hands over what came with that error.
//
// Execute must release what it took (permit, probe, timer) on every path: a
// return, a panic of the operation, runtime.Goexit and a cancelled context.
// [Next.DoThen] does that for what is held until the result has been consumed; a
// deferred call is right for everything else. Execute must not recover a panic
// of the operation, except to raise it again.
//
// A Policy is safe for concurrent use by many calls and by several chains. Its
// state lives in itself, never in the chain. It does not keep next after Execute
// has returned.
//
// The conformance suite in package middlewaretest checks these promises for any
// policy.
type Policy interface {
	Execute(ctx context.Context, next Next) error
}

// PolicyFunc adapts a function to a [Policy].
type PolicyFunc func(ctx context.Context, next Next) error

// Execute calls f(ctx, next).
func (f PolicyFunc) Execute(ctx context.Context, next Next) error { return f(ctx, next) }
