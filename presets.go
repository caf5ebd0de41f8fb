package tidegate

import (
	"slices"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

// A Preset names the settings for one kind of dependency. Every setting can be
// overridden in [ServiceConfig]. Each time that probes fail, the breakers wait about
// twice as long as before, up to three times what is said below, and with [HTTP] and
// [Kubernetes] up to 5 and 2 minutes.
type Preset string

const (
	// MinIO is for object storage. The breaker opens after 10 failures and stays so
	// for 2 minutes, with probes after 5 minutes: a transfer in parts makes many
	// calls, of which a few fail whenever a node restarts, and a store that was
	// really down has to recover before it bears load. There are 5 attempts from
	// 200 ms, because a store that says SlowDown wants its callers to come back
	// spread out. An attempt has 10 minutes, since it may move a whole object: that
	// carries 5 GiB, the largest part, at 72 Mbit/s. How long a call may take depends
	// on the object, so there is no limit for it; nor for the rate, since the store
	// says itself when it is busy.
	MinIO Preset = "minio"

	// HTTP is for web services with short answers. The breaker opens after
	// 5 failures and stays so for 30 seconds, with probes after 2 minutes. There
	// are 3 attempts from 100 ms, each of 10 seconds, and 30 seconds for all: about
	// as long as somebody waits for the answer.
	HTTP Preset = "http"

	// Git is for Git hosts. The breaker opens after 3 failures and stays so for
	// 5 minutes, with probes after 10 minutes: an operation is long, so three
	// failures are much time lost, and hosts lock out clients that insist. For the
	// same reason the 3 attempts start from 2 seconds. An attempt has 10 minutes,
	// enough to clone a large repository, and a call half an hour.
	Git Preset = "git"

	// Kubernetes is for the API server. It has no retries, because client-go repeats
	// by itself, up to 10 times, what the server asks it to, and two layers would
	// multiply. It has no rate limit, because client-go has one and the server queues
	// by priority. A controller makes many calls, of which an aggregated API may fail
	// some, so the breaker opens after 10 failures. And a controller must be back soon
	// after a control plane has restarted, which takes seconds, so the breaker stays
	// open for 15 seconds, with probes after 30 seconds. An attempt has 1 minute,
	// which is how long the API server works on a request unless told otherwise; a
	// watch counts until its headers.
	Kubernetes Preset = "kubernetes"

	// Scanner is for security scanners and vulnerability databases. They are slow, so
	// a scan has 10 minutes and a call half an hour. They count the requests of a
	// client, so attempts begin once a second, 5 at once, and wait up to a minute for
	// their turn. A failed scan is costly, so there are 2 attempts, 5 seconds apart;
	// but a wait of 5 minutes is granted when the scanner asks for it, as quotas come
	// back by the window. The breaker opens after 3 failures, which are minutes
	// already, and stays so for 2 minutes, with probes after 5 minutes: a database
	// that is being updated takes that long.
	Scanner Preset = "scanner"
)

// mostlyOff are the policies that no dependency of the kinds below needs as a rule.
var mostlyOff = []string{"throttle", "hedge", "deadline", "bulkhead", "adaptive_limit", "chaos", "per_key"}

// presets holds what each preset sets apart from the standard, and from what is mostly off.
func presets() map[Preset]ServiceConfig {
	return map[Preset]ServiceConfig{
		"": {
			Timeout:   Off,
			RateLimit: policies.RateLimitConfig{Rate: Off},
		},
		MinIO: {
			Timeout:        Off,
			AttemptTimeout: 10 * time.Minute,
			Retry:          policies.RetryConfig{Attempts: 5, Delay: 200 * time.Millisecond},
			Breaker: policies.BreakerConfig{
				FailureThreshold: 10, Timeout: 2 * time.Minute, RecoveryTime: 5 * time.Minute, MaxRecoveryTime: 15 * time.Minute,
			},
			RateLimit: policies.RateLimitConfig{Rate: Off},
		},
		HTTP: {
			Timeout:        30 * time.Second,
			AttemptTimeout: 10 * time.Second,
			Breaker: policies.BreakerConfig{
				FailureThreshold: 5, Timeout: 30 * time.Second, RecoveryTime: 2 * time.Minute, MaxRecoveryTime: 5 * time.Minute,
			},
			RateLimit: policies.RateLimitConfig{Rate: Off},
		},
		Git: {
			Timeout:        30 * time.Minute,
			AttemptTimeout: 10 * time.Minute,
			Retry:          policies.RetryConfig{Delay: 2 * time.Second, MaxDelay: 30 * time.Second},
			Breaker: policies.BreakerConfig{
				FailureThreshold: 3, Timeout: 5 * time.Minute, RecoveryTime: 10 * time.Minute, MaxRecoveryTime: 30 * time.Minute,
			},
			RateLimit: policies.RateLimitConfig{Rate: Off},
		},
		Kubernetes: {
			Timeout:        Off,
			AttemptTimeout: time.Minute,
			Retry:          policies.RetryConfig{Attempts: Off},
			Breaker: policies.BreakerConfig{
				FailureThreshold: 10, Timeout: 15 * time.Second, RecoveryTime: 30 * time.Second, MaxRecoveryTime: 2 * time.Minute,
			},
			RateLimit: policies.RateLimitConfig{Rate: Off},
		},
		Scanner: {
			Timeout:        30 * time.Minute,
			AttemptTimeout: 10 * time.Minute,
			Retry:          policies.RetryConfig{Attempts: 2, Delay: 5 * time.Second, MaxDelay: time.Minute, MaxAfter: 5 * time.Minute},
			Breaker: policies.BreakerConfig{
				FailureThreshold: 3, Timeout: 2 * time.Minute, RecoveryTime: 5 * time.Minute, MaxRecoveryTime: 15 * time.Minute,
			},
			RateLimit: policies.RateLimitConfig{Rate: 1, Burst: 5, MaxWait: time.Minute},
		},
	}
}

// standard returns every policy on, with the defaults of package policies.
func standard() ServiceConfig {
	return ServiceConfig{
		Timeout:        policies.DefaultTimeout,
		AttemptTimeout: policies.DefaultTimeout,
		Retry: policies.RetryConfig{
			Attempts:   policies.DefaultAttempts,
			Delay:      policies.DefaultDelay,
			Multiplier: policies.DefaultMultiplier,
			MaxDelay:   policies.DefaultMaxDelay,
			Jitter:     policies.DefaultJitter,
			MaxAfter:   policies.DefaultMaxAfter,

			NestedAttempts: policies.DefaultNestedAttempts,
		},
		Throttle: policies.ThrottleConfig{
			K: policies.DefaultThrottleK, Window: policies.DefaultThrottleWindow,
			MaxRejection: policies.DefaultThrottleMaxRejection, MinCalls: policies.DefaultThrottleMinCalls,
		},
		Hedge: policies.HedgeConfig{
			MaxHedges: policies.DefaultMaxHedges, Quantile: policies.DefaultHedgeQuantile, MinCalls: policies.DefaultHedgeMinCalls,
		},
		Budget: policies.BudgetConfig{
			Ratio: policies.DefaultBudgetRatio, MinPerSecond: policies.DefaultBudgetMinPerSecond, Window: policies.DefaultBudgetWindow,
		},
		Deadline: policies.DeadlineConfig{Quantile: policies.DefaultDeadlineQuantile, MinCalls: policies.DefaultDeadlineMinCalls},
		Bulkhead: policies.BulkheadConfig{MaxConcurrent: policies.DefaultMaxConcurrent, MaxQueue: Off, Lease: Off},
		AdaptiveLimit: policies.AdaptiveLimitConfig{
			Initial: policies.DefaultInitialLimit, Min: policies.DefaultMinLimit, Max: policies.DefaultMaxLimit,
			Window: policies.DefaultLimitWindow, MinCalls: policies.DefaultLimitMinCalls, MaxQueue: Off,
		},
		Chaos:  policies.ChaosConfig{},
		PerKey: PerKeyConfig{Max: policies.DefaultMaxKeys, Idle: policies.DefaultKeyIdle},
		Breaker: policies.BreakerConfig{
			FailureThreshold: policies.DefaultFailureThreshold,
			Timeout:          policies.DefaultBreakerTimeout,
			RecoveryTime:     policies.DefaultBreakerTimeout,
			RecoveryBackoff:  policies.DefaultRecoveryBackoff,
			MaxRecoveryTime:  policies.DefaultMaxRecoveryTime,
			HealthInterval:   policies.DefaultHealthInterval,
			SuccessThreshold: policies.DefaultSuccessThreshold,
			ProbeLease:       policies.DefaultProbeLease,
		},
		RateLimit: policies.RateLimitConfig{Rate: policies.DefaultRate, MaxWait: Off, MaxPause: Off, MinRate: Off},
	}
}

// config returns the settings of the preset for the service of the given name,
// complete, and whether there is such a preset.
func (p Preset) config(service string) (ServiceConfig, bool) {
	all := presets()
	if _, ok := all[Preset(service)]; ok && p == "" {
		p = Preset(service)
	}
	own, ok := all[p]
	if !ok {
		own = all[""]
	}
	c := standard()
	c.Preset = p
	over := own.groups()
	for i, g := range c.groups() {
		if slices.Contains(mostlyOff, g.key) && !over[i].given() {
			over[i].switchOff()
		}
		g.layer(over[i])
	}
	return c, ok
}

// presetNames returns the names of the presets, sorted.
func presetNames() []string {
	var names []string
	for name := range presets() {
		if name != "" {
			names = append(names, string(name))
		}
	}
	return sorted(names)
}
