package transports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tidegate-go/tidegate/middleware"
)

var errOver = errors.New("transports: the call has returned")

// An exchange is one RoundTrip: the caller's request and what its attempts share. It is
// also the context of the call, and all that the call needs to allocate.
type exchange struct {
	middleware.OperationContext

	transport  *Transport
	base       http.RoundTripper
	request    *http.Request // the caller's, never changed
	idempotent bool
	long       bool   // the response goes on for as long as somebody listens
	key        string // the Idempotency-Key of a request that has none of its own
	upload     upload
	streamed   middleware.Streamed[reply]
	trailer    http.Header           // what the caller announced
	last       atomic.Pointer[error] // of the attempt that failed last
	stop       context.CancelFunc    // nil without a Request.Cancel
	cancel     context.CancelFunc

	mu   sync.Mutex
	over bool // the call has returned: the request is the caller's again

	// What the first attempt needs, and the response that is delivered.
	firstUsed    atomic.Bool
	firstRequest http.Request
	firstURL     url.URL
	body         body
}

type exchangeKey struct{}

// Value implements [context.Context].
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.OperationContext.Value(key)
}

// exchangeOf returns the exchange that ctx belongs to, or nil.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// begin makes the context of the call.
func (x *exchange) begin() {
	t, req := x.transport, x.request
	x.Context = req.Context()
	if req.Cancel != nil {
		x.Context, x.stop, x.cancel = withCancel(x.Context, req.Cancel)
	}
	x.upload.open(req, t.replay)
	x.trailer = req.Trailer.Clone()
	x.idempotent = t.mayRepeat(req)
	if !x.idempotent && t.getsKey(req) {
		x.key, x.idempotent = newIdempotencyKey(), true
	}
	x.Operation = middleware.OperationOf(x.Context)
	if x.Operation.Name == "" {
		x.Operation.Name = methodOf(req)
	}
	if t.key != nil {
		x.Operation.Key = t.key(req)
	} else {
		x.Operation.Key = t.servers.keyOf(req.URL)
	}
	x.long = t.longRunning != nil && t.longRunning(req)
	x.Operation.Idempotent = !x.long && t.mayOverlap(req) && x.upload.shared()
}

// read says that the response was read to its end.
func (x *exchange) read() {
	x.streamed.Release()
	if x.stop != nil {
		x.stop()
	}
}

// end says that the response was closed, or that there is none.
func (x *exchange) end() {
	x.streamed.Close()
	if x.cancel != nil {
		x.cancel()
	}
}

// Run is one attempt.
func (x *exchange) Run(ctx context.Context) (reply, error) {
	req, err := x.attempt(ctx)
	if err != nil {
		return reply{}, middleware.Judged(err, middleware.Verdict{Class: middleware.Ignored, Reason: "body"})
	}
	resp, err := send(x.base, req)
	v := x.judge(req, resp, err)
	v.Retry = v.Retry && x.upload.reclaim(err == nil)
	if err == nil && (v.Class != middleware.Success || v.Retry) {
		err = statusError(resp.StatusCode)
	}
	if err != nil {
		last := err
		x.last.Store(&last)
	}
	return reply{resp, ctx}, middleware.Judged(err, v)
}

func (x *exchange) judge(req *http.Request, resp *http.Response, err error) middleware.Verdict {
	if x.transport.classify == nil {
		return Classify(req, resp, err)
	}
	judged := false
	defer func() {
		if !judged && resp != nil { // it panicked
			_ = resp.Body.Close()
		}
	}()
	v := x.transport.classify(req, resp, err)
	judged = true
	return v
}

// Discard gives up the response of an attempt.
func (x *exchange) Discard(r reply) { r.discard() }

// attempt returns the request of one attempt: a clone, because what stands further in
// may change it although it must not, and because the transport may go on with it after
// it has returned.
func (x *exchange) attempt(ctx context.Context) (*http.Request, error) {
	if x.needsEvidence() {
		ctx = withEvidence(ctx)
	}
	req := x.clone(ctx)
	if req == nil {
		return nil, errOver
	}
	body, again, err := x.upload.next(ctx)
	if err != nil {
		err = fmt.Errorf("transports: the body of the request: %w", err)
		if last := x.last.Load(); last != nil {
			err = bodyError{err, *last}
		}
		return nil, err
	}
	x.give(req, body, again)
	return req, nil
}

// give completes a clone with what is its own.
func (x *exchange) give(req *http.Request, body io.ReadCloser, again func() (io.ReadCloser, error)) {
	if x.key != "" && req.Header != nil {
		req.Header.Set("Idempotency-Key", x.key)
	}
	if x.transport.propagate {
		propagate(req.Context(), req.Header)
	}
	req.Body, req.GetBody = body, again
	if req.Trailer = x.trailer.Clone(); len(req.Trailer) > 0 && hasBody(req) {
		x.copyTrailers(req)
	}
}

// copyTrailers has the trailers that the caller sets while a body is being read reach the
// attempt, also when net/http sends its request again by itself.
func (x *exchange) copyTrailers(req *http.Request) {
	from, to, again := x.request.Trailer, req.Trailer, req.GetBody
	req.Body = &trailerBody{ReadCloser: req.Body, from: from, to: to}
	if again != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &trailerBody{ReadCloser: body, from: from, to: to}, nil
		}
	}
}

// clone returns a copy of the caller's request with what a transport may change, or read
// after it has returned: the caller may change its own then. It returns nil when the call
// has returned, as for a hedge that came too late.
func (x *exchange) clone(ctx context.Context) *http.Request {
	req, u := &x.firstRequest, &x.firstURL
	if !x.firstUsed.CompareAndSwap(false, true) {
		req, u = new(http.Request), new(url.URL)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return nil
	}
	*req = *x.request.WithContext(ctx)
	*u = *req.URL // a url.Userinfo cannot be changed
	req.URL, req.Header = u, req.Header.Clone()
	return req
}

// leave ends the use of the caller's request.
func (x *exchange) leave() {
	x.mu.Lock()
	x.over = true
	x.mu.Unlock()
	x.upload.close()
}

// A bodyError ends the attempts because the body cannot be had again. It is also the
// error of the attempt before.
type bodyError struct{ error, last error }

func (e bodyError) Error() string   { return e.error.Error() + "; last error: " + e.last.Error() }
func (e bodyError) Unwrap() []error { return []error{e.error, e.last} }

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
// observers of the chain, and to callers that asked for it, see [WithStatusErrors].
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
