// Package loopback serves HTTP on free ports of the loopback interface.
package loopback

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Server answers on a free port of the loopback interface until Close.
type Server struct {
	addr     string
	server   *http.Server
	served   chan error
	handlers sync.WaitGroup
	mu       sync.Mutex // no handler begins while Close waits
}

// Serve starts a server with the given handler, over TLS unless config is nil.
func Serve(handler http.Handler, config *tls.Config) (*Server, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{addr: listener.Addr().String(), served: make(chan error, 1)}
	s.server = &http.Server{
		Handler:           s.count(handler),
		TLSConfig:         config,
		ReadHeaderTimeout: time.Minute,
		// Connections that the demonstration breaks are no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		if config == nil {
			s.served <- s.server.Serve(listener)
		} else {
			s.served <- s.server.ServeTLS(listener, "", "")
		}
	}()
	return s, nil
}

// count lets Close wait for the handlers, which net/http does not.
func (s *Server) count(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.handlers.Add(1)
		s.mu.Unlock()
		defer s.handlers.Done()
		handler.ServeHTTP(w, r)
	})
}

// Addr returns the host and the port that the server listens on.
func (s *Server) Addr() string { return s.addr }

// Close cuts all connections and waits until every handler has returned.
func (s *Server) Close() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers.Wait()
	return err
}
