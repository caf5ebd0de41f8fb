package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Each call brings along what to do in its place; the Fallback decides when.
func ExampleFallback() {
	chain := middleware.NewChain("prices",
		policies.NewFallback(policies.FallbackConfig{}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}),
	)
	price := func(ctx context.Context) (float64, error) { return 0, errors.New("connection refused") }
	listed := func(_ context.Context, cause error) (float64, error) {
		fmt.Println("because of:", cause)
		return 9.99, nil
	}
	for range 2 {
		fmt.Println(middleware.CallOr(context.Background(), chain, price, listed))
	}
	// Output:
	// because of: connection refused
	// 9.99 <nil>
	// because of: prices: breaker: circuit breaker is open, retry after 30s
	// 9.99 <nil>
}

// During an outage callers get the last good value, and are told so.
func ExampleStale() {
	chain := middleware.NewChain("prices", policies.NewFallback(policies.FallbackConfig{}))
	last := policies.NewStale[string, float64](policies.StaleConfig{MaxAge: 15 * time.Minute})
	price := 9.99
	for _, down := range []bool{false, true} {
		got, err := last.Call(context.Background(), chain, "umbrella", func(context.Context) (float64, error) {
			if down {
				return 0, errors.New("connection refused")
			}
			return price, nil
		})
		fmt.Println(got.Value, got.Stale, got.Cause, err)
	}
	// Output:
	// 9.99 false <nil> <nil>
	// 9.99 true connection refused <nil>
}

// What many want at the same time is fetched once.
func ExampleFlight() {
	var flight policies.Flight[string, string]
	page, err := flight.Do(context.Background(), "/", func(ctx context.Context) (string, error) {
		return "fetched", ctx.Err() // whoever asks for "/" meanwhile gets this too
	})
	fmt.Println(page, err)
	// Output: fetched <nil>
}
