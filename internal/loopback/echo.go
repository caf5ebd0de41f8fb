package loopback

import "io"

// Echo switches to the protocol (101), sends back what it gets, and, when the
// client has closed its half of the connection, the farewell before it closes the
// other half. HTTP/1 only.
func Echo(protocol, farewell string) Step { return echo{protocol, farewell} }

type echo struct{ protocol, farewell string }

func (h echo) String() string { return "switch to " + h.protocol + " and echo" }

func (h echo) play(e *exchange) {
	if !e.needs(HTTP1, "Echo") || !e.receive(-1) {
		return
	}
	w := e.wire.(*http1)
	header := added(added(nil, "Connection", "Upgrade"), "Upgrade", h.protocol)
	if w.head(101, header, 0) != nil {
		return
	}
	<-w.watched
	if _, err := io.Copy(e.conn.stream, w.in); err == nil {
		_, _ = io.WriteString(e.conn.stream, h.farewell)
		e.conn.finish()
	}
}
