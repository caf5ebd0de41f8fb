package loopback

import "testing"

// A Mode is what a server speaks. It is an Option. The zero value is HTTP1.
type Mode int

// The modes.
const (
	HTTP1  Mode = iota // HTTP/1.1 in clear text
	HTTPS1             // HTTP/1.1 over TLS
	HTTP2              // HTTP/2 over TLS
)

// String returns "HTTP/1", "HTTPS/1" or "HTTP/2".
func (m Mode) String() string { return [...]string{"HTTP/1", "HTTPS/1", "HTTP/2"}[m] }

func (m Mode) apply(s *Server) { s.mode = m }

// Each runs a test in every mode.
func Each(t *testing.T, test func(t *testing.T, mode Mode)) {
	t.Helper()
	for _, mode := range []Mode{HTTP1, HTTPS1, HTTP2} {
		t.Run(mode.String(), func(t *testing.T) { test(t, mode) })
	}
}
