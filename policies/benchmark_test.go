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
		{"bulkhead", policies.NewBulkhead(policies.BulkheadConfig{})},
		{"bulkhead, until the result", policies.NewBulkhead(policies.BulkheadConfig{UntilResult: true})},
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
