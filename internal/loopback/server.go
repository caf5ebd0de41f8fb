package loopback

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience is how long things may take that take no time at all unless something
// is wrong.
const patience = 10 * time.Second

// A Server is a scripted server. It is made by New and safe for concurrent use.
type Server struct {
	// URL is that of the server, without a path.
	URL string

	t           testing.TB
	mode        Mode
	rule        func(Request) Step
	everyStep   bool
	patience    time.Duration
	addr        string
	tls         *tls.Config
	untrusted   *tls.Config
	transport   *http.Transport
	ctx         context.Context //nolint:containedctx // that of everything that runs
	cancel      context.CancelFunc
	group       sync.WaitGroup
	placeholder [2]net.Conn // keeps the port from others while the server is down

	mu          sync.Mutex
	script      *script[Step]
	paths       map[string]*script[Step]
	connections *script[Connection]
	listener    net.Listener // nil while the server is down
	open        map[*conn]struct{}
	served      []int // the number of requests of each connection
	requests    []*exchange
	problems    []string
	changed     chan struct{} // closed and replaced when a connection comes or goes
	closed      bool
}

// New starts a server, which ends with the test.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{
		t: t, patience: patience, addr: "127.0.0.1:0",
		paths: map[string]*script[Step]{}, open: map[*conn]struct{}{}, changed: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, o := range options {
		o.apply(s)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Refused returns the URL of a server that refuses connections, until the end of
// the test.
func Refused(t testing.TB, options ...Option) string {
	t.Helper()
	s := New(t, options...)
	s.Down()
	return s.URL
}

// Transport returns a transport that trusts the server and speaks what it speaks.
// It is the same one each time and may be changed before its first use. It closes
// its idle connections with the server.
func (s *Server) Transport() *http.Transport { return s.transport }

// Down refuses connections, and ends the open ones as if the server had died.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute()
}

// Up accepts connections again, at the same address.
func (s *Server) Up() {
	s.t.Helper()
	if err := s.listenAgain(); err != nil {
		s.t.Error(err)
	}
}

// Close ends the server, its connections and its goroutines, and waits for that.
// A handler that takes no notice of the end of its request makes the test fail
// after some seconds. Close may be called more than once.
func (s *Server) Close() {
	s.t.Helper()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.cancel()
	s.mute()
	s.mu.Unlock()
	s.transport.CloseIdleConnections()
	for _, c := range s.placeholder {
		_ = c.Close()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.group.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(s.patience):
		s.t.Errorf("loopback: a handler still runs %v after its request ended", s.patience)
	}
	for _, p := range s.complaints() {
		s.t.Error("loopback: " + p)
	}
}

// complaints returns what makes the test fail.
func (s *Server) complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := slices.Clone(s.problems)
	if s.everyStep {
		found = append(found, s.connections.unused()...)
		found = append(found, s.script.unused()...)
		for _, path := range slices.Sorted(maps.Keys(s.paths)) {
			found = append(found, s.paths[path].unused()...)
		}
	}
	return found
}

func (s *Server) start() error {
	ours, theirs, err := certificates()
	if err != nil {
		return fmt.Errorf("loopback: making a certificate: %w", err)
	}
	s.tls, s.untrusted, s.transport = s.mode.tls(ours), s.mode.tls(theirs), s.mode.transport(ours)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listen()
}

func (s *Server) listenAgain() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil || s.closed {
		return nil
	}
	return s.listen()
}

// listen opens the port. The lock is held.
func (s *Server) listen() error {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if s.URL == "" {
		s.addr = listener.Addr().String()
		s.URL = "https://" + s.addr
		if s.mode == HTTP1 {
			s.URL = "http://" + s.addr
		}
		if s.placeholder[0], err = new(net.Dialer).DialContext(ctx, "tcp", s.addr); err == nil {
			s.placeholder[1], err = listener.Accept()
		}
		if err != nil {
			_ = listener.Close()
			return fmt.Errorf("loopback: %w", err)
		}
	}
	s.listener = listener
	s.group.Go(func() { s.accept(listener) })
	return nil
}

// mute closes the port and cuts every connection. The lock is held.
func (s *Server) mute() {
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	for c := range s.open {
		_ = c.tcp.Close()
	}
}

// problem notes what makes the test fail when the server is closed.
func (s *Server) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}
