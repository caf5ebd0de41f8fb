package observability

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
)

// networkType names what went wrong on the network, in a word, or returns "". The
// Go type says less: *net.OpError is every such failure.
func networkType(err error) string {
	switch {
	case is[*net.DNSError](err):
		return "name_resolution"
	case is[*tls.CertificateVerificationError](err):
		return "certificate"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection_refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection_reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected_eof"
	default:
		return ""
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
