package policies

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate-go/tidegate/middleware"
)

// An adaption is how the rate of a RateLimit follows the dependency: a decrease, and from then
// on a straight line. The limiter is told in steps, by the calls that come.
type adaption struct {
	decreases atomic.Uint32
	next      atomic.Int64 // when the limiter is told of the next step, since the epoch in nanoseconds, or whole

	// The lock of the RateLimit is held.
	rate  float64       // at since
	since time.Duration // the last decrease, since the epoch
	told  float64       // by the last event
}

// whole says that the rate is not decreased.
const whole = math.MaxInt64

// growthSteps is how many steps the limiter is told of on the way from MinRate to Rate.
const growthSteps = 100

func (a *adaption) begin(rate float64) {
	a.rate, a.told = rate, rate
	a.next.Store(whole)
}

// due reports whether the limiter is to be told of a step.
func (a *adaption) due(now time.Duration) bool { return int64(now) >= a.next.Load() }

// at returns the rate at a time. The lock of the RateLimit is held.
func (a *adaption) at(now time.Duration, c *RateLimitConfig) float64 {
	if a.next.Load() == whole {
		return c.Rate
	}
	grown := (c.Rate - c.MinRate) * float64(max(0, now-a.since)) / float64(c.Recovery)
	return min(c.Rate, a.rate+grown)
}

// schedule says when the limiter is to be told next. The lock of the RateLimit is held.
func (a *adaption) schedule(rate float64, now time.Duration, c *RateLimitConfig) {
	if rate >= c.Rate {
		a.next.Store(whole)
		return
	}
	a.next.Store(int64(min(now, whole-c.Recovery) + c.Recovery/growthSteps))
}

// rate returns the rate at a time.
func (r *RateLimit) rate(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.adaption.at(now.Sub(r.epoch), &r.settings.Load().RateLimitConfig)
}

// setRate tells the limiter. The lock is held.
func (r *RateLimit) setRate(to float64, now time.Time) {
	r.limiter.SetLimitAt(r.time(now), rate.Limit(to))
}

// time returns what the time is for the limiter. The lock is held.
func (r *RateLimit) time(now time.Time) time.Time { return now.Add(r.pauses(now)) }

// decrease lowers the rate because of a call that began after so many decreases, unless there
// has been another one since.
func (r *RateLimit) decrease(ctx context.Context, next middleware.Next, decreases uint32) {
	from, to, tell := r.decreased(decreases)
	if tell {
		next.Emit(ctx, r.changed(from, to, "throttled"))
	}
}

func (r *RateLimit) decreased(decreases uint32) (from, to float64, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, a := &r.settings.Load().RateLimitConfig, &r.adaption
	if c.MinRate == 0 || !a.decreases.CompareAndSwap(decreases, decreases+1) {
		return 0, 0, false
	}
	now := time.Now()
	from = a.at(now.Sub(r.epoch), c)
	to = max(c.MinRate, from*c.Decrease)
	a.rate, a.since = to, now.Sub(r.epoch)
	a.schedule(to, a.since, c)
	r.setRate(to, now)
	if saved := int(r.limiter.TokensAt(r.time(now))); saved > 0 {
		r.limiter.AllowN(r.time(now), saved)
	}
	const noticeable = 0.05
	if tell = math.Abs(to-a.told) > noticeable*a.told; tell {
		a.told = to
	}
	return from, to, tell
}

// recover tells the limiter of the rate that it is time for.
func (r *RateLimit) recover(ctx context.Context, next middleware.Next) {
	from, to, tell := r.recovered()
	if tell {
		next.Emit(ctx, r.changed(from, to, "recovered"))
	}
}

func (r *RateLimit) recovered() (from, to float64, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, a, now := &r.settings.Load().RateLimitConfig, &r.adaption, time.Now()
	since := now.Sub(r.epoch)
	if !a.due(since) { // somebody else was first
		return 0, 0, false
	}
	to = a.at(since, c)
	a.schedule(to, since, c)
	r.setRate(to, now)
	if from = a.told; to < c.Rate || from == to {
		return 0, 0, false
	}
	a.told = to
	return from, to, true
}

// adapt prepares for other settings. The lock is held.
func (r *RateLimit) adapt(to RateLimitConfig, now time.Time) {
	a, since := &r.adaption, now.Sub(r.epoch)
	if a.next.Load() == whole || to.MinRate == 0 {
		a.begin(to.Rate)
	} else {
		a.rate, a.since = min(max(a.at(since, &r.settings.Load().RateLimitConfig), to.MinRate), to.Rate), since
		a.schedule(a.rate, since, &to)
	}
	r.setRate(a.rate, now)
	r.limiter.SetBurstAt(r.time(now), to.Burst)
}

func (r *RateLimit) changed(from, to float64, reason string) middleware.Event {
	return middleware.Event{Kind: middleware.LimitChanged, Policy: r.name, From: rateText(from), To: rateText(to), Reason: reason}
}

// rateText leaves out what nobody wants to read of a rate that was multiplied: 34.3, not
// 34.29999999999999.
func rateText(r float64) string {
	short, err := strconv.ParseFloat(strconv.FormatFloat(r, 'g', 4, 64), 64)
	if err != nil {
		short = r
	}
	return strconv.FormatFloat(short, 'f', -1, 64)
}
