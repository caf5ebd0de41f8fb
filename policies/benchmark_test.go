package policies_test

import (
	"testing"

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
