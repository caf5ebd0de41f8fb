package policies

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/tidegate-go/tidegate/middleware"
)

// sleep waits for d and reports whether the context lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// nextInterval returns the next interval of the engine within its cap: the engine
// spreads the longest one beyond that too, and beyond what a Duration holds.
func nextInterval(b *backoff.ExponentialBackOff) time.Duration {
	d := b.NextBackOff()
	if d < 0 || d > b.MaxInterval {
		return b.MaxInterval
	}
	return d
}

// interrupted returns the error of a call whose context ended while the policy held
// it back, after the attempt that failed with last, if there was one.
func interrupted(ctx context.Context, next middleware.Next, policy string, last error) error {
	err := next.Reject(middleware.Rejection{
		Policy: policy, Reason: &endOfWait{err: ctx.Err(), cause: context.Cause(ctx)}, Err: last,
	})
	v := middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}
	if last != nil && errors.Is(context.Cause(ctx), middleware.ErrTimeout) {
		v = middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "timeout"}
	}
	return middleware.Judged(err, v)
}

// An endOfWait is the reason [middleware.ErrCanceled] of one call, with the end of
// its context.
type endOfWait struct{ err, cause error }

func (e *endOfWait) Error() string { return e.cause.Error() + " while the call was held back" }

func (e *endOfWait) Unwrap() []error { return []error{middleware.ErrCanceled, e.err, e.cause} }

func (e *endOfWait) ErrorType() string { return "canceled" }
