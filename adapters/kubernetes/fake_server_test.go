package kubernetes_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
)

// A server serves a handler over pipes, so that it also works in virtual time: real
// HTTP/1 connections, one for each request, without a network. Faults come from a
// script in front of the handler.
type server struct {
	handler   http.Handler
	transport *http.Transport
	conns     chan net.Conn
	closed    chan struct{}
	open      sync.WaitGroup // connections at the server's end

	mu       sync.Mutex
	script   func(n int, r *http.Request) *fault
	requests []request
	struck   map[string]int
	peers    map[*pipeEnd]bool // the server's ends of open connections
	down     time.Time         // until then no connection is accepted
	dials    int
}

// A request is what the server saw of one.
type request struct {
	method, path, query, authorization, contentType string
}

// serve returns a running server of handler, which ends with the test.
func serve(t *testing.T, handler http.Handler) *server {
	s := &server{
		handler: handler, conns: make(chan net.Conn), closed: make(chan struct{}),
		struck: map[string]int{}, peers: map[*pipeEnd]bool{},
	}
	s.transport = &http.Transport{
		DialContext: s.dial, DialTLSContext: s.dial, DisableCompression: true,
		DisableKeepAlives: true, // net/http repeats a request on a connection used before
	}
	web := &http.Server{Handler: s, ErrorLog: quiet, ConnState: func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch state {
		case http.StateNew:
			s.open.Add(1)
			s.peers[c.(*pipeEnd)] = true
		case http.StateClosed, http.StateHijacked:
			delete(s.peers, c.(*pipeEnd))
			s.open.Done()
		default:
		}
	}}
	served := make(chan struct{})
	go func() { defer close(served); web.Serve(s) }()
	t.Cleanup(func() {
		s.transport.CloseIdleConnections()
		web.Close()
		<-served
		s.open.Wait()
	})
	return s
}

var quiet = log.New(io.Discard, "", 0)

// config returns the configuration of a client of s. It has no limiter of its own.
func (s *server) config() *rest.Config {
	return &rest.Config{
		Host: "https://kube.test", Transport: s.transport, QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON},
	}
}

// connect returns a client whose requests pass chain.
func (s *server) connect(t *testing.T, chain *middleware.Chain, opts ...adapter.Option) client.Interface {
	t.Helper()
	return clientFor(t, adapter.Wrap(s.config(), chain, opts...))
}

func clientFor(t *testing.T, config *rest.Config) client.Interface {
	t.Helper()
	c, err := client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plan makes script choose the fault of each further request, nil for none. n counts
// requests from 1.
func (s *server) plan(script func(n int, r *http.Request) *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// always makes every further request meet f.
func (s *server) always(f *fault) { s.plan(func(int, *http.Request) *fault { return f }) }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, request{
		r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("Content-Type"),
	})
	var f *fault
	if s.script != nil {
		f = s.script(len(s.requests), r)
	}
	if f != nil {
		s.struck[f.name]++
	}
	s.mu.Unlock()
	if f != nil {
		f.strike(s, w, r)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// seen returns the requests so far.
func (s *server) seen() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.requests...)
}

// strikes returns how many requests met a fault.
func (s *server) strikes(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.struck[name]
}

// wantRequests checks how many requests came since the last call.
func (s *server) wantRequests(t *testing.T, want int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := len(s.requests); got != want {
		t.Errorf("the server saw %d requests, want %d: %v", got, want, s.requests)
	}
	s.requests = nil
}

// cut ends all connections in the middle of whatever they carry.
func (s *server) cut() {
	s.mu.Lock()
	ends := s.peers
	s.peers = map[*pipeEnd]bool{}
	s.mu.Unlock()
	for end := range ends {
		end.Close()
	}
}

// restart is what clients see of a server that starts anew: their connections end, none
// is accepted for a while, and the history of a's changes is gone.
func (s *server) restart(a *api, down time.Duration) {
	s.mu.Lock()
	s.down = time.Now().Add(down)
	s.struck["restart"]++
	s.mu.Unlock()
	a.forget()
	s.cut()
}

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	s.dials++
	down := time.Now().Before(s.down)
	if down {
		s.struck["refused"]++
	}
	s.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	near, far := net.Pipe()
	reset := new(atomic.Bool)
	select {
	case s.conns <- &pipeEnd{far, reset}:
		return &pipeEnd{near, reset}, nil
	case <-s.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener, and so do Close and Addr.
func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

func (s *server) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// A pipeEnd is one end of a connection that can be reset.
type pipeEnd struct {
	net.Conn
	reset *atomic.Bool // shared by both ends
}

func (c *pipeEnd) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.reset.Load() {
		err = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return n, err
}

// loopback serves handler over TLS and HTTP/2 on 127.0.0.1, and returns the configuration
// of a client too.
func loopback(t *testing.T, handler http.Handler) (*httptest.Server, *rest.Config) {
	web := httptest.NewUnstartedServer(handler)
	web.EnableHTTP2 = true
	web.Config.ErrorLog = quiet
	web.StartTLS()
	t.Cleanup(web.Close)
	return web, &rest.Config{
		Host: web.URL, QPS: -1, Transport: web.Client().Transport,
		ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON},
	}
}
