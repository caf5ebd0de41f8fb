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

// BenchmarkChain is a call that succeeds at once, through several policies.
func BenchmarkChain(b *testing.B) {
	for _, row := range []struct {
		name string
		call call
	}{
		// The chain itself: policies that only let the call through.
		{"4 pass through/tidegate", tidegateCall(passThrough())},
		{"4 pass through/closures", closures(4)},

		{"retry breaker rate limit/tidegate", tidegateCall(middleware.NewChain("x", retry(), newTidegate(workload{threshold: 5}), rateLimit()))},
		{"retry breaker rate limit/failsafe-go", failsafeCall(failsafe.With(peerRetry(), peerBreaker(), peerRateLimit()))},

		{"timeout retry breaker rate limit/tidegate", tidegateCall(middleware.NewChain("x",
			policies.NewTimeout(policies.TimeoutConfig{}), retry(), newTidegate(workload{threshold: 5}), rateLimit()))},
		{"timeout retry breaker rate limit/failsafe-go", failsafeCall(failsafe.With(
			timeout.New[any](30*time.Second), peerRetry(), peerBreaker(), peerRateLimit()))},

		// With an operation that waits for the end of its context, as an HTTP request does.
		{"the same, and the operation asks for ctx.Done/tidegate", waits(middleware.NewChain("x",
			policies.NewTimeout(policies.TimeoutConfig{}), retry(), newTidegate(workload{threshold: 5}), rateLimit()))},
		{"the same, and the operation asks for ctx.Done/failsafe-go", failsafeWaits(failsafe.With(
			timeout.New[any](30*time.Second), peerRetry(), peerBreaker(), peerRateLimit()))},
	} {
		b.Run(row.name, func(b *testing.B) { measure(b, row.call, workload{}) })
	}
}

func passThrough() *middleware.Chain {
	pass := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) })
	return middleware.NewChain("x", pass, pass, pass, pass)
}

// closures lets a call through layers that are functions, built for each call.
func closures(n int) call {
	type op func(context.Context) error
	layers := make([]func(context.Context, op) error, n)
	for i := range layers {
		layers[i] = func(ctx context.Context, next op) error { return next(ctx) }
	}
	return func(ctx context.Context, _ bool) error {
		var run op = succeed
		for _, layer := range layers {
			next := run
			run = func(ctx context.Context) error { return layer(ctx, next) }
		}
		return run(ctx)
	}
}

func waits(chain *middleware.Chain) call {
	return func(ctx context.Context, _ bool) error { return chain.Do(ctx, succeedUnlessDone) }
}

func succeedUnlessDone(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	default:
		return nil
	}
}

func retry() middleware.Policy { return policies.NewRetry(policies.RetryConfig{}) }
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
