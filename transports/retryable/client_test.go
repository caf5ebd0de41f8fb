package retryable_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
	"github.com/tidegate-go/tidegate/transports/retryable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns a server that answers with the status, and a quick client for it.
func serve(t *testing.T, status int) (url string, requests *atomic.Int32, c *retryablehttp.Client) {
	t.Helper()
	requests = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		got, _ := io.ReadAll(r.Body)
		w.WriteHeader(status)
		w.Write(got)
	}))
	t.Cleanup(server.Close)
	c = retryablehttp.NewClient()
	c.HTTPClient = server.Client()
	c.RetryWaitMin, c.RetryWaitMax, c.RetryMax = time.Microsecond, time.Millisecond, 3
	return server.URL, requests, c
}

func TestWrapKeepsTheSettingsAndTheOriginal(t *testing.T) {
	original := retryablehttp.NewClient()
	original.HTTPClient.Timeout = time.Minute
	original.Logger = log.New(io.Discard, "", 0)
	original.RetryWaitMin, original.RetryWaitMax, original.RetryMax = 1, 2, 3
	original.RequestLogHook = func(retryablehttp.Logger, *http.Request, int) {}
	original.ResponseLogHook = func(retryablehttp.Logger, *http.Response) {}
	original.ErrorHandler = func(*http.Response, error, int) (*http.Response, error) { return nil, nil }
	original.PrepareRetry = func(*http.Request) error { return nil }
	client, transport := original.HTTPClient, original.HTTPClient.Transport

	wrapped := retryable.Wrap(original, middleware.NewChain(""))
	if original.HTTPClient != client || client.Transport != transport {
		t.Error("the original was changed")
	}
	replaced := map[string]bool{"HTTPClient": true, "CheckRetry": true, "Backoff": true, "RequestLogHook": true, "PrepareRetry": true}
	from, to := reflect.ValueOf(original).Elem(), reflect.ValueOf(wrapped).Elem()
	for i := range from.NumField() {
		field := from.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		a, b := from.Field(i), to.Field(i)
		if a.IsZero() {
			t.Errorf("the test does not set %s, a field of a newer version", field.Name)
		}
		var same bool
		if a.Kind() == reflect.Func {
			same = a.Pointer() == b.Pointer()
		} else {
			same = a.Interface() == b.Interface()
		}
		if same == replaced[field.Name] {
			t.Errorf("%s is the same: %t", field.Name, same)
		}
	}
	if wrapped.HTTPClient.Timeout != time.Minute {
		t.Error("a setting of the HTTP client was lost")
	}
}

func TestWrapOfNothing(t *testing.T) {
	url, requests, _ := serve(t, 200)
	for name, c := range map[string]*retryablehttp.Client{"nil": nil, "zero": new(retryablehttp.Client)} {
		resp, err := retryable.Wrap(c, nil).Get(url)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp.Body.Close()
	}
	if requests.Load() != 2 {
		t.Errorf("%d requests", requests.Load())
	}
}

func TestAttemptsGoThroughTheChain(t *testing.T) {
	url, requests, c := serve(t, 503)
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2})
	client := retryable.Wrap(c, middleware.NewChain("vault", breaker))

	resp, err := client.Get(url)
	var rejection *middleware.Rejection
	if resp != nil || !errors.As(err, &rejection) || rejection.Chain != "vault" || !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("got %v, %v, want the rejection of the breaker", resp, err)
	}
	if n := requests.Load(); n != 2 || breaker.State() != policies.Open {
		t.Errorf("%d requests, breaker %s: the breaker should open after 2 and end the retries", n, breaker.State())
	}
	if _, err = client.StandardClient().Get(url); !errors.Is(err, middleware.ErrOpen) || requests.Load() != 2 {
		t.Errorf("got %v after %d requests", err, requests.Load())
	}
}

func TestARejectionIsNotRepeated(t *testing.T) {
	url, requests, c := serve(t, 200)
	checks := 0
	c.CheckRetry = func(context.Context, *http.Response, error) (bool, error) {
		checks++
		return true, nil
	}
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	var calls int
	count := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		calls++
		return next.Do(ctx)
	})
	_, err := retryable.Wrap(c, middleware.NewChain("", count, breaker)).Get(url)
	if !errors.Is(err, middleware.ErrOpen) || calls != 1 || checks != 0 || requests.Load() != 0 {
		t.Errorf("%v after %d calls, %d checks, %d requests", err, calls, checks, requests.Load())
	}
}

func TestCheckRetryIsAskedAboutEverythingElse(t *testing.T) {
	url, requests, c := serve(t, 418)
	c.CheckRetry = func(_ context.Context, resp *http.Response, _ error) (bool, error) {
		return resp != nil && resp.StatusCode == 418, nil
	}
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	resp, err := retryable.Wrap(c, nil).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if requests.Load() != 4 {
		t.Errorf("%d requests, want 4", requests.Load())
	}
}

// A time limit that cut an attempt is no refusal: what may be repeated, is.
func TestATimeLimitIsRepeated(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	_, _, c := serve(t, 200)
	for method, want := range map[string]int{http.MethodGet: 4, http.MethodPost: 1} {
		attempts := 0
		count := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			attempts++
			return next.Do(ctx)
		})
		limit := policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Millisecond})
		req, err := retryablehttp.NewRequestWithContext(t.Context(), method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = retryable.Wrap(c, middleware.NewChain("", count, limit)).Do(req); !errors.Is(err, middleware.ErrTimeout) || attempts != want {
			t.Errorf("%s: %v after %d attempts, want %d", method, err, attempts, want)
		}
	}
}

func TestTheCallersCancellationEndsTheRetries(t *testing.T) {
	url, requests, c := serve(t, 503)
	ctx, cancel := context.WithCancel(t.Context())
	c.CheckRetry = func(context.Context, *http.Response, error) (bool, error) { return true, nil }
	c.ResponseLogHook = func(retryablehttp.Logger, *http.Response) { cancel() }
	c.RetryWaitMin = 0
	c.Backoff = func(time.Duration, time.Duration, int, *http.Response) time.Duration { return 0 }
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = retryable.Wrap(c, nil).Do(req)
	if !errors.Is(err, context.Canceled) || requests.Load() > 2 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}
	ended, err := retryable.Wrap(c, nil).CheckRetry(ctx, &http.Response{StatusCode: 503}, nil)
	if ended || !errors.Is(err, context.Canceled) {
		t.Errorf("another attempt: %t, %v", ended, err)
	}
}

// A Backoff of the user's own may read the header without a limit.
func TestAUsersBackoffIsCapped(t *testing.T) {
	for name, backoff := range map[string]retryablehttp.Backoff{
		"default": retryablehttp.DefaultBackoff, "linear": retryablehttp.RateLimitLinearJitterBackoff,
	} {
		users := func(least, most time.Duration, n int, resp *http.Response) time.Duration {
			return backoff(least, most, n, resp)
		}
		wrapped := retryable.Wrap(&retryablehttp.Client{Backoff: users}, nil).Backoff
		for value, want := range map[string]time.Duration{
			"2": 2 * time.Second, "30": 30 * time.Second, "3600": 30 * time.Second,
			"9223372037": 30 * time.Second, // wraps around as nanoseconds
			time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): 30 * time.Second,
		} {
			for _, status := range []int{429, 503} {
				resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {value}}}
				if got := wrapped(time.Second, 30*time.Second, 0, resp); got != want {
					t.Errorf("%s, %d with %q: %s, want %s", name, status, value, got, want)
				}
			}
		}
	}
	// Without the header a back-off may do what it likes.
	long := func(time.Duration, time.Duration, int, *http.Response) time.Duration { return time.Hour }
	wrapped := retryable.Wrap(&retryablehttp.Client{Backoff: long}, nil).Backoff
	for _, resp := range []*http.Response{nil, {StatusCode: 503}} {
		if got := wrapped(time.Second, 30*time.Second, 0, resp); got != time.Hour {
			t.Errorf("without Retry-After %s", got)
		}
	}
}

// The waits of the bridge's own, by attempt: doubled, spread by half, never above the most.
func TestTheWaitsAreExponentialAndSpread(t *testing.T) {
	backoff := retryable.Wrap(nil, nil).Backoff
	for attempt, seconds := range []int{1, 2, 4, 8, 10, 10, 10} {
		base := time.Duration(seconds) * time.Second
		least, most := base/2, min(3*base/2, 10*time.Second)
		seen := make(map[time.Duration]bool)
		for range 200 {
			wait := backoff(time.Second, 10*time.Second, attempt, nil)
			if wait < least || wait > most {
				t.Fatalf("attempt %d: %s, want %s to %s", attempt, wait, least, most)
			}
			seen[wait] = true
		}
		if len(seen) < 50 {
			t.Errorf("attempt %d: only %d waits: there is no jitter", attempt, len(seen))
		}
	}
	for _, attempt := range []int{63, 1000} {
		if wait := backoff(time.Second, 1<<62, attempt, nil); wait < 1<<61 {
			t.Errorf("attempt %d: %s", attempt, wait)
		}
	}
	if wait := backoff(0, 0, 3, nil); wait != 0 {
		t.Errorf("without waits %s", wait)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// In virtual time: what a Retry-After comes to. The original would sleep for an hour.
func TestAnHourIsNotSlept(t *testing.T) {
	always := func(context.Context, *http.Response, error) (bool, error) { return true, nil }
	for _, row := range []struct {
		name, after string
		check       retryablehttp.CheckRetry
		requests    int
		least, most time.Duration
	}{
		{"an hour ends the retries", "3600", nil, 1, 0, 0},
		{"more than an int64 of nanoseconds too", "18446744074", nil, 1, 0, 0},
		{"what is allowed is waited for", "20", nil, 2, 20 * time.Second, 21 * time.Second},
		{"never sooner than without", "0", nil, 2, 500 * time.Millisecond, 1500 * time.Millisecond},
		{"a check of the user's wants another one", "3600", always, 2, 30 * time.Second, 32 * time.Second},
		{"nonsense is none", "+3600", nil, 2, 500 * time.Millisecond, 1500 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				c := retryablehttp.NewClient()
				c.RetryMax = 1
				c.CheckRetry = row.check
				c.HTTPClient = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					requests++
					return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {row.after}}, Body: http.NoBody, Request: req}, nil
				})}
				begin := time.Now()
				resp, err := retryable.Wrap(c, nil).Get("http://example.com")
				if err != nil || resp.StatusCode != 503 {
					t.Errorf("%v, %v", resp, err)
				}
				if took := time.Since(begin); requests != row.requests || took < row.least || took > row.most {
					t.Errorf("%d requests in %s, want %d in %s to %s", requests, took, row.requests, row.least, row.most)
				}
			})
		})
	}
}

func TestTheDefaultLoggerIsOff(t *testing.T) {
	url, _, c := serve(t, 200)
	if got := retryable.Wrap(c, nil).Logger; got != nil {
		t.Errorf("the copy logs with %v", got)
	}

	var buffer bytes.Buffer
	c.Logger = log.New(&buffer, "", 0)
	resp, err := retryable.Wrap(c, nil).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !strings.Contains(buffer.String(), "GET") {
		t.Error("the user's own logger is off")
	}
}

func TestOurClassificationStandsBehindTheHooks(t *testing.T) {
	for _, row := range []struct {
		name, method string
		status       int
		check        retryablehttp.CheckRetry
		want         int
	}{
		{"a GET", "GET", 503, nil, 4},
		{"a POST", "POST", 503, nil, 1},
		{"a POST, by the library's own", "POST", 503, retryablehttp.DefaultRetryPolicy, 1},
		{"a POST, by its other one", "POST", 503, retryablehttp.ErrorPropagatedRetryPolicy, 1},
		{"a POST, by the user's", "POST", 503, func(context.Context, *http.Response, error) (bool, error) { return true, nil }, 4},
		{"not implemented", "GET", 501, nil, 1},
		{"throttled", "GET", 429, nil, 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			url, requests, c := serve(t, row.status)
			c.CheckRetry = row.check
			req, err := retryablehttp.NewRequestWithContext(t.Context(), row.method, url, []byte("payload"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := retryable.Wrap(c, nil).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(got) != "payload" || resp.StatusCode != row.status || int(requests.Load()) != row.want {
				t.Errorf("%d with %q, %v, after %d requests, want %d", resp.StatusCode, got, err, requests.Load(), row.want)
			}
		})
	}
}

// A POST that was never sent is repeated, and its error is the transport's own, in one
// *url.Error.
func TestAnErrorIsTheTransportsOwn(t *testing.T) {
	var attempts int
	broken := errors.New("broken")
	c := retryablehttp.NewClient()
	c.RetryWaitMin, c.RetryMax = time.Microsecond, 2
	c.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		attempts++
		return nil, &net.OpError{Op: "dial", Err: broken}
	})}
	client := retryable.Wrap(c, nil)
	for name, post := range map[string]func() (*http.Response, error){
		"client": func() (*http.Response, error) { return client.Post("http://example.com", "text/plain", []byte("x")) },
		"standard": func() (*http.Response, error) {
			return client.StandardClient().Post("http://example.com", "text/plain", strings.NewReader("x"))
		},
	} {
		attempts = 0
		resp, err := post()
		var outer *url.Error
		if resp != nil || !errors.As(err, &outer) || !errors.Is(err, broken) || attempts != 3 {
			t.Fatalf("%s: %v, %v after %d attempts", name, resp, err, attempts)
		}
		if _, ok := outer.Err.(*net.OpError); !ok {
			t.Errorf("%s: inside of the *url.Error is a %T", name, outer.Err)
		}
	}
}

// The pool of connections is shared with others.
func TestIdleConnectionsAreLeftAlone(t *testing.T) {
	base := &closer{}
	c := retryablehttp.NewClient()
	c.RetryMax = 0
	c.HTTPClient = &http.Client{Transport: base}
	_, err := retryable.Wrap(c, nil).Get("http://example.com")
	if err == nil || base.closed != 0 {
		t.Errorf("%v; the connections were closed %d times", err, base.closed)
	}
	if _, err = c.Get("http://example.com"); err == nil || base.closed == 0 {
		t.Error("the test does not see what the original does")
	}
}

type closer struct{ closed int }

func (*closer) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("broken") }
func (c *closer) CloseIdleConnections()                         { c.closed++ }

func TestOptionsReachTheTransport(t *testing.T) {
	url, _, c := serve(t, 404)
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	fails := transports.WithClassifier(func(*http.Request, *http.Response, error) middleware.Verdict {
		return middleware.Verdict{Class: middleware.Failure}
	})
	resp, err := retryable.Wrap(c, middleware.NewChain("", breaker), fails).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if breaker.State() != policies.Open {
		t.Error("the classifier was not asked")
	}
}
