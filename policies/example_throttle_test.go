package policies_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A dependency bears a quarter of the calls, so half of them are sent, and those are left out
// first that matter least.
func ExampleThrottle() {
	throttle := policies.NewThrottle(policies.ThrottleConfig{}) // K is 2: two are sent for each that is accepted
	chain := middleware.NewChain("search", throttle)
	shed := map[middleware.Priority]int{}
	bears := 0.0
	search := func(context.Context) error {
		if bears < 1 {
			return errors.New("overloaded")
		}
		bears--
		return nil
	}
	for i := range 10_000 {
		bears += 0.25
		priority := middleware.Critical
		if i%2 == 0 {
			priority = middleware.Sheddable // a job that comes back later
		}
		err := chain.Do(middleware.WithPriority(context.Background(), priority), search)
		if errors.Is(err, middleware.ErrThrottled) {
			shed[priority]++
		}
	}
	fmt.Printf("%.1f%% of the calls are not sent\n", 100*throttle.Status().Rejection)
	fmt.Printf("of 5000 each, %d sheddable ones and %d critical ones were not\n", shed[middleware.Sheddable], shed[middleware.Critical])
	// Output:
	// 50.0% of the calls are not sent
	// of 5000 each, 4496 sheddable ones and 503 critical ones were not
}
