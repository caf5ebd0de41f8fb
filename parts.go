package tidegate

import (
	"reflect"
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The parts of a service are the policies that its settings ask for. They outlive a change
// of the settings: they are what knows how the dependency is. Who uses them sees to it that
// there is one change at a time.
type parts struct {
	slot     middleware.Slot
	budget   *policies.Budget
	policies map[string]middleware.Policy // by the key of the group
	settings map[string]any               // of each, as it was made or told
}

// An adjustable policy can be told new settings, which are valid.
type adjustable[C any] interface {
	middleware.Policy
	Apply(c C) error
}

// fit makes the policies those that c, which is resolved, asks for. It returns those that
// are no longer needed.
func (p *parts) fit(c ServiceConfig) (gone []middleware.Policy) {
	before := p.policies
	p.policies = map[string]middleware.Policy{}
	if p.settings == nil {
		p.settings = map[string]any{}
	}
	p.share(&c)
	p.begin(before, c)
	chain := []middleware.Policy{
		p.fallback(before),
		keep(p, before, "timeout", c.timeout(), c.Timeout != Off, policies.NewTimeout),
		keep(p, before, "throttle", c.throttle(), c.Throttle.K != Off, policies.NewThrottle),
		keep(p, before, "retry", c.Retry, c.Retry.Attempts != Off, policies.NewRetry),
		keep(p, before, "hedge", c.Hedge, c.Hedge.MaxHedges != Off, policies.NewHedge),
		each(p, before, "breaker", c.breaker(), c.Breaker.FailureThreshold != Off, &c.PerKey, c.PerKey.Breaker, policies.NewBreaker),
		keep(p, before, "deadline", c.deadline(), c.Deadline.Quantile != Off, policies.NewDeadline),
		each(p, before, "rate_limit", c.rateLimit(), c.RateLimit.Rate != Off, &c.PerKey, c.PerKey.RateLimit, policies.NewRateLimit),
		each(p, before, "bulkhead", c.bulkhead(), c.Bulkhead.MaxConcurrent != Off, &c.PerKey, c.PerKey.Bulkhead, policies.NewBulkhead),
		each(p, before, "adaptive_limit", c.adaptiveLimit(), c.AdaptiveLimit.Initial != Off, &c.PerKey, c.PerKey.AdaptiveLimit, policies.NewAdaptiveLimit),
		keep(p, before, "attempt_timeout", c.attemptTimeout(), c.AttemptTimeout != Off, policies.NewTimeout),
		keep(p, before, "chaos", c.chaos(), c.Chaos.For != Off, policies.NewChaos),
	}
	p.slot.Set(chain...)
	for key, old := range before {
		if p.policies[key] != old {
			gone = append(gone, old)
		}
	}
	return gone
}

// share gives a Retry and a Hedge that have no budget the one of the service.
func (p *parts) share(c *ServiceConfig) {
	if c.Retry.Budget != nil && c.Hedge.Budget != nil {
		return
	}
	if p.budget == nil {
		p.budget = policies.NewBudget(c.Budget)
	} else {
		valid(p.budget.Apply(c.Budget))
	}
	for _, b := range []**policies.Budget{&c.Retry.Budget, &c.Hedge.Budget} {
		if *b == nil {
			*b = p.budget
		}
	}
}

// fallback returns the one that decides about the alternatives of calls. It has no settings.
func (p *parts) fallback(before map[string]middleware.Policy) middleware.Policy {
	f := before["fallback"]
	if f == nil {
		f = policies.NewFallback(policies.FallbackConfig{})
	}
	p.policies["fallback"] = f
	return f
}

// begin takes the policies out of before that have to begin anew: with another budget, or to
// disturb calls for another time.
func (p *parts) begin(before map[string]middleware.Policy, c ServiceConfig) {
	for key, budget := range map[string]*policies.Budget{"retry": c.Retry.Budget, "hedge": c.Hedge.Budget} {
		if s, ok := before[key].(interface{ Budget() *policies.Budget }); ok && s.Budget() != budget {
			delete(before, key)
		}
	}
	if was, ok := p.settings["chaos"].(policies.ChaosConfig); ok && was.For != c.Chaos.For {
		delete(before, "chaos")
	}
}

// keep returns the policy that there is, with new settings.
func keep[P adjustable[C], C any](p *parts, before map[string]middleware.Policy, key string, c C, on bool, make func(C) P) middleware.Policy {
	if !on {
		return nil
	}
	policy, ok := before[key].(P)
	switch {
	case !ok:
		policy = make(c)
	case !same(p.settings[key], c):
		valid(policy.Apply(c))
	}
	p.policies[key], p.settings[key] = policy, c
	return policy
}

// each is keep, or keep for each key.
func each[P adjustable[C], C any](p *parts, before map[string]middleware.Policy, key string, c C, on bool, perKey *PerKeyConfig, separate bool, make func(C) P) middleware.Policy {
	if !on || perKey.Max == Off || !separate {
		return keep(p, before, key, c, on, make)
	}
	policy, ok := before[key].(*policies.Keyed[P])
	now, known := p.settings[key].(*atomic.Pointer[C])
	if !ok || !known {
		now = new(atomic.Pointer[C])
		policy = policies.NewKeyed(perKey.keyed(key), func(key string) P { return make(withKey(*now.Load(), key)) })
	}
	now.Store(&c)
	if ok {
		valid(policy.Apply(perKey.keyed(key)))
		policy.Change(func(key string, each P) { valid(each.Apply(withKey(c, key))) })
	}
	policy.PlanAs(make(c)) // which is not known to be of a key, and says so of none
	p.policies[key], p.settings[key] = policy, now
	return policy
}

// withKey returns the settings with the key that they are for, if they have one.
func withKey[C any](c C, key string) C {
	if b, ok := any(&c).(*policies.BreakerConfig); ok {
		b.Key = key
	}
	return c
}

// same reports whether two structs of settings are the same. What is behind a pointer is
// not looked at, and a function is never the same.
func same(a, b any) bool {
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	if !v.IsValid() || v.Type() != w.Type() {
		return false
	}
	for i := range v.NumField() {
		x, y := v.Field(i), w.Field(i)
		switch {
		case x.Kind() == reflect.Func && x.IsNil() && y.IsNil():
		case !x.Comparable() || !y.Comparable() || !x.Equal(y):
			return false
		}
	}
	return true
}

// valid panics when settings that have been checked are refused: that is a defect.
func valid(err error) {
	if err != nil {
		panic(err)
	}
}

func (c *ServiceConfig) timeout() policies.TimeoutConfig {
	return policies.TimeoutConfig{Name: "timeout", Limit: c.Timeout, Scope: c.TimeoutScope, ObserveOnly: c.ObserveOnly}
}

func (c *ServiceConfig) attemptTimeout() policies.TimeoutConfig {
	return policies.TimeoutConfig{
		Name: "attempt_timeout", Limit: c.AttemptTimeout, Scope: c.AttemptTimeoutScope, ObserveOnly: c.ObserveOnly,
	}
}

func (c *ServiceConfig) throttle() policies.ThrottleConfig {
	t := c.Throttle
	t.ObserveOnly = t.ObserveOnly || c.ObserveOnly
	return t
}

func (c *ServiceConfig) breaker() policies.BreakerConfig {
	b := c.Breaker
	b.ObserveOnly = b.ObserveOnly || c.ObserveOnly
	return b
}

func (c *ServiceConfig) deadline() policies.DeadlineConfig {
	d := c.Deadline
	d.ObserveOnly = d.ObserveOnly || c.ObserveOnly
	return d
}
