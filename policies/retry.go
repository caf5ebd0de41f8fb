package policies

import (
	"context"
	"errors"
	"fmt"
	"math"
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

	// MaxAfter is the longest wait that the dependency may ask for (Retry-After).
	// When it asks for more, Retry stops at once. Zero means DefaultMaxAfter.
	MaxAfter time.Duration
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
// After if that is longer, counted from the end of the failed attempt. It gives up
// the result of the failed attempt before the wait.
//
// When it stops because the attempts are spent or the error must not be repeated,
// the caller gets that error unchanged; when a policy further in refused a further
// attempt, a breaker for instance, its rejection wraps the last error. When another attempt was due but the wait
// would have passed the deadline of the context, Retry does not begin it: the
// error is at once a [*middleware.Rejection] with the reason
// [middleware.ErrDeadline] that wraps the last error. When the context ends during
// a wait, the reason is [middleware.ErrCanceled].
//
// A Retry holds no state between calls.
type Retry struct {
	name     string
	attempts int
	delays   backoff.ExponentialBackOff // copied for each call that retries
	maxAfter time.Duration
}

// NewRetry returns a Retry. It panics if the settings are not valid.
func NewRetry(c RetryConfig) *Retry {
	must(c.Validate())
	return &Retry{
		name:     or(c.Name, "retry"),
		attempts: or(c.Attempts, DefaultAttempts),
		delays: backoff.ExponentialBackOff{
			InitialInterval:     or(c.Delay, min(DefaultDelay, or(c.MaxDelay, DefaultDelay))),
			RandomizationFactor: max(0, or(c.Jitter, DefaultJitter)),
			Multiplier:          or(c.Multiplier, DefaultMultiplier),
			MaxInterval:         or(c.MaxDelay, max(DefaultMaxDelay, c.Delay)),
			Clock:               backoff.SystemClock,
		},
		maxAfter: or(c.MaxAfter, DefaultMaxAfter),
	}
}

// Name returns the name of the policy.
func (r *Retry) Name() string { return r.name }

// Attempts returns how often the rest of the chain runs at the most.
func (r *Retry) Attempts() int { return r.attempts }

// Execute implements [middleware.Policy].
func (r *Retry) Execute(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	if err == nil {
		return nil
	}
	delays := r.delays
	delays.Reset()
	var last error // of the attempt before
	for attempt := 1; ; attempt++ {
		wait, source, stop := r.plan(ctx, attempt, err, &delays)
		if stop != "" {
			return withLast(next, r.stop(ctx, next, attempt, err, stop, wait), last)
		}
		next.Emit(ctx, middleware.Event{
			Kind: middleware.RetryScheduled, Policy: r.name,
			Attempt: attempt, Wait: wait, Reason: source, Err: err,
		})
		middleware.Discard(err)
		if !sleep(ctx, wait) {
			return r.stop(ctx, next, attempt, err, "canceled", 0)
		}
		last = err
		if err = next.Do(middleware.WithAttempt(ctx, attempt+1)); err == nil {
			return nil
		}
	}
}

// plan returns how long to wait after an attempt failed with err, and why so
// long, or why there is no other attempt.
func (r *Retry) plan(ctx context.Context, attempt int, err error, delays *backoff.ExponentialBackOff) (wait time.Duration, source, stop string) {
	v := middleware.VerdictOf(err)
	var permanent *backoff.PermanentError
	switch {
	case !v.Retry || errors.As(err, &permanent):
		return 0, "", "not_retryable"
	case attempt >= r.attempts:
		return 0, "", "exhausted"
	case v.After > r.maxAfter:
		return v.After, "", "retry_after"
	case ctx.Err() != nil:
		return 0, "", "canceled"
	}
	wait, source = nextInterval(delays), "backoff"
	if v.After > wait {
		wait, source = v.After, "retry_after"
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return wait, source, "deadline"
	}
	return wait, source, ""
}

// stop returns the error of the call after the last attempt failed with err.
func (r *Retry) stop(ctx context.Context, next middleware.Next, attempt int, err error, why string, wait time.Duration) error {
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
