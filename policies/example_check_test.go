package policies_test

import (
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Check finds what cannot be meant. A test of a program may insist that there is nothing.
func ExampleTimeout_check() {
	chain := middleware.NewChain("billing",
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 10 * time.Second}),
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewRetry(policies.RetryConfig{Attempts: 3}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 15 * time.Second}),
	)
	for _, f := range chain.Check() {
		fmt.Println(f.Severity, f.Rule, f.Policies)
		fmt.Println("  " + f.Problem)
		fmt.Println("  " + f.Fix)
	}
	// Output:
	// impossible limit_never_fires [total attempt]
	//   the limit of 15s is never reached, because the one around it, of 10s, ends the call before
	//   set the Limit of attempt below 10s
	// doubtful retry_inside_breaker [breaker retry]
	//   a call counts once for breaker however often it is made: it opens late, and a call goes on with its 3 attempts after it has opened
	//   put breaker inside of retry
}

// Explain says what a chain may do to a call, and to the dependency.
func ExampleRetry_explain() {
	e := middleware.NewChain("billing",
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute}),
		policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Second, MaxAfter: 10 * time.Second}),
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 5 * time.Second}),
	).Explain()
	for _, p := range e.Policies {
		fmt.Printf("%s: up to %s and %d runs\n", p.Name, p.Latency, p.Runs)
	}
	fmt.Println("without wishes of the dependency:", e.Usual)
	fmt.Printf("load while it is down: %.1f runs for each call\n", e.Load)
	// Output:
	// total: up to 37.25s and 3 runs
	// retry: up to 37.25s and 3 runs
	// breaker: up to 5s and 1 runs
	// attempt: up to 5s and 1 runs
	// without wishes of the dependency: 19.5s
	// load while it is down: 1.2 runs for each call
}
