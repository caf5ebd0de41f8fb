package loopback

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"
)

// past is a deadline that ends what runs.
var past = time.Unix(1, 0)

// A stream is one of HTTP/2: a request and the response to it. It is a wire.
type stream struct {
	http2  *http2
	id     uint32
	ctx    context.Context //nolint:containedctx // ends with the stream
	cancel context.CancelFunc
	inbox  *inbox
	method string
	headed bool // the status was sent
	ended  bool // the response was sent, or the stream reset

	window int64 // what may be sent; under the lock of the connection
}

// start runs what is to be done with a request.
func (h *http2) start(ctx context.Context, f frame, request *http.Request) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{http2: h, id: f.stream, ctx: ctx, cancel: cancel, method: request.Method}
	s.inbox = newInbox(func(n int) { _ = h.send(frame{frameWindow, 0, s.id, numbers(uint32(n))}) })
	body := &upload{request: request, from: s.inbox, content: newRunning(), ended: func() {}}
	body.begin = func() {
		if request.Header.Get("Expect") == "100-continue" && !s.headed {
			_ = s.info(http.StatusContinue, nil)
		}
	}
	s.inbox.request = request
	if f.has(flagEndStream) {
		request.ContentLength = 0
		s.inbox.end(io.EOF)
	}
	h.mu.Lock()
	s.window = h.initial
	h.streams[s.id] = s
	h.mu.Unlock()
	e := &exchange{ctx: ctx, conn: h.conn, request: request, body: body, wire: s, stream: s}
	step := h.conn.s.begin(e)
	h.running.Go(func() {
		defer cancel()
		defer s.forget()
		step.play(e)
		if s.ended {
			e.receive(-1)
		} else if ctx.Err() == nil && !h.conn.finished.Load() {
			s.reset(codeInternal)
		}
	})
}

const codeInternal = 2

func (s *stream) forget() {
	s.http2.mu.Lock()
	defer s.http2.mu.Unlock()
	delete(s.http2.streams, s.id)
}

// reset ends the stream with a code.
func (s *stream) reset(code uint32) {
	s.ended = true
	_ = s.http2.send(frame{frameReset, 0, s.id, numbers(code)})
	s.forget()
	s.inbox.end(io.ErrUnexpectedEOF)
}

// abandon leaves the stream and all later ones unprocessed.
func (s *stream) abandon(code uint32) {
	s.ended = true
	s.http2.goAway(max(s.id, 2)-2, code)
	s.forget()
	s.inbox.end(io.ErrUnexpectedEOF)
}

// last leaves later streams unprocessed.
func (s *stream) last() { s.http2.goAway(s.id, 0) }

// goAway sends GOAWAY. Streams up to that one are served.
func (h *http2) goAway(last, code uint32) {
	h.mu.Lock()
	h.gone, h.served = true, last
	h.mu.Unlock()
	_ = h.send(frame{frameGoAway, 0, 0, numbers(last, code)})
}

func (s *stream) info(status int, header http.Header) error {
	return s.sendHeaders(status, header, 0)
}

func (s *stream) head(status int, header http.Header, size int64) error {
	s.headed = true
	if size >= 0 && status != http.StatusNoContent {
		header = header.Clone()
		if header == nil {
			header = http.Header{}
		}
		header.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	if !bodyless(s.method, status) {
		return s.sendHeaders(status, header, 0)
	}
	s.ended = true
	return s.sendHeaders(status, header, flagEndStream)
}

// sendHeaders sends a header, or a trailer for the status 0.
func (s *stream) sendHeaders(status int, header http.Header, flags byte) error {
	coded := encodeHeader(status, header)
	s.http2.writing.Lock()
	defer s.http2.writing.Unlock()
	kind := byte(frameHeaders)
	for {
		part := coded[:min(len(coded), largestFrame)]
		if coded = coded[len(part):]; len(coded) == 0 {
			flags |= flagEndHeader
		}
		if _, err := s.http2.conn.stream.Write(frame{kind, flags, s.id, part}.encode()); err != nil || len(coded) == 0 {
			return err
		}
		kind, flags = frameContinuation, 0
	}
}

func (s *stream) write(p []byte) error {
	for len(p) > 0 {
		n, err := s.room(len(p))
		if err != nil {
			return err
		}
		if err := s.http2.send(frame{frameData, 0, s.id, p[:n]}); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// room waits until some of n bytes may be sent and takes the place for them.
func (s *stream) room(n int) (int, error) {
	h := s.http2
	for {
		h.mu.Lock()
		free := min(int64(n), h.window, s.window, largestFrame)
		if free > 0 {
			h.window -= free
			s.window -= free
		}
		changed := h.changed
		h.mu.Unlock()
		if free > 0 && s.ctx.Err() == nil {
			return int(free), nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
}

func (s *stream) end(trailer http.Header) error {
	if s.ended {
		return nil
	}
	s.ended = true
	if trailer != nil {
		return s.sendHeaders(0, trailer, flagEndStream)
	}
	return s.http2.send(frame{frameData, flagEndStream, s.id, nil})
}
