package policies_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// What a breaker that lets a call through allocates, and one that rejects it: nothing.
// Buckets and errors that are used again are made once a bucket and once a
// millisecond, which is less than once in a thousand runs.
func TestABreakerAllocatesNothing(t *testing.T) {
	byTime := policies.BreakerConfig{FailureRate: 1, MinCalls: 1 << 30, Window: time.Hour}
	byCalls := policies.BreakerConfig{FailureRate: 1, MinCalls: 65536, WindowCalls: 65536}
	slow := policies.BreakerConfig{SlowCall: time.Minute, SlowRate: 1, MinCalls: 1 << 30, Window: time.Hour}
	many := policies.BreakerConfig{FailureThreshold: 1 << 30}
	type breaker = policies.Breaker
	for _, row := range []struct {
		name   string
		config policies.BreakerConfig
		before func(*breaker, *middleware.Chain)
		op     func(context.Context) error
	}{
		{"success, consecutive", policies.BreakerConfig{}, nil, succeed},
		{"success, window of time", byTime, nil, succeed},
		{"success, window of calls", byCalls, nil, succeed},
		{"success, slow calls", slow, nil, succeed},
		{"failure, consecutive", many, nil, fail},
		{"failure, window of time", byTime, nil, fail},
		{"failure, window of calls", byCalls, nil, fail},
		{"failure, slow calls", slow, nil, fail},
		{"open", policies.BreakerConfig{FailureThreshold: 1, Timeout: 1000 * time.Hour}, func(_ *breaker, c *middleware.Chain) { _ = c.Do(t.Context(), fail) }, succeed},
		{"forced open", policies.BreakerConfig{}, func(b *breaker, _ *middleware.Chain) { b.ForceOpen() }, succeed},
		{"forced closed", policies.BreakerConfig{}, func(b *breaker, _ *middleware.Chain) { b.ForceClose() }, fail},
		{"disabled", policies.BreakerConfig{}, func(b *breaker, _ *middleware.Chain) { b.Disable() }, fail},
		{"observed open", policies.BreakerConfig{FailureThreshold: 1}, func(b *breaker, c *middleware.Chain) { b.ObserveOnly(); _ = c.Do(t.Context(), fail) }, succeed},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := policies.NewBreaker(row.config)
			chain := middleware.NewChain("x", b)
			if row.before != nil {
				row.before(b, chain)
			}
			before := b.State()
			if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(t.Context(), row.op) }); n != 0 {
				t.Errorf("%v allocations, want none", n)
			}
			if b.State() != before {
				t.Errorf("the breaker is %v, it was %v", b.State(), before)
			}
		})
	}
}

// A hostBreaker is a policy that is no pointer.
type hostBreaker struct {
	host string
	*policies.Breaker
}

func TestABreakerPerKeyAllocatesNothing(t *testing.T) {
	ctx := to(t, "a")
	for name, keyed := range map[string]middleware.Policy{
		"a pointer": perKey(policies.KeyedConfig{}, policies.BreakerConfig{}),
		"a value": policies.NewKeyed(policies.KeyedConfig{}, func(string) hostBreaker {
			return hostBreaker{"a", policies.NewBreaker(policies.BreakerConfig{})}
		}),
	} {
		chain := middleware.NewChain("x", keyed)
		if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(ctx, succeed) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// A bulkhead that lets a call through allocates nothing, whether a streamed result would keep
// its place or not.
func TestABulkheadAllocatesNothing(t *testing.T) {
	for _, c := range []policies.BulkheadConfig{{}, {UntilResult: true}, {MaxConcurrent: 1, MaxQueue: 1}} {
		chain := middleware.NewChain("x", policies.NewBulkhead(c))
		if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(t.Context(), succeed) }); n != 0 {
			t.Errorf("%+v: %v allocations, want none", c, n)
		}
	}
}

// What does not disturb a call, or only observes it, allocates nothing, whatever else it could.
func TestPoliciesThatLetACallThroughAllocateNothing(t *testing.T) {
	disarmed := policies.NewChaos(policies.ChaosConfig{Enabled: true, CutRate: 1})
	disarmed.Disarm()
	over := policies.NewChaos(policies.ChaosConfig{Enabled: true, CutRate: 1, For: 1})
	for name, p := range map[string]middleware.Policy{
		"a deadline":                  policies.NewDeadline(policies.DeadlineConfig{}),
		"a deadline that observes":    policies.NewDeadline(policies.DeadlineConfig{ObserveOnly: true}),
		"a throttle":                  policies.NewThrottle(policies.ThrottleConfig{}),
		"a throttle that observes":    policies.NewThrottle(policies.ThrottleConfig{ObserveOnly: true}),
		"an adaptive limit":           policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{}),
		"one until the result":        policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{UntilResult: true}),
		"one that tracks round trips": policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Algorithm: policies.Vegas}),
		"a rate that adapts":          policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9, MinRate: 1}),
		"a rate limit that observes":  policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9, ObserveOnly: true}),
		"a timeout that observes":     policies.NewTimeout(policies.TimeoutConfig{ObserveOnly: true}),
		"a chaos that is disarmed":    disarmed,
		"a chaos that is over":        over,
		"a chaos that spares calls":   policies.NewChaos(policies.ChaosConfig{Enabled: true, For: time.Hour, When: func(context.Context) bool { return false }}),
		"a chaos that draws no call":  policies.NewChaos(policies.ChaosConfig{Enabled: true}),
		"a chaos that makes an error": policies.NewChaos(policies.ChaosConfig{Enabled: true, ErrorRate: 1}),
	} {
		chain := middleware.NewChain("x", p)
		if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(t.Context(), succeed) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// hash takes some microseconds, and allocates nothing.
func hash(context.Context) error {
	var block [8 << 10]byte
	sha256.Sum256(block[:])
	return nil
}

// Once it knows how long calls take, a deadline looks at each, and lets one that has time
// enough through without an allocation.
func TestADeadlineAllocatesNothing(t *testing.T) {
	deadline := policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1})
	chain := middleware.NewChain("x", deadline)
	for deadline.Usual() == 0 {
		_ = chain.Do(t.Context(), hash)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(ctx, hash) }); n != 0 || deadline.Usual() == 0 {
		t.Errorf("%v allocations, want none; calls usually take %v", n, deadline.Usual())
	}
}

// Retry, breaker and rate limit together allocate nothing. With a timeout around them
// it is its context; and for an operation that waits for the context
// to end, what the standard library allocates for that.
func TestWhatSeveralPoliciesAllocate(t *testing.T) {
	three := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}), policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9, MaxPause: time.Minute}))
	four := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{}), three)
	waits := func(ctx context.Context) error { ctx.Done(); return nil }
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		op    func(context.Context) error
		want  float64
	}{{"three", three, succeed, 0}, {"four", four, succeed, 1}, {"four and Done", four, waits, 6}} {
		if n := testing.AllocsPerRun(10_000, func() { _ = row.chain.Do(t.Context(), row.op) }); n != row.want {
			t.Errorf("%s: %v allocations, want %v", row.name, n, row.want)
		}
	}
}

// A fallback that has nothing to do allocates nothing.
func TestAFallbackAllocatesNothing(t *testing.T) {
	chain := middleware.NewChain("x", policies.NewFallback(policies.FallbackConfig{}))
	for name, op := range map[string]func(context.Context) error{"a success": succeed, "a failure without an alternative": fail} {
		if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(t.Context(), op) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}
