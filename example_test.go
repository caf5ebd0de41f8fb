package tidegate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A store goes down, its calls are refused, and the program does something else.
func Example() {
	config, err := tidegate.ParseConfig("tidegate.yaml", []byte(`
services:
  minio:
    retry: {attempts: 2, delay: 1ms}
    breaker: {failure_threshold: 4, recovery_time: 1h}
`), os.LookupEnv)
	if err != nil {
		fmt.Println(err)
		return
	}
	manager, err := tidegate.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	store, err := manager.Service("minio")
	if err != nil {
		fmt.Println(err)
		return
	}

	upload := func(ctx context.Context) error { return errors.New("connection refused") }
	for range 3 {
		err := store.Do(context.Background(), upload)
		switch {
		case tidegate.IsRejected(err):
			fmt.Println("refused, the second store takes it")
		case err != nil:
			fmt.Println("failed:", err)
		}
	}
	fmt.Println(manager.States()["minio"])

	health := manager.Health()
	fmt.Printf("%v percent, because of %s\n", health.Percent, health.Services[0].LastTransition.Reason)
	fmt.Printf("%+v\n", manager.Metrics()["minio"])
	// Output:
	// failed: connection refused
	// failed: connection refused
	// refused, the second store takes it
	// open
	// 0 percent, because of consecutive_failures
	// {Total:3 Successful:0 Failed:2 Rejected:1 Ignored:0}
}

func ExampleService_HTTPClient() {
	failures := 2
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failures--; failures >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "the invoice")
	}))
	defer server.Close()

	manager, err := tidegate.New(tidegate.Config{Services: map[string]tidegate.ServiceConfig{
		"billing": {Preset: tidegate.HTTP, Retry: policies.RetryConfig{Delay: time.Millisecond}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	billing, err := manager.Service("billing")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := billing.HTTPClient(nil)

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: the invoice <nil>
}

// Services can be made without a file, and of policies that the program chooses.
func ExampleManager_AddChain() {
	var manager tidegate.Manager
	defer manager.Close()
	search, err := manager.AddChain("search",
		policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 20}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	hits, err := middleware.Call(context.Background(), search.Chain(), func(context.Context) (int, error) { return 42, nil })
	fmt.Println(hits, err)
	// Output: 42 <nil>
}

// A health check is set in code, in the configuration that was loaded.
func ExampleConfig_healthCheck() {
	config, err := tidegate.ParseConfig("tidegate.yaml", []byte("services: {minio: {breaker: {health_interval: 10s}}}"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	minio := config.Services["minio"]
	minio.Breaker.HealthCheck = func(ctx context.Context) error {
		return nil // ask the store whether it is well
	}
	config.Services["minio"] = minio

	manager, err := tidegate.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close() // ends the health checks
	store, err := manager.Service("minio")
	if err != nil {
		fmt.Println(err)
		return
	}
	breaker := store.Config().Breaker
	fmt.Println("from", breaker.Timeout, "to", breaker.RecoveryTime, "every", breaker.HealthInterval)
	// Output: from 2m0s to 5m0s every 10s
}

func ExampleParseConfig_errors() {
	_, err := tidegate.ParseConfig("tidegate.yaml", []byte(`
retries:
  circuit_breaker_timeout: 30
services:
  minio:
    breker: {}
`), nil)
	fmt.Println(err)
	// Output:
	// tidegate.yaml:3:28: retries.circuit_breaker_timeout: "30" has no unit, write "30s" for seconds or "30ms" for milliseconds; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for the default
	// tidegate.yaml:6:5: services.minio.breker: unknown key (did you mean "breaker"?); allowed: adaptive_limit, attempt_timeout, base, breaker, budget, bulkhead, chaos, deadline, hedge, observe_only, per_key, preset, rate_limit, retry, throttle, timeout
}
