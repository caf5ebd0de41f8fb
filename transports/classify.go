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
	"strings"
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
	unsent            // all that had no connection: it was not carried out
	unsentOnce        // all, after the first attempt only
)

func (o outcome) verdict(req *http.Request) middleware.Verdict {
	retry := false
	switch o.repeat {
	case never:
	case safe:
		retry = idempotent(req)
	case safeOnce:
		retry = idempotent(req) && firstAttempt(req)
	case unsent:
		// net/http may have sent it before, and by itself once more.
		retry = idempotent(req) || !connected(req)
	case unsentOnce:
		retry = firstAttempt(req)
	}
	return middleware.Verdict{Class: o.class, Retry: retry && replayable(req), Reason: o.reason}
}

// statuses is the table of the statuses of responses, as the package comment shows it.
// The first row that holds the status counts.
var statuses = []struct {
	from, to int
	note     string
	outcome
}{
	{100, 399, "", outcome{middleware.Success, never, ""}},
	{408, 408, "gave up on a slow sender", outcome{middleware.Ignored, safe, "status_4xx"}},
	{421, 421, "misdirected", outcome{middleware.Ignored, safeOnce, "status_4xx"}},
	{425, 425, "too early", outcome{middleware.Ignored, safeOnce, "status_4xx"}},
	{429, 429, "too many requests", outcome{middleware.Throttled, safe, "throttled"}},
	{499, 499, "a proxy's word for a client that left", outcome{middleware.Ignored, safe, "status_4xx"}},
	{400, 498, "others: the caller's mistake", outcome{middleware.Success, never, "status_4xx"}},
	{501, 501, "not implemented", outcome{middleware.Ignored, never, "status_5xx"}},
	{505, 505, "HTTP version", outcome{middleware.Ignored, never, "status_5xx"}},
	{507, 507, "storage is full", outcome{middleware.Failure, never, "status_5xx"}},
	{511, 511, "captive portal", outcome{middleware.Ignored, never, "status_5xx"}},
	{500, 599, "others", outcome{middleware.Failure, safe, "status_5xx"}},
	{-1, -1, "any other number", outcome{middleware.Failure, never, "status_invalid"}},
}

func ofStatus(code int) outcome {
	for _, row := range statuses {
		if row.from <= code && code <= row.to {
			return row.outcome
		}
	}
	return statuses[len(statuses)-1].outcome
}

type failureRow struct {
	condition string
	match     func(*http.Request, error) bool
	outcome
}

// failures is the table of the errors of the base transport, as the package comment shows
// it. The first row that matches counts.
var failures = []failureRow{
	{"time limit of the chain, before there was a connection", both(timedOut, neverSent), outcome{middleware.Failure, unsent, "timeout"}},
	{"time limit of the chain", timedOut, outcome{middleware.Failure, safe, "timeout"}},
	{"the caller cancelled, or its deadline passed", abandoned, outcome{middleware.Ignored, never, "canceled"}},
	{"a policy further in refused it", is[*middleware.Rejection], outcome{middleware.Ignored, never, "rejected"}},
	{"the certificate is not trusted", untrusted, outcome{middleware.Failure, never, "certificate"}},
	{"plain HTTP answer to TLS", plainHTTP, outcome{middleware.Ignored, never, "plain_http"}},
	{"DNS: no such host", unknownHost, outcome{middleware.Failure, never, "dns"}},
	{"DNS: any other error", is[*net.DNSError], outcome{middleware.Failure, unsent, "dns"}},
	{"proxy: no connection through it", network("proxyconnect", "socks connect"), outcome{middleware.Failure, unsent, "proxy"}},
	{"connect: refused, unreachable, timed out", network("dial"), outcome{middleware.Failure, unsent, "connect"}},
	{"TLS: the two do not agree (alert)", network("remote error", "local error"), outcome{middleware.Failure, never, "tls"}},
	{"TLS: the handshake broke", handshakeFailed, outcome{middleware.Failure, unsent, "tls"}},
	{"HTTP/2: the stream was refused, at the first attempt", refusedAtFirst, outcome{middleware.Ignored, unsentOnce, "refused_stream"}},
	{"HTTP/2: the stream was refused again", refused, outcome{middleware.Failure, never, "refused_stream"}},
	{"HTTP/2: the stream was reset", is[streamError], outcome{middleware.Failure, safe, "stream_reset"}},
	{"the response makes no sense", malformedResponse, outcome{middleware.Failure, never, "malformed_response"}},
	{"the body is not as long as ContentLength says", wrongLength, outcome{middleware.Ignored, never, "malformed_request"}},
	{"the request makes no sense", refusedHere, outcome{middleware.Ignored, never, "malformed_request"}},
	{"any other error before there was a connection", neverSent, outcome{middleware.Failure, unsent, "connect"}},
	{"no answer in time (a limit of the transport)", ranOut, outcome{middleware.Failure, safe, "timeout"}},
	{"any other error: the connection broke", anyError, outcome{middleware.Failure, safe, "connection"}},
}

func ofError(req *http.Request, err error) outcome {
	for _, row := range failures {
		if row.match(req, err) {
			return row.outcome
		}
	}
	return outcome{}
}

func both(a, b func(*http.Request, error) bool) func(*http.Request, error) bool {
	return func(req *http.Request, err error) bool { return a(req, err) && b(req, err) }
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
	return firstAttempt(req) && refused(req, err)
}

// malformedResponse goes by the text where net/http has no type for the error.
func malformedResponse(req *http.Request, err error) bool {
	return is[textproto.ProtocolError](req, err) || contains(err,
		"malformed HTTP response", "malformed HTTP status code", "malformed HTTP version", "malformed response from server",
		"bad Content-Length", "unsupported transfer encoding", "too many transfer encodings",
		"server response headers exceeded", "response header list larger than advertised limit")
}

// wrongLength goes by the text, for net/http has no type for it.
func wrongLength(_ *http.Request, err error) bool {
	return contains(err, "http: ContentLength=", "request body larger than specified content length")
}

func contains(err error, texts ...string) bool {
	text := err.Error()
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(text, t) })
}

func ranOut(_ *http.Request, err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func refusedHere(req *http.Request, _ error) bool { return malformed(req) }

func anyError(*http.Request, error) bool { return true }
