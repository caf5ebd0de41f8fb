package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func ExampleBreaker() {
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, Timeout: time.Minute})
	chain := middleware.NewChain("billing", breaker)
	for range 3 {
		err := chain.Do(context.Background(), func(context.Context) error { return errors.New("connection refused") })
		fmt.Println(breaker.State(), errors.Is(err, middleware.ErrOpen))
	}
	// Output:
	// closed false
	// open false
	// open true
}

func ExampleRetry() {
	retry := policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Millisecond})
	chain := middleware.NewChain("billing", retry)
	err := chain.Do(context.Background(), func(ctx context.Context) error {
		fmt.Println("attempt", middleware.Attempt(ctx))
		if middleware.Attempt(ctx) < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// <nil>
}

func ExampleTimeout() {
	timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Millisecond})
	chain := middleware.NewChain("billing", timeout)
	err := chain.Do(context.Background(), func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// billing: timeout: time limit exceeded
	// true
}

func ExampleRateLimit() {
	limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 1})
	chain := middleware.NewChain("billing", limit)
	for range 2 {
		err := chain.Do(context.Background(), func(context.Context) error { return nil })
		fmt.Println(errors.Is(err, middleware.ErrRateLimited))
	}
	// Output:
	// false
	// true
}
