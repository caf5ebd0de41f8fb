package transports_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func Example() {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests < 3 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	defer server.Close()

	chain := middleware.NewChain("greetings",
		policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond}),
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Second}),
	)
	client := transports.Client(server.Client(), chain)
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s: %s, after %d requests\n", resp.Status, body, requests)
	// Output: 200 OK: hello, after 3 requests
}

func ExampleWithClassifier() {
	// A server that answers 404 until its copy has caught up.
	classify := func(req *http.Request, resp *http.Response, err error) middleware.Verdict {
		v := transports.Classify(req, resp, err)
		if resp != nil && resp.StatusCode == http.StatusNotFound {
			v.Retry = true
		}
		return v
	}
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 1 {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()

	retry := policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond})
	client := transports.Client(server.Client(), middleware.NewChain("copy", retry), transports.WithClassifier(classify))
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A breaker for each host: one host's failures are its own. The key of a request is
// its scheme, host and port.
func Example_breakerPerHost() {
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer good.Close()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) }))
	defer bad.Close()

	perHost := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
		return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 1})
	})
	client := transports.Client(nil, middleware.NewChain("mirrors", perHost))
	for _, url := range []string{bad.URL + "/a", good.URL + "/a", bad.URL + "/b"} {
		resp, err := client.Get(url)
		if err != nil {
			fmt.Println("refused:", errors.Is(err, middleware.ErrOpen))
			continue
		}
		resp.Body.Close()
		fmt.Println(resp.StatusCode)
	}
	fmt.Println(perHost.For(bad.URL).State(), perHost.For(good.URL).State())
	// Output:
	// 502
	// 200
	// refused: true
	// open closed
}

// All policies around the requests of one client, as the README shows them.
func ExampleClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer server.Close()

	perHost := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
		return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureRate: 0.5, MinCalls: 20})
	})
	budget := policies.NewBudget(policies.BudgetConfig{}) // retries and hedges together: a fifth of the calls
	search := middleware.NewChain("search",
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute, Scope: policies.UntilEnd}),
		policies.NewRetry(policies.RetryConfig{Budget: budget}),
		policies.NewHedge(policies.HedgeConfig{Budget: budget}), // a second request for the slowest in twenty
		perHost, // a breaker for each host, see above
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 50, MaxWait: time.Second, MaxPause: time.Minute}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 20}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "silence", Limit: 2 * time.Second, Scope: policies.EachRead}),
	)
	client := transports.Client(http.DefaultClient, search)

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s: %s\n", resp.Status, body)
	client.CloseIdleConnections()
	// Output: 200 OK: hello
}
