package observability_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

func ExampleStartMonitoring() {
	observer := observability.New(observability.WithLive())
	chain := middleware.NewChain("billing", observer, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
	_ = chain.Do(context.Background(), func(context.Context) error { return errors.New("down") })

	pager := make(chan observability.Alert, 10)
	monitor := observability.StartMonitoring(context.Background(), service{chain}, // or a *tidegate.Manager
		observability.WithThresholds(observability.Thresholds{BreakerOpen: time.Nanosecond}), // the default is a minute
		observability.WithAlertHook(func(_ context.Context, a observability.Alert) { pager <- a }),
	)
	defer monitor.Close()
	a := <-pager
	fmt.Println(a.Severity, a.Name, a.Chain, a.Policy, a.Runbook)
	// Output:
	// warning BreakerOpen billing breaker docs/runbook.md#breakeropen
}

// A breaker that is open is no reason to take the program out of service, unless the
// service is critical.
func ExampleHealthHandler() {
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	manager := service{middleware.NewChain("billing", breaker)} // or a *tidegate.Manager
	breaker.ForceOpen()
	for _, handler := range []http.Handler{
		observability.HealthHandler(manager),
		observability.HealthHandler(manager, "billing"),
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		fmt.Println(w.Code)
	}
	fmt.Println(observability.Health(manager).Services[0].Status)
	// Output:
	// 200
	// 503
	// warn
}

// Of what is repeated the first one is logged, and then one a minute, or how many there were
// when it is over.
func ExampleWithLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // it is different each time
			}
			return a
		},
	}))
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	chain := middleware.NewChain("billing", observability.New(observability.WithLogger(logger)), breaker)
	breaker.ForceOpen()
	for range 100 {
		_ = chain.Do(context.Background(), func(context.Context) error { return nil })
	}
	breaker.Release()
	// Output:
	// level=INFO msg=breaker.state_changed chain.name=billing policy.name=breaker breaker.state.from=closed breaker.state.to=forced_open reason=forced
	// level=WARN msg=policy.rejected chain.name=billing policy.name=breaker error.type=circuit_open breaker.state=open
	// level=WARN msg=policy.rejected chain.name=billing policy.name=breaker error.type=circuit_open breaker.state=open repeated=99
	// level=INFO msg=breaker.state_changed chain.name=billing policy.name=breaker breaker.state.from=forced_open breaker.state.to=closed reason=released
}
