package observability_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tidegate-go/tidegate"
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
	// FindInvoice attempt
	// FindInvoice attempt
	// FindInvoice attempt
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

// Everything that can be seen, of the services of a manager.
func Example_service() {
	ctx, config, tracers, meters := context.Background(), tidegate.Config{}, sdktrace.NewTracerProvider(), metric.NewMeterProvider()
	pager := func(context.Context, observability.Alert) {}
	mux := http.NewServeMux()

	observer := observability.New(
		observability.WithTracerProvider(tracers), // spans, for Jaeger or any other backend
		observability.WithMeterProvider(meters),   // metrics, for Prometheus or any other
		observability.WithLogger(slog.Default()),  // events, for who has none of these
		observability.WithLive(),                  // what the page and the alerts below need
	)
	manager, err := tidegate.New(config, tidegate.WithObserver(observer))
	if err != nil {
		panic(err)
	}
	monitor := observability.StartMonitoring(ctx, manager, observability.WithAlertHook(pager))
	defer monitor.Close()
	mux.Handle("/healthz", observability.HealthHandler(manager)) // an open breaker is a warning, and no reason to restart
	mux.Handle("/tidegate/", http.StripPrefix("/tidegate", observability.Page(manager, observability.WithMonitor(monitor))))

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/tidegate/", nil))
	fmt.Println(answer.Code)
	// Output: 200
}
