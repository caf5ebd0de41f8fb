package benchmarks

import (
	"testing"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkAdaptiveLimit is a limit that follows how long calls take, below it and at it.
// It takes samples and changes meanwhile, but never so as to refuse other calls than the
// work says. Limits that follow the use of the processor, as those of go-zero and aegis do, are
// something else.
func BenchmarkAdaptiveLimit(b *testing.B) { measureRows(b, adaptiveLimits(b)) }

func TestAdaptiveLimits(t *testing.T) { checkRows(t, adaptiveLimits(t)) }

func adaptiveLimits(tb testing.TB) []row {
	limit := func(from, to int, by policies.LimitAlgorithm) *middleware.Chain {
		return middleware.NewChain("x", policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{
			Algorithm: by, Min: from, Initial: from, Max: to,
		}))
	}
	peer := func(from, to uint) adaptivelimiter.AdaptiveLimiter[any] {
		return adaptivelimiter.NewBuilder[any]().WithLimits(from, to, from).Build()
	}
	return []row{
		{name: "below the limit/tidegate", call: tidegateCall(limit(100, 200, policies.Gradient))},
		{name: "below the limit/failsafe-go", call: failsafeCall(failsafe.With[any](peer(100, 200)))},
		{name: "below the limit, Vegas/tidegate", call: tidegateCall(limit(100, 200, policies.Vegas))},
		{name: "below the limit, AIMD/tidegate", call: tidegateCall(limit(100, 200, policies.AIMD))},

		{name: "at the limit/tidegate", call: tidegateFull(tb, limit(1, 1, policies.Gradient)), workload: refused},
		{name: "at the limit/failsafe-go", call: failsafeFull(tb, peer(1, 1)), workload: refused},
	}
}
