package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The limit falls when the dependency asks for fewer calls.
func ExampleAdaptiveLimit() {
	limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Initial: 10, Window: time.Nanosecond, MinCalls: 1})
	chain := middleware.NewChain("billing", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		fmt.Println(e.Kind, "from", e.From, "to", e.To, "because of a", e.Reason)
	}), limit)
	_ = chain.Do(context.Background(), func(context.Context) error {
		return middleware.Judged(errors.New("429 Too Many Requests"), middleware.Verdict{Class: middleware.Throttled})
	})
	fmt.Println(limit.Status().Limit)
	// Output:
	// limit_changed from 10 to 9 because of a drop
	// 9
}

// Work that is no call of a chain takes a place too.
func ExampleBulkhead_Acquire() {
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	lease, err := bulkhead.Acquire(context.Background())
	fmt.Println(err, bulkhead.Status().Running)
	_, ok := bulkhead.TryAcquire()
	fmt.Println(ok)
	lease.Release()
	fmt.Println(bulkhead.Status().Running)
	// Output:
	// <nil> 1
	// false
	// 0
}

// A place for more calls is there at once.
func ExampleBulkhead_Resize() {
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	_, _ = bulkhead.TryAcquire()
	bulkhead.Resize(2)
	_, ok := bulkhead.TryAcquire()
	fmt.Println(ok, bulkhead.Status().MaxConcurrent)
	// Output:
	// true 2
}
