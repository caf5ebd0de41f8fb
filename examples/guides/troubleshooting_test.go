package guides

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func Example_verdicts() {
	statuses := []int{200, 404, 429, 503}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
	}))
	defer server.Close()
	breaker := policies.NewBreaker(policies.BreakerConfig{})

	verdicts := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		v := middleware.VerdictOf(err)
		fmt.Println(v.Class, v.Reason, "may be repeated:", v.Retry)
		return err
	})
	chain := middleware.NewChain("billing", breaker, verdicts) // innermost: what the breaker is told

	client := transports.Client(http.DefaultClient, chain)
	for range 4 {
		resp, err := client.Post(server.URL, "text/plain", nil)
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
	}
	// Output:
	// success  may be repeated: false
	// success  may be repeated: false
	// throttled throttled may be repeated: false
	// failure status_5xx may be repeated: false
}

func Example_decisions() {
	decisions := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		fmt.Println(e.Chain, e.Policy, e.Kind, e.Reason, e.From, e.To, e.Err)
	})
	chain := middleware.NewChain("billing",
		decisions, // first; with tidegate.New, tidegate.WithObserver(decisions)
		policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Millisecond, Jitter: -1}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2}),
	)

	_ = chain.Do(context.Background(), func(context.Context) error { return errors.New("connection refused") })
	// Output:
	// billing retry retry_scheduled backoff   connection refused
	// billing breaker transition consecutive_failures closed open connection refused
	// billing retry retry_stopped exhausted   connection refused
}

// Two layers of three attempts each are five requests at the most, and not nine.
func Example_nested() {
	requests := 0
	inner := middleware.NewChain("store", policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond}))
	outer := middleware.NewChain("job", policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond}))
	_ = outer.Do(context.Background(), func(ctx context.Context) error { // the inner chain must get this ctx
		return inner.Do(ctx, func(context.Context) error {
			requests++
			return errors.New("connection refused")
		})
	})
	fmt.Println(requests)
	// Output: 5
}

func Example_check() {
	chain := middleware.NewChain("billing",
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 2 * time.Second}),
		policies.NewRetry(policies.RetryConfig{}),
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 5 * time.Second}),
	)
	for _, f := range chain.Check() {
		fmt.Println(f)
	}
	// Output:
	// impossible: limit_never_fires (total, attempt): the limit of 5s is never reached, because the one around it, of 2s, ends the call before; set the Limit of attempt below 2s
}

// chains are those of the program.
func chains() []*middleware.Chain {
	return []*middleware.Chain{
		middleware.NewChain("billing", policies.NewBreaker(policies.BreakerConfig{}), policies.NewTimeout(policies.TimeoutConfig{})),
	}
}

func TestChainsAreSound(t *testing.T) {
	for _, chain := range chains() {
		for _, finding := range chain.Check() {
			t.Errorf("%s: %v", chain.Name(), finding)
		}
	}
}
