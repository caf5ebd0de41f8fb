package observability

import (
	"cmp"
	"time"
)

// Defaults of [Thresholds].
const (
	DefaultBreakerOpen          = time.Minute
	DefaultBreakerStuckOpen     = 10 * time.Minute
	DefaultBreakerFlapping      = 2
	DefaultSeveralBreakersOpen  = 3
	DefaultRetryStorm           = 1.5
	DefaultRateLimiterSaturated = 0.05
	DefaultLoadShedding         = 0.05
	DefaultQueueWaitHigh        = 500 * time.Millisecond
	DefaultOperationErrorsHigh  = 0.05
	DefaultTimeoutsHigh         = 0.05
	DefaultMinCalls             = 20
)

// Thresholds are the limits beyond which there is an [Alert]. Each is named after its
// alert. Zero means the default, a negative value that there is no such alert. The rules
// for Prometheus have the defaults; who changes one changes the other.
type Thresholds struct {
	// BreakerOpen and BreakerStuckOpen are how long a circuit is not closed: it is open or
	// half-open, or somebody keeps it open.
	BreakerOpen, BreakerStuckOpen time.Duration

	// BreakerFlapping is how often a breaker that was closed opens in ten minutes without an
	// alert.
	BreakerFlapping int

	// SeveralBreakersOpen is how many chains have a circuit that is not closed, for a minute.
	SeveralBreakersOpen int

	// RetryStorm is how many attempts there are for each operation in five minutes without
	// an alert, if there is at least one operation a second.
	RetryStorm float64

	// RetryBudgetExhausted is how many retries a budget refuses in five minutes without an
	// alert. The default is zero.
	RetryBudgetExhausted int

	// RateLimiterSaturated is the share of the operations of five minutes, from 0 to 1, that
	// rate limits refuse without an alert.
	RateLimiterSaturated float64

	// LoadShedding is the share of the operations of five minutes, from 0 to 1, that throttles
	// and adaptive limits refuse without an alert.
	LoadShedding float64

	// QueueWaitHigh is how long 95 % of the waits of five minutes in rate limits, bulkheads
	// and adaptive limits last at the most without an alert. It is measured to a sixteenth.
	QueueWaitHigh time.Duration

	// OperationErrorsHigh is the share of the operations of five minutes, from 0 to 1, that
	// fail, are refused or time out without an alert. Cancelled ones do not count.
	OperationErrorsHigh float64

	// TimeoutsHigh is how many time limits cut in five minutes without an alert, as a share of
	// the attempts.
	TimeoutsHigh float64

	// ChaosActive is how long a chaos policy is armed without an alert. The default is zero.
	ChaosActive time.Duration

	// MinCalls is how many operations, attempts or waits there must be before a share of
	// them says anything.
	MinCalls int
}

// complete returns the thresholds with the defaults filled in.
func (t Thresholds) complete() Thresholds {
	t.BreakerOpen = cmp.Or(t.BreakerOpen, DefaultBreakerOpen)
	t.BreakerStuckOpen = cmp.Or(t.BreakerStuckOpen, DefaultBreakerStuckOpen)
	t.BreakerFlapping = cmp.Or(t.BreakerFlapping, DefaultBreakerFlapping)
	t.SeveralBreakersOpen = cmp.Or(t.SeveralBreakersOpen, DefaultSeveralBreakersOpen)
	t.RetryStorm = cmp.Or(t.RetryStorm, DefaultRetryStorm)
	t.RateLimiterSaturated = cmp.Or(t.RateLimiterSaturated, DefaultRateLimiterSaturated)
	t.LoadShedding = cmp.Or(t.LoadShedding, DefaultLoadShedding)
	t.QueueWaitHigh = cmp.Or(t.QueueWaitHigh, DefaultQueueWaitHigh)
	t.OperationErrorsHigh = cmp.Or(t.OperationErrorsHigh, DefaultOperationErrorsHigh)
	t.TimeoutsHigh = cmp.Or(t.TimeoutsHigh, DefaultTimeoutsHigh)
	t.MinCalls = cmp.Or(t.MinCalls, DefaultMinCalls)
	return t
}
