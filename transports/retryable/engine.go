package retryable

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// An Engine is the loop of go-retryablehttp, for the Engine of a policies.RetryConfig. It
// runs the attempts and sleeps between them; whether and when there is another one is the
// Retry's decision, and what an attempt does is the chain's. go-retryablehttp itself sends
// an empty request of its own whose transport is the rest of the chain: it never sees the
// caller's request or response, nor the base transport.
//
// Make one with [NewEngine]; the zero Engine makes no attempt and returns an error. An Engine is safe for
// concurrent use, by any number of policies.
type Engine struct {
	client  *retryablehttp.Client
	request http.Request
}

// NewEngine returns an Engine.
func NewEngine() *Engine {
	e := &Engine{request: http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: "http", Host: "attempt.invalid"}, // RFC 6761: nobody has that name
		Header: make(http.Header),
	}}
	e.client = &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     attempts{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:   math.MaxInt,
		CheckRetry: func(ctx context.Context, _ *http.Response, _ error) (bool, error) { return runOf(ctx).again, nil },
		Backoff: func(_, _ time.Duration, _ int, r *http.Response) time.Duration {
			return runOf(r.Request.Context()).wait
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return e
}

// Run implements the RetryEngine of package policies.
func (e *Engine) Run(ctx context.Context, attempt func(context.Context) (wait time.Duration, again bool)) error {
	if e == nil || e.client == nil {
		return errZeroEngine
	}
	r := &run{Context: ctx, attempt: attempt}
	_, err := e.client.Do(&retryablehttp.Request{Request: e.request.WithContext(r)})
	return err
}

var errZeroEngine = errors.New("retryable: the Engine was not made by NewEngine")

// A run is one Run, and the context of its requests.
type run struct {
	context.Context

	attempt func(context.Context) (wait time.Duration, again bool)
	wait    time.Duration // what the attempt said last
	again   bool
}

type runKey struct{}

// Value implements [context.Context].
func (r *run) Value(key any) any {
	if key == (runKey{}) {
		return r
	}
	return r.Context.Value(key)
}

func runOf(ctx context.Context) *run {
	r, _ := ctx.Value(runKey{}).(*run)
	return r
}

// attempts is a transport whose requests are the attempts of runs.
type attempts struct{}

// RoundTrip runs an attempt and always answers with success: what came of it is between
// the attempt and its Retry.
func (attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	r := runOf(req.Context())
	r.wait, r.again = r.attempt(r.Context)
	return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: http.NoBody, Request: req}, nil
}
