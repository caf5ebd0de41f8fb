package loopback

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// uploadWindow is how much of a body the client may send before it is read.
const uploadWindow = 1 << 20

// connectionWindow is the same for a connection. What was received is given back
// at once, since the windows of the streams bound what is kept.
const connectionWindow = 1 << 30

// An http2 is a connection that speaks HTTP/2.
type http2 struct {
	conn     *conn
	in       *bufio.Reader
	decoder  decoder
	running  sync.WaitGroup // the streams
	received int            // since the window of the connection was opened last
	highest  uint32         // the last stream that the client began

	writing sync.Mutex // held to write a frame

	mu      sync.Mutex
	streams map[uint32]*stream
	window  int64         // what may be sent on all streams
	initial int64         // the window of a new stream
	changed chan struct{} // closed and replaced when a window grows
	gone    bool          // GOAWAY was sent
	served  uint32        // the last stream that it did not refuse
}

func newHTTP2(c *conn, in *bufio.Reader) *http2 {
	return &http2{
		conn: c, in: in, decoder: decoder{limit: dynamicSize}, streams: map[uint32]*stream{},
		window: defaultWindow, initial: defaultWindow, changed: make(chan struct{}),
	}
}

// serve reads frames until the connection ends.
func (h *http2) serve() {
	ctx, cancel := context.WithCancel(h.conn.s.ctx)
	defer h.running.Wait()
	defer h.fail()
	defer cancel()
	start := make([]byte, len(preface))
	if _, err := io.ReadFull(h.in, start); err != nil || string(start) != preface {
		return
	}
	settings := binary.BigEndian.AppendUint16(nil, settingWindow)
	settings = binary.BigEndian.AppendUint32(settings, uploadWindow)
	settings = binary.BigEndian.AppendUint16(settings, settingStreams)
	settings = binary.BigEndian.AppendUint32(settings, 1000)
	_ = h.send(frame{frameSettings, 0, 0, settings})
	_ = h.send(frame{frameWindow, 0, 0, numbers(connectionWindow - defaultWindow)})
	for {
		f, err := readFrame(h.in)
		if err != nil || h.handle(ctx, f) != nil {
			return
		}
	}
}

// fail ends what still waits for the client.
func (h *http2) fail() {
	_ = h.conn.stream.SetWriteDeadline(past)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams {
		s.inbox.end(io.ErrUnexpectedEOF)
	}
}

// send writes a frame.
func (h *http2) send(f frame) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	_, err := h.conn.stream.Write(f.encode())
	return err
}

func (h *http2) handle(ctx context.Context, f frame) error {
	switch f.kind {
	case frameData:
		return h.data(f)
	case frameHeaders:
		return h.headers(ctx, f)
	case frameReset:
		if s := h.stream(f.stream); s != nil {
			s.forget()
			s.inbox.end(io.ErrUnexpectedEOF)
			s.cancel()
		}
	case frameSettings:
		if !f.has(flagAck) {
			return h.settings(f)
		}
	case framePing:
		if !f.has(flagAck) {
			return h.send(frame{framePing, flagAck, 0, f.payload})
		}
	case frameWindow:
		n, err := f.number(0)
		if err != nil {
			return err
		}
		h.grow(f.stream, int64(n))
	}
	return nil
}

func (h *http2) settings(f frame) error {
	for p := f.payload; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) == settingWindow {
			size := int64(binary.BigEndian.Uint32(p[2:]))
			h.mu.Lock()
			grown := size - h.initial
			h.initial = size
			for _, s := range h.streams {
				s.window += grown
			}
			h.announce()
			h.mu.Unlock()
		}
	}
	return h.send(frame{kind: frameSettings, flags: flagAck})
}

// grow opens the window of a stream, or of the connection for 0.
func (h *http2) grow(id uint32, n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.streams[id]; s != nil {
		s.window += n
	} else if id == 0 {
		h.window += n
	}
	h.announce()
}

// announce wakes those that wait for a window. The lock is held.
func (h *http2) announce() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *http2) stream(id uint32) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.streams[id]
}

func (h *http2) data(f frame) error {
	content, err := f.content()
	if err != nil {
		return err
	}
	if h.received += len(f.payload); h.received >= connectionWindow/2 {
		if err := h.send(frame{frameWindow, 0, 0, numbers(uint32(h.received))}); err != nil {
			return err
		}
		h.received = 0
	}
	s := h.stream(f.stream)
	if s == nil {
		return nil // it was reset
	}
	s.inbox.add(content, len(f.payload))
	if f.has(flagEndStream) {
		s.inbox.end(io.EOF)
	}
	return nil
}

// headers begins a request, or ends one with its trailers.
func (h *http2) headers(ctx context.Context, f frame) error {
	coded, err := f.content()
	for last := f; err == nil && !last.has(flagEndHeader); coded = append(coded, last.payload...) {
		if last, err = readFrame(h.in); err == nil && last.kind != frameContinuation {
			err = errFrame
		}
	}
	if err != nil {
		return err
	}
	fields, err := h.decoder.decode(coded)
	if err != nil {
		return err
	}
	if s := h.stream(f.stream); s != nil {
		trailer := http.Header{}
		for _, field := range fields {
			trailer.Add(field.name, field.value)
		}
		s.inbox.finish(trailer)
		return nil
	}
	if f.stream <= h.highest {
		return nil // trailers of a request that was reset
	}
	request, err := newRequest(fields)
	if err != nil {
		return err
	}
	h.highest = f.stream
	h.mu.Lock()
	refused := h.gone && f.stream > h.served
	h.mu.Unlock()
	if !refused && !h.conn.finished.Load() {
		h.start(ctx, f, request)
	}
	return nil
}

// newRequest makes a request of the fields of its header.
func newRequest(fields []field) (*http.Request, error) {
	r := &http.Request{Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}, ContentLength: -1}
	for _, f := range fields {
		switch f.name {
		case ":method":
			r.Method = f.value
		case ":path":
			r.RequestURI = f.value
		case ":authority":
			r.Host = f.value
		case ":scheme":
		default:
			r.Header.Add(f.name, f.value)
		}
	}
	if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil {
		r.ContentLength = n
	}
	var err error
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return nil, err
	}
	return r, nil
}
