package transports

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Bounds for draining a response that is given up, so that its connection can be
// used again.
const (
	drainBytes = 64 << 10
	drainTime  = 50 * time.Millisecond
)

// A reply is what one attempt brought: a response, if any, and the context that
// its body depends on.
type reply struct {
	response *http.Response
	ctx      context.Context
}

// discard gives up the response. Over HTTP/2 closing it is enough.
func (r reply) discard() {
	resp := r.response
	if resp == nil {
		return
	}
	if keeps(resp) {
		timer := time.AfterFunc(drainTime, func() { _ = resp.Body.Close() })
		_, _ = io.CopyN(io.Discard, resp.Body, drainBytes+1) // reads on to the end that follows the last byte
		timer.Stop()
	}
	_ = resp.Body.Close() // the response is not wanted
}

// keeps reports whether the connection is worth draining the response.
func keeps(resp *http.Response) bool {
	return resp.StatusCode != http.StatusSwitchingProtocols &&
		resp.ProtoMajor < 2 && resp.ContentLength <= drainBytes
}

// deliver returns the response for the caller. The call ends once its body has been
// consumed.
func (x *exchange) deliver(r reply) *http.Response {
	resp := r.response
	// The connection of a switched protocol is the caller's; the attempt is over.
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == http.NoBody {
		x.end()
		return resp
	}
	x.body = body{ReadCloser: resp.Body, exchange: x, ctx: r.ctx, reads: middleware.ReadsOf(r.ctx)}
	resp.Body = x.body.withAbilities()
	switch {
	case isEmpty(resp):
		x.read()
	case x.long:
		x.streamed.Release()
	}
	return resp
}

// isEmpty reports whether the response says that there is nothing to read: net/http's
// HTTP/2 has another body for that than http.NoBody. ContentLength would not do, which other
// transports leave zero.
func isEmpty(resp *http.Response) bool {
	switch {
	case resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		return true
	case resp.Request != nil && resp.Request.Method == http.MethodHead:
		return true
	default:
		return resp.Header.Get("Content-Length") == "0"
	}
}

// A body is the body of a response that the caller reads.
type body struct {
	io.ReadCloser

	exchange *exchange
	ctx      context.Context // of the attempt
	reads    func(begin bool)
}

// withAbilities keeps the other abilities that a body may have, which callers ask for
// by type assertion.
func (b *body) withAbilities() io.ReadCloser {
	w, writes := b.ReadCloser.(io.Writer)
	c, closesWrite := b.ReadCloser.(closeWriter)
	switch {
	case writes && closesWrite:
		return struct {
			*body
			io.Writer
			closeWriter
		}{b, w, c}
	case writes:
		return struct {
			*body
			io.Writer
		}{b, w}
	case closesWrite:
		return struct {
			*body
			closeWriter
		}{b, c}
	default:
		return b
	}
}

type closeWriter interface{ CloseWrite() error }

// Read reports a time limit of the chain as such: the transport only knows that
// its context was cancelled.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.read(p)
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		if cause := context.Cause(b.ctx); errors.Is(cause, middleware.ErrTimeout) {
			err = cause
		}
	}
	b.exchange.read()
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.reads != nil {
		b.reads(true)
		defer b.reads(false)
	}
	return b.ReadCloser.Read(p)
}

// Close closes the inner body before the end of the attempt cancels its context,
// which would make an orderly close look like a broken connection.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.exchange.end()
	return err
}
