package retryable_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
	"github.com/tidegate-go/tidegate/transports/retryable"
)

// quick is a client of go-retryablehttp that repeats at once, three times.
func quick(base http.RoundTripper) *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: base}
	c.Logger = nil
	c.RetryWaitMin, c.RetryWaitMax, c.RetryMax = time.Microsecond, time.Millisecond, 3
	return c
}

func newRequest(t *testing.T, method, url string, body any) *retryablehttp.Request {
	t.Helper()
	req, err := retryablehttp.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// finish reads and closes the response, and returns its body.
func finish(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// The attempts of a call share the key that the chain makes, and other calls have another.
func TestTheAttemptsOfACallShareTheirIdempotencyKey(t *testing.T) {
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
		s := loopback.New(t, mode, loopback.Script(unavailable, unavailable, loopback.OK("well"), unavailable, loopback.OK("well")))
		client := retryable.Wrap(quick(s.Transport()), nil, transports.WithIdempotencyKey())
		req := newRequest(t, "POST", s.URL, []byte("payload"))
		for range 2 { // the second time it is another call
			resp, err := client.Do(req)
			finish(t, resp, err)
		}
		var keys []string
		for _, r := range s.Requests() {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
		}
		if len(keys) != 5 || keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] || keys[2] == keys[3] || keys[3] != keys[4] {
			t.Errorf("the keys were %q", keys)
		}
	})
}

// Attempts are numbered, so what is repeated once is, and observers see which one it is.
func TestAttemptsAreNumberedAcrossTheBridge(t *testing.T) {
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) {
		for status, want := range map[int]int{421: 2, 425: 2, 503: 4} {
			s := loopback.New(t, mode, loopback.Script(loopback.Status(status)))
			var seen []int
			note := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				seen = append(seen, middleware.Attempt(ctx))
				return next.Do(ctx)
			})
			client := retryable.Wrap(quick(s.Transport()), middleware.NewChain("x", note))
			for range 2 {
				seen = nil
				resp, err := client.Do(newRequest(t, "GET", s.URL, nil))
				finish(t, resp, err)
				if len(seen) != want || seen[0] != 1 || seen[want-1] != want {
					t.Errorf("%d: the attempts were %v, want %d", status, seen, want)
				}
			}
		}
	})
}

// The context of a request is the caller's but for a value, however often it is used.
func TestTheContextOfTheRequestGrowsOnce(t *testing.T) {
	type key struct{}
	var contexts []context.Context
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 503, Body: http.NoBody, Request: req}, nil
	})
	client := retryable.Wrap(quick(base), nil)
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
	req, err := retryablehttp.NewRequestWithContext(ctx, "GET", "http://example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		resp, err := client.Do(req)
		finish(t, resp, err)
		contexts = append(contexts, req.Context())
	}
	if req.Context().Value(key{}) != 1 || req.Context().Err() != nil || req.Context().Done() != ctx.Done() {
		t.Error("the context is not the caller's")
	}
	cancel()
	for _, c := range contexts {
		if c.Err() != context.Canceled { // the standard's own value
			t.Errorf("it ended with %v", c.Err())
		}
	}
}

func TestAResponseWithoutItsRequestIsRepeatedToo(t *testing.T) {
	n := 0
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		n++
		return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
	})
	resp, err := retryable.Wrap(quick(base), nil).Get("http://example.com")
	if finish(t, resp, err); n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
}

// Retry-After counts also where the status comes as an error, and never beyond the deadline.
func TestRetryAfterAcrossTheBridge(t *testing.T) {
	for name, row := range map[string]struct {
		opt      transports.Option
		deadline time.Duration
		attempts int
		took     time.Duration // at least, and less than half a minute more
	}{
		"a response":             {nil, time.Hour, 2, 20 * time.Second},
		"an error":               {transports.WithStatusErrors(), time.Hour, 2, 20 * time.Second},
		"beyond the deadline":    {nil, 10 * time.Second, 1, 0},
		"an error beyond it too": {transports.WithStatusErrors(), 10 * time.Second, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				c := quick(roundTripper(func(req *http.Request) (*http.Response, error) {
					n++
					return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"20"}}, Body: http.NoBody, Request: req}, nil
				}))
				c.RetryMax, c.RetryWaitMax = 1, time.Minute
				ctx, cancel := context.WithTimeout(t.Context(), row.deadline)
				defer cancel()
				begin := time.Now()
				resp, err := retryable.Wrap(c, nil, row.opt).Do(newRequest(t, "GET", "http://example.com", nil).WithContext(ctx))
				var status interface{ StatusCode() int }
				if err == nil {
					resp.Body.Close()
				}
				if (row.opt != nil) != (errors.As(err, &status) && status.StatusCode() == 503) {
					t.Errorf("%v, %v", resp, err)
				}
				if took := time.Since(begin); n != row.attempts || took < row.took || took > row.took+30*time.Second {
					t.Errorf("%d attempts in %s, want %d in %s", n, took, row.attempts, row.took)
				}
			})
		})
	}
}

// What the chain does not see is repeated if the request is idempotent.
func TestFailuresOutsideOfTheChain(t *testing.T) {
	broken := errors.New("the body makes no sense")
	for _, row := range []struct {
		method string
		want   int32
	}{{"GET", 4}, {"PUT", 4}, {"POST", 1}} {
		var n atomic.Int32
		client := retryable.Wrap(quick(roundTripper(func(req *http.Request) (*http.Response, error) {
			n.Add(1)
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("x")), Request: req}, nil
		})), nil)
		req := newRequest(t, row.method, "http://example.com", []byte("payload"))
		req.SetResponseHandler(func(*http.Response) error { return broken })
		resp, err := client.Do(req)
		if resp != nil || !errors.Is(err, broken) || n.Load() != row.want {
			t.Errorf("%s: a response handler that failed: %v, %v after %d attempts, want %d", row.method, resp, err, n.Load(), row.want)
		}

		n.Store(0)
		c := quick(roundTripper(func(req *http.Request) (*http.Response, error) {
			n.Add(1)
			<-req.Context().Done()
			return nil, req.Context().Err()
		}))
		c.HTTPClient.Timeout = 10 * time.Millisecond
		resp, err = retryable.Wrap(c, nil).Do(newRequest(t, row.method, "http://example.com", []byte("payload")))
		var timeout interface{ Timeout() bool }
		if resp != nil || !errors.As(err, &timeout) || !timeout.Timeout() || n.Load() != row.want {
			t.Errorf("%s: HTTPClient.Timeout: %v, %v after %d attempts, want %d", row.method, resp, err, n.Load(), row.want)
		}
	}
}

// The caller who gives up is not mistaken for HTTPClient.Timeout.
func TestTheCallersDeadlineIsNotRepeated(t *testing.T) {
	n := 0
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		n++
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := retryable.Wrap(quick(base), nil).Do(newRequest(t, "GET", "http://example.com", nil).WithContext(ctx))
	if !errors.Is(err, context.DeadlineExceeded) || n != 1 {
		t.Errorf("%v after %d attempts", err, n)
	}
}

// Without the hook, which somebody has replaced, attempts are single: repeated as far as the
// verdict on each says.
func TestTheBridgeWithoutItsHook(t *testing.T) {
	s := loopback.New(t, loopback.HTTP1, loopback.Script(unavailable, loopback.OK("well")))
	client := retryable.Wrap(quick(s.Transport()), nil)
	client.RequestLogHook = nil
	resp, err := client.Do(newRequest(t, "GET", s.URL, nil))
	if got := finish(t, resp, err); got != "well" || s.Count() != 2 {
		t.Errorf("%q after %d requests", got, s.Count())
	}
}

// What http.Client says of redirects is final.
func TestTooManyRedirectsAreNotRepeated(t *testing.T) {
	s := loopback.New(t, loopback.HTTP1, loopback.Script(loopback.Status(302).Header("Location", "/again")))
	resp, err := retryable.Wrap(quick(s.Transport()), nil).Do(newRequest(t, "GET", s.URL, nil))
	if resp != nil || err == nil || s.Count() != 10 {
		t.Errorf("%v, %v after %d requests", resp, err, s.Count())
	}
}
