package benchmarks

import (
	"context"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func succeed(context.Context) error { return nil }

// BenchmarkPassThrough is the cost of the chain itself: four policies that only
// let the call through. Wrapped is the same by closures built for each call.
func BenchmarkPassThrough(b *testing.B) {
	pass := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) })
	b.Run("tidegate", func(b *testing.B) {
		chain := middleware.NewChain("x", pass, pass, pass, pass)
		b.ReportAllocs()
		for b.Loop() {
			_ = chain.Do(b.Context(), succeed)
		}
	})
	b.Run("closures", func(b *testing.B) {
		type op func(context.Context) error
		layers := make([]func(context.Context, op) error, 4)
		for i := range layers {
			layers[i] = func(ctx context.Context, next op) error { return next(ctx) }
		}
		b.ReportAllocs()
		for b.Loop() {
			var run op = succeed
			for _, layer := range layers {
				next := run
				run = func(ctx context.Context) error { return layer(ctx, next) }
			}
			_ = run(b.Context())
		}
	})
}

// BenchmarkThreePolicies is a call through retry, breaker and rate limit that
// succeeds at once.
func BenchmarkThreePolicies(b *testing.B) {
	b.Run("tidegate", func(b *testing.B) {
		chain := middleware.NewChain("x", retry(), breaker(), rateLimit())
		b.ReportAllocs()
		for b.Loop() {
			_ = chain.Do(b.Context(), succeed)
		}
	})
	b.Run("failsafe-go", func(b *testing.B) {
		executor := failsafe.With[any](peerRetry(), peerBreaker(), peerRateLimit())
		b.ReportAllocs()
		for b.Loop() {
			_ = executor.WithContext(b.Context()).Run(func() error { return nil })
		}
	})
}

// BenchmarkFourPolicies has a timeout around them.
func BenchmarkFourPolicies(b *testing.B) {
	b.Run("tidegate", func(b *testing.B) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{}), retry(), breaker(), rateLimit())
		b.ReportAllocs()
		for b.Loop() {
			_ = chain.Do(b.Context(), succeed)
		}
	})
	b.Run("failsafe-go", func(b *testing.B) {
		executor := failsafe.With[any](timeout.New[any](30*time.Second), peerRetry(), peerBreaker(), peerRateLimit())
		b.ReportAllocs()
		for b.Loop() {
			_ = executor.WithContext(b.Context()).Run(func() error { return nil })
		}
	})
}

func retry() middleware.Policy   { return policies.NewRetry(policies.RetryConfig{}) }
func breaker() middleware.Policy { return policies.NewBreaker(policies.BreakerConfig{}) }
func rateLimit() middleware.Policy {
	return policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9})
}

func peerRetry() failsafe.Policy[any] {
	return retrypolicy.NewBuilder[any]().WithBackoff(100*time.Millisecond, 10*time.Second).Build()
}

func peerBreaker() failsafe.Policy[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThreshold(5).WithSuccessThreshold(2).WithDelay(30 * time.Second).Build()
}

func peerRateLimit() failsafe.Policy[any] {
	return ratelimiter.NewBursty[any](1e9, time.Second)
}
