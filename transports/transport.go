package transports

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tidegate-go/tidegate/middleware"
)

var (
	errNilRequest  = errors.New("transports: the request is nil")
	errNilURL      = errors.New("transports: the request has no URL")
	errNilDefault  = errors.New("transports: there is no base transport: http.DefaultTransport is nil")
	errOwnDefault  = errors.New("transports: http.DefaultTransport is this Transport itself: give New the transport that was there before")
	errNilResponse = errors.New("transports: the base transport returned neither a response nor an error")
)

// A Transport is an [http.RoundTripper] that sends each request through a chain
// of policies.
//
// The context of a request that it sends names the operation (see
// [middleware.OperationOf]): the method, unless the caller's context has a name;
// as key the scheme, the host and the port, in lower case and with the port
// always written out: "https://example.com:443", unless [WithKey] says otherwise; and
// whether it may be sent twice.
//
// An error is the one of the base transport, or a [*middleware.Rejection] when a
// policy refused or ended the request. http.Client wraps it in a *url.Error, which
// errors.Is and errors.As see through.
//
// The zero Transport is http.DefaultTransport without policies. A Transport is
// safe for concurrent use; like its base it should be made once and kept.
type Transport struct {
	base  http.RoundTripper
	chain *middleware.Chain
	options

	servers keyCache
}

// New returns a Transport that sends requests through chain and then base. A nil
// base is http.DefaultTransport, looked up at each request. A nil chain has no
// policies.
func New(base http.RoundTripper, chain *middleware.Chain, opts ...Option) *Transport {
	if t, ok := base.(*http.Transport); ok && t == nil {
		base = nil
	}
	t := &Transport{base: base, chain: chain}
	for _, opt := range opts {
		if opt != nil {
			opt(&t.options)
		}
	}
	return t
}

// Client returns a copy of c whose requests go through chain, each redirect on its
// own, and then through the transport of c. A nil c is the zero http.Client.
func Client(c *http.Client, chain *middleware.Chain, opts ...Option) *http.Client {
	var wrapped http.Client
	if c != nil {
		wrapped = *c
	}
	wrapped.Transport = New(wrapped.Transport, chain, opts...)
	return &wrapped
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req == nil {
		return nil, errNilRequest
	}
	base, err := t.resolve()
	if err == nil && req.URL == nil {
		err = errNilURL
	}
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if skips(req.Context()) {
		return base.RoundTrip(req)
	}
	x := &exchange{transport: t, base: base, request: req}
	defer x.leave()
	delivered := false
	defer func() {
		if !delivered {
			x.end()
		}
	}()
	x.begin()
	got, err := x.do()
	if got.response == nil {
		if err == nil {
			err = fmt.Errorf("transports: a policy of chain %q let the request succeed without a response", t.chain.Name())
		}
		return nil, err
	}
	if err != nil && t.statusErrors {
		got.discard()
		return nil, err
	}
	delivered = true
	// An error that came with the response was one for the policies alone.
	return x.deliver(got), nil
}

// CloseIdleConnections closes the idle connections of the base transport, if it
// can.
func (t *Transport) CloseIdleConnections() {
	base, err := t.resolve()
	if err != nil {
		return
	}
	if c, ok := base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// WrappedRoundTripper returns the base transport. Kubernetes looks for it.
func (t *Transport) WrappedRoundTripper() http.RoundTripper {
	if t.base != nil {
		return t.base
	}
	return http.DefaultTransport
}

// Unwrap is WrappedRoundTripper by its other common name.
func (t *Transport) Unwrap() http.RoundTripper { return t.WrappedRoundTripper() }

func (t *Transport) resolve() (http.RoundTripper, error) {
	base := t.WrappedRoundTripper()
	switch base {
	case nil:
		return nil, errNilDefault
	case http.RoundTripper(t):
		return nil, errOwnDefault
	default:
		return base, nil
	}
}

// withCancel returns a context that also ends when ch, an http.Request.Cancel,
// is closed. Policies wait on contexts only, and http.Client.Timeout uses both. stop ends
// the watch without ending the context.
func withCancel(parent context.Context, ch <-chan struct{}) (ctx context.Context, stop, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(parent)
	watch, stop := context.WithCancel(ctx)
	go func() {
		select {
		case <-ch:
			cancel()
		case <-watch.Done():
		}
	}()
	return ctx, stop, cancel
}
