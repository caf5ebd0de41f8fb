package policies

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A cut ends the context of one call, and of its result, after a while.
type cut struct {
	chaos *Chaos
	after time.Duration
	chain *middleware.Chain
	ctx   context.Context // of the caller
	inner context.Context
	end   context.CancelCauseFunc
	timer *time.Timer // nil if there is nothing to wait for
	run   int         // the number of the attempt
	told  atomic.Bool
}

// cut runs the rest of the chain with a context that ends after CutAfter.
func (h *Chaos) cut(ctx context.Context, next middleware.Next, s *chaosSettings) error {
	c := &cut{chaos: h, after: s.CutAfter, chain: next.Chain(), ctx: ctx, run: next.Attempt(ctx)}
	c.inner, c.end = context.WithCancelCause(ctx)
	if s.CutAfter == 0 {
		c.end(cutCause{})
	} else {
		c.timer = time.AfterFunc(s.CutAfter, func() { c.end(cutCause{}) })
	}
	err := next.DoUntil(c.inner, c)
	if !c.done() {
		return err
	}
	c.tell()
	v := middleware.VerdictOf(err)
	if v.Class == middleware.Success {
		return err
	}
	return middleware.Judged(&cutError{middleware.Unjudged(err)}, middleware.Verdict{Class: middleware.Failure, Retry: v.Retry, Reason: "chaos"})
}

// done reports whether the call was cut, and nothing else ended its context.
func (c *cut) done() bool { return context.Cause(c.inner) == error(cutCause{}) }

// Release ends the time of a result that has been read to its end.
func (c *cut) Release() {
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.done() {
		c.tell()
	}
}

// Cancel ends the context.
func (c *cut) Cancel() { c.end(nil) }

// tell says that the call was cut, once.
func (c *cut) tell() {
	if !c.told.CompareAndSwap(false, true) {
		return
	}
	c.chaos.injected.Add(1)
	c.chain.Emit(c.ctx, middleware.Event{
		Kind: middleware.Injected, Policy: c.chaos.name, Attempt: c.run, Wait: c.after, Reason: "cut",
	})
}

// A cutCause is the cause of the end of a context that was cut. It is also a time limit, so
// that an adapter knows that nobody gave the call up, and says whether it may be repeated.
type cutCause struct{ chaosError }

// Is implements the interface of [errors.Is].
func (cutCause) Is(target error) bool { return target == ErrChaos || target == middleware.ErrTimeout }

// A cutError is the error of a call that was cut, which its context cannot be told from a
// cancellation by the caller.
type cutError struct{ err error }

func (e *cutError) Error() string { return ErrChaos.Error() + ": " + e.err.Error() }

func (e *cutError) Unwrap() error { return ErrChaos }

// Is finds what the operation said, but not that somebody cancelled.
func (e *cutError) Is(target error) bool {
	return target != context.Canceled && errors.Is(e.err, target)
}

// As finds the operation's error.
func (e *cutError) As(target any) bool { return errors.As(e.err, target) }

// ErrorType implements what observers ask of an error.
func (*cutError) ErrorType() string { return chaosError{}.ErrorType() }
