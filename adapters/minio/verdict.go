package minio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// Classify returns what err, the error of a minio-go operation, means to policies
// when the operation is of the given kind. A nil error is a success.
//
// It does not know the context of the operation. Inside the chain a [Client] also
// tells the caller's own cancellation (Ignored) from a timeout of the chain
// (Failure), lets a damaged body be repeated once only, and repeats what went to the
// wrong region or had an expired token by itself, once within the attempt.
func Classify(err error, kind Kind) middleware.Verdict {
	return meaningOf(err).verdict(kind)
}

// A meaning is what an error says, before the kind of the operation is known.
type meaning struct {
	class  middleware.Class
	repeat repeat
	writes bool // it says nothing about reads
	reason string
}

// repeat says which kinds of operations may run again.
type repeat uint8

const (
	never      repeat = iota
	repeatable        // Read and Write
	notRun            // Once too, because nothing was carried out
)

func (m meaning) verdict(kind Kind) middleware.Verdict {
	v := middleware.Verdict{Class: m.class, Reason: m.reason}
	if m.writes && kind == Read {
		v.Class = middleware.Ignored
	}
	switch kind {
	case Read, Write:
		v.Retry = m.repeat != never
	case Once:
		v.Retry = m.repeat == notRun
	default:
	}
	return v
}

var (
	success = meaning{}

	throttled   = meaning{class: middleware.Throttled, repeat: repeatable, reason: "throttled"}
	internal    = meaning{class: middleware.Failure, repeat: repeatable, reason: "status_5xx"}
	unavailable = meaning{class: middleware.Failure, repeat: repeatable, reason: "unavailable"}
	brokenRest  = meaning{class: middleware.Failure, reason: "status_5xx"}
	storageFull = meaning{class: middleware.Failure, writes: true, reason: "storage_full"}
	slowSender  = meaning{class: middleware.Ignored, repeat: repeatable, reason: "request_timeout"}
	damaged     = meaning{class: middleware.Ignored, repeat: repeatable, reason: "damaged_body"}
	conflict    = meaning{class: middleware.Success, repeat: repeatable, reason: "conflict"}
	wrongRegion = meaning{class: middleware.Success, repeat: notRun, reason: "region"}
	expired     = meaning{class: middleware.Ignored, repeat: notRun, reason: "expired_token"}
	denied      = meaning{class: middleware.Success, reason: "denied"}
	clockSkew   = meaning{class: middleware.Ignored, reason: "clock_skew"}
	notFound    = meaning{class: middleware.Success, reason: "not_found"}
	condition   = meaning{class: middleware.Success, reason: "precondition"}
	refused     = meaning{class: middleware.Success, reason: "status_4xx"}

	allFailed = meaning{class: middleware.Failure, reason: "all_failed"}
	network   = meaning{class: middleware.Failure, repeat: repeatable, reason: "network"}
	connect   = meaning{class: middleware.Failure, repeat: notRun, reason: "connect"}
	insecure  = meaning{class: middleware.Failure, reason: "tls"}
	timedOut  = meaning{class: middleware.Failure, repeat: repeatable, reason: "timeout"}
	canceled  = meaning{class: middleware.Ignored, reason: "canceled"}
	rejected  = meaning{class: middleware.Ignored, reason: "rejected"}
	local     = meaning{class: middleware.Ignored, reason: "local"}
	badReader = meaning{class: middleware.Ignored, reason: "reader"}
)

// codes are the S3 error codes whose meaning is not that of their status.
var codes = map[string]meaning{
	"SlowDown":             throttled,
	"SlowDownRead":         throttled,
	"SlowDownWrite":        throttled,
	"RequestLimitExceeded": throttled,
	"RequestThrottled":     throttled,
	"TooManyRequests":      throttled,
	"503 Slow Down":        throttled, // the status of Amazon's answer to a HEAD request

	"InternalError":              internal,
	"ServiceUnavailable":         unavailable,
	"XMinioServerNotInitialized": unavailable,
	"XMinioStorageFull":          storageFull,

	"RequestTimeout":            slowSender,
	"IncompleteBody":            damaged,
	"BadDigest":                 damaged,
	"XAmzContentSHA256Mismatch": damaged,

	"ConditionalRequestConflict": conflict,
	"OperationAborted":           conflict,

	"ExpiredToken":          expired,
	"ExpiredTokenException": expired,
	"InvalidAccessKeyId":    denied,
	"SignatureDoesNotMatch": denied,
	"AccessDenied":          denied,
	"AllAccessDisabled":     denied,
	"RequestTimeTooSkewed":  clockSkew,

	"PreconditionFailed":      condition,
	"MethodNotAllowed":        refused,
	"BucketAlreadyExists":     refused,
	"BucketAlreadyOwnedByYou": refused,
	"BucketNotEmpty":          refused,
	"Conflict":                refused,
	"EntityTooLarge":          refused,
	"EntityTooSmall":          refused,
	"NotImplemented":          refused,
	"APINotSupported":         refused,
}

// families are codes that mean the same because they begin the same.
var families = []struct {
	prefix  string
	meaning meaning
}{
	{"Throttling", throttled},
	{"NoSuch", notFound},
	{"Invalid", refused},
	{"Malformed", refused},
	{"Missing", refused},
}

// statuses decide where the code is unknown, as it always is for the answer to a
// HEAD request: it has no body, and minio-go makes the code from the status.
var statuses = map[int]meaning{
	http.StatusNotModified:         condition,
	http.StatusNotFound:            notFound,
	http.StatusRequestTimeout:      slowSender,
	http.StatusTooManyRequests:     throttled,
	http.StatusInternalServerError: internal,
	http.StatusNotImplemented:      refused,
	http.StatusBadGateway:          internal,
	http.StatusServiceUnavailable:  unavailable,
	http.StatusGatewayTimeout:      internal,
	http.StatusInsufficientStorage: storageFull,
	520:                            internal, // a proxy that got no valid answer
}

func meaningOf(err error) meaning {
	var (
		rejection *middleware.Rejection
		response  minio.ErrorResponse
		broken    *brokenOff
	)
	switch {
	case err == nil:
		return success
	case errors.As(err, &rejection):
		// From a chain inside Options.Transport: around this one it would not be seen.
		if errors.Is(rejection.Reason, middleware.ErrTimeout) {
			return timedOut
		}
		return rejected
	case errors.As(err, &response):
		return meaningOfResponse(response)
	case errors.As(err, &broken):
		return network
	case errors.Is(err, errAllFailed):
		return allFailed
	default:
		return meaningOfNoResponse(err)
	}
}

func meaningOfResponse(r minio.ErrorResponse) meaning {
	switch r.Code {
	case minio.AuthorizationHeaderMalformed, minio.InvalidRegion, minio.AccessDenied:
		if r.Region != "" { // minio-go has noted it for the next request
			return wrongRegion
		}
	}
	m := lookUp(r.Code, r.StatusCode)
	if m == refused && madeLocally(r) {
		return local
	}
	return m
}

func lookUp(code string, status int) meaning {
	if m, ok := codes[code]; ok {
		return m
	}
	for _, f := range families {
		if strings.HasPrefix(code, f.prefix) {
			return f.meaning
		}
	}
	if m, ok := statuses[status]; ok {
		return m
	}
	switch {
	case status >= 500:
		return brokenRest
	case status == 0:
		return local
	default:
		return refused
	}
}

// madeLocally reports whether minio-go made the response itself, about an argument,
// and sent nothing. That must not count as a sign of life of the server.
func madeLocally(r minio.ErrorResponse) bool {
	return r.RequestID == "minio" ||
		r.StatusCode == http.StatusBadRequest && r.RequestID == "" && r.HostID == "" && r.Server == ""
}

func meaningOfNoResponse(err error) meaning {
	var (
		request *url.Error
		timeout net.Error
		syntax  *xml.SyntaxError
		value   *json.SyntaxError
		field   *json.UnmarshalTypeError
		element xml.UnmarshalError
		path    *fs.PathError
		link    *os.LinkError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return canceled
	case isTLS(err):
		return insecure
	case notSent(err):
		return connect
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut
	case errors.As(err, &path), errors.As(err, &link):
		return local // a file of the caller's
	case errors.As(err, &request):
		if request.Op == "parse" {
			return local
		}
		return network
	case errors.As(err, &timeout), errors.As(err, &syntax), errors.As(err, &element), errors.As(err, &value), errors.As(err, &field),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return network // an answer that was cut, or is none of S3
	default:
		// A request that fails gives one of the above, save for some broken answers. What
		// remains was decided here: a bad name, minio-go's own health check, credentials.
		return local
	}
}

// isTLS reports whether the certificate or the protocol is at fault, which another
// attempt does not change.
func isTLS(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		certificate  x509.CertificateInvalidError
		record       tls.RecordHeaderError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) ||
		errors.As(err, &certificate) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch)
}

// notSent reports whether no connection came about, so that the server cannot have
// seen the request.
func notSent(err error) bool {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") || errors.As(err, &dns)
}
