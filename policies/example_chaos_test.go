package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// For ten minutes every third call or so fails. The retries make up for it.
func ExampleChaos() {
	chaos := policies.NewChaos(policies.ChaosConfig{
		Enabled: true, For: 10 * time.Minute, Seed: 1,
		ErrorRate: 0.3,
	})
	retry := policies.NewRetry(policies.RetryConfig{Attempts: 5, Delay: time.Millisecond})
	chain := middleware.NewChain("billing", retry, chaos)
	requests := 0
	for range 20 {
		err := chain.Do(context.Background(), func(context.Context) error { requests++; return nil })
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(requests, "requests, armed:", chaos.Armed())

	chaos.Disarm()
	fmt.Println(chain.Do(context.Background(), func(context.Context) error { return nil }))
	// Output:
	// 20 requests, armed: true
	// <nil>
}

// A call is cut while it runs. Its error tells that from a caller who gave up.
func ExampleChaos_cut() {
	chaos := policies.NewChaos(policies.ChaosConfig{Enabled: true, CutRate: 1, CutAfter: time.Millisecond})
	chain := middleware.NewChain("billing", chaos)
	err := chain.Do(context.Background(), func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	fmt.Println(errors.Is(err, policies.ErrChaos), errors.Is(err, context.Canceled))
	// Output:
	// true false
}
