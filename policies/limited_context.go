package policies

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A limitedContext ends when its limit passes, unless the limit is lifted first:
// then it lives on, which a context of the standard library with a deadline cannot.
//
// Until somebody waits for its end, or sees it, it is a time and no more: no timer
// runs, and the parent does not know of it. Then it makes a context of the standard
// library, which keeps the end with its cause and spreads it to derived contexts.
type limitedContext struct {
	parent   context.Context
	deadline time.Time
	timeout  *timeoutSettings
	chain    *middleware.Chain

	state     atomic.Int32
	firstUsed atomic.Bool
	cause     atomic.Pointer[middleware.Rejection] // set before the state is expired
	inner     atomic.Pointer[innerContext]         // nil until it is needed
	first     innerContext                         // so that inner needs no allocation
	returned  atomic.Bool                          // in time, with a result that may be streamed
}

// What has happened to a limitedContext. Of the first three, only one can, except that
// a read may take too long once the limit was lifted.
const (
	lifted   int32 = 1 << iota // the limit no longer holds
	consumed                   // nothing is left that it could cut
	expired                    // the limit has passed
	released                   // the call is over
)

type innerContext struct {
	context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer // nil if no limit was left to wait for
}

func (i *innerContext) end(cause error) {
	if i.timer != nil {
		i.timer.Stop()
	}
	i.cancel(cause)
}

// do runs the rest of the chain under the limit.
func (c *limitedContext) do(next middleware.Next) error {
	switch c.timeout.Scope {
	case EachRead:
		r := &reading{limit: (*limit)(c)}
		defer c.lift()
		return next.DoUntil(middleware.WithReads(c, r.turn), r)
	case UntilEnd:
		return next.DoUntil(c, (*limit)(c))
	default:
		defer c.lift()
		return next.DoUntil(c, (*limit)(c))
	}
}

// A limit is a limitedContext as what is held until the end of a result.
type limit limitedContext

// Release ends the limit.
func (l *limit) Release() { (*limitedContext)(l).end() }

// Cancel ends the context.
func (l *limit) Cancel() { (*limitedContext)(l).release() }

// lift ends the limit. What the caller goes on to do with the context, reading a
// stream, is bound by the caller's deadline alone.
func (c *limitedContext) lift() { c.stop(lifted) }

func (c *limitedContext) stop(why int32) {
	if c.state.CompareAndSwap(0, why) {
		if inner := c.inner.Load(); inner != nil && inner.timer != nil {
			inner.timer.Stop()
		}
	}
}

// end ends the limit of a streamed result, which has been read to its end, or given up.
func (c *limitedContext) end() {
	c.stop(consumed)
	if c.state.Load()&expired == 0 || !c.returned.Load() {
		return
	}
	c.chain.Emit(c.parent, middleware.Event{
		Kind: middleware.TimedOut, Policy: c.timeout.Name, Wait: c.timeout.Limit,
		Attempt: middleware.Attempt(c.parent), Reason: "stream", Err: c.cause.Load(),
	})
}

func (c *limitedContext) expire() { c.expireFrom(0) }

// expireFrom lets the limit pass, if the state is still the one given.
func (c *limitedContext) expireFrom(state int32) {
	c.cause.CompareAndSwap(nil, &middleware.Rejection{
		Chain: c.chain.Name(), Policy: c.timeout.Name, Reason: middleware.ErrTimeout,
	})
	if c.state.CompareAndSwap(state, state|expired) {
		c.enforce()
	}
}

func (c *limitedContext) release() {
	c.state.Or(released)
	c.enforce()
}

// enforce ends the inner context if it should have ended. It runs after a change of
// the state and before each use of the inner context: one of them sees both.
func (c *limitedContext) enforce() {
	inner, state := c.inner.Load(), c.state.Load()
	switch {
	case inner == nil:
	case state&expired != 0:
		inner.end(c.cause.Load())
	case state&released != 0:
		inner.end(context.Canceled)
	}
}

// cancellable returns the inner context and makes it if need be: without a lock,
// because the parent may be anybody's code.
func (c *limitedContext) cancellable() context.Context {
	if c.inner.Load() == nil {
		inner := &c.first
		if !c.firstUsed.CompareAndSwap(false, true) {
			inner = new(innerContext)
		}
		if c.passed() {
			c.expire()
		}
		parent, state := c.parent, c.state.Load()
		if state >= expired { // the end of the parent counts no more
			parent = context.WithoutCancel(parent)
		}
		inner.Context, inner.cancel = context.WithCancelCause(parent)
		if state == 0 {
			inner.timer = time.AfterFunc(time.Until(c.deadline), c.expire)
		}
		if !c.inner.CompareAndSwap(nil, inner) {
			inner.end(nil) // another one came first
		}
	}
	c.enforce()
	return c.inner.Load().Context
}

// passed reports whether the limit has passed, by the clock, and not after a deadline
// that ended the parent. When a parent was cancelled nobody can tell.
func (c *limitedContext) passed() bool {
	if time.Until(c.deadline) > 0 {
		return false
	}
	d, ok := c.parent.Deadline()
	return !ok || !d.Before(c.deadline) || c.parent.Err() == nil
}

// exceeded reports whether the limit ended the context, or would have if anybody
// had looked.
func (c *limitedContext) exceeded() bool {
	inner := c.inner.Load()
	if inner == nil {
		return c.passed()
	}
	cause := c.cause.Load()
	return cause != nil && context.Cause(inner) == error(cause)
}

// Deadline returns the earlier of the limit, while it holds, and the parent's
// deadline.
func (c *limitedContext) Deadline() (time.Time, bool) {
	d, ok := c.parent.Deadline()
	state := c.state.Load()
	over := state&lifted != 0 || state&(consumed|released) == consumed // a context that has ended keeps its deadline
	if over || ok && d.Before(c.deadline) {
		return d, ok
	}
	return c.deadline, true
}

// Done implements [context.Context].
func (c *limitedContext) Done() <-chan struct{} { return c.cancellable().Done() }

// Err returns context.DeadlineExceeded when the limit has passed, or that of another
// limit around this one.
func (c *limitedContext) Err() error {
	if c.inner.Load() == nil && !c.passed() && c.state.Load() < expired && c.parent.Err() == nil {
		return nil
	}
	inner := c.cancellable()
	err := inner.Err()
	if err != nil && errors.Is(context.Cause(inner), middleware.ErrTimeout) {
		return context.DeadlineExceeded
	}
	return err
}

// Value implements [context.Context]. The standard library asks for the inner context
// only after Done, or after an Err that was not nil: then it is there.
func (c *limitedContext) Value(key any) any {
	if inner := c.inner.Load(); inner != nil {
		return inner.Value(key)
	}
	return c.parent.Value(key)
}
