package loopback

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// An Answer is a response. Its methods return changed copies. The zero value is no
// answer; use Status or OK.
type Answer struct {
	status   int
	header   http.Header
	text     string
	size     int64 // of a generated body; 0: the text is the body, -1: endless
	chunked  bool
	trailer  http.Header
	announce bool
	infos    []info
	after    int64 // bytes of the request; -1: all
	hold     <-chan struct{}
	pauses   []pause
	piece    int64
	next     <-chan struct{}
	cut      int64 // -1: nowhere
	ending   Ending
	last     bool
}

type info struct {
	status int
	header http.Header
}

type pause struct {
	at    int64
	until <-chan struct{}
}

// Status answers with the status and no body.
func Status(code int) Answer { return Answer{status: code, after: -1, cut: -1} }

// OK answers 200 with the body.
func OK(body string) Answer { return Status(http.StatusOK).Body(body) }

// Header adds a field to the header.
func (a Answer) Header(name, value string) Answer {
	a.header = added(a.header, name, value)
	return a
}

// Body sets the body.
func (a Answer) Body(text string) Answer {
	a.text, a.size = text, 0
	return a
}

// Size sets a body of that many bytes, those of Generate.
func (a Answer) Size(bytes int64) Answer {
	a.text, a.size = "", bytes
	return a
}

// Endless sets a body that has no end.
func (a Answer) Endless() Answer { return a.Size(-1) }

// Chunked does not announce the length of the body.
func (a Answer) Chunked() Answer {
	a.chunked = true
	return a
}

// Trailer adds a field to the trailers, which are announced if one of them was
// added with announce.
func (a Answer) Trailer(name, value string, announce bool) Answer {
	a.trailer = added(a.trailer, name, value)
	a.announce = a.announce || announce
	return a
}

// Info sends an informational response before this one: 103 Early Hints, say.
func (a Answer) Info(status int, name, value string) Answer {
	a.infos = append(slices.Clip(a.infos), info{status, added(nil, name, value)})
	return a
}

// After answers after that many bytes of the body of the request instead of all.
// The rest is read afterwards.
func (a Answer) After(bytes int64) Answer {
	a.after = bytes
	return a
}

// Hold waits before the answer, informational ones included, until the channel
// gives a value or is closed.
func (a Answer) Hold(until <-chan struct{}) Answer {
	a.hold = until
	return a
}

// Pause waits after so many bytes of the body, until the channel gives a value or
// is closed. What comes before has been sent. There may be several.
func (a Answer) Pause(at int64, until <-chan struct{}) Answer {
	a.pauses = append(slices.Clip(a.pauses), pause{at, until})
	return a
}

// Trickle sends the body in pieces. Each but the first waits until the channel
// gives a value or is closed.
func (a Answer) Trickle(piece int64, next <-chan struct{}) Answer {
	a.piece, a.next = piece, next
	return a
}

// Cut sends no more than so many bytes of the body, and then ends it in another
// way than was promised. After a Reset the client may not see all of the bytes.
func (a Answer) Cut(at int64, ending Ending) Answer {
	a.cut, a.ending = at, ending
	return a
}

// Last announces that this is the last response on the connection. Over HTTP/1 the
// server closes it then; over HTTP/2 it sends GOAWAY before the response, and the
// client is to close it.
func (a Answer) Last() Answer {
	a.last = true
	return a
}

// String says what is answered.
func (a Answer) String() string { return fmt.Sprintf("status %d", a.status) }

func (a Answer) play(e *exchange) {
	if e.receive(a.after) && (a.hold == nil || e.await(a.hold)) && a.begin(e) == nil && a.send(e) {
		_ = e.wire.end(a.trailer)
		if a.last && e.stream == nil {
			e.conn.finish()
		}
	}
}

// begin sends what comes before the body.
func (a Answer) begin(e *exchange) error {
	for _, i := range a.infos {
		if err := e.wire.info(i.status, i.header); err != nil {
			return err
		}
	}
	header := a.header.Clone()
	if a.announce {
		for name := range a.trailer {
			header = added(header, "Trailer", name)
		}
	}
	if a.last {
		if e.stream == nil {
			header = added(header, "Connection", "close")
		} else {
			e.stream.last()
		}
	}
	size := a.size
	if size == 0 {
		size = int64(len(a.text))
	}
	if a.chunked || a.trailer != nil {
		size = -1
	}
	return e.wire.head(a.status, header, size)
}

// send sends the body and reports whether it came to its end.
func (a Answer) send(e *exchange) bool {
	if bodyless(e.request.Method, a.status) {
		return true
	}
	body := io.Reader(strings.NewReader(a.text))
	if a.size != 0 {
		body = Generate(a.size)
	}
	buffer := make([]byte, 32<<10)
	for at := int64(0); ; {
		if !a.stop(e, at) {
			return false
		}
		n, err := body.Read(buffer[:a.room(at, int64(len(buffer)))])
		if n > 0 && e.wire.write(buffer[:n]) != nil {
			return false
		}
		if err != nil {
			return true
		}
		at += int64(n)
	}
}

// stop does what is to be done after so many bytes. It reports whether to go on.
func (a Answer) stop(e *exchange, at int64) bool {
	for _, p := range a.pauses {
		if p.at == at && !e.await(p.until) {
			return false
		}
	}
	if a.piece > 0 && at > 0 && at%a.piece == 0 && !e.await(a.next) {
		return false
	}
	if a.cut == at {
		a.ending.end(e)
		return false
	}
	return true
}

// room returns how many bytes come before the next stop, or most.
func (a Answer) room(at, most int64) int64 {
	for _, p := range a.pauses {
		if p.at > at {
			most = min(most, p.at-at)
		}
	}
	if a.piece > 0 {
		most = min(most, a.piece-at%a.piece)
	}
	if a.cut > at {
		most = min(most, a.cut-at)
	}
	return most
}

// added returns a copy of the header with one more field.
func added(header http.Header, name, value string) http.Header {
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	header.Add(name, value)
	return header
}

func bodyless(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}
