package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [RetryConfig].
const (
	DefaultAttempts   = 3
	DefaultDelay      = 100 * time.Millisecond
	DefaultMultiplier = 2.0
	DefaultMaxDelay   = 10 * time.Second
	DefaultJitter     = 0.5
	DefaultMaxAfter   = time.Minute

	DefaultNestedAttempts = 1
)

// RetryConfig are the settings of a [Retry].
type RetryConfig struct {
	// Name stands in errors, events and spans. Empty means "retry".
	Name string

	// Attempts is how often the rest of the chain runs at the most, the first
	// time included; 1 never repeats. Zero means DefaultAttempts.
	Attempts int

	// Delay is the wait before the second attempt. Each further wait is Multiplier
	// times as long, up to MaxDelay. Zero means DefaultDelay, DefaultMultiplier and
	// DefaultMaxDelay; of Delay and MaxDelay the one that is not set gives way to the
	// other.
	Delay      time.Duration
	Multiplier float64
	MaxDelay   time.Duration

	// Jitter spreads each wait evenly over wait * (1 ± Jitter), so that callers who
	// failed together do not come back together. Zero means DefaultJitter,
	// a negative value no jitter.
	Jitter float64

	// Engine runs the attempts and waits between them. Nil means a loop of package
	// policies; transports/retryable has one that is go-retryablehttp's.
	Engine RetryEngine

	// MaxAfter is the longest wait that the dependency may ask for (Retry-After).
	// When it asks for more, Retry stops at once. Zero means DefaultMaxAfter.
	MaxAfter time.Duration

	// Budget bounds the further attempts of all calls together, and those of other
	// policies that have it too. Nil means one of the Retry's own, with the defaults.
	// NewBudget(BudgetConfig{Ratio: -1}) bounds nothing.
	Budget *Budget

	// NestedAttempts is what Attempts is inside of a second or later attempt of an outer
	// retry (see [middleware.OuterAttempt]), so that layers of retries do not multiply. It
	// may not be above Attempts, and as high switches this off. Zero means
	// DefaultNestedAttempts.
	NestedAttempts int
}

// A RetryEngine repeats what a [Retry] tells it to. What is repeated, how often and after
// which wait is the Retry's business.
//
// Run calls attempt until that says that there shall be no other, and waits before each
// further call for as long as it says. When ctx ends during a wait Run returns its error,
// and otherwise nil. attempt runs on the goroutine of the caller and may panic. Run must
// be safe for concurrent use.
type RetryEngine interface {
	Run(ctx context.Context, attempt func(context.Context) (wait time.Duration, again bool)) error
}

// Validate returns a *SettingError for each setting outside its range.
func (c RetryConfig) Validate() error {
	k := check{config: "RetryConfig"}
	k.count("Attempts", c.Attempts)
	k.duration("Delay", c.Delay)
	k.that(c.Multiplier == 0 || c.Multiplier >= 1 && !math.IsInf(c.Multiplier, 0), "Multiplier", c.Multiplier, "1 or more, or 0 for the default")
	k.duration("MaxDelay", c.MaxDelay)
	k.that(c.Jitter <= 1, "Jitter", c.Jitter, "between 0 and 1, or negative for none")
	k.duration("MaxAfter", c.MaxAfter)
	k.count("NestedAttempts", c.NestedAttempts)
	if most := or(c.Attempts, DefaultAttempts); most > 0 {
		k.that(c.NestedAttempts <= most, "NestedAttempts", c.NestedAttempts, fmt.Sprintf("at most Attempts, which is %d", most))
	}
	if c.Delay > 0 && c.MaxDelay > 0 {
		k.that(c.Delay <= c.MaxDelay, "MaxDelay", c.MaxDelay, fmt.Sprintf("at least Delay, which is %s", c.Delay))
	}
	return k.err()
}

// A Retry runs the rest of the chain again when the verdict of an attempt says
// that another one is safe and may succeed. An error that is a
// backoff.PermanentError is never retried.
//
// Between attempts it waits as the settings say, or as long as the verdict's
// After if that is longer, counted from the end of the failed attempt, and then up to
// Jitter times the back-off more, so that callers do not come back together. It gives up
// the result of the failed attempt before the wait.
//
// When it stops because the attempts are spent or the error must not be repeated,
// the caller gets that error unchanged; when a policy further in refused a further
// attempt, a breaker for instance, its rejection wraps the last error. When another attempt was due but the wait
// would have passed the deadline of the context, Retry does not begin it: the
// error is at once a [*middleware.Rejection] with the reason
// [middleware.ErrDeadline] that wraps the last error. When the [Budget] has no further
// attempt, the reason is [middleware.ErrBudgetExhausted]. When the context ends during
// a wait, it is [middleware.ErrCanceled], and the budget gets the attempt back.
//
// Where another retry is further out, in the same chain, in another one or in another
// process, this one makes all its Attempts in the first attempt of that one only. In the
// others it makes NestedAttempts, with the event [middleware.NestedRetry] when it would
// have gone on, and leaves the rest to the outer one: three attempts of three are five calls
// of the dependency, not nine.
//
// A Retry holds no state between calls but its Budget, which is asked after everything
// else and before the wait.
type Retry struct {
	spender

	name     string
	settings atomic.Pointer[retrySettings]
}

type retrySettings struct {
	RetryConfig // complete

	delays      backoff.ExponentialBackOff // copied for each call that retries
	description description
}

// NewRetry returns a Retry. It panics if the settings are not valid.
func NewRetry(c RetryConfig) *Retry {
	must(c.Validate())
	r := &Retry{name: or(c.Name, "retry")}
	r.join(c.Budget)
	r.set(c)
	return r
}

// Apply changes the settings, except for the Name and the Budget, which must be nil or the
// one that the Retry has: to change that, use [Budget.Apply]. It returns the error of
// Validate and then changes nothing. Calls in flight go on as they began.
// Apply is safe for concurrent use.
func (r *Retry) Apply(c RetryConfig) error {
	if err := errors.Join(c.Validate(), r.keeps(c.Budget, "RetryConfig")); err != nil {
		return err
	}
	r.set(c)
	return nil
}

func (r *Retry) set(c RetryConfig) {
	c.Attempts = or(c.Attempts, DefaultAttempts)
	c.Delay, c.MaxDelay = or(c.Delay, min(DefaultDelay, or(c.MaxDelay, DefaultDelay))), or(c.MaxDelay, max(DefaultMaxDelay, c.Delay))
	c.Multiplier = or(c.Multiplier, DefaultMultiplier)
	c.Jitter = max(0, or(c.Jitter, DefaultJitter))
	c.MaxAfter = or(c.MaxAfter, DefaultMaxAfter)
	c.NestedAttempts = or(c.NestedAttempts, DefaultNestedAttempts)
	c.Budget = r.budget
	r.settings.Store(&retrySettings{RetryConfig: c, delays: backoff.ExponentialBackOff{
		InitialInterval: c.Delay, RandomizationFactor: c.Jitter, Multiplier: c.Multiplier, MaxInterval: c.MaxDelay,
		Clock: backoff.SystemClock,
	}})
}

// Name returns the name of the policy.
func (r *Retry) Name() string { return r.name }

// Reports implements [middleware.Reporter]. It yields a report of the type "retry", and one
// of its [Budget].
func (r *Retry) Reports(yield func(middleware.Report) bool) {
	s := r.settings.Load()
	settings := s.description.of(func() any { return s.RetryConfig })
	if yield(middleware.Report{Type: retryType, Name: r.name, Settings: settings}) {
		r.budget.report(r.name, yield)
	}
}

// Attempts returns how often the rest of the chain runs at the most.
func (r *Retry) Attempts() int { return r.settings.Load().Attempts }

// Execute implements [middleware.Policy].
func (r *Retry) Execute(ctx context.Context, next middleware.Next) error {
	r.count(ctx, next)
	s := r.settings.Load()
	if s.Engine != nil {
		return r.execute(ctx, next, s)
	}
	err := next.Do(ctx)
	if err == nil {
		return nil
	}
	c := retrying{Retry: r, settings: s, next: next, delays: s.delays}
	c.delays.Reset()
	for {
		wait, again := c.judge(ctx, err)
		if !again {
			return c.err
		}
		if !sleep(ctx, wait) {
			return c.interrupt(ctx)
		}
		if err = c.attempt(ctx); err == nil {
			return nil
		}
	}
}

// execute leaves the loop to the engine.
func (r *Retry) execute(ctx context.Context, next middleware.Next, s *retrySettings) error {
	c := &retrying{Retry: r, settings: s, next: next, delays: s.delays}
	c.delays.Reset()
	err := s.Engine.Run(ctx, func(ctx context.Context) (time.Duration, bool) {
		if c.err = c.attempt(ctx); c.err == nil {
			return 0, false
		}
		return c.judge(ctx, c.err)
	})
	switch {
	case err == nil:
		return c.err
	case ctx.Err() != nil:
		return c.interrupt(ctx)
	default: // the engine failed
		return cmp.Or(c.err, err)
	}
}

// A retrying is one call of a Retry.
type retrying struct {
	*Retry

	settings *retrySettings
	next     middleware.Next
	delays   backoff.ExponentialBackOff
	failed   int   // attempts so far
	last     error // of the attempt before
	err      error // of the call, or of the attempt that another one follows
	unit     int64 // of the budget, for the attempt that waits
	waits    bool
}

func (c *retrying) attempt(ctx context.Context) error {
	c.last, c.waits = c.err, false
	if c.failed > 0 {
		ctx = c.next.WithAttempt(ctx, c.failed+1)
	}
	return c.next.Do(ctx)
}

// judge decides whether another attempt follows the one that failed with err.
func (c *retrying) judge(ctx context.Context, err error) (wait time.Duration, again bool) {
	c.failed++
	c.err = err
	wait, source, stop := c.settings.plan(ctx, c.failed, err, &c.delays)
	if stop == "" {
		if c.unit, c.waits = c.budget.take(); !c.waits {
			stop = "budget"
		}
	}
	if stop != "" {
		c.err = withLast(c.next, c.stop(ctx, c.next, c.failed, err, stop, wait), c.last)
		return 0, false
	}
	c.next.Emit(ctx, middleware.Event{
		Kind: middleware.RetryScheduled, Policy: c.name,
		Attempt: c.failed, Wait: wait, Reason: source, Err: err,
	})
	middleware.Discard(err)
	return wait, true
}

// interrupt returns the error of a call whose context ended during a wait.
func (c *retrying) interrupt(ctx context.Context) error {
	if c.waits {
		c.budget.giveBack(c.unit)
	}
	return c.stop(ctx, c.next, c.failed, c.err, "canceled", 0)
}

// plan returns how long to wait after an attempt failed with err, and why so
// long, or why there is no other attempt, whatever the budget says.
func (r *retrySettings) plan(ctx context.Context, attempt int, err error, delays *backoff.ExponentialBackOff) (wait time.Duration, source, stop string) {
	v := middleware.VerdictOf(err)
	var permanent *backoff.PermanentError
	switch {
	case !v.Retry || errors.As(err, &permanent):
		return 0, "", "not_retryable"
	case attempt >= r.Attempts:
		return 0, "", "exhausted"
	case v.After > r.MaxAfter:
		return v.After, "", "retry_after"
	case ctx.Err() != nil:
		return 0, "", "canceled"
	case attempt >= r.NestedAttempts && isNested(ctx):
		return 0, "", "nested"
	}
	wait, source = nextInterval(delays), "backoff"
	if v.After > wait {
		wait, source = notBefore(v.After, wait, r.Jitter), "retry_after"
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return wait, source, "deadline"
	}
	return wait, source, ""
}

// notBefore spreads a wait that the dependency asked for, so that all whom it told the same do
// not come back together: up to that share of the back-off later, never sooner.
func notBefore(after, backoff time.Duration, jitter float64) time.Duration {
	return after + time.Duration(rand.Float64()*jitter*float64(backoff))
}

// isNested reports whether all of this is in a repeated attempt of an outer retry.
func isNested(ctx context.Context) bool {
	outer, _ := middleware.OuterAttempt(ctx)
	return outer > 1
}

// tellNested says that an outer retry is why no other attempt follows.
func (r *Retry) tellNested(ctx context.Context, next middleware.Next, err error) {
	outer, elsewhere := middleware.OuterAttempt(ctx)
	reason := "context"
	if elsewhere {
		reason = "header"
	}
	next.Emit(ctx, middleware.Event{Kind: middleware.NestedRetry, Policy: r.name, Attempt: outer, Reason: reason, Err: err})
}

// stop returns the error of the call after the last attempt failed with err.
func (r *Retry) stop(ctx context.Context, next middleware.Next, attempt int, err error, why string, wait time.Duration) error {
	if why == "nested" {
		r.tellNested(ctx, next, err)
	}
	v := middleware.VerdictOf(err)
	if attempt > 1 || v.Class == middleware.Failure || v.Class == middleware.Throttled {
		next.Emit(ctx, middleware.Event{
			Kind: middleware.RetryStopped, Policy: r.name,
			Attempt: attempt, Wait: wait, Reason: why, Err: err,
		})
	}
	switch why {
	case "deadline":
		return next.Reject(middleware.Rejection{Policy: r.name, Reason: middleware.ErrDeadline, RetryAfter: wait, Err: err})
	case "budget":
		return next.Reject(middleware.Rejection{Policy: r.name, Reason: middleware.ErrBudgetExhausted, RetryAfter: wait, Err: err})
	case "canceled":
		return interrupted(ctx, next, r.name, err)
	default:
		return err
	}
}

// withLast returns err, the end of the call. A rejection by this chain of an
// attempt that never ran gets the error of the attempt before it, which is why the
// call failed.
func withLast(next middleware.Next, err, last error) error {
	rejected, ok := middleware.Unjudged(err).(*middleware.Rejection)
	if !ok || rejected.Err != nil || last == nil || rejected.Chain != next.Chain().Name() {
		return err
	}
	both, v := *rejected, middleware.VerdictOf(last)
	both.Err = middleware.Unjudged(last)
	return middleware.Judged(&both, middleware.Verdict{Class: v.Class, Reason: v.Reason})
}
