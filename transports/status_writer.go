package transports

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// A statusWriter is a ResponseWriter that notes what was answered. Like those of net/http
// it is for one goroutine at a time.
type statusWriter struct {
	http.ResponseWriter

	status   int // the final one, 0 before it is written
	hijacked bool
}

func (w *statusWriter) answered() bool { return w.status != 0 || w.hijacked }

func (w *statusWriter) wrote(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status)
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.wrote(status)
	}
}

// Write implements [io.Writer].
func (w *statusWriter) Write(p []byte) (int, error) {
	w.wrote(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// WriteString implements [io.StringWriter].
func (w *statusWriter) WriteString(s string) (int, error) {
	w.wrote(http.StatusOK)
	return io.WriteString(w.ResponseWriter, s)
}

// FlushError is what [http.ResponseController] calls to flush. It is there whether or not
// the inner one can flush, so that no flush goes past the statusWriter.
func (w *statusWriter) FlushError() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if !errors.Is(err, http.ErrNotSupported) {
		w.wrote(http.StatusOK)
	}
	return err
}

// Unwrap returns the inner one, for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := w.ResponseWriter.(http.Hijacker).Hijack()
	w.hijacked = w.hijacked || err == nil
	return conn, buffered, err
}

// readFrom leaves the status open when nothing could be read: then net/http has sent
// nothing.
func (w *statusWriter) readFrom(src io.Reader) (int64, error) {
	n, err := w.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
	if n > 0 {
		w.wrote(http.StatusOK)
	}
	return n, err
}

func (w *statusWriter) push(target string, opts *http.PushOptions) error {
	return w.ResponseWriter.(http.Pusher).Push(target, opts)
}

// The abilities that a ResponseWriter may have besides: it flushes (F), hijacks (H),
// pushes (P) and reads from (R). Each writer below has those that its name says. A struct
// of one pointer becomes an interface without an allocation.
type (
	writerF    struct{ *statusWriter }
	writerH    struct{ *statusWriter }
	writerP    struct{ *statusWriter }
	writerR    struct{ *statusWriter }
	writerFH   struct{ writerF }
	writerFP   struct{ writerF }
	writerFR   struct{ writerF }
	writerHP   struct{ writerH }
	writerHR   struct{ writerH }
	writerPR   struct{ writerP }
	writerFHP  struct{ writerFH }
	writerFHR  struct{ writerFH }
	writerFPR  struct{ writerFP }
	writerHPR  struct{ writerHP }
	writerFHPR struct{ writerFHP }
)

func (w writerF) Flush() { _ = w.FlushError() }

func (w writerH) Hijack() (net.Conn, *bufio.ReadWriter, error)  { return w.hijack() }
func (w writerFH) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

func (w writerP) Push(target string, opts *http.PushOptions) error   { return w.push(target, opts) }
func (w writerFP) Push(target string, opts *http.PushOptions) error  { return w.push(target, opts) }
func (w writerHP) Push(target string, opts *http.PushOptions) error  { return w.push(target, opts) }
func (w writerFHP) Push(target string, opts *http.PushOptions) error { return w.push(target, opts) }

func (w writerR) ReadFrom(src io.Reader) (int64, error)    { return w.readFrom(src) }
func (w writerFR) ReadFrom(src io.Reader) (int64, error)   { return w.readFrom(src) }
func (w writerHR) ReadFrom(src io.Reader) (int64, error)   { return w.readFrom(src) }
func (w writerPR) ReadFrom(src io.Reader) (int64, error)   { return w.readFrom(src) }
func (w writerFHR) ReadFrom(src io.Reader) (int64, error)  { return w.readFrom(src) }
func (w writerFPR) ReadFrom(src io.Reader) (int64, error)  { return w.readFrom(src) }
func (w writerHPR) ReadFrom(src io.Reader) (int64, error)  { return w.readFrom(src) }
func (w writerFHPR) ReadFrom(src io.Reader) (int64, error) { return w.readFrom(src) }

// claim returns w with the abilities that the inner one has, and no others: handlers ask
// for them by type assertion.
func (w *statusWriter) claim() http.ResponseWriter {
	_, f := w.ResponseWriter.(http.Flusher)
	_, h := w.ResponseWriter.(http.Hijacker)
	_, p := w.ResponseWriter.(http.Pusher)
	_, r := w.ResponseWriter.(io.ReaderFrom)
	switch [4]bool{f, h, p, r} {
	case [4]bool{true, true, true, true}:
		return writerFHPR{writerFHP{writerFH{writerF{w}}}}
	case [4]bool{true, true, true, false}:
		return writerFHP{writerFH{writerF{w}}}
	case [4]bool{true, true, false, true}:
		return writerFHR{writerFH{writerF{w}}}
	case [4]bool{true, true, false, false}:
		return writerFH{writerF{w}}
	case [4]bool{true, false, true, true}:
		return writerFPR{writerFP{writerF{w}}}
	case [4]bool{true, false, true, false}:
		return writerFP{writerF{w}}
	case [4]bool{true, false, false, true}:
		return writerFR{writerF{w}}
	case [4]bool{true, false, false, false}:
		return writerF{w}
	case [4]bool{false, true, true, true}:
		return writerHPR{writerHP{writerH{w}}}
	case [4]bool{false, true, true, false}:
		return writerHP{writerH{w}}
	case [4]bool{false, true, false, true}:
		return writerHR{writerH{w}}
	case [4]bool{false, true, false, false}:
		return writerH{w}
	case [4]bool{false, false, true, true}:
		return writerPR{writerP{w}}
	case [4]bool{false, false, true, false}:
		return writerP{w}
	case [4]bool{false, false, false, true}:
		return writerR{w}
	default:
		return w
	}
}
