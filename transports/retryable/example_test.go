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
