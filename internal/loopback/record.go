package loopback

import (
	"net/http"
	"slices"
	"time"
)

// A Request is what the server knows of a request. In what Rule gets, nothing of
// the body has been received yet.
type Request struct {
	Number       int // of the request, from 1
	Connection   int // the number of its connection, from 1
	OnConnection int // the number of the request on its connection, from 1

	Method  string
	Path    string // with the query, as it was sent
	Host    string
	Proto   string
	Header  http.Header
	Trailer http.Header // nil until the end of the body

	Length   int64 // the announced length of the body, -1 for unknown
	Body     Sum   // what was received of the body so far
	Complete bool  // the body was received to its end
}

// Requests returns what is known now of all requests, in the order in which their
// headers arrived.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]Request, 0, len(s.requests))
	for _, e := range s.requests {
		found = append(found, e.known())
	}
	return found
}

// Count returns how many requests have arrived, those that were refused included.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// Opened returns how many connections were opened.
func (s *Server) Opened() int { return len(s.PerConnection()) }

// PerConnection returns how many requests have arrived on each connection, in the
// order in which they were accepted.
func (s *Server) PerConnection() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.served)
}

// Open returns how many connections are open now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// WantOpen waits until as many connections are open. The test fails if that does
// not come soon.
func (s *Server) WantOpen(want int) {
	s.t.Helper()
	s.await("connections are open", want, func() int { return len(s.open) })
}

// WantCount waits until as many requests have arrived. The test fails if that does
// not come soon.
func (s *Server) WantCount(want int) {
	s.t.Helper()
	s.await("requests have arrived", want, func() int { return len(s.requests) })
}

// await waits for a number that is read under the lock.
func (s *Server) await(what string, want int, number func() int) {
	s.t.Helper()
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	for {
		s.mu.Lock()
		got, changed := number(), s.changed
		s.mu.Unlock()
		if got == want {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			s.t.Errorf("loopback: %d %s after %v, want %d", got, what, s.patience, want)
			return
		}
	}
}

// announce wakes those that wait for a number. The lock is held.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// begin notes a request and says what is to be done with it.
func (s *Server) begin(e *exchange) Step {
	s.note(e)
	if s.rule != nil {
		if step := s.rule(e.known()); step != nil {
			return step
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.paths[e.request.URL.Path]; own != nil {
		return own.take(OK(""))
	}
	return s.script.take(OK(""))
}

// note counts a request.
func (s *Server) note(e *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served[e.conn.number-1]++
	r := e.request
	e.noted = Request{
		Number: len(s.requests) + 1, Connection: e.conn.number, OnConnection: s.served[e.conn.number-1],
		Method: r.Method, Path: r.RequestURI, Host: r.Host, Proto: r.Proto,
		Header: r.Header.Clone(), Length: r.ContentLength,
	}
	s.requests = append(s.requests, e)
	s.announce()
}

// known returns what is known of the request now.
func (e *exchange) known() Request {
	r := e.noted
	e.body.describe(&r)
	return r
}
