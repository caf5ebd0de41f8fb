// Package middleware is the core of Tidegate: policies that decorate a call,
// and chains of them. It uses the standard library alone.
//
// A [Policy] decorates one call that leaves the process. A [Chain] is a named
// list of policies, the first one outermost:
//
//	chain := middleware.NewChain("billing", retry, breaker, timeout)
//	err := chain.Do(ctx, func(ctx context.Context) error { return send(ctx) })
//	user, err := middleware.Call(ctx, chain, func(ctx context.Context) (User, error) { return find(ctx) })
//
// # Errors
//
// The caller gets the operation's own error, the same value that it returned, or
// a [*Rejection] when a policy refused the call or ended it. Between the
// policies an error may carry a [Verdict], which says once for all of them what
// it means; the chain takes it off before the caller sees the error.
//
// # Scope
//
// A policy that holds something for the length of a call (a deadline, a permit)
// hands its release to [Next.DoThen]. For a plain operation it runs at return;
// for a result that is read after the call has returned, made by [Stream], it
// runs when that stream ends. This is the one idea beyond Execute that an author
// of policies has to learn; who gives the rest of the chain a context of its own uses
// [Next.DoUntil].
//
// # Events
//
// Policies emit one [Event] for each decision: a rejection, a scheduled retry, a
// transition. An [Observer] placed in a chain receives them all.
package middleware
