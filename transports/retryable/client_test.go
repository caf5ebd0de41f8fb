package retryable_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
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
	original.ErrorHandler = retryablehttp.PassthroughErrorHandler
	original.PrepareRetry = func(*http.Request) error { return nil }
	client, transport := original.HTTPClient, original.HTTPClient.Transport

	wrapped := retryable.Wrap(original, middleware.NewChain(""))
	if original.HTTPClient != client || client.Transport != transport {
		t.Error("the original was changed")
	}
	replaced := map[string]bool{"HTTPClient": true, "CheckRetry": true, "Backoff": true}
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

	resp, err := client.Post(url, "text/plain", []byte("x"))
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

	// A time limit cut the attempt: it is no refusal.
	attempts := 0
	slow := middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
		attempts++
		return next.Reject(middleware.Rejection{Reason: middleware.ErrTimeout})
	})
	c.CheckRetry = nil
	if _, err = retryable.Wrap(c, middleware.NewChain("", slow)).Get(url); !errors.Is(err, middleware.ErrTimeout) || attempts != 4 {
		t.Errorf("%v after %d attempts, want 4", err, attempts)
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

func TestBackoffCapsRetryAfter(t *testing.T) {
	for name, backoff := range map[string]retryablehttp.Backoff{
		"default": nil, "linear": retryablehttp.RateLimitLinearJitterBackoff,
	} {
		wrapped := retryable.Wrap(&retryablehttp.Client{Backoff: backoff}, nil).Backoff
		for value, want := range map[string]time.Duration{
			"2": 2 * time.Second, "30": 30 * time.Second, "3600": 30 * time.Second,
			"9223372037": 30 * time.Second, "18446744074": 30 * time.Second, // wrap around as nanoseconds
			"+3600": 30 * time.Second, // which only retryablehttp accepts
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

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// In virtual time: the original would sleep for an hour.
func TestAnHourIsNotSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := retryablehttp.NewClient()
		c.RetryMax = 1
		c.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"3600"}}, Body: http.NoBody}, nil
		})}
		begin := time.Now()
		if _, err := retryable.Wrap(c, nil).Get("http://example.com"); err == nil {
			t.Error("no error")
		}
		if took := time.Since(begin); took != c.RetryWaitMax {
			t.Errorf("it took %s, want %s", took, c.RetryWaitMax)
		}
	})
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
