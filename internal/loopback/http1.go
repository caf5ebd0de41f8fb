package loopback

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// An http1 writes one response over HTTP/1.
type http1 struct {
	conn    *conn
	in      *bufio.Reader
	method  string
	chunked bool
	headed  bool
	ended   bool
	watched chan struct{} // closed when the client has sent more, or has gone; nil while its body is read
}

// serveHTTP1 serves the requests of one connection.
func serveHTTP1(c *conn, in *bufio.Reader) {
	for {
		request, err := http.ReadRequest(in)
		if err != nil || !serveOne(c, in, request) {
			return
		}
	}
}

// serveOne serves a request and reports whether the connection can have another.
func serveOne(c *conn, in *bufio.Reader, request *http.Request) bool {
	ctx, cancel := context.WithCancel(c.s.ctx)
	defer cancel()
	w := &http1{conn: c, in: in, method: request.Method}
	body := &upload{request: request, from: request.Body, content: newRunning()}
	body.begin = func() {
		if request.Header.Get("Expect") == "100-continue" && !w.headed {
			_ = w.info(http.StatusContinue, nil)
		}
	}
	body.ended = func() { w.watch(cancel) }
	e := &exchange{ctx: ctx, conn: c, request: request, body: body, wire: w}
	c.s.begin(e).play(e)
	if request.Close && w.ended {
		c.finish()
	}
	goesOn := w.ended && !c.finished.Load()
	if goesOn {
		goesOn = e.receive(-1)
	} else if !c.finished.Load() {
		_ = c.tcp.Close()
	}
	if w.watched != nil {
		<-w.watched
	}
	return goesOn
}

// watch waits for the client in the background. It calls gone when the client has
// closed the connection.
func (w *http1) watch(gone context.CancelFunc) {
	if w.watched != nil {
		return
	}
	w.watched = make(chan struct{})
	w.conn.s.group.Go(func() {
		defer close(w.watched)
		if _, err := w.in.Peek(1); err != nil {
			gone()
		}
	})
}

func (w *http1) info(status int, header http.Header) error {
	return w.send(status, header)
}

func (w *http1) head(status int, header http.Header, size int64) error {
	w.headed = true
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	switch {
	case size >= 0 && status != http.StatusNoContent && status != http.StatusSwitchingProtocols:
		header.Set("Content-Length", strconv.FormatInt(size, 10))
	case size < 0 && !bodyless(w.method, status):
		header["Transfer-Encoding"] = []string{"chunked"}
		w.chunked = true
	}
	return w.send(status, header)
}

func (w *http1) send(status int, header http.Header) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = header.Write(&b)
	b.WriteString("\r\n")
	_, err := w.conn.stream.Write(b.Bytes())
	return err
}

func (w *http1) write(p []byte) error {
	if w.chunked {
		p = fmt.Appendf(nil, "%x\r\n%s\r\n", len(p), p)
	}
	_, err := w.conn.stream.Write(p)
	return err
}

func (w *http1) end(trailer http.Header) error {
	w.ended = true
	if !w.chunked {
		return nil
	}
	var b bytes.Buffer
	b.WriteString("0\r\n")
	_ = trailer.Write(&b)
	b.WriteString("\r\n")
	_, err := io.Copy(w.conn.stream, &b)
	return err
}
