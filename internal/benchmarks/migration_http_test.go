package benchmarks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
	"github.com/tidegate-go/tidegate/transports/retryable"
)

// flaky returns a server that answers only every second request with success.
func flaky() *httptest.Server {
	var requests atomic.Int32
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.Copy(w, r.Body)
	}))
}

func Example_fromRetryableHTTP() {
	server := flaky()
	defer server.Close()
	ctx, url, report := context.Background(), server.URL, strings.NewReader("all is well")

	client := retryablehttp.NewClient()
	client.Logger = nil
	client.RetryMax = 4
	client.RetryWaitMin, client.RetryWaitMax = 10*time.Millisecond, 30*time.Second
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, url, report)
	if err != nil {
		panic(err)
	}
	resp, err := client.Do(req) // a POST is repeated too
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

func Example_toTransport() {
	server := flaky()
	defer server.Close()
	ctx, url, report := context.Background(), server.URL, strings.NewReader("all is well")

	chain := middleware.NewChain("reports",
		policies.NewRetry(policies.RetryConfig{Attempts: 5, Delay: 10 * time.Millisecond, MaxDelay: 30 * time.Second}),
		policies.NewBreaker(policies.BreakerConfig{}),
	)
	client := transports.Client(http.DefaultClient, chain, transports.WithIdempotencyKey())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, report)
	if err != nil {
		panic(err)
	}
	resp, err := client.Do(req) // a POST is repeated because it has a key
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A client that exists stays, and gets the other policies around it.
func Example_wrapRetryableHTTP() {
	server := flaky()
	defer server.Close()
	ctx, url := context.Background(), server.URL
	client := retryablehttp.NewClient()
	client.Logger, client.RetryWaitMin = nil, 10*time.Millisecond

	chain := middleware.NewChain("reports", policies.NewBreaker(policies.BreakerConfig{}))
	wrapped := retryable.Wrap(client, chain) // each of its attempts passes the chain
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	resp, err := wrapped.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}
