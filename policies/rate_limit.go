package policies

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
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

	// MaxPause is how long the dependency may stop all calls, when it answers one of them
	// by asking for fewer and says when to come back (over HTTP: 429 with Retry-After).
	// When it asks for more, the pause is MaxPause. Zero means no pause.
	MaxPause time.Duration
}

// Validate returns a *SettingError for each setting outside its range.
func (c RateLimitConfig) Validate() error {
	k := check{config: "RateLimitConfig"}
	k.that(c.Rate >= 0 && c.Rate <= math.MaxInt32, "Rate", c.Rate, "above 0 and at most 2147483647, or 0 for the default")
	k.count("Burst", c.Burst)
	k.that(c.MaxWait >= 0, "MaxWait", c.MaxWait, "0 (reject at once) or a positive duration")
	k.that(c.MaxPause >= 0, "MaxPause", c.MaxPause, "0 (no pause) or a positive duration")
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
//
// With MaxPause, a call that ends with the verdict [middleware.Throttled] and a time to
// wait (After) is the beginning of a pause for all calls: none begins until that time has
// passed, counted from the end of the call. Several pauses last until the latest end of
// them. A call that comes meanwhile gets a turn after the pause; one whose turn comes
// meanwhile gets a new one, behind those. For both MaxWait is as always.
type RateLimit struct {
	name     string
	maxWait  time.Duration
	maxPause time.Duration
	limiter  *rate.Limiter
	epoch    time.Time
	resume   atomic.Int64 // when the pause ends, since epoch in nanoseconds; 0: there is none
	waiting  atomic.Int32
	mu       sync.Mutex // makes a reservation and its cancellation one step

	description description
}

// NewRateLimit returns a RateLimit. It panics if the settings are not valid.
func NewRateLimit(c RateLimitConfig) *RateLimit {
	must(c.Validate())
	r := or(c.Rate, DefaultRate)
	return &RateLimit{
		name:     or(c.Name, "rate_limit"),
		maxWait:  c.MaxWait,
		maxPause: c.MaxPause,
		limiter:  rate.NewLimiter(rate.Limit(r), or(c.Burst, int(math.Ceil(r)))),
		epoch:    time.Now(),
	}
}

// Name returns the name of the policy.
func (r *RateLimit) Name() string { return r.name }

// Reports implements [middleware.Reporter]. Its type is "rate_limit". The readings are tokens,
// how many calls may begin at once (negative: so many have been promised a turn), and
// pause, how many seconds are left of one.
func (r *RateLimit) Reports(yield func(middleware.Report) bool) {
	now := time.Now()
	yield(middleware.Report{
		Type: rateLimitType, Name: r.name, Waiting: int(r.waiting.Load()),
		Settings: r.description.of(func() any {
			return RateLimitConfig{
				Rate: float64(r.limiter.Limit()), Burst: r.limiter.Burst(), MaxWait: r.maxWait, MaxPause: r.maxPause,
			}
		}),
		Readings: []middleware.Reading{
			{Name: "tokens", Value: r.limiter.TokensAt(now)},
			{Name: "pause", Value: r.pauses(now).Seconds()},
		},
	})
}

// Execute implements [middleware.Policy].
func (r *RateLimit) Execute(ctx context.Context, next middleware.Next) error {
	if r.resume.Load() != 0 || !r.limiter.Allow() { // a pause that begins in between comes too late
		if err := r.wait(ctx, next); err != nil {
			return err
		}
	}
	err := next.Do(ctx)
	if err != nil && r.maxPause > 0 {
		if v := middleware.VerdictOf(err); v.Class == middleware.Throttled && v.After > 0 {
			r.pause(min(v.After, r.maxPause))
		}
	}
	return err
}

// idle reports whether all turns are there and nothing pauses, as in a new RateLimit.
func (r *RateLimit) idle() bool {
	return r.pauses(time.Now()) == 0 && r.limiter.Tokens() >= float64(r.limiter.Burst())
}

// pause stops all calls for d from now on.
func (r *RateLimit) pause(d time.Duration) {
	now := time.Since(r.epoch)
	end := int64(now + min(d, math.MaxInt64-now))
	for {
		known := r.resume.Load()
		if known >= end || r.resume.CompareAndSwap(known, end) {
			return
		}
	}
}

// pauses returns how much of the pause is left.
func (r *RateLimit) pauses(now time.Time) time.Duration {
	for {
		end := r.resume.Load()
		if end == 0 {
			return 0
		}
		if left := time.Duration(end) - now.Sub(r.epoch); left > 0 {
			return left
		}
		if r.resume.CompareAndSwap(end, 0) {
			return 0
		}
	}
}

// wait returns nil when the turn of the call has come. One that comes during a pause,
// which has begun meanwhile, is lost.
func (r *RateLimit) wait(ctx context.Context, next middleware.Next) error {
	why := "rate"
	var waited time.Duration
	for {
		t, refused := r.reserve(ctx, r.maxWait-waited)
		if refused != nil {
			next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: r.name, Wait: t.wait, Reason: rejectedWord(refused)})
			return next.Reject(middleware.Rejection{Policy: r.name, Reason: refused, RetryAfter: t.wait})
		}
		if t.paused {
			why = "pause"
		}
		if t.wait > 0 && !r.sleep(ctx, t.wait) {
			r.giveBack(t)
			return interrupted(ctx, next, r.name, nil)
		}
		waited += t.wait
		if t.wait == 0 || r.pauses(time.Now()) == 0 {
			break
		}
	}
	if waited > 0 {
		next.Emit(ctx, middleware.Event{Kind: middleware.Waited, Policy: r.name, Wait: waited, Reason: why})
	}
	return nil
}

// sleep waits for d and reports whether the context lasted that long.
func (r *RateLimit) sleep(ctx context.Context, d time.Duration) bool {
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	return sleep(ctx, d)
}

// A turn is when a call may begin.
type turn struct {
	reservation *rate.Reservation
	wait        time.Duration
	paused      bool // there is a pause before it
}

// reserve takes the next turn, or says why the call, which waits no longer than
// patience, may not wait for it.
//
// While there is a pause the time of the limiter is that of its end, since it must not
// go back: turns gained in between would be gained twice.
func (r *RateLimit) reserve(ctx context.Context, patience time.Duration) (t turn, refused error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	left := r.pauses(now)
	at := now.Add(left)
	t = turn{reservation: r.limiter.ReserveN(at, 1), paused: left > 0}
	t.wait = t.reservation.DelayFrom(now)
	deadline, limited := ctx.Deadline()
	switch {
	case t.wait > patience:
		refused = middleware.ErrRateLimited
	case limited && deadline.Sub(now) < t.wait:
		refused = middleware.ErrDeadline
	default:
		return t, nil
	}
	t.reservation.CancelAt(at)
	return t, refused
}

// giveBack gives a turn back that has not come.
func (r *RateLimit) giveBack(t turn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	t.reservation.CancelAt(now.Add(r.pauses(now)))
}

// rejectedWord is the reason of a rejection as a word for events.
func rejectedWord(reason error) string {
	if t, ok := reason.(interface{ ErrorType() string }); ok {
		return t.ErrorType()
	}
	return "rejected"
}
