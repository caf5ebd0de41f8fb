package retryable_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
	"github.com/tidegate-go/tidegate/transports/retryable"
)

func ExampleWrap() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer server.Close()
	old := retryablehttp.NewClient()
	old.HTTPClient = server.Client()
	old.RetryWaitMin = time.Millisecond

	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3})
	client := retryable.Wrap(old, middleware.NewChain("vault", breaker))
	_, err := client.Get(server.URL)
	fmt.Println(errors.Is(err, middleware.ErrOpen), breaker.State())
	// Output: true open
}

func ExampleNewEngine() {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests < 3 {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()

	retry := policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond, Engine: retryable.NewEngine()})
	client := transports.Client(server.Client(), middleware.NewChain("vault", retry))
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", requests, "requests")
	// Output: 200 OK after 3 requests
}
