package loopback

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// A Step is what the server does with one request: an Answer, an Ending, Handler,
// Echo, IfReused. Steps are values that may be used again.
type Step interface {
	fmt.Stringer

	play(e *exchange)
}

// An exchange is one request and what becomes of it.
type exchange struct {
	ctx     context.Context //nolint:containedctx // ends with the request
	conn    *conn
	request *http.Request
	noted   Request
	body    *upload
	wire    wire
	stream  *stream // nil over HTTP/1
}

// A wire writes one response.
type wire interface {
	info(status int, header http.Header) error
	head(status int, header http.Header, size int64) error // size -1: not announced
	write(p []byte) error
	end(trailer http.Header) error
}

// receive reads the body of the request, or as much of it as is wanted. It reports
// whether that came.
func (e *exchange) receive(limit int64) bool {
	if limit < 0 {
		_, err := io.Copy(io.Discard, e.body)
		return err == nil
	}
	_, err := io.CopyN(io.Discard, e.body, limit)
	return err == nil
}

// await waits for a value or the end of the channel, and reports whether that came
// before the end of the request.
func (e *exchange) await(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-e.ctx.Done():
		return false
	}
}

// An Ending is a way not to answer. By itself it comes after the whole request; in
// Answer.Cut, in the middle of the response.
type Ending struct {
	name  string
	after int64 // bytes of the body; -1: all
	end   func(e *exchange)
}

// After ends after that many bytes of the body of the request. The rest stays
// unread, unless the ending needs it.
func (n Ending) After(bytes int64) Ending {
	n.after = bytes
	return n
}

// String says how it ends.
func (n Ending) String() string { return n.name }

func (n Ending) play(e *exchange) {
	if e.receive(n.after) {
		n.end(e)
	}
}

// Close closes the connection (FIN), after close_notify if there is TLS. What the
// client still sends is dropped, without a reset.
func Close() Ending { return Ending{"close", -1, func(e *exchange) { e.conn.finish() }} }

// Reset resets the connection (RST). A client that reads gets ECONNRESET, unless it
// wrote at the same moment, as clients of HTTP/2 do: then the write got it, and the
// reader an EOF.
func Reset() Ending { return Ending{"reset", -1, func(e *exchange) { e.conn.reset() }} }

// Hang never does anything. It ends with the request: when the client closes the
// connection or resets the stream. Over HTTP/1 it does not notice that before the
// whole request was received.
func Hang() Ending { return Ending{"hang", -1, func(e *exchange) { <-e.ctx.Done() }} }

// Raw writes the text instead of a response and closes the connection. HTTP/1
// only.
func Raw(text string) Ending {
	return Ending{"raw text", -1, func(e *exchange) {
		if e.needs(HTTP1, "Raw") {
			_, _ = io.WriteString(e.conn.stream, text)
			e.conn.finish()
		}
	}}
}

// ResetStream resets the stream with one of the codes of RFC 9113 (7 is
// REFUSED_STREAM, 2 INTERNAL_ERROR, 8 CANCEL, 11 ENHANCE_YOUR_CALM). The
// connection stays. HTTP/2 only.
func ResetStream(code uint32) Ending {
	return Ending{fmt.Sprintf("reset the stream with %d", code), -1, func(e *exchange) {
		if e.needs(HTTP2, "ResetStream") {
			e.stream.reset(code)
		}
	}}
}

// GoAway says that the request and later ones on the connection are left
// unprocessed, with one of the codes of RFC 9113 (0 is NO_ERROR). Earlier requests
// go on, and the client is to close the connection. HTTP/2 only.
func GoAway(code uint32) Ending {
	return Ending{fmt.Sprintf("go away with %d", code), -1, func(e *exchange) {
		if e.needs(HTTP2, "GoAway") {
			e.stream.abandon(code)
		}
	}}
}

// IfReused does one thing with a request that is not the first on its connection,
// and another with one that is.
func IfReused(reused, first Step) Step { return ifReused{reused, first} }

type ifReused struct{ reused, first Step }

func (i ifReused) String() string { return fmt.Sprintf("%v if reused, else %v", i.reused, i.first) }

func (i ifReused) play(e *exchange) {
	if e.noted.OnConnection > 1 {
		i.reused.play(e)
	} else {
		i.first.play(e)
	}
}

// needs reports whether the step can be done in the mode of the server. If not,
// the test fails.
func (e *exchange) needs(protocol Mode, step string) bool {
	if (protocol == HTTP2) == (e.stream != nil) {
		return true
	}
	e.conn.s.problem("%s needs %v, and the server speaks %v", step, protocol, e.conn.s.mode)
	e.conn.reset()
	return false
}
