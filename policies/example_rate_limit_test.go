package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The dependency asks for fewer calls, so fewer are made, and more again by and by.
func ExampleRateLimit_adaptive() {
	limit := policies.NewRateLimit(policies.RateLimitConfig{
		Rate: 100, MinRate: 5, // between them
		Decrease: 0.5, Recovery: time.Minute,
	})
	tell := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Kind == middleware.LimitChanged {
			fmt.Printf("%s: from %s to %s calls per second\n", e.Reason, e.From, e.To)
		}
	})
	chain := middleware.NewChain("billing", tell, limit)
	_ = chain.Do(context.Background(), func(context.Context) error {
		return middleware.Judged(errors.New("429 Too Many Requests"), middleware.Verdict{Class: middleware.Throttled})
	})
	// Output:
	// throttled: from 100 to 50 calls per second
}

// New settings for a limit that is in use: the turns that are left stay.
func ExampleRateLimit_Apply() {
	limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 3})
	chain := middleware.NewChain("billing", limit)
	call := func() error { return chain.Do(context.Background(), func(context.Context) error { return nil }) }
	fmt.Println(call())

	fmt.Println(limit.Apply(policies.RateLimitConfig{Rate: 0.002, Burst: 10}))
	fmt.Println(call(), call())
	fmt.Println(errors.Is(call(), middleware.ErrRateLimited))

	fmt.Println(limit.Apply(policies.RateLimitConfig{Rate: -1}))
	// Output:
	// <nil>
	// <nil>
	// <nil> <nil>
	// true
	// policies: RateLimitConfig.Rate is -1: it must be above 0 and at most 2147483647, or 0 for the default
}
