package grpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate-go/tidegate/middleware"
)

var (
	errSendAfterClose = status.Error(codes.Internal, "SendMsg called after CloseSend")
	errNoHeaders      = status.Error(codes.Internal, "grpc: a message came without headers")
)

// A stream is one stream of the caller: the grpc.ClientStream that it has. Its policies run
// on a goroutine of their own, until the server's headers have come, while the caller may
// send.
type stream struct {
	call

	desc     *grpc.StreamDesc
	streamer grpc.Streamer
	streamed middleware.Streamed[*streamAttempt]
	released sync.Once   // what is held has been given back
	told     atomic.Bool // the caller knows of the end

	mu        sync.Mutex
	changed   sync.Cond
	started   bool
	request   any  // of a server stream
	requested bool // there is one
	copied    bool // it is a copy that no caller changes
	running   bool // an attempt that has to be the only one
	spent     bool // something was sent that cannot be sent again
	ready     bool // an attempt has had a stream
	current   *streamAttempt
	delivered *streamAttempt // the caller's, or that of its error
	over      bool           // the policies have ended
	err       error
	raise     func() // what the policies did instead of returning
}

// start begins to run the policies, unless they do already. The lock is not held.
func (s *stream) start() {
	s.mu.Lock()
	started := s.started
	s.started = true
	s.mu.Unlock()
	if !started {
		go s.run()
	}
}

func (s *stream) run() {
	var a *streamAttempt
	var err error
	returned := false
	defer func() {
		value := recover()
		var raise func()
		switch {
		case returned:
		case value != nil:
			raise = func() { panic(value) }
		default:
			raise = runtime.Goexit
		}
		s.settle(a, err, raise)
	}()
	a, err = s.streamed.Do(&s.operation, s.client.chain, s)
	if err = refusalOf(err); a == nil && err == nil {
		err = withoutAttempt(s.client.chain)
	}
	returned = true
}

// settle ends the policies' part. It lets go of a stream that has ended by now before anybody
// hears of the end.
func (s *stream) settle(a *streamAttempt, err error, raise func()) {
	s.mu.Lock()
	s.delivered, s.err, s.raise, s.request = a, err, raise, nil
	ended := a == nil || a.ended || err != nil
	telling := raise == nil && (a == nil || err != nil || a.final != nil)
	s.mu.Unlock()
	if ended {
		s.release(a)
	}
	if telling {
		if err == nil {
			err = a.limited(*a.final)
		}
		s.tell(a, err)
	}
	s.mu.Lock()
	s.over = true
	s.changed.Broadcast()
	s.mu.Unlock()
}

// release gives back what is held for the stream. When it returns that is done, whoever does
// it.
func (s *stream) release(a *streamAttempt) {
	s.released.Do(func() {
		s.streamed.Close()
		if a != nil {
			a.end()
		}
	})
}

// tell tells the caller that the stream has ended.
func (s *stream) tell(a *streamAttempt, err error) {
	if s.told.CompareAndSwap(false, true) {
		s.report(s.evidenceOf(a), err)
	}
}

// evidenceOf returns the evidence of an attempt once grpc-go writes to it no more, and before
// that nil.
func (s *stream) evidenceOf(a *streamAttempt) *evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a == nil || !a.finished {
		return nil
	}
	return &a.evidence
}

// finished is what grpc-go calls when it has nothing more to write of an attempt.
func (s *stream) finished(a *streamAttempt, err error) {
	s.mu.Lock()
	a.finished = true
	opening := a.opening
	s.mu.Unlock()
	if !opening { // else it need not be the attempt that has ended
		s.finish(a, &err)
	}
}

// finish says that the stream of an attempt has ended, and lets go of it if it is the
// caller's. Only who knows how it ended gives final.
func (s *stream) finish(a *streamAttempt, final *error) {
	s.mu.Lock()
	a.ended = true
	if a.final == nil {
		a.final = final
	}
	final = a.final // of who knew first
	mine := s.delivered == a
	s.mu.Unlock()
	if !mine {
		return
	}
	s.release(a)
	if final != nil {
		s.tell(a, a.limited(*final))
	}
}

// opened waits until an attempt has had a stream, and returns the error if none will.
func (s *stream) opened() error {
	s.mu.Lock()
	for !s.ready && !s.over {
		s.changed.Wait()
	}
	ready, err, raise := s.ready, s.err, s.raise
	s.mu.Unlock()
	switch {
	case ready:
		return nil
	case raise != nil:
		raise()
	}
	return err
}

// result waits until the policies have ended. They begin with the caller's request, or when
// the caller gives up without one.
func (s *stream) result() (*streamAttempt, error) {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	if !started {
		defer context.AfterFunc(s.operation.Context, s.start)()
	}
	s.mu.Lock()
	for !s.over {
		s.changed.Wait()
	}
	a, err, raise := s.delivered, s.err, s.raise
	s.mu.Unlock()
	if raise != nil {
		raise()
	}
	return a, err
}

// taker waits for the attempt that takes what the caller sends. From then on there is no
// other one. It returns nil if the stream has ended.
func (s *stream) taker() *streamAttempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.current == nil && !s.over {
		s.changed.Wait()
	}
	s.spent = s.spent || s.current != nil
	return s.current
}

// SendMsg implements [grpc.ClientStream].
func (s *stream) SendMsg(m any) error {
	if s.desc.ClientStreams {
		if a := s.taker(); a != nil {
			return a.stream.SendMsg(m)
		}
		return io.EOF // RecvMsg says more
	}
	s.mu.Lock()
	begun := s.started
	if !begun {
		s.started, s.requested, s.request = true, true, m
		if message, ok := messageOf(m); ok {
			s.request, s.copied = proto.Clone(message), true
		}
	}
	s.mu.Unlock()
	if begun {
		return errSendAfterClose
	}
	go s.run()
	return s.opened()
}

// CloseSend implements [grpc.ClientStream].
func (s *stream) CloseSend() error {
	if !s.desc.ClientStreams {
		s.start() // unless SendMsg has, which an attempt follows by CloseSend
	} else if a := s.taker(); a != nil {
		return a.stream.CloseSend()
	}
	return nil // RecvMsg says more
}

// RecvMsg implements [grpc.ClientStream].
func (s *stream) RecvMsg(m any) error {
	a, err := s.result()
	switch {
	case err != nil:
		return err
	case a.empty:
		return io.EOF
	}
	err = a.receive(m)
	if err == nil && s.desc.ServerStreams {
		return nil
	}
	final := err
	if errors.Is(err, io.EOF) {
		final = nil
	}
	s.finish(a, &final)
	return a.limited(err)
}

// Header implements [grpc.ClientStream].
func (s *stream) Header() (metadata.MD, error) {
	a, err := s.result()
	if err != nil || a.empty {
		return nil, nil //nolint:nilerr,nilnil // as grpc-go has it: RecvMsg says more
	}
	return a.stream.Header()
}

// Trailer implements [grpc.ClientStream].
func (s *stream) Trailer() metadata.MD {
	s.mu.Lock()
	a := s.delivered
	s.mu.Unlock()
	if a == nil || a.stream == nil {
		return nil
	}
	return a.stream.Trailer()
}

// Context implements [grpc.ClientStream].
func (s *stream) Context() context.Context {
	s.mu.Lock()
	a := s.delivered
	s.mu.Unlock()
	if a == nil || a.stream == nil {
		return s.operation.Context
	}
	return a.stream.Context()
}
