package benchmarks

import (
	"cmp"
	"context"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func tidegateBreaker(w workload) call {
	return tidegateCall(middleware.NewChain("x", newTidegate(w)))
}

func tidegateCall(chain *middleware.Chain) call {
	return func(ctx context.Context, fails bool) error {
		if fails {
			return chain.Do(ctx, fail)
		}
		return chain.Do(ctx, succeed)
	}
}

func newTidegate(w workload) *policies.Breaker {
	switch w.mode {
	case counted:
		return policies.NewBreaker(policies.BreakerConfig{
			FailureRate: failureRate, MinCalls: w.threshold, WindowCalls: windowCalls,
		})
	case rolling:
		return policies.NewBreaker(policies.BreakerConfig{
			FailureRate: failureRate, MinCalls: w.threshold, Window: cmp.Or(w.window, window), Buckets: buckets,
		})
	case slow:
		return policies.NewBreaker(policies.BreakerConfig{
			FailureRate: failureRate, SlowCall: slowCall, SlowRate: failureRate, MinCalls: w.threshold, Window: cmp.Or(w.window, window), Buckets: buckets,
		})
	case opened:
		return policies.NewBreaker(policies.BreakerConfig{FailureThreshold: w.threshold, Timeout: stayOpen})
	default:
		return policies.NewBreaker(policies.BreakerConfig{FailureThreshold: w.threshold})
	}
}

// keyOfCall is the key of the context's value that says which of the keyed
// breakers a call goes to.
type keyOfCall struct{}

// newKeyed returns a policy with a breaker for each key, limit at the most.
func newKeyed(limit int) middleware.Policy {
	return policies.NewKeyed(
		policies.KeyedConfig{
			Max: limit,
			Key: func(ctx context.Context) string { key, _ := ctx.Value(keyOfCall{}).(string); return key },
		},
		func(key string) *policies.Breaker { return policies.NewBreaker(policies.BreakerConfig{Key: key}) },
	)
}
