package policies_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

// Try settings out before an outage does: a quarter of an hour with one takes a moment.
func Example_scenario() {
	t := new(testing.T) // the one of your test; an example has none
	result := middlewaretest.Scenario{
		Duration: 15 * time.Minute,
		Load:     middlewaretest.Load{Rate: 20, Timeout: 5 * time.Second},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.LogNormal(40*time.Millisecond, 300*time.Millisecond),
			Errors:  0.01,
			Outages: []middlewaretest.Outage{{From: 5 * time.Minute, Until: 8 * time.Minute, Hangs: 1}},
		},
	}.Run(t, func() *middleware.Chain {
		return middleware.NewChain("storage",
			policies.NewRetry(policies.RetryConfig{Jitter: -1}),
			policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 10, RecoveryBackoff: 1}),
			policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
	})
	if opened, ok := result.TimeToOpen(5 * time.Minute); !ok || opened > 2*time.Second {
		t.Errorf("the breaker opened %v after the outage began, want 2s", opened)
	}
	if recovered, ok := result.TimeToRecover(8*time.Minute, 0.99); !ok || recovered > 45*time.Second {
		t.Errorf("calls succeeded %v after the outage, want 45s", recovered)
	}
	fmt.Println(result)
	// Output:
	// 17817 calls in 15m, 79.27% succeeded, 0.80 requests for each call, at most 9 at the same time
	// took: median 39.6ms, 95% 176ms, 99% 318ms, 99.9% 571ms
	// did not succeed: circuit_open 3598, probe_limit 96
	//
	//   from  calls/s  good/s  requests  median    99%
	//      0     19.4    19.4      1.01  38.9ms  276ms  ##########
	//     1m     20.5    20.5      1.01  39.5ms  326ms  ##########
	//     2m     19.1    19.1      1.01  40.2ms  320ms  ##########
	//     3m     20.7    20.7      1.01  39.3ms  355ms  ##########
	//     4m     20.6    20.6      1.02  39.8ms  351ms  ##########
	//     5m       20       0      0.03       0      0              outage begins; breaker open (2); breaker half_open
	//     6m     19.2       0      0.00       0      0              breaker half_open (2); breaker open (2)
	//     7m     19.7       0      0.00       0      0              breaker half_open (2); breaker open (2)
	//     8m     20.7    18.1      0.88  39.4ms  317ms  #########   outage ends; breaker half_open; breaker closed
	//     9m     20.3    20.3      1.02  41.1ms  326ms  ##########
	//    10m     18.5    18.5      1.01  41.9ms  290ms  ##########
	//    11m     20.2    20.2      1.01    39ms  276ms  ##########
	//    12m     18.8    18.8      1.01  41.3ms  305ms  ##########
	//    13m     19.7    19.7      1.01  38.2ms  355ms  ##########
	//    14m     19.5    19.5      1.01  37.9ms  309ms  ##########
}
