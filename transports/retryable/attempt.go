package retryable

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// An attempt is one request to the chain, and what came of it. It travels in the context of
// the request: a response brings it to the hooks by its Request, an error by itself.
type attempt struct {
	verdict middleware.Verdict           // of all policies
	sent    atomic.Pointer[http.Request] // the last one that came out of the chain
}

type attemptKey struct{}

// judging stands before the chain. It has no method CloseIdleConnections, which
// go-retryablehttp would call after each failed call.
type judging struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (j judging) RoundTrip(req *http.Request) (*http.Response, error) {
	a := new(attempt)
	callOf(req.Context()).note(a)
	req = callOf(req.Context()).prepare(req.WithContext(context.WithValue(req.Context(), attemptKey{}, a)))
	resp, err := j.base.RoundTrip(req)
	if err != nil {
		return nil, &judgedError{err, a}
	}
	if resp.Request == nil {
		resp.Request = req
	}
	return resp, nil
}

// note is the outermost policy: it notes the verdict that all of them came to.
func note(ctx context.Context, next middleware.Next) error {
	err := next.Do(callOf(ctx).numbered(ctx))
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.verdict = middleware.VerdictOf(err)
	}
	return err
}

// sending stands behind the chain.
type sending struct{ base http.RoundTripper }

// RoundTrip sees the request with what the chain made of it.
func (s sending) RoundTrip(req *http.Request) (*http.Response, error) {
	if a, ok := req.Context().Value(attemptKey{}).(*attempt); ok {
		a.sent.Store(req)
	}
	callOf(req.Context()).keep(req)
	base := s.base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(req)
}

// A judgedError is an error of the chain with its attempt.
type judgedError struct {
	err     error
	attempt *attempt
}

func (e *judgedError) Error() string { return e.err.Error() }
func (e *judgedError) Unwrap() error { return e.err }

// Timeout is for http.Client, which asks the error itself.
func (e *judgedError) Timeout() bool {
	t, ok := e.err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// attemptOf returns the attempt that the response or the error comes from. It is a new
// one, which is not repeated, if http.Client failed by itself.
func attemptOf(c *call, resp *http.Response, err error) *attempt {
	if a := c.unfinished(); err != nil && resp == nil && a != nil {
		return a
	}
	if judged, ok := errors.AsType[*judgedError](err); ok {
		return judged.attempt
	}
	if resp != nil && resp.Request != nil {
		if a, ok := resp.Request.Context().Value(attemptKey{}).(*attempt); ok {
			return a
		}
	}
	return new(attempt)
}

// mayRepeat reports whether another attempt is safe and may succeed. Of two failures the
// chain does not know: the context of the call goes on, so what was taken for the caller's
// deadline was HTTPClient.Timeout; and with a response comes the error of its handler.
func (a *attempt) mayRepeat(resp *http.Response, err error) bool {
	limited := err != nil && a.verdict.Reason == "canceled" && isTimeout(err)
	_, clients := errors.AsType[*url.Error](err) // such as one about redirects
	handled := err != nil && resp != nil && !clients
	if !limited && !handled {
		return a.verdict.Retry
	}
	req := a.sent.Load()
	if req == nil {
		return limited // it was not even sent
	}
	live := req.WithContext(context.WithoutCancel(req.Context()))
	live.Cancel = nil
	return transports.Classify(live, nil, errOutside).Retry
}

var errOutside = errors.New("the attempt failed outside of the chain")

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
