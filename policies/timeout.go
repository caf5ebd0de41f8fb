package policies

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// DefaultTimeout is the limit of a [Timeout] that sets none.
const DefaultTimeout = 30 * time.Second

// TimeoutConfig are the settings of a [Timeout].
type TimeoutConfig struct {
	// Name stands in errors, events and spans. Empty means "timeout".
	Name string

	// Limit is how long a run of the rest of the chain may take.
	// Zero means DefaultTimeout.
	Limit time.Duration

	// Stream says that a streamed result counts too: its reader gets the error of
	// the timeout when the result has not ended by then. Otherwise the limit ends
	// with the headers, when the operation has returned, and a long download goes on.
	Stream bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c TimeoutConfig) Validate() error {
	k := check{config: "TimeoutConfig"}
	k.duration("Limit", c.Limit)
	return k.err()
}

// A Timeout limits how long the rest of the chain may take. Outside of a [Retry]
// it limits the whole call, inside it each attempt.
//
// It ends the context of the operation and waits for the operation to return, so
// an operation that does not watch its context is not cut. The error is then a
// [*middleware.Rejection] with the reason [middleware.ErrTimeout], which is also
// context.DeadlineExceeded and wraps the operation's error. The caller's own
// deadline or cancellation gives the operation's error unchanged. An operation
// that succeeds after the limit has succeeded.
//
// A context derived from the operation's has that rejection as its
// [context.Cause], which tells the limit from the caller's deadline.
type Timeout struct {
	name   string
	limit  time.Duration
	stream bool
}

// NewTimeout returns a Timeout. It panics if the settings are not valid.
func NewTimeout(c TimeoutConfig) *Timeout {
	must(c.Validate())
	return &Timeout{name: or(c.Name, "timeout"), limit: or(c.Limit, DefaultTimeout), stream: c.Stream}
}

// Name returns the name of the policy.
func (t *Timeout) Name() string { return t.name }

// Limit returns the limit in force.
func (t *Timeout) Limit() time.Duration { return t.limit }

// Execute implements [middleware.Policy].
func (t *Timeout) Execute(ctx context.Context, next middleware.Next) error {
	limited := newLimitedContext(ctx, t.limit, &middleware.Rejection{
		Chain: next.Chain().Name(), Policy: t.name, Reason: middleware.ErrTimeout,
	})
	err := next.DoThen(limited, limited.release)
	if !t.stream {
		limited.stop()
	}
	if err == nil {
		return nil
	}
	if context.Cause(limited) != error(limited.expired) || middleware.VerdictOf(err).Class == middleware.Success {
		return err
	}
	middleware.Discard(err) // a result that came too late to be read
	last := limited.lastError(middleware.Unjudged(err))
	if errors.Is(last, context.Canceled) && !errors.Is(ctx.Err(), context.Canceled) {
		last = lateError{last}
	}
	next.Emit(ctx, middleware.Event{
		Kind: middleware.TimedOut, Policy: t.name, Wait: t.limit,
		Attempt: middleware.Attempt(ctx), Reason: "limit", Err: middleware.Judged(last, middleware.VerdictOf(err)),
	})
	return next.Reject(middleware.Rejection{
		Policy: t.name, Reason: middleware.ErrTimeout, Err: middleware.Judged(last, middleware.VerdictOf(err)),
	})
}

// A lateError is the error of an operation whose time was up. Contexts derived from
// the limited one say context.Canceled, but nobody cancelled.
type lateError struct{ error }

func (e lateError) Is(target error) bool {
	return target != context.Canceled && errors.Is(e.error, target)
}

func (e lateError) As(target any) bool { return errors.As(e.error, target) }

// A limitedContext ends when its timer fires, unless the timer is stopped first:
// then it lives on, which a context of the standard library with a deadline
// cannot. The cancellable context that it embeds spreads the end, with its cause,
// to the contexts derived from it.
type limitedContext struct {
	context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	deadline time.Time
	stopped  atomic.Bool           // the limit no longer holds
	expired  *middleware.Rejection // the cause, when the timer fired
}

func newLimitedContext(parent context.Context, limit time.Duration, expired *middleware.Rejection) *limitedContext {
	c := &limitedContext{deadline: time.Now().Add(limit), expired: expired}
	c.Context, c.cancel = context.WithCancelCause(parent)
	c.timer = time.AfterFunc(limit, c.expire)
	return c
}

func (c *limitedContext) expire() { c.cancel(c.expired) }

// stop lifts the limit. What the caller goes on to do with the context, reading a
// stream, is bound by the caller's deadline alone.
func (c *limitedContext) stop() {
	c.timer.Stop()
	c.stopped.Store(true)
}

func (c *limitedContext) release() {
	c.timer.Stop()
	c.cancel(context.Canceled)
}

// lastError returns what err, returned after the limit, says of the operation
// beyond that its context has ended.
func (c *limitedContext) lastError(err error) error {
	if r, ok := err.(*middleware.Rejection); ok && errors.Is(r.Reason, c.expired) { // it ended a wait
		err = r.Err
	}
	if err == nil || err == error(c.expired) || err == context.Canceled {
		return context.DeadlineExceeded
	}
	return err
}

// Deadline returns the earlier of the limit, while it holds, and the caller's
// deadline.
func (c *limitedContext) Deadline() (time.Time, bool) {
	d, ok := c.Context.Deadline()
	if c.stopped.Load() || ok && d.Before(c.deadline) {
		return d, ok
	}
	return c.deadline, true
}

// Err returns context.DeadlineExceeded when the timer has fired, or that of another
// limit around this one.
func (c *limitedContext) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), middleware.ErrTimeout) {
		return context.DeadlineExceeded
	}
	return err
}
