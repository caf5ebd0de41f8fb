package loopback

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// Handler answers as the handler does. The writer is an http.Flusher. A handler
// that panics with http.ErrAbortHandler resets the stream or the connection; any
// other panic makes the test fail, too. The context of the request ends with it.
func Handler(h http.HandlerFunc) Step { return handler{h} }

type handler struct{ serve http.HandlerFunc }

func (handler) String() string { return "handler" }

func (h handler) play(e *exchange) {
	w := &responder{e: e, header: http.Header{}}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			e.conn.s.problem("a handler panicked: %v", p)
		}
		if e.stream != nil {
			e.stream.reset(2)
		} else {
			e.conn.reset()
		}
	}()
	r := e.request.WithContext(e.ctx)
	r.Body = e.body
	h.serve(w, r)
	w.finish()
}

// unannounced is how many bytes a handler may write before it is certain that the
// length of the body is not announced, unless the handler announces it.
const unannounced = 2048

// A responder is the http.ResponseWriter of a handler.
type responder struct {
	e      *exchange
	header http.Header
	status int // 0: none yet
	held   []byte
	headed bool
}

// Header returns the header that is sent with the first byte of the body, and
// trailers afterwards.
func (w *responder) Header() http.Header { return w.header }

// WriteHeader sets the status, or sends an informational one.
func (w *responder) WriteHeader(status int) {
	switch {
	case status < http.StatusOK:
		_ = w.e.wire.info(status, w.header)
	case w.status == 0:
		w.status = status
	}
}

// Write writes a part of the body.
func (w *responder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if bodyless(w.e.request.Method, w.status) {
		return len(p), nil
	}
	if !w.headed && len(w.held)+len(p) <= unannounced {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	if err := w.commit(-1); err != nil {
		return 0, err
	}
	return len(p), w.e.wire.write(p)
}

// Flush sends what was written.
func (w *responder) Flush() {
	w.WriteHeader(http.StatusOK)
	_ = w.commit(-1)
}

// commit sends the header and what was held back.
func (w *responder) commit(size int64) error {
	if w.headed {
		return nil
	}
	w.headed = true
	header := w.header.Clone()
	if announced, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
		size = announced
	}
	for name := range header {
		if _, ok := w.trailing(name); ok {
			delete(header, name)
		}
	}
	if err := w.e.wire.head(w.status, header, size); err != nil || len(w.held) == 0 {
		return err
	}
	return w.e.wire.write(w.held)
}

func (w *responder) finish() {
	w.WriteHeader(http.StatusOK)
	trailer := w.trailer()
	size := int64(len(w.held))
	if trailer != nil {
		size = -1
	}
	if w.commit(size) == nil {
		_ = w.e.wire.end(trailer)
	}
}

// trailer returns the fields that the handler announced, or named with the prefix.
func (w *responder) trailer() http.Header {
	var found http.Header
	for name, values := range w.header {
		if after, ok := w.trailing(name); ok {
			for _, value := range values {
				found = added(found, after, value)
			}
		}
	}
	return found
}

// trailing returns the name of a field of the trailer, and whether it is one.
func (w *responder) trailing(name string) (string, bool) {
	if after, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
		return after, true
	}
	for _, announced := range w.header.Values("Trailer") {
		for one := range strings.SplitSeq(announced, ",") {
			if strings.EqualFold(strings.TrimSpace(one), name) {
				return name, true
			}
		}
	}
	return name, false
}
