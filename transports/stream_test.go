package transports_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// trickle sends 1 MiB, the first half at once and the second when told.
func trickle(status int, more <-chan time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		for i := range 16 {
			if i == 8 {
				select {
				case <-more:
				case <-r.Context().Done():
					return
				}
			}
			w.Write(make([]byte, 64<<10))
			w.(http.Flusher).Flush()
		}
	}
}

func TestH19AStreamOutlivesTheTimeLimit(t *testing.T) {
	const limit = time.Second
	for _, status := range []int{200, 503} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			more := make(chan time.Time)
			over(t, trickle(status, more), func(t *testing.T, s *server) {
				chain := middleware.NewChain("full",
					policies.NewRetry(policies.RetryConfig{Attempts: 1, Engine: s.engine}),
					policies.NewBreaker(policies.BreakerConfig{}),
					policies.NewRateLimit(policies.RateLimitConfig{}),
					policies.NewTimeout(policies.TimeoutConfig{Limit: limit}),
				)
				resp, err := transports.New(s.base, chain).RoundTrip(request(t, "GET", s.URL, nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				more <- <-time.After(limit + limit/10) // the limit has passed
				if n, err := io.Copy(io.Discard, resp.Body); n != 1<<20 || err != nil {
					t.Errorf("%d bytes, %v, want the whole MiB", n, err)
				}
				wantRequests(t, s, 1)
			})
		})
	}
}

func TestH19ABodyThatTheChainCutSaysSo(t *testing.T) {
	over(t, trickle(200, nil), func(t *testing.T, s *server) {
		// A Timeout until the end, but one that ends when the test says so.
		var pass context.CancelCauseFunc
		timeout := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			ctx, pass = context.WithCancelCause(ctx)
			return next.DoThen(ctx, func() { pass(context.Canceled) })
		})
		resp, err := transports.New(s.base, middleware.NewChain("", timeout)).RoundTrip(request(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		limit := &middleware.Rejection{Chain: "cut", Reason: middleware.ErrTimeout}
		pass(limit)
		if _, err = io.Copy(io.Discard, resp.Body); err != limit {
			t.Errorf("the reader got %v, want the time limit of the chain", err)
		}
	})
}

func TestH19ABodyThatWasCompleteInTimeIsComplete(t *testing.T) {
	limit := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(&middleware.Rejection{Reason: middleware.ErrTimeout}) // the limit passes before the body is read
		return next.Do(ctx)
	})
	rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: newSpy("x")}, nil
	}), middleware.NewChain("", limit))
	if got := do(t, rt, request(t, "GET", "http://example.com", nil), 200); got != "x" {
		t.Errorf("the body is %q", got)
	}
}

func TestTheCallersCancellationOfABodyStaysItsOwn(t *testing.T) {
	over(t, trickle(200, nil), func(t *testing.T, s *server) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		timeout := policies.NewTimeout(policies.TimeoutConfig{Scope: policies.UntilEnd})
		resp, err := transports.New(s.base, middleware.NewChain("", timeout)).RoundTrip(request(t, "GET", s.URL, nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		io.CopyN(io.Discard, resp.Body, 512<<10)
		cancel()
		if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) || errors.Is(err, middleware.ErrTimeout) {
			t.Errorf("the reader got %v", err)
		}
	})
}
