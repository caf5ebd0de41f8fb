// Command readme is the program in the project's README.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: readme URL")
		return
	}
	// One chain per dependency, outermost policy first. Every zero setting is a safe default.
	billing := middleware.NewChain("billing",
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 10 * time.Second}),
		policies.NewRetry(policies.RetryConfig{}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 5}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 50}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 2 * time.Second}),
	)

	// Around every request of an http.Client ...
	client := transports.Client(http.DefaultClient, billing)
	resp, err := client.Get(os.Args[1])
	switch {
	case errors.Is(err, middleware.ErrOpen):
		fmt.Println("billing is down:", err)
	case err != nil:
		fmt.Println("billing failed:", err)
	default:
		fmt.Println(resp.Status)
		resp.Body.Close()
	}

	// ... or around any call, with the same breaker.
	err = billing.Do(context.Background(), func(ctx context.Context) error {
		return ctx.Err() // your call here
	})
	fmt.Println("the call returned", err)
}
