package transports

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Classify judges an attempt. A [Transport] uses it unless [WithClassifier] says
// otherwise. req is the request as the attempt sent it, with the context of the
// attempt; one of resp and err is given. It reads no body and changes nothing.
//
// A server error (5xx), a connection that failed and a time limit of the chain are
// Failures, 429 is Throttled, and what the caller got wrong (most of 4xx) or gave
// up counts against nobody. Retry follows from the method, the headers and what is
// known about how far the request came; it is never true for a request whose body
// cannot be had again. After comes from Retry-After, on 429 and 503.
func Classify(req *http.Request, resp *http.Response, err error) middleware.Verdict {
	switch {
	case err != nil:
		return ofError(req, err).verdict(req)
	case resp == nil:
		return outcome{middleware.Failure, never, "no_response"}.verdict(req)
	}
	v := ofStatus(resp.StatusCode).verdict(req)
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		v.After = retryAfter(resp.Header, time.Now())
	}
	return v
}

// An outcome is what a status or an error means for any request.
type outcome struct {
	class  middleware.Class
	repeat repeat
	reason string
}

// repeat says which requests may be sent again. A request that cannot be sent
// twice at all never is.
type repeat uint8

const (
	never      repeat = iota
	safe              // idempotent ones: it may have been carried out
	safeOnce          // idempotent ones, after the first attempt only
	unsent            // all: it was not carried out
	unsentOnce        // all, after the first attempt only
)

func (o outcome) verdict(req *http.Request) middleware.Verdict {
	retry := false
	switch o.repeat {
	case never:
	case safe:
		retry = idempotent(req)
	case safeOnce:
		retry = idempotent(req) && middleware.Attempt(req.Context()) == 1
	case unsent:
		retry = true
	case unsentOnce:
		retry = middleware.Attempt(req.Context()) == 1
	}
	return middleware.Verdict{Class: o.class, Retry: retry && replayable(req), Reason: o.reason}
}

// statuses is the table of the statuses of responses. The first row that holds
// the status counts; a status in no row is not one of HTTP.
var statuses = []struct {
	from, to int
	outcome
}{
	{100, 399, outcome{middleware.Success, never, ""}},
	{408, 408, outcome{middleware.Ignored, safe, "status_4xx"}},     // gave up on a slow sender
	{421, 421, outcome{middleware.Ignored, safeOnce, "status_4xx"}}, // misdirected
	{425, 425, outcome{middleware.Ignored, safeOnce, "status_4xx"}}, // too early
	{429, 429, outcome{middleware.Throttled, safe, "throttled"}},
	{499, 499, outcome{middleware.Ignored, safe, "status_4xx"}}, // a proxy's word for a client that left
	{400, 498, outcome{middleware.Success, never, "status_4xx"}},
	{501, 501, outcome{middleware.Ignored, never, "status_5xx"}}, // not implemented
	{505, 505, outcome{middleware.Ignored, never, "status_5xx"}}, // HTTP version
	{511, 511, outcome{middleware.Ignored, never, "status_5xx"}}, // captive portal
	{507, 507, outcome{middleware.Failure, never, "status_5xx"}}, // storage is full
	{500, 599, outcome{middleware.Failure, safe, "status_5xx"}},
}

func ofStatus(code int) outcome {
	for _, row := range statuses {
		if row.from <= code && code <= row.to {
			return row.outcome
		}
	}
	return outcome{middleware.Failure, never, "status_invalid"}
}

// failures is the table of the errors of the base transport. The first row that
// matches counts.
var failures = []struct {
	match func(*http.Request, error) bool
	outcome
}{
	{timedOut, outcome{middleware.Failure, safe, "timeout"}}, // by a policy of the chain
	{abandoned, outcome{middleware.Ignored, never, "canceled"}},
	{is[*middleware.Rejection], outcome{middleware.Ignored, never, "rejected"}}, // by a chain further in
	{untrusted, outcome{middleware.Failure, never, "certificate"}},
	{plainHTTP, outcome{middleware.Ignored, never, "plain_http"}},
	{unknownHost, outcome{middleware.Failure, never, "dns"}},
	{is[*net.DNSError], outcome{middleware.Failure, unsent, "dns"}},
	{network("proxyconnect", "socks connect"), outcome{middleware.Failure, unsent, "proxy"}},
	{network("dial"), outcome{middleware.Failure, unsent, "connect"}},
	{network("remote error", "local error"), outcome{middleware.Failure, never, "tls"}}, // alerts: the two do not agree
	{handshakeFailed, outcome{middleware.Failure, unsent, "tls"}},
	{refusedAtFirst, outcome{middleware.Ignored, unsentOnce, "refused_stream"}},
	{refused, outcome{middleware.Failure, never, "refused_stream"}},
	{is[streamError], outcome{middleware.Failure, safe, "stream_reset"}},
	{is[textproto.ProtocolError], outcome{middleware.Failure, never, "malformed_response"}},
	{refusedHere, outcome{middleware.Ignored, never, "malformed_request"}},
	{anyError, outcome{middleware.Failure, safe, "connection"}}, // the connection broke, or did not answer in time
}

func ofError(req *http.Request, err error) outcome {
	for _, row := range failures {
		if row.match(req, err) {
			return row.outcome
		}
	}
	return outcome{}
}

func is[E error](_ *http.Request, err error) bool {
	var target E
	return errors.As(err, &target)
}

// timedOut and abandoned tell by the context who ended the attempt. The error
// itself may say anything then.
func timedOut(req *http.Request, _ error) bool {
	return errors.Is(context.Cause(req.Context()), middleware.ErrTimeout)
}

func abandoned(req *http.Request, _ error) bool {
	select {
	case <-req.Cancel:
		return true
	default:
		return req.Context().Err() != nil
	}
}

func untrusted(req *http.Request, err error) bool {
	return is[*tls.CertificateVerificationError](req, err) ||
		is[x509.UnknownAuthorityError](req, err) ||
		is[x509.HostnameError](req, err) ||
		is[x509.CertificateInvalidError](req, err) ||
		is[x509.SystemRootsError](req, err)
}

func plainHTTP(req *http.Request, err error) bool {
	return is[tls.RecordHeaderError](req, err) || errors.Is(err, http.ErrSchemeMismatch)
}

func unknownHost(_ *http.Request, err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// network matches a *net.OpError of one of the operations.
func network(ops ...string) func(*http.Request, error) bool {
	return func(_ *http.Request, err error) bool {
		var op *net.OpError
		return errors.As(err, &op) && slices.Contains(ops, op.Op)
	}
}

// A streamError receives the HTTP/2 stream error of net/http, whose method As
// fills any struct with the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "HTTP/2 stream error" }

// refused: the server promises that it did not begin to process the stream.
func refused(_ *http.Request, err error) bool {
	const refusedStream = 7
	var stream streamError
	return errors.As(err, &stream) && stream.Code == refusedStream
}

func refusedAtFirst(req *http.Request, err error) bool {
	return middleware.Attempt(req.Context()) == 1 && refused(req, err)
}

func refusedHere(req *http.Request, _ error) bool { return malformed(req) }

func anyError(*http.Request, error) bool { return true }
