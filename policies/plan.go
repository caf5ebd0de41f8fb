package policies

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate-go/tidegate/middleware"
)

// described returns the plan with what the report of the policy says of it.
func described(policy middleware.Reporter, p middleware.Plan) middleware.Plan {
	for r := range policy.Reports {
		p.Type, p.Name, p.Settings = r.Type, r.Name, r.Settings
		break
	}
	return p
}

// sizeOf returns how many bytes a T takes, without what it points to.
func sizeOf[T any]() int64 { return int64(reflect.TypeFor[T]().Size()) }

// Plan implements [middleware.Planner].
func (t *Timeout) Plan() middleware.Plan {
	return described(t, t.settings.Load().planned())
}

// planned is the plan of a Timeout with these settings, which are complete.
func (c TimeoutConfig) planned() middleware.Plan {
	return middleware.Plan{
		Limit: c.Limit, EachRead: c.Scope == EachRead, UntilEnd: c.Scope == UntilEnd,
		Memory: sizeOf[Timeout]() + sizeOf[timeoutSettings](), Observes: c.ObserveOnly,
	}
}

// Plan implements [middleware.Planner].
func (r *Retry) Plan() middleware.Plan {
	return described(r, r.settings.Load().planned())
}

// planned is the plan of a Retry with these settings, which are complete.
func (c RetryConfig) planned() middleware.Plan {
	p := middleware.Plan{
		Attempts: c.Attempts, NestedAttempts: c.NestedAttempts,
		Budget: c.Budget.plan(), Memory: sizeOf[Retry]() + sizeOf[retrySettings]() + budgetSize(),
	}
	p.Backoff, p.LongestBackoff = c.waits()
	return p
}

// waits returns how long all waits between the attempts are together at the most, and
// how long they are if the dependency asks for it.
func (c RetryConfig) waits() (backoff, asked time.Duration) {
	const exact = 1000 // then each counts as the longest
	jitter := max(0, c.Jitter)
	interval, longest := float64(min(c.Delay, c.MaxDelay)), float64(c.MaxDelay)
	for left := c.Attempts - 1; left > 0; {
		if c.Attempts-left > exact {
			interval = longest
		}
		wait := time.Duration(min(math.Ceil(interval*(1+jitter)), longest)) // see nextInterval
		after := max(wait, addTimes(c.MaxAfter, 1, time.Duration(jitter*float64(wait))))
		next, n := min(interval*c.Multiplier, longest), 1
		if next == interval { // all others are the same
			n = left
		}
		backoff, asked = addTimes(backoff, n, wait), addTimes(asked, n, after)
		interval, left = next, left-n
	}
	return backoff, asked
}

// addTimes returns sum + n * d, or Unbounded if that is longer than a Duration holds.
func addTimes(sum time.Duration, n int, d time.Duration) time.Duration {
	if d > 0 && time.Duration(n) > (middleware.Unbounded-sum)/d {
		return middleware.Unbounded
	}
	return sum + time.Duration(n)*d
}

// plan returns nil for a budget that bounds nothing.
func (b *Budget) plan() *middleware.BudgetPlan {
	if b == nil || b.off.Load() {
		return nil
	}
	_, s := b.snapshot()
	return &middleware.BudgetPlan{ID: b, Ratio: max(0, s.Ratio), MinPerSecond: max(0, s.MinPerSecond)}
}

// hedgeChainSize is about what the chain of two takes that a Hedge has.
const hedgeChainSize = 300

func budgetSize() int64 { return sizeOf[Budget]() + sizeOf[budgetSettings]() }

// Plan implements [middleware.Planner].
func (h *Hedge) Plan() middleware.Plan {
	s := h.settings.Load()
	p := s.planned()
	p.AnyCall = s.anyCall
	return described(h, p)
}

// planned is the plan of a Hedge with these settings, which are complete but for When.
func (c HedgeConfig) planned() middleware.Plan {
	p := middleware.Plan{
		Hedges: c.MaxHedges, HedgeDelay: c.Delay,
		Budget: c.Budget.plan(), Memory: sizeOf[Hedge]() + sizeOf[hedgeSettings]() + hedgeChainSize + budgetSize(),
	}
	if c.Delay == 0 {
		p.Memory += sizeOf[latency]() + 2*sizeOf[histogram]()
	}
	return p
}

// Plan implements [middleware.Planner].
func (r *RateLimit) Plan() middleware.Plan {
	return described(r, r.settings.Load().planned())
}

// planned is the plan of a RateLimit with these settings, which are complete.
func (c RateLimitConfig) planned() middleware.Plan {
	return middleware.Plan{
		Rate: c.Rate, Burst: c.Burst, Wait: c.MaxWait,
		Memory: sizeOf[RateLimit]() + sizeOf[rateSettings]() + sizeOf[rate.Limiter](), Observes: c.ObserveOnly,
	}
}

// Plan implements [middleware.Planner].
func (b *Bulkhead) Plan() middleware.Plan {
	return described(b, b.settings.Load().config.planned())
}

// planned is the plan of a Bulkhead with these settings, which are complete.
func (c BulkheadConfig) planned() middleware.Plan {
	p := middleware.Plan{Places: c.MaxConcurrent, Lease: c.Lease, Memory: sizeOf[Bulkhead]() + sizeOf[bulkheadSettings]() + sizeOf[rules](), Observes: c.ObserveOnly}
	if c.MaxQueue > 0 {
		p.Wait = c.MaxWait
	}
	return p
}

// Plan implements [middleware.Planner].
func (l *AdaptiveLimit) Plan() middleware.Plan {
	return described(l, l.settings.Load().config.planned())
}

// planned is the plan of an AdaptiveLimit with these settings, which are complete.
func (c AdaptiveLimitConfig) planned() middleware.Plan {
	p := middleware.Plan{Places: c.Max, Memory: sizeOf[AdaptiveLimit]() + sizeOf[adaptiveSettings]() + sizeOf[finder]() + sizeOf[rules](), Observes: c.ObserveOnly}
	if c.Algorithm == AIMD {
		p.SlowCall = c.SlowCall
	}
	if c.MaxQueue > 0 {
		p.Wait = c.MaxWait
	}
	return p
}

// Plan implements [middleware.Planner].
func (b *Breaker) Plan() middleware.Plan { return described(b, b.gate.Load().config.Load().planned()) }

// machineSize is about what gobreaker's state machine takes, which is made when it is
// needed.
const machineSize = 400

// planned is the plan of a Breaker with these settings, which are complete.
func (c BreakerConfig) planned() middleware.Plan {
	p := middleware.Plan{
		Judges: true, MinCalls: c.MinCalls, Window: c.Window, SlowCall: c.SlowCall, Observes: c.ObserveOnly,
		Memory: sizeOf[Breaker]() + sizeOf[gate]() + sizeOf[settled]() + machineSize,
	}
	if c.FailureThreshold > 0 {
		p.MinCalls = min(p.MinCalls, c.FailureThreshold)
	}
	if c.SlowCall > 0 {
		p.Memory += (cohorts + 1) * sizeOf[cohort]()
	}
	switch {
	case !c.rates():
	case c.WindowCalls > 0:
		p.Memory += sizeOf[countWindow]() + int64(c.WindowCalls)/4
	default:
		p.Memory += sizeOf[timeWindow]() + sizeOf[shape]() + int64(c.Buckets+1)*sizeOf[bucket]()
	}
	return p
}

// Plan implements [middleware.Planner].
func (t *Throttle) Plan() middleware.Plan {
	return described(t, middleware.Plan{
		Sheds: true, Observes: t.settings.Load().ObserveOnly,
		Memory: sizeOf[Throttle]() + sizeOf[throttling]() + (demandBuckets+1)*sizeOf[demandBucket](),
	})
}

// Plan implements [middleware.Planner].
func (d *Deadline) Plan() middleware.Plan {
	return described(d, middleware.Plan{
		Foresees: true, Observes: d.settings.Load().ObserveOnly,
		Memory: sizeOf[Deadline]() + sizeOf[deadlining]() + sizeOf[latency]() + 2*sizeOf[histogram](),
	})
}

// Plan implements [middleware.Planner].
func (f *Fallback) Plan() middleware.Plan {
	return described(f, middleware.Plan{Replaces: true, Memory: sizeOf[Fallback]()})
}

// Plan implements [middleware.Planner].
func (h *Chaos) Plan() middleware.Plan { return described(h, h.settings.Load().planned()) }

// planned is the plan of a Chaos with these settings.
func (c ChaosConfig) planned() middleware.Plan {
	p := middleware.Plan{Disturbs: true, Memory: sizeOf[Chaos]() + sizeOf[chaosSettings]()}
	switch {
	case c.HangRate > 0:
		p.Wait = middleware.Unbounded
	case c.LatencyRate > 0:
		p.Wait = c.Latency
	}
	return p
}

// keySize is about what a key takes besides its policy: its text and its place in a map.
const keySize = 64

// Plan implements [middleware.Planner]. It is that of the policy of the first key, in
// order; before there is one, that of the sample of PlanAs, or else nothing is known.
func (k *Keyed[P]) Plan() middleware.Plan {
	p := middleware.Plan{PerKey: true, Memory: sizeOf[Keyed[P]]()}
	k.mu.Lock()
	first, most := k.sample, k.config.Max
	k.mu.Unlock()
	if all := k.snapshot(); len(all) > 0 {
		first = all[slices.Min(slices.Collect(maps.Keys(all)))]
	}
	if first == nil {
		p.Unknown = true
		return described(k, p)
	}
	p.Inner = []middleware.Policy{first}
	if c, ok := first.(*middleware.Chain); ok {
		p.Inner = c.Policies()
	}
	each := sizeOf[keyEntry[P]]() + keySize
	for _, inner := range p.Inner {
		if planner, ok := inner.(middleware.Planner); ok {
			each += planner.Plan().Memory
		}
	}
	p.Memory += int64(most) * each
	return described(k, p)
}
