package benchmarks

import (
	"testing"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/adaptivethrottler"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkThrottle is a throttle alone: at a dependency that accepts all calls, one that
// refuses some but not so many that any are shed, and one that refuses all, where most are.
// The breakers of aegis and go-zero are throttles by the same formula.
func BenchmarkThrottle(b *testing.B) { measureRows(b, throttles()) }

func TestThrottles(t *testing.T) { checkRows(t, throttles()) }

func throttles() []row {
	var rows []row
	for _, w := range []workload{
		{name: "all are accepted"},
		{name: "10% are refused", failEvery: 10},
		{name: "all are refused", mode: shedding, failEvery: 1},
	} {
		for _, l := range []library{
			{"tidegate", tidegateThrottle}, {"failsafe-go", failsafeThrottle}, {"aegis", aegisBreaker}, {"go-zero", gozeroBreaker},
		} {
			rows = append(rows, row{
				name: w.name + "/" + l.name, workload: w,
				call: l.breaker(workload{mode: rolling, threshold: windowCalls}),
			})
		}
	}
	return rows
}

// It sheds calls when fewer than one in K are accepted.
func tidegateThrottle(w workload) call {
	return tidegateCall(middleware.NewChain("x", policies.NewThrottle(policies.ThrottleConfig{
		K: 1 / (1 - failureRate), Window: window, MinCalls: w.threshold,
	})))
}

// It does not count the calls that it sheds.
func failsafeThrottle(w workload) call {
	return failsafeCall(failsafe.With[any](adaptivethrottler.NewBuilder[any]().
		WithFailureRateThreshold(failureRate, uint(w.threshold), window).Build()))
}
