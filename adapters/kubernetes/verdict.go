package kubernetes

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// Classify returns what err, the error of a call of client-go with that verb, means to
// policies: the table in the package comment. A nil error is a success.
//
// It does not know what [Do] knows: the context of the call, whether it is idempotent
// otherwise, and earlier attempts.
func Classify(err error, verb Verb) middleware.Verdict {
	if err == nil {
		return middleware.Verdict{}
	}
	a := attempt{call: newCall(nil, verb, options{})}
	return middleware.VerdictOf(a.judge(err, meaningOf(err, options{})))
}

// A meaning is what an error says, before the verb of the call is known.
type meaning struct {
	class  middleware.Class
	repeat repeat
	reason string
}

// repeat says which calls may run again.
type repeat uint8

const (
	never   repeat = iota
	reading        // those that change nothing
	safely         // and those that are idempotent: it may have been carried out
	asked          // and others, but for Create: the server asks for it
	hinted         // as safely, and any if the server says when: it was not carried out then
	notRun         // any: it was not carried out
	once           // any, once: it was not carried out
)

// inDoubt reports whether the call may have been carried out although it failed.
func (r repeat) inDoubt() bool { return r != notRun && r != once }

// A row is a line of the table in the package comment.
type row struct {
	condition string
	match     func(error) bool
	meaning
	of func(error) meaning // in place of the meaning, where that depends on the error
}

// rows is the table. The first row that matches counts.
var rows = []row{
	{"a time limit of a chain further in", isTimeoutOfChain, meaning{middleware.Failure, safely, "timeout"}, nil},
	{"a policy of a chain further in", isRejection, meaning{middleware.Ignored, never, "rejected"}, nil},

	{"NotFound", apierrors.IsNotFound, meaning{middleware.Success, never, "not_found"}, nil},
	{"AlreadyExists", apierrors.IsAlreadyExists, meaning{middleware.Success, never, "already_exists"}, nil},
	{"Conflict", apierrors.IsConflict, meaning{middleware.Success, never, "conflict"}, nil},
	{"Gone, Expired", isGone, meaning{middleware.Success, never, "expired"}, nil},
	{"Forbidden", apierrors.IsForbidden, meaning{middleware.Success, never, "forbidden"}, nil},
	{"Unauthorized", apierrors.IsUnauthorized, meaning{middleware.Success, once, "unauthorized"}, nil},
	{"TooManyRequests because of a disruption budget", isDisruption, meaning{middleware.Success, never, "disruption_budget"}, nil},
	{"TooManyRequests", apierrors.IsTooManyRequests, meaning{middleware.Throttled, notRun, "throttled"}, nil},
	{"ServerTimeout", apierrors.IsServerTimeout, meaning{middleware.Failure, asked, "server_timeout"}, nil},
	{"Timeout", apierrors.IsTimeout, meaning{middleware.Failure, safely, "timeout"}, nil},
	{"ServiceUnavailable", apierrors.IsServiceUnavailable, meaning{middleware.Failure, hinted, "unavailable"}, nil},
	{"of an admission webhook", isWebhook, meaning{middleware.Failure, reading, "webhook"}, nil},
	{"any other answer with 5xx", isServerError, meaning{middleware.Failure, reading, "status_5xx"}, nil},
	{"any other answer", isStatus, meaning{middleware.Success, never, "status_4xx"}, nil},

	{"the limiter of client-go", isClientLimiter, meaning{middleware.Ignored, never, "client_limiter"}, nil},
	{"a credential plugin", isPlugin, meaning{middleware.Ignored, never, "credentials"}, nil},
	{"the connection, by the table of package transports", isConnection, meaning{}, ofConnection},
	{"any other error: not the server's", anyError, meaning{middleware.Ignored, never, "local"}, nil},
}

// meaningOf finds the row of an error.
func meaningOf(err error, o options) meaning {
	for _, row := range rows {
		if row.match(err) {
			m := row.meaning
			if row.of != nil {
				m = row.of(err)
			}
			if o.ignoreWebhooks && m.reason == "webhook" || o.ignoreCertificates && m.reason == "certificate" {
				m.class = middleware.Ignored
			}
			return m
		}
	}
	return meaning{}
}

// meaningOfEnd is that of an error whose context had ended: the error may say anything.
func meaningOfEnd(ctx context.Context, err error) meaning {
	switch {
	case !errors.Is(context.Cause(ctx), middleware.ErrTimeout):
		return meaning{middleware.Ignored, never, "canceled"}
	case ofConnection(err).repeat == notRun:
		return meaning{middleware.Failure, notRun, "timeout"}
	default:
		return meaning{middleware.Failure, safely, "timeout"}
	}
}

// delayOf returns how long the server asks to wait, 0 if it does not say.
func delayOf(err error) time.Duration {
	seconds, _ := apierrors.SuggestsClientDelay(err)
	return time.Duration(seconds) * time.Second
}

func statusOf(err error) (metav1.Status, bool) {
	var s apierrors.APIStatus
	if !errors.As(err, &s) {
		return metav1.Status{}, false
	}
	return s.Status(), true
}

func isStatus(err error) bool {
	_, ok := statusOf(err)
	return ok
}

func isServerError(err error) bool {
	s, ok := statusOf(err)
	return ok && s.Code >= http.StatusInternalServerError
}

func isGone(err error) bool { return apierrors.IsGone(err) || apierrors.IsResourceExpired(err) }

func isDisruption(err error) bool {
	return apierrors.IsTooManyRequests(err) && apierrors.HasStatusCause(err, "DisruptionBudget")
}

// isWebhook goes by the text: the server has no type for it.
func isWebhook(err error) bool {
	s, ok := statusOf(err)
	return ok && s.Code == http.StatusInternalServerError && strings.Contains(s.Message, "failed calling webhook")
}

func isTimeoutOfChain(err error) bool {
	return isRejection(err) && errors.Is(err, middleware.ErrTimeout)
}

// isClientLimiter goes by the text: client-go has no type for it.
func isClientLimiter(err error) bool {
	return strings.HasPrefix(err.Error(), "client rate limiter Wait returned an error: ")
}

// isPlugin goes by the text: client-go has no type for it.
func isPlugin(err error) bool { return strings.HasPrefix(cause(err).Error(), "getting credentials: ") }

// isConnection reports whether the error is of sending a request or of reading its answer.
func isConnection(err error) bool {
	return is[*url.Error](err) || is[net.Error](err) || is[streamError](err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// ofConnection is what package transports says of an error, for requests that may be
// repeated and for others.
func ofConnection(err error) meaning {
	v := transports.Classify(reads, nil, cause(err))
	m := meaning{v.Class, never, v.Reason}
	switch {
	case transports.Classify(writes, nil, cause(err)).Retry:
		m.repeat = notRun
	case v.Retry:
		m.repeat = safely
	}
	return m
}

// reads and writes stand for requests of which no more is known.
var (
	reads  = requestWith(http.MethodGet)
	writes = requestWith(http.MethodPost)
)

func requestWith(method string) *http.Request {
	return &http.Request{Method: method, URL: &url.URL{Scheme: "https", Host: "kubernetes"}, Header: http.Header{}}
}

// cause returns the error in one of http.Client, which claims to be of the network whatever
// is in it, and in one that was settled.
func cause(err error) error {
	if s, ok := errors.AsType[*settled](err); ok {
		return s.error
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// A streamError receives the HTTP/2 stream error of net/http, whose method As fills any
// struct with the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "HTTP/2 stream error" }

func anyError(error) bool { return true }
