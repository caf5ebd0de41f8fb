package loopback

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
)

// A Connection is how a connection begins. The zero value is Serve.
type Connection int

// The beginnings of connections.
const (
	Serve        Connection = iota // requests are read
	Silent                         // accepted, and never answered
	CloseAtOnce                    // accepted and closed (FIN), before or after the client sends something
	ResetAtOnce                    // accepted and reset (RST)
	BreakTLS                       // closed (FIN) after the client's first message of the TLS handshake
	AlertTLS                       // the handshake is refused with an alert, handshake_failure
	UntrustedTLS                   // served with a certificate that the client does not trust
)

// String says in a few words how the connection begins.
func (b Connection) String() string {
	return [...]string{"serve", "silent", "close at once", "reset at once", "break TLS", "refuse TLS", "untrusted"}[b]
}

// A conn is one connection of the server.
type conn struct {
	s      *Server
	number int // from 1
	tcp    *net.TCPConn
	stream net.Conn // tcp or TLS over it

	finished atomic.Bool
}

// accept serves the connections of one listener.
func (s *Server) accept(listener net.Listener) {
	for {
		accepted, err := listener.Accept()
		if err != nil {
			return
		}
		tcp := accepted.(*net.TCPConn)
		c := &conn{s: s, tcp: tcp, stream: tcp}
		s.mu.Lock()
		if s.listener != listener {
			s.mu.Unlock()
			_ = tcp.Close()
			return
		}
		s.served = append(s.served, 0)
		c.number = len(s.served)
		s.open[c] = struct{}{}
		begin := s.connections.take(Serve)
		s.announce()
		s.mu.Unlock()
		s.group.Go(func() { c.run(begin) })
	}
}

// run carries the connection to its end.
func (c *conn) run(begin Connection) {
	defer func() {
		_ = c.tcp.Close()
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		delete(c.s.open, c)
		c.s.announce()
	}()
	config := c.s.tls
	switch begin {
	case Silent:
		c.linger()
		return
	case CloseAtOnce:
		c.finish()
		c.linger()
		return
	case ResetAtOnce:
		c.reset()
		return
	case BreakTLS, AlertTLS:
		c.breakTLS(begin)
		return
	case UntrustedTLS:
		config = c.s.untrusted
	default:
	}
	if c.s.mode != HTTP1 {
		secure := tls.Server(c.tcp, config)
		if secure.HandshakeContext(c.s.ctx) != nil {
			return
		}
		c.stream = secure
	}
	in := bufio.NewReaderSize(c.stream, 64<<10)
	if c.s.mode == HTTP2 {
		newHTTP2(c, in).serve()
	} else {
		serveHTTP1(c, in)
	}
	if c.finished.Load() {
		c.linger()
	}
}

// breakTLS reads the client's hello and ends the handshake.
func (c *conn) breakTLS(how Connection) {
	if c.s.mode == HTTP1 {
		c.s.problem("%v: there is no TLS in mode %v", how, c.s.mode)
		return
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.tcp, head); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, c.tcp, int64(binary.BigEndian.Uint16(head[3:]))); err != nil {
		return
	}
	if how == AlertTLS {
		_, _ = c.tcp.Write([]byte{21, 3, 3, 0, 2, 2, 40}) // a fatal alert, handshake_failure
	}
	c.finish()
	c.linger()
}

// finish tells the client that nothing more comes. What it still sends is read, or
// else the system would reset the connection.
func (c *conn) finish() {
	c.finished.Store(true)
	if secure, ok := c.stream.(*tls.Conn); ok {
		_ = secure.CloseWrite()
	}
	_ = c.tcp.CloseWrite()
}

// reset ends the connection so that the client gets a reset.
func (c *conn) reset() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
}

// linger reads until the client has closed its side too.
func (c *conn) linger() { _, _ = io.Copy(io.Discard, c.tcp) }
