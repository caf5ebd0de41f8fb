package policies

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate-go/tidegate/middleware"
)

// DefaultRate is the rate of a [RateLimit] that sets none, in calls per second.
const DefaultRate = 100.0

// Defaults of a [RateLimit] with a MinRate.
const (
	DefaultRateDecrease = 0.7
	DefaultRateRecovery = 30 * time.Second
)

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

	// MinRate makes the rate adapt to the dependency, between MinRate and Rate: a verdict
	// Throttled multiplies it by Decrease, and without one it grows back, from MinRate to
	// Rate in Recovery. It may not be above Rate. Zero means that the rate stays.
	MinRate float64

	// Decrease is above 0 and below 1. Zero means DefaultRateDecrease. It needs a MinRate.
	Decrease float64

	// Recovery is how long the rate takes to grow from MinRate to Rate. Zero means
	// DefaultRateRecovery. It needs a MinRate.
	Recovery time.Duration

	// ObserveOnly refuses nothing and holds nothing back: a call that would be refused or
	// would wait passes, with the event [middleware.WouldReject].
	ObserveOnly bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c RateLimitConfig) Validate() error {
	k := check{config: "RateLimitConfig"}
	k.that(c.Rate >= 0 && c.Rate <= math.MaxInt32, "Rate", c.Rate, "above 0 and at most 2147483647, or 0 for the default")
	k.count("Burst", c.Burst)
	k.that(c.MaxWait >= 0, "MaxWait", c.MaxWait, "0 (reject at once) or a positive duration")
	k.that(c.MaxPause >= 0, "MaxPause", c.MaxPause, "0 (no pause) or a positive duration")
	k.that(c.MinRate >= 0, "MinRate", c.MinRate, "above 0, or 0 for a rate that stays")
	if most := or(c.Rate, DefaultRate); most > 0 {
		k.that(c.MinRate <= most || math.IsNaN(c.MinRate), "MinRate", c.MinRate, fmt.Sprintf("at most Rate, which is %v", most))
	}
	if c.MinRate == 0 {
		k.that(c.Decrease == 0, "Decrease", c.Decrease, "0 without MinRate")
		k.that(c.Recovery == 0, "Recovery", c.Recovery, "0 without MinRate")
	} else {
		k.that(c.Decrease >= 0 && c.Decrease < 1, "Decrease", c.Decrease, "above 0 and below 1, or 0 for the default")
		k.duration("Recovery", c.Recovery)
	}
	return k.err()
}

func (c RateLimitConfig) complete() RateLimitConfig {
	c.Rate = or(c.Rate, DefaultRate)
	c.Burst = or(c.Burst, int(math.Ceil(c.Rate)))
	if c.MinRate > 0 {
		c.Decrease, c.Recovery = or(c.Decrease, DefaultRateDecrease), or(c.Recovery, DefaultRateRecovery)
	}
	return c
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
//
// With MinRate the rate follows the dependency. A call that ends with the verdict Throttled
// multiplies it by Decrease, and takes away the turns that were saved up for a burst. What
// had begun before that does not do it again, so that many calls refused together count as
// one. From then on the rate grows by the same amount in each second. The events
// [middleware.LimitChanged] tell of a rate that has become another by more than a
// twentieth ("throttled"), and when it is whole again ("recovered"). Additive increase and
// multiplicative decrease are from Chiu and Jain, "Analysis of the Increase and Decrease
// Algorithms for Congestion Avoidance in Computer Networks", 1989; to decrease once for all
// that was under way is the recovery of TCP NewReno, RFC 6582.
type RateLimit struct {
	name     string
	settings atomic.Pointer[rateSettings]
	limiter  *rate.Limiter
	epoch    time.Time
	resume   atomic.Int64 // when the pause ends, since epoch in nanoseconds; 0: there is none
	waiting  atomic.Int32
	mu       sync.Mutex // makes a reservation and its cancellation one step
	adaption adaption
}

type rateSettings struct {
	RateLimitConfig // complete

	description description
}

// NewRateLimit returns a RateLimit. It panics if the settings are not valid.
func NewRateLimit(c RateLimitConfig) *RateLimit {
	must(c.Validate())
	c = c.complete()
	r := &RateLimit{
		name:    or(c.Name, "rate_limit"),
		limiter: rate.NewLimiter(rate.Limit(c.Rate), c.Burst),
		epoch:   time.Now(),
	}
	r.adaption.begin(c.Rate)
	r.settings.Store(&rateSettings{RateLimitConfig: c})
	return r
}

// Apply changes the settings, except for the Name. It returns the error of Validate and then
// changes nothing. The turns that are left, those that calls wait for, a pause and, as far as
// it is between MinRate and Rate, a lower rate stay as they are. Apply is safe for concurrent
// use.
func (r *RateLimit) Apply(c RateLimitConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	c = c.complete()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adapt(c, time.Now())
	r.settings.Store(&rateSettings{RateLimitConfig: c})
	return nil
}

// Name returns the name of the policy.
func (r *RateLimit) Name() string { return r.name }

// Reports implements [middleware.Reporter]. Its type is "rate_limit". The readings are tokens,
// how many calls may begin at once (negative: so many have been promised a turn), pause, how
// many seconds are left of one, and rate, how many calls per second may begin just now.
func (r *RateLimit) Reports(yield func(middleware.Report) bool) {
	now := time.Now()
	s := r.settings.Load()
	yield(middleware.Report{
		Type: rateLimitType, Name: r.name, Waiting: int(r.waiting.Load()),
		Settings: s.description.of(func() any { return s.RateLimitConfig }),
		Readings: []middleware.Reading{
			{Name: "tokens", Value: r.limiter.TokensAt(now)},
			{Name: "pause", Value: r.pauses(now).Seconds()},
			{Name: "rate", Value: r.rate(now)},
		},
	})
}

// Execute implements [middleware.Policy].
func (r *RateLimit) Execute(ctx context.Context, next middleware.Next) error {
	now := time.Now()
	if r.adaption.due(now.Sub(r.epoch)) {
		r.recover(ctx, next)
	}
	decreases := r.adaption.decreases.Load()
	if r.resume.Load() != 0 || !r.limiter.AllowN(now, 1) { // a pause that begins in between comes too late
		if err := r.wait(ctx, next); err != nil {
			return err
		}
		decreases = r.adaption.decreases.Load()
	}
	err := next.Do(ctx)
	if err != nil {
		if v := middleware.VerdictOf(err); v.Class == middleware.Throttled {
			r.throttled(ctx, next, v.After, decreases)
		}
	}
	return err
}

// throttled hears that the dependency asks for fewer calls, by one that began after so many
// decreases.
func (r *RateLimit) throttled(ctx context.Context, next middleware.Next, after time.Duration, decreases uint32) {
	s := r.settings.Load()
	if s.MaxPause > 0 && after > 0 {
		r.pause(min(after, s.MaxPause))
	}
	if s.MinRate > 0 {
		r.decrease(ctx, next, decreases)
	}
}

// idle reports whether all turns are there, nothing pauses and the rate is whole, as in a new
// RateLimit.
func (r *RateLimit) idle() bool {
	return r.pauses(time.Now()) == 0 && r.adaption.next.Load() == whole && r.limiter.Tokens() >= float64(r.limiter.Burst())
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
	s := r.settings.Load()
	why := "rate"
	var waited time.Duration
	for {
		t, refused := r.reserve(ctx, s.MaxWait-waited)
		if s.ObserveOnly {
			r.observe(ctx, next, t, refused)
			return nil
		}
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

// observe says what would have happened to a call that passes. A turn that it would have waited
// for is taken.
func (r *RateLimit) observe(ctx context.Context, next middleware.Next, t turn, refused error) {
	e := middleware.Event{Kind: middleware.WouldReject, Policy: r.name, Wait: t.wait, Reason: "rate"}
	switch {
	case refused != nil:
		e.Reason = rejectedWord(refused)
	case t.wait == 0:
		return
	case t.paused:
		e.Reason = "pause"
	}
	next.Emit(ctx, e)
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
