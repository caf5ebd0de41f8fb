package transports

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// evidence is what the hooks of an attempt saw, where the type of an error does
// not tell whether the request was sent: a reset connection may have ended the
// TLS handshake or the wait for the response, and a dial that was refused may have been
// for the second time that net/http sent it.
type evidence struct {
	asked     atomic.Bool           // the transport looked for a connection
	connected atomic.Bool           // and got one
	handshake atomic.Pointer[error] // that of a failed TLS handshake
}

type evidenceKey struct{}

// needsEvidence reports whether evidence can change a verdict. Tracing costs
// allocations, and idempotent requests are repeated without it.
func (x *exchange) needsEvidence() bool { return !x.idempotent }

func withEvidence(ctx context.Context) context.Context {
	e := new(evidence)
	ctx = context.WithValue(ctx, evidenceKey{}, e)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { e.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { e.connected.Store(true) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				e.handshake.Store(&err)
				return
			}
			// A protocol that the user has added to net/http may not call GotConn.
			e.connected.Store(true)
		},
	})
}

func evidenceOf(req *http.Request) *evidence {
	e, _ := req.Context().Value(evidenceKey{}).(*evidence)
	return e
}

// connected reports whether the attempt is known to have had a connection.
func connected(req *http.Request) bool {
	e := evidenceOf(req)
	return e != nil && e.connected.Load()
}

// handshakeFailed reports whether err is that of the TLS handshake which was to
// carry the request. Hooks that did not fire prove nothing: a custom transport
// fires none, and a connection may be dialled for another request. So it must be
// the same error.
func handshakeFailed(req *http.Request, err error) bool {
	e := evidenceOf(req)
	if e == nil || e.connected.Load() {
		return false
	}
	failed := e.handshake.Load()
	return failed != nil && errors.Is(err, *failed)
}

// neverSent reports whether the transport looked for a connection and had none when it
// gave up. net/http calls both hooks on the goroutine of RoundTrip, before it writes
// anything; of a protocol that the user has added to it by TLSNextProto that is known only
// of new connections.
func neverSent(req *http.Request, _ error) bool {
	e := evidenceOf(req)
	return e != nil && e.asked.Load() && !e.connected.Load()
}
