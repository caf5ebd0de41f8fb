package benchmarks

import (
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func tidegateTransport(base http.RoundTripper, s stack) http.RoundTripper {
	switch s {
	case retryStack:
		return transports.New(base, middleware.NewChain("x", retry()))
	case fullStack:
		return transports.New(base, middleware.NewChain("x", fourPolicies()...))
	case repeatStack:
		return transports.New(base, middleware.NewChain("x", repeat3()))
	case noopStack:
		return observed(base, noop.NewTracerProvider())
	case unsampledStack:
		return observed(base, unsampled())
	default:
		return nil
	}
}

func fourPolicies() []middleware.Policy {
	return []middleware.Policy{
		policies.NewTimeout(policies.TimeoutConfig{}), retry(), newTidegate(workload{threshold: 5}), rateLimit(),
	}
}

// observed watches each call, by the policies given besides, and each request on the
// wire. Without tracers it is what an application has that turned tracing off.
func observed(base http.RoundTripper, tracers trace.TracerProvider, inside ...middleware.Policy) http.RoundTripper {
	observer := observability.New(observability.WithTracerProvider(tracers))
	chain := middleware.NewChain("x", append([]middleware.Policy{observer}, inside...)...)
	return transports.New(observer.Transport(base), chain)
}

// repeat3 is the retry of repeatStack. This is the one place where it is made: where
// every second request is a retry, nothing may limit the share of retries.
func repeat3() middleware.Policy {
	return policies.NewRetry(policies.RetryConfig{
		Attempts: attempts, Delay: noWait, MaxDelay: noWait, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
	})
}

// Settings that all retries of repeatStack have in common.
const (
	attempts = 3
	noWait   = time.Nanosecond
)
