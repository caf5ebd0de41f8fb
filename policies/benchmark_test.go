package policies_test

import (
	"context"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkPolicies is what each policy adds to a call that it lets through.
func BenchmarkPolicies(b *testing.B) {
	disarmed := policies.NewChaos(policies.ChaosConfig{Enabled: true, ErrorRate: 1})
	disarmed.Disarm()
	for _, row := range []struct {
		name   string
		policy middleware.Policy
	}{
		{"none", nil},
		{"timeout", policies.NewTimeout(policies.TimeoutConfig{})},
		{"retry", policies.NewRetry(policies.RetryConfig{})},
		{"retry without a budget", policies.NewRetry(policies.RetryConfig{Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})})},
		{"hedge", policies.NewHedge(policies.HedgeConfig{When: always, Delay: time.Minute})},
		{"hedge that does not know its delay", policies.NewHedge(policies.HedgeConfig{When: always, MinCalls: 1 << 30})},
		{"hedge by quantile", policies.NewHedge(policies.HedgeConfig{When: always, Quantile: 0.999})},
		{"hedge, not idempotent", policies.NewHedge(policies.HedgeConfig{})},
		{"breaker", policies.NewBreaker(policies.BreakerConfig{})},
		{"breaker, window of time", policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 100, Window: 10 * time.Second})},
		{"breaker, window of calls", policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 100, WindowCalls: 100})},
		{"breaker, slow calls", policies.NewBreaker(policies.BreakerConfig{SlowCall: time.Minute, MinCalls: 100})},
		{"breaker per key", policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.Breaker { return policies.NewBreaker(policies.BreakerConfig{}) })},
		{"rate limit", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9})},
		{"rate limit that pauses", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9, MaxPause: time.Minute})},
		{"rate limit that adapts", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9, MinRate: 1})},
		{"timeout that observes", policies.NewTimeout(policies.TimeoutConfig{ObserveOnly: true})},
		{"deadline", policies.NewDeadline(policies.DeadlineConfig{})},
		{"throttle", policies.NewThrottle(policies.ThrottleConfig{})},
		{"chaos", policies.NewChaos(policies.ChaosConfig{Enabled: true, ErrorRate: 1e-300})},
		{"chaos, disarmed", disarmed},
		{"fallback", policies.NewFallback(policies.FallbackConfig{})},
		{"bulkhead", policies.NewBulkhead(policies.BulkheadConfig{})},
		{"bulkhead, until the result", policies.NewBulkhead(policies.BulkheadConfig{UntilResult: true})},
		{"bulkhead, leases", policies.NewBulkhead(policies.BulkheadConfig{Lease: time.Minute})},
		{"adaptive limit", policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{})},
	} {
		b.Run(row.name, func(b *testing.B) {
			chain := middleware.NewChain("x", row.policy)
			b.ReportAllocs()
			for b.Loop() {
				_ = chain.Do(b.Context(), succeed)
			}
		})
	}
}

// BenchmarkDeadline is what it costs to look whether a call has time enough, and to refuse
// one that has not. Calls that fail teach it nothing, so it goes on looking.
func BenchmarkDeadline(b *testing.B) {
	for _, row := range []struct {
		name  string
		limit time.Duration
	}{{"time enough", time.Hour}, {"too little", -time.Hour}} {
		b.Run(row.name, func(b *testing.B) {
			deadline := policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1})
			chain := middleware.NewChain("x", deadline)
			for deadline.Usual() == 0 {
				_ = chain.Do(b.Context(), hash)
			}
			ctx, cancel := context.WithTimeout(b.Context(), row.limit)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				_ = chain.Do(ctx, fail)
			}
		})
	}
}

// BenchmarkTimeout is what a time limit costs by what the operation does with its
// context, beside one of the standard library that gives no reason and cannot be lifted.
func BenchmarkTimeout(b *testing.B) {
	standard := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		ctx, cancel := context.WithTimeout(ctx, policies.DefaultTimeout)
		defer cancel()
		return next.Do(ctx)
	})
	for _, op := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"nothing", succeed},
		{"err", func(ctx context.Context) error { return ctx.Err() }},
		{"done", func(ctx context.Context) error { ctx.Done(); return nil }},
	} {
		for _, row := range []struct {
			name   string
			policy middleware.Policy
		}{{"standard library", standard}, {"timeout", policies.NewTimeout(policies.TimeoutConfig{})}} {
			b.Run(op.name+"/"+row.name, func(b *testing.B) {
				chain := middleware.NewChain("x", row.policy)
				b.ReportAllocs()
				for b.Loop() {
					_ = chain.Do(b.Context(), op.run)
				}
			})
		}
	}
}

// BenchmarkBulkhead is a bulkhead under contention: calls beyond the bound wait for a
// place that somebody hands them, or are refused.
func BenchmarkBulkhead(b *testing.B) {
	for _, row := range []struct {
		name   string
		config policies.BulkheadConfig
	}{
		{"places for all", policies.BulkheadConfig{MaxConcurrent: 1000}},
		{"one place, a queue", policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1000, MaxWait: time.Hour}},
		{"one place, no queue", policies.BulkheadConfig{MaxConcurrent: 1}},
	} {
		b.Run(row.name, func(b *testing.B) {
			chain := middleware.NewChain("x", policies.NewBulkhead(row.config))
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = chain.Do(b.Context(), succeed)
				}
			})
		})
	}
}

// BenchmarkStale is what it costs to keep the last good value of each call, in turns of as
// many keys as there are copies.
func BenchmarkStale(b *testing.B) {
	chain := middleware.NewChain("x", policies.NewFallback(policies.FallbackConfig{}))
	value := func(context.Context) (int, error) { return 1, nil }
	for name, shares := range map[string]bool{"alone": false, "single flight": true} {
		b.Run(name, func(b *testing.B) {
			stale := policies.NewStale[int, int](policies.StaleConfig{SingleFlight: shares})
			b.ReportAllocs()
			key := 0
			for b.Loop() {
				_, _ = stale.Call(b.Context(), chain, key, value)
				key = (key + 1) % policies.DefaultStaleKeys
			}
		})
	}
}
