package middleware

import "context"

type attemptKey struct{}

// Attempt returns the number of the current attempt, counted from 1. It is 1
// outside of a chain and until a policy repeats the call.
//
// A call that is part of an attempt of another one has numbers of its own when it has an
// operation of its own (see [WithOperation]), as those of the adapters have. Without one
// the number of the other call shows until this one is repeated.
func Attempt(ctx context.Context) int {
	if a := attemptOf(ctx); a != nil {
		return a.number
	}
	return 1
}

// WithAttempt returns a context with the number of the attempt, for what repeats a call
// but is no policy of its chain; a policy uses [Next.WithAttempt]. It is called from the
// second attempt on, so that the first one costs nothing.
func WithAttempt(ctx context.Context, n int) context.Context {
	return &attemptContext{Context: ctx, number: n, repeats: n > 1}
}

// WithAttempt returns a context with the number of the attempt, for policies that run the
// rest of the chain again when it has failed. They call it from the second attempt on, so
// that the first one costs nothing. See [OuterAttempt] for what is repeated inside.
func (n Next) WithAttempt(ctx context.Context, number int) context.Context {
	return &attemptContext{Context: ctx, number: number, link: n.link, repeats: number > 1}
}

// WithHedge is WithAttempt for policies that run the rest of the chain again while it still
// runs. That repeats nothing.
func (n Next) WithHedge(ctx context.Context, number int) context.Context {
	return &attemptContext{Context: ctx, number: number, link: n.link}
}

// Attempt is what [Attempt] says of the call that is running: 1 until a policy further out
// has repeated it, whatever another call does that it is part of.
func (n Next) Attempt(ctx context.Context) int {
	if a := attemptOf(ctx); a != nil && (a.link == nil || n.inside(a.link)) {
		return a.number
	}
	return 1
}

// inside reports whether the policy that n belongs to stands further in than the one whose
// rest of the chain is outer.
func (n Next) inside(outer *link) bool {
	for {
		for l := outer.next; l != nil; l = l.next {
			if l == n.link {
				return true
			}
		}
		op, ok := n.op.(inner)
		if !ok {
			return false
		}
		n = op.next
		if n.link == outer { // the policy runs a chain before it goes on
			return true
		}
	}
}

// An attemptContext is the context of one attempt.
type attemptContext struct {
	context.Context

	number  int
	link    *link // the rest of the chain of who numbers the attempts; nil if it is not known
	repeats bool  // what has failed
}

// Value implements [context.Context].
func (c *attemptContext) Value(key any) any {
	switch {
	case key == attemptKey{}, key == outerKey{} && c.repeats:
		return c
	default:
		return c.Context.Value(key)
	}
}

func attemptOf(ctx context.Context) *attemptContext {
	a, _ := ctx.Value(attemptKey{}).(*attemptContext)
	return a
}
