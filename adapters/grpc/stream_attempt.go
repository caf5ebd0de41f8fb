package grpc

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/tidegate-go/tidegate/middleware"
)

// A streamAttempt is one attempt to have a stream.
type streamAttempt struct {
	evidence

	ctx    context.Context // that the chain gave it
	cancel context.CancelFunc
	unwait func() bool // ends the wait for the end of ctx
	reads  func(begin bool)
	stream grpc.ClientStream // nil if there never was one
	empty  bool              // it ended in order, without headers

	// Guarded by the lock of the stream.
	opening bool // by interceptors further in, perhaps several times
	ended   bool
	final   *error // nil until it is known
}

// end ends the context of the attempt, and with it what grpc-go has of it.
func (a *streamAttempt) end() {
	if a.unwait != nil {
		a.unwait()
	}
	a.cancel()
}

// receive receives a message for the caller.
func (a *streamAttempt) receive(m any) error {
	if a.reads != nil {
		a.reads(true)
		defer a.reads(false)
	}
	return a.stream.RecvMsg(m)
}

// limited returns the error of a read, or the time limit of the chain that was its cause:
// grpc-go knows of an end of the context and no more.
func (a *streamAttempt) limited(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if code := statusOf(err).Code(); code != codes.Canceled && code != codes.DeadlineExceeded {
		return err
	}
	if cause := context.Cause(a.ctx); errors.Is(cause, middleware.ErrTimeout) {
		return refusalOf(cause)
	}
	return err
}

// A streamContext has the deadline of the caller, which is what the server is told. A limit
// that ends with the headers would end the stream there.
type streamContext struct {
	context.Context

	caller context.Context
}

func (c streamContext) Deadline() (deadline time.Time, ok bool) { return c.caller.Deadline() }

// Run is one attempt: it has the result when the headers have come.
func (s *stream) Run(ctx context.Context) (*streamAttempt, error) {
	if err := s.enter(); err != nil {
		return nil, middleware.Judged(err, superseded)
	}
	a := &streamAttempt{ctx: ctx, reads: middleware.ReadsOf(ctx), opening: true}
	own, cancel := context.WithCancel(ctx)
	a.cancel = cancel
	returned := false
	defer func() {
		if !returned { // a panic, or Goexit: nobody else can
			cancel()
		}
	}()
	err := s.open(own, a)
	returned = true
	once := s.leave(a, err)
	if err == nil {
		a.unwait = context.AfterFunc(ctx, func() { s.finish(a, nil) })
		return a, nil
	}
	o := Outcome{Err: err, Sent: true}
	if e := s.evidenceOf(a); e != nil {
		o.Header, o.Trailer = e.answer()
		o.Sent = a.stream != nil || e.streamed()
	}
	v := s.judge(ctx, o)
	v.Retry = v.Retry && !once
	return a, middleware.Judged(err, v)
}

// Discard gives up the stream of an attempt.
func (s *stream) Discard(a *streamAttempt) {
	if a != nil {
		a.end()
	}
}

// single reports whether there can be no two attempts at the same time. The lock is held.
func (s *stream) single() bool { return s.desc.ClientStreams || s.requested && !s.copied }

func (s *stream) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return errOver
	case s.single() && (s.running || s.spent):
		return errBeside
	}
	s.running = true
	return nil
}

// open opens the stream of an attempt, sends what there is to send and waits for the headers.
func (s *stream) open(ctx context.Context, a *streamAttempt) error {
	ctx = streamContext{Context: s.outgoing(ctx), caller: &s.operation}
	opened, err := s.streamer(ctx, s.desc, s.conn, s.method, s.options(&a.evidence, func(err error) { s.finished(a, err) })...)
	s.mu.Lock()
	a.opening = false
	if err == nil {
		a.finished = false // that was another one
	}
	s.mu.Unlock()
	if err != nil {
		s.finish(a, &err)
		return err
	}
	a.stream = opened
	if err := s.send(a); err != nil {
		return err
	}
	header, err := a.stream.Header()
	if header != nil || err != nil {
		return err
	}
	// There is no message without headers.
	err = a.stream.RecvMsg(new(emptypb.Empty))
	switch {
	case err == nil:
		return errNoHeaders
	case errors.Is(err, io.EOF):
		a.empty, err = true, nil
	}
	s.finish(a, &err)
	return err
}

// send sends the request of a server stream, and has the caller send on other streams.
func (s *stream) send(a *streamAttempt) error {
	s.mu.Lock()
	request, requested := s.request, s.requested
	s.spent = s.spent || requested && !s.copied
	s.mu.Unlock()
	var err error
	if requested {
		err = a.stream.SendMsg(request)
	}
	if err == nil && !s.desc.ClientStreams {
		err = a.stream.CloseSend()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.current, s.ready = a, true
	s.changed.Broadcast()
	s.mu.Unlock()
	return nil
}

// leave ends an attempt. It reports whether there can be no other one.
func (s *stream) leave(a *streamAttempt, err error) (once bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.current = a
		return true
	}
	s.running = false
	if s.current == a {
		s.current = nil
	}
	return s.spent
}
