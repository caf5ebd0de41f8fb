package benchmarks

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A difference is a row of a table of docs/migration.md: what the other library does, and
// what Tidegate does in the same case.
type difference struct {
	theirs, ours string
	other        func() bool // reports whether the one is so
	here         func() bool // and the other
}

func TestMigrationGuideKnowsTheDifferences(t *testing.T) {
	guide, err := os.ReadFile("../../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Run(d.theirs, func(t *testing.T) {
			if !strings.Contains(string(guide), "| "+d.theirs+" | "+d.ours+" |\n") {
				t.Error("the guide does not say so")
			}
			if !d.other() {
				t.Error("the other library does not do that")
			}
			if !d.here() {
				t.Errorf("Tidegate does not: %s", d.ours)
			}
		})
	}
}

var differences = []difference{
	{
		"opens after the 6th failure in a row unless `ReadyToTrip` says otherwise", "`FailureThreshold`, 5 unless given",
		func() bool {
			b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{})
			return trips(func(err error) { _, _ = b.Execute(func() (int, error) { return 0, err }) },
				func() bool { return b.State() == gobreaker.StateOpen }, errBroken) == 6
		},
		func() bool { return tripsHere(errBroken) == 5 },
	},
	{
		"a caller who cancels counts as a failure unless `IsExcluded` says otherwise", "counts as nothing",
		func() bool {
			b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{})
			return trips(func(err error) { _, _ = b.Execute(func() (int, error) { return 0, err }) },
				func() bool { return b.State() == gobreaker.StateOpen }, context.Canceled) > 0
		},
		func() bool { return tripsHere(context.Canceled) == 0 },
	},
	{
		"`runtime.Goexit` in a probe leaves the breaker half-open for good", "counts as a failure",
		func() bool {
			b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{Timeout: time.Nanosecond})
			for range 6 {
				_, _ = b.Execute(func() (int, error) { return 0, errBroken })
			}
			for b.State() != gobreaker.StateHalfOpen {
			}
			exits(func() { _, _ = b.Execute(func() (int, error) { exit(); return 0, nil }) })
			_, err := b.Execute(func() (int, error) { return 0, nil })
			return errors.Is(err, gobreaker.ErrTooManyRequests)
		},
		func() bool {
			b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
			c := middleware.NewChain("x", b)
			exits(func() { _ = c.Do(context.Background(), func(context.Context) error { exit(); return nil }) })
			return b.State() == policies.Open
		},
	},
	{
		"a breaker opens after one failure unless told otherwise", "after 5 in a row",
		func() bool {
			b := circuitbreaker.NewWithDefaults[any]()
			executor := failsafe.With[any](b)
			return trips(func(err error) { _ = executor.Run(func() error { return err }) }, b.IsOpen, errBroken) == 1
		},
		func() bool { return tripsHere(errBroken) == 5 },
	},
	{
		"a panic in a call keeps its place in a bulkhead for good", "gives it back",
		func() bool {
			b := bulkhead.New[any](1)
			panics(func() { _ = failsafe.With[any](b).Run(func() error { panic("x") }) })
			return !b.TryAcquirePermit()
		},
		func() bool {
			c := middleware.NewChain("x", policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}))
			panics(func() { _ = c.Do(context.Background(), func(context.Context) error { panic("x") }) })
			return c.Do(context.Background(), func(context.Context) error { return nil }) == nil
		},
	},
	{
		"responses that are given up are not closed", "are drained and closed before the wait",
		func() bool {
			left, _ := discards(func(base http.RoundTripper) http.RoundTripper {
				return failsafehttp.NewRoundTripper(base, failsafehttp.NewRetryPolicyBuilder().WithDelay(time.Millisecond).Build())
			}, http.MethodGet)
			return left == 2
		},
		func() bool { left, _ := discards(retries, http.MethodGet); return left == 0 },
	},
	{
		"a POST is repeated", "only with an `Idempotency-Key`, `WithIdempotent`, or if it never left",
		func() bool {
			_, sent := discards(func(base http.RoundTripper) http.RoundTripper {
				return failsafehttp.NewRoundTripper(base, failsafehttp.NewRetryPolicyBuilder().WithDelay(time.Millisecond).Build())
			}, http.MethodPost)
			return sent == 3
		},
		func() bool { _, sent := discards(retries, http.MethodPost); return sent == 1 },
	},
	{
		"10 calls at once and 1 s for each unless told otherwise", "no such limit without a `Bulkhead` and a `Timeout`",
		func() bool { return hystrix.DefaultMaxConcurrent == 10 && hystrix.DefaultTimeout == 1000 },
		func() bool {
			found := middleware.NewChain("x", policies.NewBreaker(policies.BreakerConfig{}), policies.NewRateLimit(policies.RateLimitConfig{})).Explain()
			return found.Latency == middleware.Unbounded
		},
	},
	{
		"when a call takes longer it goes on, on a goroutine that nobody waits for", "its context is cancelled, and it is waited for",
		func() bool {
			hystrix.ConfigureCommand("slow", hystrix.CommandConfig{Timeout: 1})
			ended, release := make(chan struct{}), make(chan struct{})
			err := hystrix.DoC(context.Background(), "slow", func(context.Context) error {
				defer close(ended)
				<-release
				return nil
			}, nil)
			defer func() { close(release); <-ended }()
			select {
			case <-ended:
				return false
			default:
				return errors.Is(err, hystrix.ErrTimeout)
			}
		},
		func() bool {
			ended := false
			err := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Millisecond})).
				Do(context.Background(), func(ctx context.Context) error {
					<-ctx.Done()
					ended = true
					return ctx.Err()
				})
			return ended && errors.Is(err, middleware.ErrTimeout)
		},
	},
	{
		"a POST is repeated like a GET", "only with an `Idempotency-Key`, `WithIdempotent`, or if it never left",
		func() bool { _, sent := discards(retryableRetries, http.MethodPost); return sent == 3 },
		func() bool { _, sent := discards(retries, http.MethodPost); return sent == 1 },
	},
	{
		"after the last attempt there is an error, and no response", "the last response, readable",
		func() bool {
			resp, err := send(retryableRetries(down()), http.MethodGet)
			return resp == nil && err != nil
		},
		func() bool {
			resp, err := send(retries(down()), http.MethodGet)
			return err == nil && resp.StatusCode == http.StatusServiceUnavailable
		},
	},
	{
		"a body is read into memory before the first attempt", "`GetBody` gives it again; `WithReplay` for others",
		func() bool {
			return readsAhead(retryableRetries)
		},
		func() bool { return !readsAhead(retries) },
	},
}

// trips returns with which of ten such errors something has opened, or 0.
func trips(call func(error), open func() bool, err error) int {
	for i := range 10 {
		if call(err); open() {
			return i + 1
		}
	}
	return 0
}

func tripsHere(err error) int {
	b := policies.NewBreaker(policies.BreakerConfig{})
	ctx := context.Background()
	if errors.Is(err, context.Canceled) {
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		ctx = canceled
	}
	c := middleware.NewChain("x", b)
	return trips(func(err error) { _ = c.Do(ctx, func(context.Context) error { return err }) },
		func() bool { return b.State() == policies.Open }, err)
}

func retries(base http.RoundTripper) http.RoundTripper {
	return transports.New(base, middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond})))
}

func retryableRetries(base http.RoundTripper) http.RoundTripper {
	c := retryablehttp.NewClient()
	c.HTTPClient.Transport, c.Logger = base, nil
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = 2, time.Millisecond, time.Millisecond
	return &retryablehttp.RoundTripper{Client: c}
}

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func answer(req *http.Request, status int, body io.ReadCloser) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: body, Request: req, ContentLength: -1,
	}
}

func down() http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		return answer(req, http.StatusServiceUnavailable, io.NopCloser(strings.NewReader("down"))), nil
	})
}

// closing tells when it is closed.
type closing struct {
	io.Reader
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

// discards sends one request to a server that answers 503 twice and 200 then, and returns
// how many responses of those which the caller did not get were left open, and how many
// requests were sent.
func discards(around func(http.RoundTripper) http.RoundTripper, method string) (left, sent int) {
	closed := 0
	resp, err := send(around(roundTrip(func(req *http.Request) (*http.Response, error) {
		sent++
		status := http.StatusServiceUnavailable
		if sent == 3 {
			status = http.StatusOK
		}
		return answer(req, status, closing{strings.NewReader("text"), &closed}), nil
	})), method)
	if err != nil {
		return 0, sent
	}
	left = sent - 1 - closed
	resp.Body.Close()
	return left, sent
}

func send(rt http.RoundTripper, method string) (*http.Response, error) {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("text")
	}
	req, err := http.NewRequest(method, "http://example.com", body)
	if err != nil {
		return nil, err
	}
	return rt.RoundTrip(req)
}

// readsAhead reports whether the body of a request has been read when the request is sent.
func readsAhead(around func(http.RoundTripper) http.RoundTripper) bool {
	body := strings.NewReader("text")
	ahead := false
	req, err := http.NewRequest(http.MethodPut, "http://example.com", io.NopCloser(body))
	if err != nil {
		panic(err)
	}
	resp, err := around(roundTrip(func(req *http.Request) (*http.Response, error) {
		ahead = body.Len() == 0
		return answer(req, http.StatusOK, http.NoBody), nil
	})).RoundTrip(req)
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	return ahead
}
