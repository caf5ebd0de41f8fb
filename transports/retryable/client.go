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
//     when it never left. Any other CheckRetry decides itself.
//   - In place of a Backoff that is nil or one of retryablehttp's own, the wait is
//     RetryWaitMin, doubled for each further attempt, and spread by half at random, at most
//     RetryWaitMax, or the server's Retry-After if that is longer. Any other Backoff decides
//     itself.
//   - A Retry-After of more than RetryWaitMax (30 seconds if that is zero) ends the retries.
//     Where a CheckRetry of your own wants another attempt, the wait is cut to that.
//   - In place of a nil ErrorHandler, when no attempt is left the last response is returned,
//     readable, with a nil error, or else the last error.
//   - The idle connections of the transport are left alone.
//   - Logger is off if it was the default one, which prints the URL of every
//     request with its query.
//   - A nil HTTPClient is the default of retryablehttp.
//
// Do not use transports.WithIdempotencyKey here: each attempt is a request of its own to the
// chain and would get another key, so that the server could carry out all of them.
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
		RequestLogHook:  c.RequestLogHook,
		ResponseLogHook: c.ResponseLogHook,
		CheckRetry:      b.checkRetry(c.CheckRetry),
		Backoff:         b.backoff(c.Backoff),
		ErrorHandler:    c.ErrorHandler,
		PrepareRetry:    c.PrepareRetry,
	}
	if wrapped.ErrorHandler == nil {
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
	chain = middleware.NewChain(chain.Name(), middleware.PolicyFunc(note), chain)
	c = transports.Client(c, chain, opts...)
	c.Transport = judging{c.Transport}
	return c
}

// A judging transport has each response and error carry the verdict on it, as the chain
// gave it. It has no method CloseIdleConnections, which go-retryablehttp would call after
// each failed call.
type judging struct{ base http.RoundTripper }

type verdictKey struct{}

// RoundTrip implements [http.RoundTripper].
func (j judging) RoundTrip(req *http.Request) (*http.Response, error) {
	v := new(middleware.Verdict)
	resp, err := j.base.RoundTrip(req.WithContext(context.WithValue(req.Context(), verdictKey{}, v)))
	if err != nil {
		return nil, &judgedError{err, *v}
	}
	return resp, nil // its Request has the context with the verdict
}

// note is the outermost policy: it notes the verdict that all of them came to.
func note(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	if v, ok := ctx.Value(verdictKey{}).(*middleware.Verdict); ok {
		*v = middleware.VerdictOf(err)
	}
	return err
}

// A judgedError is an error of the chain with its verdict.
type judgedError struct {
	err     error
	verdict middleware.Verdict
}

func (e *judgedError) Error() string { return e.err.Error() }
func (e *judgedError) Unwrap() error { return e.err }

// Timeout is for http.Client, which asks the error itself.
func (e *judgedError) Timeout() bool {
	t, ok := e.err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

func verdictOf(resp *http.Response, err error) (v middleware.Verdict) {
	var judged *judgedError
	switch {
	case errors.As(err, &judged):
		return judged.verdict
	case resp != nil && resp.Request != nil:
		if v, ok := resp.Request.Context().Value(verdictKey{}).(*middleware.Verdict); ok {
			return *v
		}
		fallthrough
	default: // http.Client failed by itself
		return middleware.Verdict{}
	}
}

func (b bridge) checkRetry(users retryablehttp.CheckRetry) retryablehttp.CheckRetry {
	own := users == nil || is(users, retryablehttp.DefaultRetryPolicy, retryablehttp.ErrorPropagatedRetryPolicy)
	return func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		var r *middleware.Rejection
		if errors.As(err, &r) && !r.Timeout() {
			return false, nil // the error of the call is err then
		}
		if !own {
			return users(ctx, resp, err)
		}
		v := verdictOf(resp, err)
		return v.Retry && v.After <= b.maxAfter, nil
	}
}

func (b bridge) backoff(users retryablehttp.Backoff) retryablehttp.Backoff {
	own := users == nil || is(users, retryablehttp.DefaultBackoff, retryablehttp.LinearJitterBackoff, retryablehttp.RateLimitLinearJitterBackoff)
	return func(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
		after := min(verdictOf(resp, nil).After, b.maxAfter)
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
