package transports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

var errNilFallback = errors.New("transports: the alternative of WithFallback returned neither a response nor an error")

// WithFallback sets what to do in place of a request that failed: to ask another server, or
// to answer from what is at hand. A policies.Fallback in the chain decides when, see
// [middleware.CallOr]; in a chain without one every request is an error.
//
// alternative gets a copy of the caller's request, which it may change and send. The body is
// there if it can be had again, see [WithReplay]; else reading it is an error. cause is what
// failed; a response that is no success is an error with a method StatusCode() int.
//
// A response that it returns is the caller's, whatever its status. When it returns cause, or
// another error, the caller gets the response that came with cause, if there is one, and
// else that error. alternative must be safe for concurrent use. Nil changes nothing.
func WithFallback(alternative func(req *http.Request, cause error) (*http.Response, error)) Option {
	return func(o *options) { o.fallback = alternative }
}

// do sends the request through the chain.
func (x *exchange) do() (reply, error) {
	if x.transport.fallback == nil {
		return x.streamed.Do(x, x.transport.chain, x)
	}
	return x.streamed.DoOr(x, x.transport.chain, exchangeOr{x})
}

// An exchangeOr is an exchange that has an alternative.
type exchangeOr struct{ *exchange }

// Alternative holds the alternative to the contract of http.RoundTripper.
func (x exchangeOr) Alternative(ctx context.Context, cause error) (reply, error) {
	req := x.clone(ctx)
	if req == nil {
		return reply{}, errOver
	}
	x.give(req, x.upload.later(ctx), x.upload.again())
	resp, err := x.transport.fallback(req, cause)
	switch {
	case err != nil:
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close() // err says more
		}
		return reply{}, err
	case resp == nil:
		return reply{}, errNilFallback
	}
	complete(resp, req)
	return reply{resp, ctx}, nil
}

// complete fills in what a response that was made by hand may lack.
func complete(resp *http.Response, req *http.Request) {
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	if resp.Request == nil {
		resp.Request = req
	}
}

// again returns what gives further bodies, if anything.
func (u *upload) again() func() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.getBody
}

// later returns a body that is taken when somebody reads it: an alternative often does not.
func (u *upload) later(ctx context.Context) io.ReadCloser {
	if u.body == nil || u.body == http.NoBody {
		return u.body
	}
	return &laterBody{open: func() (io.ReadCloser, error) {
		body, _, err := u.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("transports: the body of the request: %w", err)
		}
		return body, nil
	}}
}

// A laterBody is opened by the first Read.
type laterBody struct {
	open func() (io.ReadCloser, error)

	mu     sync.Mutex
	body   io.ReadCloser
	err    error
	closed bool
}

func (b *laterBody) Read(p []byte) (int, error) {
	body, err := b.opened()
	if err != nil {
		return 0, err
	}
	return body.Read(p)
}

func (b *laterBody) opened() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, http.ErrBodyReadAfterClose
	case b.body == nil && b.err == nil:
		b.body, b.err = b.open()
	}
	return b.body, b.err
}

func (b *laterBody) Close() error {
	b.mu.Lock()
	body := b.body
	b.closed = true
	b.mu.Unlock()
	if body == nil {
		return nil
	}
	return body.Close()
}
