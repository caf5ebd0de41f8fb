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

// When the dependency is down, a budget keeps retries from multiplying the load: here
// to one further attempt for each five calls. Any number of policies may share it.
func ExampleBudget() {
	budget := policies.NewBudget(policies.BudgetConfig{Ratio: 0.2, MinPerSecond: -1})
	retry := policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Nanosecond, Budget: budget})
	chain := middleware.NewChain("billing", retry)
	requests := 0
	var err error
	for range 50 {
		err = chain.Do(context.Background(), func(context.Context) error {
			requests++
			return errors.New("connection refused")
		})
	}
	fmt.Println(requests, "requests for 50 calls")
	fmt.Println(errors.Is(err, middleware.ErrBudgetExhausted))
	fmt.Printf("%+v\n", budget.Status())
	// Output:
	// 60 requests for 50 calls
	// true
	// {Calls:50 Extra:10 Left:0}
}

// The first run hangs, so a second one is begun beside it, and wins.
func ExampleHedge() {
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond})
	chain := middleware.NewChain("catalog", hedge)
	ctx := middleware.WithOperation(context.Background(), middleware.Operation{Name: "Find", Idempotent: true})
	item, err := middleware.Call(ctx, chain, func(ctx context.Context) (string, error) {
		if middleware.Attempt(ctx) == 1 {
			<-ctx.Done()
			fmt.Println("the first:", context.Cause(ctx))
			return "", ctx.Err()
		}
		return "from the second", nil
	})
	fmt.Println(item, err)
	// Output:
	// the first: another attempt succeeded first
	// from the second <nil>
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

func ExampleBulkhead() {
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	chain := middleware.NewChain("billing", bulkhead)
	err := chain.Do(context.Background(), func(context.Context) error {
		// While this call runs there is no place for another one.
		return chain.Do(context.Background(), func(context.Context) error { return nil })
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, middleware.ErrBulkheadFull), bulkhead.Status().Running)
	// Output:
	// billing: bulkhead: too many calls at the same time
	// true 0
}

// One call that is asked to come back later holds all of them.
func ExampleRateLimit_pause() {
	limit := policies.NewRateLimit(policies.RateLimitConfig{MaxPause: time.Minute})
	chain := middleware.NewChain("billing", limit)
	_ = chain.Do(context.Background(), func(context.Context) error {
		return middleware.Judged(errors.New("429 Too Many Requests"),
			middleware.Verdict{Class: middleware.Throttled, After: 30 * time.Second})
	})
	err := chain.Do(context.Background(), func(context.Context) error { return nil })
	if rejection, ok := errors.AsType[*middleware.Rejection](err); ok {
		fmt.Println(rejection.Reason, rejection.RetryAfter > 25*time.Second)
	}
	// Output:
	// rate limit reached true
}
