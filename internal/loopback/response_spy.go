package loopback

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// A Watch is an http.RoundTripper that counts the bodies of the responses that it
// hands on. It is safe for concurrent use.
type Watch struct {
	Base http.RoundTripper

	opened, closed, drained atomic.Int64
}

// Opened returns how many bodies were handed on.
func (w *Watch) Opened() int { return int(w.opened.Load()) }

// Closed returns how many bodies were closed, however often.
func (w *Watch) Closed() int { return int(w.closed.Load()) }

// Drained returns how many bodies were read to the end or an error.
func (w *Watch) Drained() int { return int(w.drained.Load()) }

// Leaked returns how many bodies were not closed.
func (w *Watch) Leaked() int { return w.Opened() - w.Closed() }

// RoundTrip asks Base.
func (w *Watch) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.Base.RoundTrip(r)
	if resp == nil || resp.Body == nil {
		return resp, err
	}
	w.opened.Add(1)
	watched := &watchedBody{ReadCloser: resp.Body, watch: w}
	if duplex, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = &duplexBody{watched, duplex}
	} else {
		resp.Body = watched
	}
	return resp, err
}

// CloseIdleConnections passes on to Base, if it can do that.
func (w *Watch) CloseIdleConnections() {
	if base, ok := w.Base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

type watchedBody struct {
	io.ReadCloser

	watch         *Watch
	ended, closed atomic.Bool
}

// Read notes the end.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !b.ended.Swap(true) {
		b.watch.drained.Add(1)
	}
	return n, err
}

// Close notes that it was called.
func (b *watchedBody) Close() error {
	if !b.closed.Swap(true) {
		b.watch.closed.Add(1)
	}
	return b.ReadCloser.Close()
}

// A duplexBody is that of a response 101.
type duplexBody struct {
	*watchedBody

	duplex io.Writer
}

// Write writes to the connection.
func (b *duplexBody) Write(p []byte) (int, error) { return b.duplex.Write(p) }

// CloseWrite closes this half of the connection.
func (b *duplexBody) CloseWrite() error {
	if half, ok := b.duplex.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
