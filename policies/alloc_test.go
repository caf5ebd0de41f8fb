package policies_test

import (
	"context"
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

func TestABreakerPerKeyAllocatesNothing(t *testing.T) {
	chain := middleware.NewChain("x", perKey(policies.KeyedConfig{}, policies.BreakerConfig{}))
	ctx := to(t, "a")
	if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(ctx, succeed) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// Retry, breaker and rate limit together allocate nothing. With a timeout around them
// it is its context and a func value; and for an operation that waits for the context
// to end, what the standard library allocates for that.
func TestWhatSeveralPoliciesAllocate(t *testing.T) {
	three := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}), policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9}))
	four := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{}), three)
	waits := func(ctx context.Context) error { ctx.Done(); return nil }
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		op    func(context.Context) error
		want  float64
	}{{"three", three, succeed, 0}, {"four", four, succeed, 2}, {"four and Done", four, waits, 7}} {
		if n := testing.AllocsPerRun(10_000, func() { _ = row.chain.Do(t.Context(), row.op) }); n != row.want {
			t.Errorf("%s: %v allocations, want %v", row.name, n, row.want)
		}
	}
}
