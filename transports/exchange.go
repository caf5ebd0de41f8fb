package transports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
)

// An exchange is one RoundTrip: the caller's request and what its attempts share.
type exchange struct {
	base     http.RoundTripper
	classify func(*http.Request, *http.Response, error) middleware.Verdict
	request  *http.Request // the caller's, never changed

	bodyTaken atomic.Bool           // the caller's body went to an attempt, or was closed
	last      atomic.Pointer[error] // of the attempt that failed last
}

// attempt is the operation that the chain runs.
func (x *exchange) attempt(ctx context.Context) (reply, error) {
	req, err := x.clone(ctx)
	if err != nil {
		return reply{}, middleware.Judged(err, middleware.Verdict{Class: middleware.Ignored, Reason: "body"})
	}
	resp, err := send(x.base, req)
	classify := x.classify
	if classify == nil {
		classify = Classify
	}
	v := classify(req, resp, err)
	v.Retry = v.Retry && replayable(req)
	if err == nil && (v.Class != middleware.Success || v.Retry) {
		err = statusError(resp.StatusCode)
	}
	if err != nil {
		last := err
		x.last.Store(&last)
	}
	return reply{resp, ctx}, middleware.Judged(err, v)
}

// clone returns the request of one attempt. The first one takes the caller's
// body, which the transport may go on reading after it has returned; so the
// others must have a body of their own.
func (x *exchange) clone(ctx context.Context) (*http.Request, error) {
	orig := x.request
	body := orig.Body
	if !x.bodyTaken.CompareAndSwap(false, true) && hasBody(orig) {
		var err error
		if body, err = x.bodyAgain(); err != nil {
			return nil, err
		}
	}
	if needsEvidence(orig) {
		ctx = withEvidence(ctx)
	}
	req := orig.Clone(ctx)
	req.Body = body
	if len(orig.Trailer) > 0 && hasBody(orig) {
		req.Body = &trailerBody{ReadCloser: body, from: orig.Trailer, to: req.Trailer}
	}
	return req, nil
}

func (x *exchange) bodyAgain() (io.ReadCloser, error) {
	body, err := io.ReadCloser(nil), errors.New("it cannot be sent twice, because the request has no GetBody")
	if x.request.GetBody != nil {
		body, err = x.request.GetBody()
		if err == nil && body == nil {
			err = errors.New("GetBody returned nil")
		}
	}
	if err == nil {
		return body, nil
	}
	err = fmt.Errorf("transports: the body of the request: %w", err)
	if last := x.last.Load(); last != nil {
		err = errors.Join(err, *last)
	}
	return nil, err
}

// closeBody closes the caller's body, unless an attempt took it: then the base
// transport closes it.
func (x *exchange) closeBody() {
	if x.bodyTaken.CompareAndSwap(false, true) && x.request.Body != nil {
		_ = x.request.Body.Close() // nobody has read from it
	}
}

// send holds the base transport to the contract of http.RoundTripper: exactly one
// of response and error, and a body with each response.
func send(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := base.RoundTrip(req)
	switch {
	case resp == nil && err == nil:
		return nil, errNilResponse
	case resp == nil:
		return nil, err
	case err != nil:
		if resp.Body != nil {
			_ = resp.Body.Close() // err says more
		}
		return nil, err
	case resp.Body == nil:
		resp.Body = http.NoBody
	}
	return resp, nil
}

// A statusError stands for a response that is no success, to the policies and the
// observers of the chain.
type statusError int

func (e statusError) Error() string {
	// Some libraries repeat calls whose error says "503 service unavailable", so
	// number and words stand apart.
	if text := http.StatusText(int(e)); text != "" {
		return fmt.Sprintf("the server answered with status %d (%s)", int(e), text)
	}
	return fmt.Sprintf("the server answered with status %d", int(e))
}

// StatusCode returns the status of the response.
func (e statusError) StatusCode() int { return int(e) }

// ErrorType returns the status as text, for the attribute error.type.
func (e statusError) ErrorType() string { return strconv.Itoa(int(e)) }

// A trailerBody copies the trailers that the caller sets while the body of its
// request is being read to the attempt, whose map is its own.
type trailerBody struct {
	io.ReadCloser

	from, to http.Header
}

func (b *trailerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.to {
			b.to[name] = b.from[name]
		}
	}
	return n, err
}
