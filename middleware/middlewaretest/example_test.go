package middlewaretest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
)

// A retry as people write it does well until the dependency is slow for ten seconds, and
// then keeps it down for good.
func ExampleScenario() {
	t := new(testing.T) // the one of your test; an example has none
	const ends = 20 * time.Second
	result := middlewaretest.Scenario{
		Duration: time.Minute,
		Load:     middlewaretest.Load{Rate: 80, Even: true, Timeout: time.Second},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(50 * time.Millisecond),
			Servers: 5, // 100 requests per second
			Outages: []middlewaretest.Outage{{From: ends - 10*time.Second, Until: ends, Slow: 5}},
		},
	}.Run(t, func() *middleware.Chain {
		return middleware.NewChain("catalog", attempt(3, 300*time.Millisecond))
	})
	if recovered, ok := result.TimeToRecover(ends, 0.99); !ok {
		fmt.Println("It does not recover.")
	} else {
		fmt.Println("It recovers within", recovered)
	}
	fmt.Println(result)
	// Output:
	// It does not recover.
	// 4799 calls in 1m, 16.75% succeeded, 2.66 requests for each call, at most 7743 at the same time
	// took: median 50ms, 95% 50ms, 99% 50ms, 99.9% 250ms
	// did not succeed: deadline 3995
	//
	//   from  calls/s  good/s  requests  median    99%
	//      0     79.8    79.8      1.00    50ms   50ms  ##########
	//     5s       80      80      1.00    50ms   50ms  ##########
	//    10s       80       1      2.98   250ms  250ms              outage begins
	//    15s       80       0      3.00       0      0
	//    20s       80       0      3.00       0      0              outage ends
	//    25s       80       0      3.00       0      0
	//    30s       80       0      3.00       0      0
	//    35s       80       0      3.00       0      0
	//    40s       80       0      3.00       0      0
	//    45s       80       0      3.00       0      0
	//    50s       80       0      3.00       0      0
	//    55s       80       0      3.00       0      0
}

// attempt returns a policy that tries as often, and waits for each try that long.
func attempt(times int, limit time.Duration) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		var err error
		for range times {
			try, cancel := context.WithTimeout(ctx, limit)
			err = next.Do(try)
			cancel()
			if err == nil {
				break
			}
		}
		return err
	})
}
