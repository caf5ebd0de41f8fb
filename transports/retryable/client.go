package retryable

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
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
//   - The retries end at a [*middleware.Rejection], which errors.As finds in the error of
//     the call, and at the end of the context. A time limit of the chain that cut an attempt
//     is no refusal.
//   - In place of a CheckRetry that is nil or one of retryablehttp's own, the verdict on the
//     attempt decides: package transports says what is repeated, a POST for instance only
//     when it never left. What the chain does not see, HTTPClient.Timeout and a response
//     handler that failed, is repeated if the request is idempotent. Any other CheckRetry
//     decides itself.
//   - In place of a Backoff that is nil or one of retryablehttp's own, the wait is
//     RetryWaitMin, doubled for each further attempt, and spread by half at random, at most
//     RetryWaitMax, or the server's Retry-After if that is longer. Any other Backoff decides
//     itself.
//   - A Retry-After of more than RetryWaitMax (30 seconds if that is zero), or than is left
//     until the deadline of the context, ends the retries. Where a CheckRetry of your own
//     wants another attempt, the wait is cut to the former.
//   - In place of an ErrorHandler that is nil or retryablehttp's own, when no attempt is left
//     the last response is returned, readable, with a nil error, or else the last error.
//   - The idle connections of the transport are left alone.
//   - Logger is off if it was the default one, which prints the URL of every
//     request with its query.
//   - A nil HTTPClient is the default of retryablehttp.
//
// RequestLogHook is how the copy learns which attempts belong together, so that they are
// numbered and share an Idempotency-Key that the chain makes: do not replace it in the
// copy. It gives the context of the request a value, which the request keeps.
//
// What cannot be changed from outside: the client reads the body of a request into memory
// before the first attempt, and when the context ends during a wait its error is all there
// is.
func Wrap(c *retryablehttp.Client, chain *middleware.Chain, opts ...transports.Option) *retryablehttp.Client {
	defaults := retryablehttp.NewClient()
	if c == nil {
		c = defaults
	}
	b := bridge{maxAfter: cmp.Or(c.RetryWaitMax, defaults.RetryWaitMax)}
	// Field by field: a Client holds locks.
	wrapped := &retryablehttp.Client{
		HTTPClient:      b.httpClient(cmp.Or(c.HTTPClient, defaults.HTTPClient), chain, opts),
		Logger:          c.Logger,
		RetryWaitMin:    c.RetryWaitMin,
		RetryWaitMax:    c.RetryWaitMax,
		RetryMax:        c.RetryMax,
		RequestLogHook:  b.requestLogHook(c.RequestLogHook),
		ResponseLogHook: c.ResponseLogHook,
		CheckRetry:      b.checkRetry(c.CheckRetry),
		Backoff:         b.backoff(c.Backoff),
		ErrorHandler:    c.ErrorHandler,
		PrepareRetry:    b.prepareRetry(c.PrepareRetry, ownBackoff(c.Backoff)),
	}
	if wrapped.ErrorHandler == nil || is(wrapped.ErrorHandler, retryablehttp.PassthroughErrorHandler) {
		wrapped.ErrorHandler = lastOutcome
	}
	if wrapped.Logger == defaults.Logger {
		wrapped.Logger = nil
	}
	return wrapped
}

// A bridge makes the hooks of a wrapped client.
type bridge struct {
	maxAfter time.Duration
}

// httpClient returns a copy of c whose requests go through the chain.
func (b bridge) httpClient(c *http.Client, chain *middleware.Chain, opts []transports.Option) *http.Client {
	inner := *c
	inner.Transport = sending{c.Transport}
	chain = middleware.NewChain(chain.Name(), middleware.PolicyFunc(note), chain)
	wrapped := transports.Client(&inner, chain, opts...)
	wrapped.Transport = judging{wrapped.Transport}
	return wrapped
}

func (b bridge) requestLogHook(users retryablehttp.RequestLogHook) retryablehttp.RequestLogHook {
	return func(log retryablehttp.Logger, req *http.Request, retry int) {
		begin(req, retry)
		if users != nil {
			users(log, req, retry)
		}
	}
}

func (b bridge) checkRetry(users retryablehttp.CheckRetry) retryablehttp.CheckRetry {
	own := users == nil || is(users, retryablehttp.DefaultRetryPolicy, retryablehttp.ErrorPropagatedRetryPolicy)
	return func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if r, ok := errors.AsType[*middleware.Rejection](err); ok && !r.Timeout() {
			return false, nil // the error of the call is err then
		}
		if !own {
			return users(ctx, resp, err)
		}
		a := attemptOf(callOf(ctx), resp, err)
		after := a.verdict.After
		if deadline, ok := ctx.Deadline(); after > b.maxAfter || ok && after > 0 && time.Until(deadline) <= after {
			return false, nil
		}
		again := a.mayRepeat(resp, err)
		if c := callOf(ctx); again && c != nil && resp == nil {
			c.notBefore = time.Now().Add(after) // the Backoff does not get to know
		}
		return again, nil
	}
}

func ownBackoff(users retryablehttp.Backoff) bool {
	return users == nil || is(users, retryablehttp.DefaultBackoff, retryablehttp.LinearJitterBackoff, retryablehttp.RateLimitLinearJitterBackoff)
}

func (b bridge) backoff(users retryablehttp.Backoff) retryablehttp.Backoff {
	own := ownBackoff(users)
	return func(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
		after := min(attemptOf(nil, resp, nil).verdict.After, b.maxAfter)
		if own {
			wait := exponential(least, most, attempt)
			if after > wait {
				return after + rand.N(wait/2+1) // later, never sooner
			}
			return wait
		}
		wait := users(least, most, attempt, resp)
		if after > 0 || resp != nil && resp.Header.Get("Retry-After") != "" {
			// It may have read the header without a limit, or wrapped around.
			if wait < 0 || wait > b.maxAfter {
				return b.maxAfter
			}
		}
		return wait
	}
}

// prepareRetry waits, after the back-off, for what is left of a Retry-After that came
// with an error in place of its response, see transports.WithStatusErrors.
func (b bridge) prepareRetry(users retryablehttp.PrepareRetry, own bool) retryablehttp.PrepareRetry {
	return func(req *http.Request) error {
		if c := callOf(req.Context()); own && c != nil {
			if err := sleepUntil(req.Context(), c.notBefore); err != nil {
				return err
			}
		}
		if users != nil {
			return users(req)
		}
		return nil
	}
}

func sleepUntil(ctx context.Context, then time.Time) error {
	wait := time.Until(then)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exponential returns least, doubled for each further attempt and spread by half, and no
// more than most.
func exponential(least, most time.Duration, attempt int) time.Duration {
	wait := max(0, least)
	for range attempt {
		if wait >= most/2 {
			wait = most
			break
		}
		wait *= 2
	}
	wait = max(0, min(wait, most))
	return min(wait/2+rand.N(wait+1), most)
}

// lastOutcome returns the last response, or else the last error.
func lastOutcome(resp *http.Response, err error, _ int) (*http.Response, error) {
	if err == nil {
		return resp, nil
	}
	if resp != nil {
		_ = resp.Body.Close() // the error says more
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		if judged, ok := errors.AsType[*judgedError](outer.Err); ok {
			outer.Err = judged.err
		}
	}
	return nil, err
}

// is reports whether f is one of those functions, none of which is a closure.
func is[F any](f F, those ...F) bool {
	return slices.ContainsFunc(those, func(g F) bool { return reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer() })
}
