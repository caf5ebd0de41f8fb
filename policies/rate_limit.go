package policies

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate-go/tidegate/middleware"
)

// DefaultRate is the rate of a [RateLimit] that sets none, in calls per second.
const DefaultRate = 100.0

// RateLimitConfig are the settings of a [RateLimit].
type RateLimitConfig struct {
	// Name stands in errors, events and spans. Empty means "rate_limit".
	Name string

	// Rate is how many calls per second may begin, on average.
	// Zero means DefaultRate.
	Rate float64

	// Burst is how many calls may begin at once after a pause.
	// Zero means one second's worth, rounded up.
	Burst int

	// MaxWait is how long a call may be held back. Zero rejects at once.
	MaxWait time.Duration
}

// Validate returns a *SettingError for each setting outside its range.
func (c RateLimitConfig) Validate() error {
	k := check{config: "RateLimitConfig"}
	k.that(c.Rate >= 0 && c.Rate <= math.MaxInt32, "Rate", c.Rate, "above 0 and at most 2147483647, or 0 for the default")
	k.count("Burst", c.Burst)
	k.that(c.MaxWait >= 0, "MaxWait", c.MaxWait, "0 (reject at once) or a positive duration")
	return k.err()
}

// A RateLimit lets calls begin at a bounded rate. A call beyond it waits for at
// most MaxWait, or is refused with a [*middleware.Rejection] whose reason is
// [middleware.ErrRateLimited] and which says when a call may begin.
//
// A call whose deadline would pass before its turn is refused at once, with the
// reason [middleware.ErrDeadline], and takes nothing from the others. A call
// whose context ends while it waits is refused with [middleware.ErrCanceled], and
// gives its turn back as far as [rate.Reservation.CancelAt] can: turns already
// promised to later calls stay.
type RateLimit struct {
	name    string
	maxWait time.Duration
	limiter *rate.Limiter
	mu      sync.Mutex // makes a reservation and its cancellation one step
}

// NewRateLimit returns a RateLimit. It panics if the settings are not valid.
func NewRateLimit(c RateLimitConfig) *RateLimit {
	must(c.Validate())
	r := or(c.Rate, DefaultRate)
	return &RateLimit{
		name:    or(c.Name, "rate_limit"),
		maxWait: c.MaxWait,
		limiter: rate.NewLimiter(rate.Limit(r), or(c.Burst, int(math.Ceil(r)))),
	}
}

// Name returns the name of the policy.
func (r *RateLimit) Name() string { return r.name }

// Execute implements [middleware.Policy].
func (r *RateLimit) Execute(ctx context.Context, next middleware.Next) error {
	if r.limiter.Allow() {
		return next.Do(ctx)
	}
	turn, wait, refused := r.reserve(ctx)
	if refused != nil {
		next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: r.name, Wait: wait, Reason: rejectedWord(refused)})
		return next.Reject(middleware.Rejection{Policy: r.name, Reason: refused, RetryAfter: wait})
	}
	if wait > 0 {
		if !sleep(ctx, wait) {
			turn.Cancel()
			return interrupted(ctx, next, r.name, nil)
		}
		next.Emit(ctx, middleware.Event{Kind: middleware.Waited, Policy: r.name, Wait: wait, Reason: "rate"})
	}
	return next.Do(ctx)
}

// idle reports whether all turns are there, as in a new RateLimit.
func (r *RateLimit) idle() bool { return r.limiter.Tokens() >= float64(r.limiter.Burst()) }

// reserve takes the next turn, or says why the call may not wait for it. wait is
// how long until that turn.
func (r *RateLimit) reserve(ctx context.Context) (turn *rate.Reservation, wait time.Duration, refused error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	turn = r.limiter.ReserveN(now, 1)
	wait = turn.DelayFrom(now)
	deadline, limited := ctx.Deadline()
	switch {
	case wait > r.maxWait:
		refused = middleware.ErrRateLimited
	case limited && deadline.Sub(now) < wait:
		refused = middleware.ErrDeadline
	default:
		return turn, wait, nil
	}
	turn.CancelAt(now)
	return nil, wait, refused
}

// rejectedWord is the reason of a rejection as a word for events.
func rejectedWord(reason error) string {
	if t, ok := reason.(interface{ ErrorType() string }); ok {
		return t.ErrorType()
	}
	return "rejected"
}
