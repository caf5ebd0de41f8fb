package transports_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func TestH11RequestCancelEndsTheWait(t *testing.T) {
	over(t, answers(503), func(t *testing.T, s *server) {
		waiting := make(chan struct{})
		seen := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.RetryScheduled {
				close(waiting)
			}
		})
		retry := policies.NewRetry(policies.RetryConfig{Delay: time.Hour, MaxDelay: time.Hour, Engine: s.engine})
		req := request(t, "GET", s.URL, nil)
		cancel := make(chan struct{})
		req.Cancel = cancel
		go func() {
			<-waiting
			close(cancel)
		}()
		resp, err := transports.New(s.base, middleware.NewChain("", seen, retry)).RoundTrip(req)
		if resp != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", resp, err)
		}
	})
}

// What watches Request.Cancel ends with the request, on every path.
func TestH11NothingWatchesRequestCancelForEver(t *testing.T) {
	refuse := middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
		return next.Reject(middleware.Rejection{Reason: middleware.ErrOpen})
	})
	for name, inner := range map[string]middleware.Policy{"rejected": refuse, "answered": nil, "failed": nil} {
		var watched context.Context
		var held atomic.Int32
		see := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			watched = ctx //nolint:fatcontext // the test looks at it later
			return next.Do(ctx)
		})
		rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) {
			if name == "failed" {
				return nil, io.ErrUnexpectedEOF
			}
			return &http.Response{StatusCode: 200, Body: newSpy("x")}, nil
		}), middleware.NewChain("", see, holding(&held), inner))
		req := request(t, "GET", "http://example.com", nil).WithContext(context.Background())
		req.Cancel = make(chan struct{})
		resp, err := rt.RoundTrip(req)
		if err == nil {
			if watched.Err() != nil || held.Load() != 1 {
				t.Errorf("%s: before the body was closed: %v, %d held", name, watched.Err(), held.Load())
			}
			resp.Body.Close()
		}
		if watched.Err() == nil || held.Load() != 0 {
			t.Errorf("%s: afterwards: %v, %d held", name, watched.Err(), held.Load())
		}
	}
}

// A body that was read to its end and never closed leaves no watcher, as with net/http:
// the bubble ends only when no goroutine is left.
func TestH11TheEndOfTheBodyEndsTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: newSpy("x")}, nil
		}), nil)
		req := request(t, "GET", "http://example.com", nil).WithContext(context.Background())
		req.Cancel = make(chan struct{})
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
	})
}

func TestClientTimeout(t *testing.T) {
	release := make(chan struct{})
	var hang atomic.Bool
	over(t, func(w http.ResponseWriter, r *http.Request) {
		if hang.Load() {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, "done")
	}, func(t *testing.T, s *server) {
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
		client := transports.Client(&http.Client{Transport: s.base, Timeout: time.Minute}, s.retrying(3, breaker))
		hang.Store(false)
		resp, err := client.Post(s.URL, "text/plain", bytes.NewReader([]byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); string(got) != "done" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		resp.Body.Close()

		hang.Store(true)
		client.Timeout = 20 * time.Millisecond
		s.requests.Store(0)
		resp, err = client.Get(s.URL)
		var timeout interface{ Timeout() bool }
		if resp != nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v, %v, want a time-out", resp, err)
		}
		if breaker.State() != policies.Closed {
			t.Error("the caller's time limit opened the breaker")
		}
	})
	close(release)
}
