package tidegate

import (
	"slices"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

const (
	aCount    = "a whole number from 1 to 2147483647"
	aDuration = "a duration such as 500ms, 30s or 1h30m"
	aShare    = "a number above 0, at most 1"
	aPart     = "a number above 0, below 1"
	aFactor   = "a number from 1"
	aRate     = "a number above 0, at most 2147483647"
	aRatio    = "a number above 0, at most 1000"
	upToOne   = "a number up to 1"
	aBool     = "true or false"
	aBucket   = "a whole number from 1 to 1000"
	aRing     = "a whole number from 1 to 65536"
	aSeed     = "a whole number"
)

// A group is what a ServiceConfig says about one policy. The first setting
// switches the policy off.
type group struct {
	key      string
	short    string // a single value stands for the first setting, which in a mapping has this key
	flag     bool   // the only setting is a boolean
	settings []setting
	inCode   []any // pointers to what the file has no key for
	validate func() error
	said     *[]string // of the ServiceConfig
}

// groups lists the settings of c by policy, outermost first. It is the one place
// that knows them all: loading, layers, checks, the schema and the text of a Config go by it.
func (c *ServiceConfig) groups() []group {
	all := []group{
		{
			key: "observe_only", flag: true,
			settings: []setting{{value: &c.ObserveOnly, allowed: aBool}},
		},
		{
			key: "timeout", short: "limit",
			settings: []setting{
				{field: "Limit", value: &c.Timeout, allowed: aDuration},
				{key: "scope", field: "Scope", value: &c.TimeoutScope, words: scopes},
			},
			validate: func() error { return policies.TimeoutConfig{Limit: c.Timeout, Scope: c.TimeoutScope}.Validate() },
		},
		{
			key: "throttle",
			settings: []setting{
				{key: "k", field: "K", value: &c.Throttle.K, allowed: aFactor},
				{key: "window", field: "Window", value: &c.Throttle.Window, allowed: aDuration},
				{key: "max_rejection", field: "MaxRejection", value: &c.Throttle.MaxRejection, allowed: aPart},
				{key: "min_calls", field: "MinCalls", value: &c.Throttle.MinCalls, allowed: aCount},
				{key: "observe_only", field: "ObserveOnly", value: &c.Throttle.ObserveOnly, allowed: aBool},
			},
			inCode:   []any{&c.Throttle.Name},
			validate: func() error { return c.Throttle.Validate() },
		},
		{
			key: "retry",
			settings: []setting{
				{key: "attempts", field: "Attempts", value: &c.Retry.Attempts, allowed: aCount},
				{key: "delay", field: "Delay", value: &c.Retry.Delay, allowed: aDuration},
				{key: "multiplier", field: "Multiplier", value: &c.Retry.Multiplier, allowed: aFactor},
				{key: "max_delay", field: "MaxDelay", value: &c.Retry.MaxDelay, allowed: aDuration},
				{key: "jitter", field: "Jitter", value: &c.Retry.Jitter, allowed: upToOne, none: true},
				{key: "max_after", field: "MaxAfter", value: &c.Retry.MaxAfter, allowed: aDuration},
				{key: "nested_attempts", field: "NestedAttempts", value: &c.Retry.NestedAttempts, allowed: aCount},
			},
			inCode:   []any{&c.Retry.Name, &c.Retry.Engine, &c.Retry.Budget},
			validate: func() error { return c.Retry.Validate() },
		},
		{
			key: "hedge",
			settings: []setting{
				{key: "max_hedges", field: "MaxHedges", value: &c.Hedge.MaxHedges, allowed: aCount},
				{key: "delay", field: "Delay", value: &c.Hedge.Delay, allowed: aDuration, zero: "0 for the quantile"},
				{key: "quantile", field: "Quantile", value: &c.Hedge.Quantile, allowed: aPart},
				{key: "min_calls", field: "MinCalls", value: &c.Hedge.MinCalls, allowed: aCount},
			},
			inCode:   []any{&c.Hedge.Name, &c.Hedge.When, &c.Hedge.Budget},
			validate: func() error { return c.Hedge.Validate() },
		},
		{
			key: "budget",
			settings: []setting{
				{key: "ratio", field: "Ratio", value: &c.Budget.Ratio, allowed: aRatio},
				{key: "min_per_second", field: "MinPerSecond", value: &c.Budget.MinPerSecond, allowed: aRate, none: true},
				{key: "window", field: "Window", value: &c.Budget.Window, allowed: aDuration},
			},
			validate: func() error { return c.Budget.Validate() },
		},
		c.breakerGroup(),
		{
			key: "deadline",
			settings: []setting{
				{key: "quantile", field: "Quantile", value: &c.Deadline.Quantile, allowed: aPart},
				{key: "min_calls", field: "MinCalls", value: &c.Deadline.MinCalls, allowed: aCount},
				{key: "observe_only", field: "ObserveOnly", value: &c.Deadline.ObserveOnly, allowed: aBool},
			},
			inCode:   []any{&c.Deadline.Name},
			validate: func() error { return c.Deadline.Validate() },
		},
		{
			key: "rate_limit",
			settings: []setting{
				{key: "rate", field: "Rate", value: &c.RateLimit.Rate, allowed: aRate},
				{key: "burst", field: "Burst", value: &c.RateLimit.Burst, allowed: aCount},
				{key: "max_wait", field: "MaxWait", value: &c.RateLimit.MaxWait, allowed: aDuration, none: true},
				{key: "max_pause", field: "MaxPause", value: &c.RateLimit.MaxPause, allowed: aDuration, none: true},
				{key: "min_rate", field: "MinRate", value: &c.RateLimit.MinRate, allowed: aRate, none: true},
				{key: "decrease", field: "Decrease", value: &c.RateLimit.Decrease, allowed: aPart},
				{key: "recovery", field: "Recovery", value: &c.RateLimit.Recovery, allowed: aDuration},
				{key: "observe_only", field: "ObserveOnly", value: &c.RateLimit.ObserveOnly, allowed: aBool},
			},
			inCode:   []any{&c.RateLimit.Name},
			validate: func() error { return c.rateLimit().Validate() },
		},
		{
			key: "bulkhead",
			settings: []setting{
				{key: "max_concurrent", field: "MaxConcurrent", value: &c.Bulkhead.MaxConcurrent, allowed: aCount},
				{key: "max_queue", field: "MaxQueue", value: &c.Bulkhead.MaxQueue, allowed: aCount, none: true},
				{key: "max_wait", field: "MaxWait", value: &c.Bulkhead.MaxWait, allowed: aDuration},
				{key: "order", field: "Order", value: &c.Bulkhead.Order, words: orders},
				{key: "lease", field: "Lease", value: &c.Bulkhead.Lease, allowed: aDuration, none: true},
				{key: "until_result", field: "UntilResult", value: &c.Bulkhead.UntilResult, allowed: aBool},
				{key: "observe_only", field: "ObserveOnly", value: &c.Bulkhead.ObserveOnly, allowed: aBool},
			},
			inCode:   []any{&c.Bulkhead.Name},
			validate: func() error { return c.bulkhead().Validate() },
		},
		{
			key: "adaptive_limit",
			settings: []setting{
				{key: "initial", field: "Initial", value: &c.AdaptiveLimit.Initial, allowed: aCount},
				{key: "min", field: "Min", value: &c.AdaptiveLimit.Min, allowed: aCount},
				{key: "max", field: "Max", value: &c.AdaptiveLimit.Max, allowed: aCount},
				{key: "algorithm", field: "Algorithm", value: &c.AdaptiveLimit.Algorithm, words: algorithms},
				{key: "window", field: "Window", value: &c.AdaptiveLimit.Window, allowed: aDuration},
				{key: "min_calls", field: "MinCalls", value: &c.AdaptiveLimit.MinCalls, allowed: aCount},
				{key: "tolerance", field: "Tolerance", value: &c.AdaptiveLimit.Tolerance, allowed: aFactor},
				{key: "slow_call", field: "SlowCall", value: &c.AdaptiveLimit.SlowCall, allowed: aDuration, none: true},
				{key: "decrease", field: "Decrease", value: &c.AdaptiveLimit.Decrease, allowed: aPart},
				{key: "max_queue", field: "MaxQueue", value: &c.AdaptiveLimit.MaxQueue, allowed: aCount, none: true},
				{key: "max_wait", field: "MaxWait", value: &c.AdaptiveLimit.MaxWait, allowed: aDuration},
				{key: "order", field: "Order", value: &c.AdaptiveLimit.Order, words: orders},
				{key: "until_result", field: "UntilResult", value: &c.AdaptiveLimit.UntilResult, allowed: aBool},
				{key: "observe_only", field: "ObserveOnly", value: &c.AdaptiveLimit.ObserveOnly, allowed: aBool},
			},
			inCode:   []any{&c.AdaptiveLimit.Name},
			validate: func() error { return c.adaptiveLimit().Validate() },
		},
		{
			key: "attempt_timeout", short: "limit",
			settings: []setting{
				{field: "Limit", value: &c.AttemptTimeout, allowed: aDuration},
				{key: "scope", field: "Scope", value: &c.AttemptTimeoutScope, words: scopes},
			},
			validate: func() error {
				return policies.TimeoutConfig{Limit: c.AttemptTimeout, Scope: c.AttemptTimeoutScope}.Validate()
			},
		},
		{
			key: "chaos",
			settings: []setting{
				{key: "for", field: "For", value: &c.Chaos.For, allowed: aDuration},
				{key: "seed", field: "Seed", value: &c.Chaos.Seed, allowed: aSeed, zero: "0 for another one each time"},
				{key: "latency_rate", field: "LatencyRate", value: &c.Chaos.LatencyRate, allowed: aShare, none: true},
				{key: "latency", field: "Latency", value: &c.Chaos.Latency, allowed: aDuration, zero: "0 without latency_rate"},
				{key: "error_rate", field: "ErrorRate", value: &c.Chaos.ErrorRate, allowed: aShare, none: true},
				{key: "hang_rate", field: "HangRate", value: &c.Chaos.HangRate, allowed: aShare, none: true},
				{key: "cut_rate", field: "CutRate", value: &c.Chaos.CutRate, allowed: aShare, none: true},
				{key: "cut_after", field: "CutAfter", value: &c.Chaos.CutAfter, allowed: aDuration},
			},
			inCode: []any{&c.Chaos.Name, &c.Chaos.When, &c.Chaos.Err, &c.Chaos.Outcome, &c.Chaos.OutcomeRate},
			validate: func() error {
				if c.Chaos.For == 0 {
					return &policies.SettingError{Config: "ChaosConfig", Field: "For", Value: c.Chaos.For, Allowed: "how long"}
				}
				return c.chaos().Validate()
			},
		},
		{
			key: "per_key",
			settings: []setting{
				{key: "max", field: "Max", value: &c.PerKey.Max, allowed: aCount},
				{key: "idle", field: "Idle", value: &c.PerKey.Idle, allowed: aDuration},
				{key: "breaker", field: "Breaker", value: &c.PerKey.Breaker, allowed: aBool},
				{key: "rate_limit", field: "RateLimit", value: &c.PerKey.RateLimit, allowed: aBool},
				{key: "bulkhead", field: "Bulkhead", value: &c.PerKey.Bulkhead, allowed: aBool},
				{key: "adaptive_limit", field: "AdaptiveLimit", value: &c.PerKey.AdaptiveLimit, allowed: aBool},
			},
			inCode:   []any{&c.PerKey.Key},
			validate: func() error { return c.PerKey.validate() },
		},
	}
	for i := range all {
		all[i].said = &c.said
	}
	return all
}

func (c *ServiceConfig) breakerGroup() group {
	return group{
		key: "breaker",
		settings: []setting{
			{key: "failure_threshold", field: "FailureThreshold", value: &c.Breaker.FailureThreshold, allowed: aCount},
			{key: "failure_rate", field: "FailureRate", value: &c.Breaker.FailureRate, allowed: aShare, zero: "0 for none"},
			{key: "slow_call", field: "SlowCall", value: &c.Breaker.SlowCall, allowed: aDuration, zero: "0 for none"},
			{key: "slow_rate", field: "SlowRate", value: &c.Breaker.SlowRate, allowed: aShare},
			{key: "min_calls", field: "MinCalls", value: &c.Breaker.MinCalls, allowed: aCount, zero: "0 without failure_rate and slow_call"},
			{key: "window", field: "Window", value: &c.Breaker.Window, allowed: aDuration},
			{key: "buckets", field: "Buckets", value: &c.Breaker.Buckets, allowed: aBucket},
			{key: "window_calls", field: "WindowCalls", value: &c.Breaker.WindowCalls, allowed: aRing, zero: "0 for a window of time"},
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
			{key: "observe_only", field: "ObserveOnly", value: &c.Breaker.ObserveOnly, allowed: aBool},
		},
		inCode:   []any{&c.Breaker.Name, &c.Breaker.Key, &c.Breaker.HealthCheck},
		validate: func() error { return c.Breaker.Validate() },
	}
}

var (
	scopes     = words(policies.UntilResult, policies.EachRead, policies.UntilEnd)
	orders     = words(policies.FIFO, policies.LIFO)
	algorithms = words(policies.Gradient, policies.Vegas, policies.AIMD)
)

// words returns the names of the values of a type, which count from 0.
func words[T interface{ String() string }](values ...T) []string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.String()
	}
	return names
}

// group returns what c says about the policy with that key.
func (c *ServiceConfig) group(key string) group {
	all := c.groups()
	return all[slices.IndexFunc(all, func(g group) bool { return g.key == key })]
}

// none returns a setting in the terms of package policies, where 0 is none.
func none[T int | float64 | time.Duration](v T) T {
	if v == Off {
		return 0
	}
	return v
}

func (c *ServiceConfig) rateLimit() policies.RateLimitConfig {
	r := c.RateLimit
	r.MaxWait, r.MaxPause, r.MinRate = none(r.MaxWait), none(r.MaxPause), none(r.MinRate)
	r.ObserveOnly = r.ObserveOnly || c.ObserveOnly
	return r
}

func (c *ServiceConfig) bulkhead() policies.BulkheadConfig {
	b := c.Bulkhead
	b.MaxQueue, b.Lease = none(b.MaxQueue), none(b.Lease)
	b.ObserveOnly = b.ObserveOnly || c.ObserveOnly
	return b
}

func (c *ServiceConfig) adaptiveLimit() policies.AdaptiveLimitConfig {
	a := c.AdaptiveLimit
	a.MaxQueue, a.SlowCall = none(a.MaxQueue), none(a.SlowCall)
	a.ObserveOnly = a.ObserveOnly || c.ObserveOnly
	return a
}

// chaos returns the settings for one that may be made: it is up to New to refuse it.
func (c *ServiceConfig) chaos() policies.ChaosConfig {
	chaos := c.Chaos
	chaos.Enabled = true
	chaos.LatencyRate, chaos.ErrorRate = none(chaos.LatencyRate), none(chaos.ErrorRate)
	chaos.HangRate, chaos.CutRate = none(chaos.HangRate), none(chaos.CutRate)
	return chaos
}
