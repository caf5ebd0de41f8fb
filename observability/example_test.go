package observability_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// A program gives the provider that exports to its collector; this one keeps the
// spans to print them.
func Example() {
	spans := tracetest.NewInMemoryExporter()
	observer := observability.New(observability.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))))
	chain := middleware.NewChain("billing", observer,
		policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond}))

	ctx := middleware.WithOperation(context.Background(), middleware.Operation{Name: "FindInvoice"})
	err := chain.Do(ctx, func(ctx context.Context) error {
		if middleware.Attempt(ctx) < 3 {
			return errors.New("connection refused")
		}
		return nil
	})

	fmt.Println(err)
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name)
		for _, event := range span.Events {
			fmt.Println(" ", event.Name)
		}
	}
	// Output:
	// <nil>
	// billing FindInvoice
	//   tidegate.retry.scheduled
	//   tidegate.retry.scheduled
}

// The history works without any provider.
func ExampleObserver_History() {
	observer := observability.New()
	chain := middleware.NewChain("billing", observer,
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2}))
	for range 5 {
		_ = chain.Do(context.Background(), func(context.Context) error { return errors.New("connection refused") })
	}
	for _, r := range observer.History() {
		fmt.Println(r.Count, r.Chain, r.Policy, r.Kind, r.Reason)
	}
	// Output:
	// 1 billing breaker transition consecutive_failures
	// 3 billing breaker rejected circuit_open
}
