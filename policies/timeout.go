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

	// Scope is what the limit covers of an operation whose result is streamed. Zero means
	// UntilResult.
	Scope TimeoutScope

	// ObserveOnly ends nothing: a call that lasts longer than the limit goes on, with the
	// event [middleware.WouldReject] when it is over.
	ObserveOnly bool
}

// A TimeoutScope is what a [Timeout] covers of an operation whose result is streamed, an
// HTTP response for instance. For any other operation all scopes are the same.
type TimeoutScope uint8

const (
	// UntilResult ends the limit when the operation has returned: over HTTP with the
	// headers. A long download goes on.
	UntilResult TimeoutScope = iota
	// EachRead is UntilResult, and then the limit for each read of the result: how long
	// the dependency may stay silent. How long the reader pauses between reads does not
	// count. The adapter has to tell of reads (see [middleware.ReadsOf]), as package
	// transports does.
	EachRead
	// UntilEnd covers the result to its end.
	UntilEnd
)

// String returns the name of the scope in lower case with underscores.
func (s TimeoutScope) String() string {
	switch s {
	case UntilResult:
		return "until_result"
	case EachRead:
		return "each_read"
	case UntilEnd:
		return "until_end"
	default:
		return "unknown"
	}
}

// Validate returns a *SettingError for each setting outside its range.
func (c TimeoutConfig) Validate() error {
	k := check{config: "TimeoutConfig"}
	k.duration("Limit", c.Limit)
	k.that(c.Scope <= UntilEnd, "Scope", uint8(c.Scope), "UntilResult, EachRead or UntilEnd")
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
// An operation that never looks at its context costs no timer. If it fails, the
// clock decides: after the limit it is a timeout, even if the caller cancelled
// while it ran.
//
// When the limit cuts a streamed result, its reader gets that rejection as the error of
// the read.
//
// A context derived from the operation's has that rejection as its
// [context.Cause], which tells the limit from the caller's deadline.
//
// With ObserveOnly the limit ends nothing, and no context has it. The event comes when what
// the limit covers is over, once for a call.
type Timeout struct {
	name     string
	settings atomic.Pointer[timeoutSettings]
}

type timeoutSettings struct {
	TimeoutConfig // complete

	description description
}

// NewTimeout returns a Timeout. It panics if the settings are not valid.
func NewTimeout(c TimeoutConfig) *Timeout {
	must(c.Validate())
	t := &Timeout{name: or(c.Name, "timeout")}
	t.set(c)
	return t
}

// Apply changes the settings, except for the Name. It returns the error of Validate and then
// changes nothing. Calls in flight go on as they began. Apply is safe for concurrent use.
func (t *Timeout) Apply(c TimeoutConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	t.set(c)
	return nil
}

func (t *Timeout) set(c TimeoutConfig) {
	c.Name, c.Limit = t.name, or(c.Limit, DefaultTimeout)
	t.settings.Store(&timeoutSettings{TimeoutConfig: c})
}

// Name returns the name of the policy.
func (t *Timeout) Name() string { return t.name }

// Limit returns the limit in force.
func (t *Timeout) Limit() time.Duration { return t.settings.Load().Limit }

// Scope returns what the limit covers.
func (t *Timeout) Scope() TimeoutScope { return t.settings.Load().Scope }

// Reports implements [middleware.Reporter]. Its type is "timeout".
func (t *Timeout) Reports(yield func(middleware.Report) bool) {
	s := t.settings.Load()
	yield(middleware.Report{
		Type: timeoutType, Name: t.name, Settings: s.description.of(func() any { return s.TimeoutConfig }),
	})
}

// Execute implements [middleware.Policy].
func (t *Timeout) Execute(ctx context.Context, next middleware.Next) error {
	s := t.settings.Load()
	if s.ObserveOnly {
		return s.observe(ctx, next)
	}
	limited := &limitedContext{parent: ctx, deadline: time.Now().Add(s.Limit), timeout: s, chain: next.Chain()}
	err := limited.do(next)
	if err == nil || !limited.exceeded() || middleware.VerdictOf(err).Class == middleware.Success {
		limited.returned.Store(limited.state.Load()&expired == 0)
		return err
	}
	middleware.Discard(err) // a result that came too late to be read
	last := lastError(middleware.Unjudged(err), limited.cause.Load())
	if errors.Is(last, context.Canceled) && !errors.Is(ctx.Err(), context.Canceled) {
		last = lateError{last}
	}
	next.Emit(ctx, middleware.Event{
		Kind: middleware.TimedOut, Policy: t.name, Wait: s.Limit,
		Attempt: next.Attempt(ctx), Reason: "limit", Err: middleware.Judged(last, middleware.VerdictOf(err)),
	})
	return next.Reject(middleware.Rejection{
		Policy: t.name, Reason: middleware.ErrTimeout, Err: middleware.Judged(last, middleware.VerdictOf(err)),
	})
}

// lastError returns what err, returned after the limit, says of the operation beyond
// that its context has ended for cause, which is nil if nobody has looked.
func lastError(err error, cause *middleware.Rejection) error {
	if r, ok := err.(*middleware.Rejection); ok && cause != nil && errors.Is(r.Reason, cause) { // it ended a wait
		err = r.Err
	}
	if err == nil || err == error(cause) || err == context.Canceled {
		return context.DeadlineExceeded
	}
	return err
}

// A lateError is the error of an operation whose time was up. Contexts derived from
// the limited one say context.Canceled, but nobody cancelled.
type lateError struct{ error }

func (e lateError) Is(target error) bool {
	return target != context.Canceled && errors.Is(e.error, target)
}

func (e lateError) As(target any) bool { return errors.As(e.error, target) }
