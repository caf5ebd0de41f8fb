package tidegate

import (
	"reflect"
	"slices"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A setting is one field of a ServiceConfig and its key in the file.
type setting struct {
	key     string // empty for the only setting of a group
	field   string // in the settings of package policies
	value   any    // a pointer into the ServiceConfig: *int, *float64, *time.Duration or *bool
	allowed string
	none    bool   // Off means none, and so does a 0 in the file
	zero    string // what a 0 is, unless it is the default
}

const (
	aCount    = "a whole number from 1 to 2147483647"
	aDuration = "a duration such as 500ms, 30s or 1h30m"
	aShare    = "a number above 0, at most 1"
	aFactor   = "a number from 1"
	aBool     = "true or false"
)

// A group is what a ServiceConfig says about one policy. The first setting
// switches the policy off.
type group struct {
	key      string
	settings []setting
	inCode   []any // pointers to what the file has no key for
	validate func() error
}

// groups lists the settings of c by policy, outermost first. It is the one place
// that knows them all: loading, layers and checks go by it.
func (c *ServiceConfig) groups() []group {
	return []group{
		{
			key:      "timeout",
			settings: []setting{{field: "Limit", value: &c.Timeout, allowed: aDuration}},
			validate: func() error { return policies.TimeoutConfig{Limit: c.Timeout}.Validate() },
		},
		{
			key: "retry",
			settings: []setting{
				{key: "attempts", field: "Attempts", value: &c.Retry.Attempts, allowed: aCount},
				{key: "delay", field: "Delay", value: &c.Retry.Delay, allowed: aDuration},
				{key: "multiplier", field: "Multiplier", value: &c.Retry.Multiplier, allowed: aFactor},
				{key: "max_delay", field: "MaxDelay", value: &c.Retry.MaxDelay, allowed: aDuration},
				{key: "jitter", field: "Jitter", value: &c.Retry.Jitter, allowed: "a number up to 1", none: true},
				{key: "max_after", field: "MaxAfter", value: &c.Retry.MaxAfter, allowed: aDuration},
			},
			inCode:   []any{&c.Retry.Name, &c.Retry.Engine, &c.Retry.Budget},
			validate: func() error { return c.Retry.Validate() },
		},
		{
			key: "breaker",
			settings: []setting{
				{key: "failure_threshold", field: "FailureThreshold", value: &c.Breaker.FailureThreshold, allowed: aCount},
				{key: "failure_rate", field: "FailureRate", value: &c.Breaker.FailureRate, allowed: aShare, zero: "0 for none"},
				{key: "slow_call", field: "SlowCall", value: &c.Breaker.SlowCall, allowed: aDuration, zero: "0 for none"},
				{key: "slow_rate", field: "SlowRate", value: &c.Breaker.SlowRate, allowed: aShare},
				{key: "min_calls", field: "MinCalls", value: &c.Breaker.MinCalls, allowed: aCount, zero: "0 without failure_rate and slow_call"},
				{key: "window", field: "Window", value: &c.Breaker.Window, allowed: aDuration},
				{key: "buckets", field: "Buckets", value: &c.Breaker.Buckets, allowed: "a whole number from 1 to 1000"},
				{key: "window_calls", field: "WindowCalls", value: &c.Breaker.WindowCalls, allowed: "a whole number from 1 to 65536", zero: "0 for a window of time"},
				{key: "trip_on_throttle", field: "TripOnThrottle", value: &c.Breaker.TripOnThrottle, allowed: aBool},
				{key: "timeout", field: "Timeout", value: &c.Breaker.Timeout, allowed: aDuration},
				{key: "recovery_time", field: "RecoveryTime", value: &c.Breaker.RecoveryTime, allowed: aDuration},
				{key: "recovery_backoff", field: "RecoveryBackoff", value: &c.Breaker.RecoveryBackoff, allowed: aFactor},
				{key: "max_recovery_time", field: "MaxRecoveryTime", value: &c.Breaker.MaxRecoveryTime, allowed: aDuration},
				{key: "health_interval", field: "HealthInterval", value: &c.Breaker.HealthInterval, allowed: aDuration},
				{key: "success_threshold", field: "SuccessThreshold", value: &c.Breaker.SuccessThreshold, allowed: aCount},
				{key: "max_probes", field: "MaxProbes", value: &c.Breaker.MaxProbes, allowed: aCount},
				{key: "probe_lease", field: "ProbeLease", value: &c.Breaker.ProbeLease, allowed: aDuration},
				{key: "ramp", field: "Ramp", value: &c.Breaker.Ramp, allowed: aDuration, zero: "0 for none"},
			},
			inCode:   []any{&c.Breaker.Name, &c.Breaker.Key, &c.Breaker.HealthCheck},
			validate: func() error { return c.Breaker.Validate() },
		},
		{
			key: "rate_limit",
			settings: []setting{
				{key: "rate", field: "Rate", value: &c.RateLimit.Rate, allowed: "a number above 0, at most 2147483647"},
				{key: "burst", field: "Burst", value: &c.RateLimit.Burst, allowed: aCount},
				{key: "max_wait", field: "MaxWait", value: &c.RateLimit.MaxWait, allowed: aDuration, none: true},
				{key: "max_pause", field: "MaxPause", value: &c.RateLimit.MaxPause, allowed: aDuration, none: true},
			},
			inCode:   []any{&c.RateLimit.Name},
			validate: func() error { return c.rateLimit().Validate() },
		},
		{
			key:      "attempt_timeout",
			settings: []setting{{field: "Limit", value: &c.AttemptTimeout, allowed: aDuration}},
			validate: func() error { return policies.TimeoutConfig{Limit: c.AttemptTimeout}.Validate() },
		},
	}
}

// breaker returns what c says about the breaker.
func (c *ServiceConfig) breaker() group {
	all := c.groups()
	return all[slices.IndexFunc(all, func(g group) bool { return g.key == "breaker" })]
}

// rateLimit returns the settings in the terms of package policies.
func (c *ServiceConfig) rateLimit() policies.RateLimitConfig {
	r := c.RateLimit
	if r.MaxWait == Off {
		r.MaxWait = 0
	}
	if r.MaxPause == Off {
		r.MaxPause = 0
	}
	return r
}

// chain returns the policies that c, which is resolved, asks for.
func (c *ServiceConfig) chain() []middleware.Policy {
	var chain []middleware.Policy
	if c.Timeout != Off {
		chain = append(chain, policies.NewTimeout(policies.TimeoutConfig{Name: "timeout", Limit: c.Timeout}))
	}
	if c.Retry.Attempts != Off {
		chain = append(chain, policies.NewRetry(c.Retry))
	}
	if c.Breaker.FailureThreshold != Off {
		chain = append(chain, policies.NewBreaker(c.Breaker))
	}
	if c.RateLimit.Rate != Off {
		chain = append(chain, policies.NewRateLimit(c.rateLimit()))
	}
	if c.AttemptTimeout != Off {
		chain = append(chain, policies.NewTimeout(policies.TimeoutConfig{Name: "attempt_timeout", Limit: c.AttemptTimeout}))
	}
	return chain
}

func (s setting) elem() reflect.Value { return reflect.ValueOf(s.value).Elem() }

func (s setting) given() bool { return !s.elem().IsZero() }

func (s setting) set(v any) { s.elem().Set(reflect.ValueOf(v).Convert(s.elem().Type())) }

func (s setting) clear() { s.elem().SetZero() }

func (s setting) current() any { return s.elem().Interface() }

// positive reports whether the setting, a number, is above 0.
func (s setting) positive() bool {
	v := s.elem()
	return v.CanInt() && v.Int() > 0 || v.CanFloat() && v.Float() > 0
}

// below reports whether the setting, a whole number above 0, is less than other.
func (s setting) below(other setting) bool {
	return s.positive() && s.elem().Int() < other.elem().Int()
}

func (g group) off() bool {
	v := g.settings[0].elem()
	return v.Equal(reflect.ValueOf(Off).Convert(v.Type()))
}

func (g group) switchOff() { g.settings[0].set(Off) }

func (g group) given() bool {
	for _, s := range g.settings {
		if s.given() {
			return true
		}
	}
	return false
}

// gives reports whether g gives one of the settings.
func (g group) gives(keys ...string) bool {
	return slices.ContainsFunc(g.settings, func(s setting) bool { return slices.Contains(keys, s.key) && s.given() })
}

// layer puts over above g.
func (g group) layer(over group) {
	if over.off() {
		g.replace(over)
	} else {
		g.overlay(over)
	}
}

// overlay sets what over gives.
func (g group) overlay(over group) {
	for i, s := range over.settings {
		if s.given() {
			g.settings[i].set(s.current())
		}
	}
	for i, v := range over.inCode {
		if from := reflect.ValueOf(v).Elem(); !from.IsZero() {
			reflect.ValueOf(g.inCode[i]).Elem().Set(from)
		}
	}
}

// replace makes every setting the one of with.
func (g group) replace(with group) {
	for i, s := range with.settings {
		g.settings[i].set(s.current())
	}
}

func (g group) find(key string) setting {
	for _, s := range g.settings {
		if s.key == key {
			return s
		}
	}
	return setting{}
}
