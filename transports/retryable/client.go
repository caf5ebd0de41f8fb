package retryable

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// Wrap returns a copy of c whose attempts go through chain, each on its own. A nil
// c is what retryablehttp.NewClient returns; a nil chain has no policies. c itself
// is not changed; the two share the transport and its connections.
//
// The copy keeps the settings of c, with these differences:
//   - CheckRetry is not asked about the context's end and about a
//     [*middleware.Rejection]: both end the retries, and errors.As finds the
//     rejection in the error of the call. A time limit of the chain that cut an
//     attempt is no refusal, so CheckRetry decides about it.
//   - Backoff never waits longer than RetryWaitMax because a Retry-After says so.
//   - Logger is off if it was the default one, which prints the URL of every
//     request with its query.
//   - A nil HTTPClient, CheckRetry or Backoff is the default of retryablehttp.
func Wrap(c *retryablehttp.Client, chain *middleware.Chain, opts ...transports.Option) *retryablehttp.Client {
	defaults := retryablehttp.NewClient()
	if c == nil {
		c = defaults
	}
	// Field by field: a Client holds locks.
	wrapped := &retryablehttp.Client{
		HTTPClient:      c.HTTPClient,
		Logger:          c.Logger,
		RetryWaitMin:    c.RetryWaitMin,
		RetryWaitMax:    c.RetryWaitMax,
		RetryMax:        c.RetryMax,
		RequestLogHook:  c.RequestLogHook,
		ResponseLogHook: c.ResponseLogHook,
		CheckRetry:      c.CheckRetry,
		Backoff:         c.Backoff,
		ErrorHandler:    c.ErrorHandler,
		PrepareRetry:    c.PrepareRetry,
	}
	if wrapped.HTTPClient == nil {
		wrapped.HTTPClient = defaults.HTTPClient
	}
	if wrapped.CheckRetry == nil {
		wrapped.CheckRetry = defaults.CheckRetry
	}
	if wrapped.Backoff == nil {
		wrapped.Backoff = defaults.Backoff
	}
	if wrapped.Logger == defaults.Logger {
		wrapped.Logger = nil
	}
	wrapped.HTTPClient = transports.Client(wrapped.HTTPClient, chain, opts...)
	wrapped.CheckRetry = stopAtRejections(wrapped.CheckRetry)
	wrapped.Backoff = capRetryAfter(wrapped.Backoff)
	return wrapped
}

func stopAtRejections(check retryablehttp.CheckRetry) retryablehttp.CheckRetry {
	return func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		var r *middleware.Rejection
		if errors.As(err, &r) && !r.Timeout() {
			return false, nil // the error of the call is err then
		}
		return check(ctx, resp, err)
	}
}

func capRetryAfter(backoff retryablehttp.Backoff) retryablehttp.Backoff {
	return func(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
		wait := backoff(least, most, attempt, resp)
		if resp == nil || resp.Header.Get("Retry-After") == "" {
			return wait
		}
		// The default back-offs wrap around for very large numbers; Classify does not.
		asked := transports.Classify(new(http.Request), resp, nil).After
		if wait < 0 || wait > most || asked > most {
			return most
		}
		return wait
	}
}
