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

// A rate over a window suits a busy dependency, of whose calls some always fail.
func ExampleBreaker_failureRate() {
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10, Window: 10 * time.Second})
	chain := middleware.NewChain("billing", breaker)
	for i := range 20 {
		_ = chain.Do(context.Background(), func(context.Context) error {
			if i%2 == 0 {
				return errors.New("connection refused")
			}
			return nil
		})
	}
	s := breaker.Status()
	fmt.Println(s.State, s.Last.Reason, s.Last.Err)
	// Output:
	// open failure_rate connection refused
}

// A health check closes the breaker without a call, and a ramp lets the traffic come
// back by and by.
func ExampleBreaker_healthCheck() {
	breaker := policies.NewBreaker(policies.BreakerConfig{
		FailureThreshold: 1,
		Timeout:          time.Millisecond,                                     // when checks begin
		RecoveryTime:     time.Minute,                                          // when calls are let through as probes, whatever the checks say
		HealthCheck:      func(ctx context.Context) error { return ctx.Err() }, // ask the dependency here
		Ramp:             time.Hour,
	})
	defer breaker.Close() // ends a check that still runs
	closed := make(chan struct{})
	chain := middleware.NewChain("billing", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.To == policies.Closed.String() {
			close(closed)
		}
	}), breaker)
	_ = chain.Do(context.Background(), func(context.Context) error { return errors.New("connection refused") })
	<-closed
	s := breaker.Status()
	fmt.Printf("%s, %.0f%% of the calls pass\n", s.Last.Reason, 100*s.Share)
	// Output:
	// health_check_passed, 10% of the calls pass
}

// Try a breaker out before it may reject anything.
func ExampleBreaker_ObserveOnly() {
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2})
	breaker.ObserveOnly()
	spared := 0
	chain := middleware.NewChain("billing", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Kind == middleware.WouldReject {
			spared++
		}
	}), breaker)
	for range 5 {
		_ = chain.Do(context.Background(), func(context.Context) error { return errors.New("connection refused") })
	}
	fmt.Println(breaker.State(), "would have rejected", spared, "of 5 calls")
	// Output:
	// observed_open would have rejected 3 of 5 calls
}

func ExampleKeyed() {
	perHost := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
		return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 1})
	})
	chain := middleware.NewChain("mirrors", perHost)
	for _, host := range []string{"a.example.com", "b.example.com", "a.example.com"} {
		ctx := middleware.WithOperation(context.Background(), middleware.Operation{Name: "GET", Key: host})
		err := chain.Do(ctx, func(context.Context) error {
			if host == "a.example.com" {
				return errors.New("connection refused")
			}
			return nil
		})
		fmt.Println(host, errors.Is(err, middleware.ErrOpen))
	}
	for host, breaker := range perHost.All() {
		fmt.Println(host, breaker.State())
	}
	// Output:
	// a.example.com false
	// b.example.com false
	// a.example.com true
	// a.example.com open
	// b.example.com closed
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
