package transports_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func watches(*http.Request) bool { return true }

// For the policies the call is over with the headers, whatever they hold otherwise until
// the end of a body.
func TestALongRunningRequestIsOverWithItsHeaders(t *testing.T) {
	for _, scope := range []policies.TimeoutScope{policies.UntilResult, policies.EachRead, policies.UntilEnd} {
		t.Run(scope.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
				breaker := policies.NewBreaker(policies.BreakerConfig{SlowCall: time.Second, SlowRate: 0.1, MinCalls: 1})
				var attempt *http.Request
				rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
					attempt = r
					return &http.Response{StatusCode: 200, Body: &slowBody{r.Context(), []time.Duration{time.Hour, time.Hour}}}, nil
				}), middleware.NewChain("api", breaker, bulkhead,
					policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Second, Scope: scope})),
					transports.WithLongRunning(watches))
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example/watch", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if n := bulkhead.Status().Running; n != 0 {
					t.Errorf("%d places are taken while the response is read", n)
				}
				if d, ok := attempt.Context().Deadline(); ok {
					t.Errorf("the response has the deadline %v", d)
				}
				body, err := io.ReadAll(resp.Body)
				if string(body) != "xx" || err != nil {
					t.Errorf("read %q, %v", body, err)
				}
				if attempt.Context().Err() != nil {
					t.Errorf("the context of the response ended before it was closed: %v", context.Cause(attempt.Context()))
				}
				if state := breaker.State(); state != policies.Closed {
					t.Errorf("two hours of a watch count as a slow call: the breaker is %v", state)
				}
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
				if attempt.Context().Err() == nil {
					t.Error("the context of the response lives on after it was closed")
				}
				cancel()
			})
		})
	}
}

// Its caller ends it: by the context, and by the field that it had before.
func TestALongRunningRequestEndsWithItsCaller(t *testing.T) {
	for name, end := range map[string]func(*http.Request) (*http.Request, func()){
		"context": func(req *http.Request) (*http.Request, func()) {
			ctx, cancel := context.WithCancel(req.Context())
			return req.WithContext(ctx), cancel
		},
		"Request.Cancel": func(req *http.Request) (*http.Request, func()) {
			ch := make(chan struct{})
			req.Cancel = ch
			return req, func() { close(ch) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Body: &slowBody{r.Context(), []time.Duration{time.Hour}}}, nil
				}), middleware.NewChain("api", policies.NewTimeout(policies.TimeoutConfig{})), transports.WithLongRunning(watches))
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example/watch", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req, cancel := end(req)
				resp, err := rt.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Minute, cancel)
				if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
					t.Errorf("the read ended with %v", err)
				}
				_ = resp.Body.Close()
			})
		})
	}
}

// Until its headers have come it is a call like any other, but for a hedge.
func TestALongRunningRequestThatDoesNotBeginIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
			sent++
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), middleware.NewChain("api",
			policies.NewHedge(policies.HedgeConfig{Delay: time.Second}),
			policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Second}),
		), transports.WithLongRunning(watches))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example/watch", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.RoundTrip(req); !errors.Is(err, middleware.ErrTimeout) || sent != 1 {
			t.Errorf("after %d requests: %v", sent, err)
		}
	})
}
