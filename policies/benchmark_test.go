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
		{"breaker", policies.NewBreaker(policies.BreakerConfig{})},
		{"breaker, window of time", policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 100, Window: 10 * time.Second})},
		{"breaker, window of calls", policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 100, WindowCalls: 100})},
		{"breaker, slow calls", policies.NewBreaker(policies.BreakerConfig{SlowCall: time.Minute, MinCalls: 100})},
		{"breaker per key", policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.Breaker { return policies.NewBreaker(policies.BreakerConfig{}) })},
		{"rate limit", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9})},
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
