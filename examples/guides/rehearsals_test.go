package guides

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

// A page of a shop, which has to be there when its prices are not.
func page(ctx context.Context, prices *middleware.Chain) string {
	text, err := middleware.CallOr(ctx, prices,
		func(context.Context) (string, error) { return "950 cents", nil },
		func(context.Context, error) (string, error) { return "ask at the counter", nil })
	if err != nil {
		return "no page"
	}
	return text
}

func TestThePageIsThereWithoutPrices(t *testing.T) {
	for _, fault := range []policies.ChaosConfig{
		{Enabled: true, ErrorRate: 1},
		{Enabled: true, HangRate: 1},
		{Enabled: true, LatencyRate: 1, Latency: time.Minute},
		{Enabled: true, CutRate: 1},
	} {
		synctest.Test(t, func(t *testing.T) { // minutes pass at once
			prices := middleware.NewChain("prices",
				policies.NewFallback(policies.FallbackConfig{}),
				policies.NewRetry(policies.RetryConfig{}),
				policies.NewBreaker(policies.BreakerConfig{}),
				policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Second}),
				policies.NewChaos(fault),
			)
			began := time.Now()
			if got := page(t.Context(), prices); got != "ask at the counter" && got != "950 cents" {
				t.Errorf("%+v: the page is %q", fault, got)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%+v: it takes %v", fault, took)
			}
		})
	}
}

// Chaos comes into no program by a line in a file.
func Example_chaosIsRefused() {
	config, err := tidegate.LoadConfig("rehearsal.yaml")
	if err != nil {
		panic(err)
	}

	_, err = tidegate.New(config)
	fmt.Println(err)
	// Output:
	// tidegate: services.billing.chaos: calls would be disturbed on purpose, which this program does not permit; allowed: off, or a program that makes its Manager with tidegate.WithChaos()
}

func Example_rehearsal() {
	config, err := tidegate.LoadConfig("rehearsal.yaml")
	if err != nil {
		panic(err)
	}
	staging := true

	var opts []tidegate.Option
	if staging { // a flag of the program, and never the default
		opts = append(opts, tidegate.WithChaos(), tidegate.WithLogger(nil))
	}
	manager, err := tidegate.New(config, opts...)
	if err != nil {
		panic(err)
	}
	defer manager.Close()
	fmt.Println(len(manager.Services()), "service")
	// Output: 1 service
}

// A person may arm and disarm chaos while the program runs.
func Example_arm() {
	ctx := context.Background()
	chaos := policies.NewChaos(policies.ChaosConfig{
		Enabled: true, Seed: 1, ErrorRate: 1,
		When: func(ctx context.Context) bool { return middleware.PriorityOf(ctx) < middleware.Critical }, // no users
	})
	chaos.Disarm() // until somebody wants it
	chain := middleware.NewChain("billing", policies.NewBreaker(policies.BreakerConfig{}), chaos)
	work := func(context.Context) error { return nil }

	chaos.Arm(10 * time.Minute)
	fmt.Println(chain.Do(ctx, work))
	err := chain.Do(middleware.WithPriority(ctx, middleware.Sheddable), work)
	fmt.Println(errors.Is(err, policies.ErrChaos))
	// Output:
	// <nil>
	// true
}

// What a dependency that is down does to its callers, second by second.
func Example_timeline() {
	t := new(testing.T)
	result := middlewaretest.Scenario{
		Duration: 80 * time.Second,
		Load:     middlewaretest.Load{Rate: 20, Even: true, Timeout: 5 * time.Second},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(50 * time.Millisecond),
			Outages: []middlewaretest.Outage{{From: 10 * time.Second, Until: 50 * time.Second}},
		},
	}.Run(t, func() *middleware.Chain {
		return middleware.NewChain("billing",
			policies.NewRetry(policies.RetryConfig{Jitter: -1}),
			policies.NewBreaker(policies.BreakerConfig{Timeout: 10 * time.Second, RecoveryBackoff: 1}),
			policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
	})
	fmt.Println(result)
	// Output:
	// 1599 calls in 1m20s, 49.78% succeeded, 0.50 requests for each call, at most 1 at the same time
	// took: median 50ms, 95% 50ms, 99% 50ms, 99.9% 50ms
	// did not succeed: circuit_open 803
	//
	//    from  calls/s  good/s  requests  median   99%
	//       0     19.8    19.8      1.00    50ms  50ms  ##########
	//      5s       20      20      1.00    50ms  50ms  ##########
	//     10s       20       0      0.05       0     0              outage begins; breaker open
	//     15s       20       0      0.00       0     0
	//     20s       20       0      0.01       0     0              breaker half_open; breaker open
	//     25s       20       0      0.00       0     0
	//     30s       20       0      0.01       0     0              breaker half_open; breaker open
	//     35s       20       0      0.00       0     0
	//     40s       20       0      0.01       0     0              breaker half_open; breaker open
	//     45s       20       0      0.00       0     0
	//     50s       20    19.4      0.97    50ms  50ms  ##########  outage ends; breaker half_open; breaker closed
	//     55s       20      20      1.00    50ms  50ms  ##########
	//      1m       20      20      1.00    50ms  50ms  ##########
	//    1m5s       20      20      1.00    50ms  50ms  ##########
	//   1m10s       20      20      1.00    50ms  50ms  ##########
	//   1m15s       20      20      1.00    50ms  50ms  ##########
}
