package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Two layers that both make three attempts do not make nine calls: the inner one repeats
// nothing in what the outer one repeats.
func ExampleRetry_nested() {
	outer := middleware.NewChain("orders", policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Millisecond}))
	inner := middleware.NewChain("billing", policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: time.Millisecond}))
	calls := 0
	_ = outer.Do(context.Background(), func(ctx context.Context) error {
		return inner.Do(ctx, func(context.Context) error {
			calls++
			return errors.New("down")
		})
	})
	fmt.Println(calls, "calls")
	// Output:
	// 5 calls
}

// A limit that only observes shows what it would end, before it may.
func ExampleTimeout_observeOnly() {
	timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: time.Nanosecond, ObserveOnly: true})
	tell := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		fmt.Println(e.Kind, e.Reason, e.Wait)
	})
	chain := middleware.NewChain("billing", tell, timeout)
	err := chain.Do(context.Background(), func(ctx context.Context) error {
		for begin := time.Now(); time.Since(begin) < time.Microsecond; {
			continue // some work
		}
		return ctx.Err()
	})
	fmt.Println(err)
	// Output:
	// would_reject timeout 1ns
	// <nil>
}
