package transports

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

const (
	success   = middleware.Success
	failure   = middleware.Failure
	throttled = middleware.Throttled
	ignored   = middleware.Ignored
)

// A judgement is the verdict on an attempt, and which attempts may be repeated.
type judgement struct {
	class    middleware.Class
	reason   string
	get      bool // a GET
	getAgain bool // a GET that was repeated already
	post     bool
}

// judge asks for all of it. prepare changes the request of the attempt, if it is not nil.
func judge(t *testing.T, prepare func(*http.Request) *http.Request, resp *http.Response, err error) judgement {
	t.Helper()
	ask := func(method string, attempt int, again bool) middleware.Verdict {
		ctx := t.Context()
		if attempt > 1 {
			ctx = middleware.WithAttempt(ctx, attempt)
		}
		req, failed := http.NewRequestWithContext(ctx, method, "http://example.com", strings.NewReader("x"))
		if failed != nil {
			t.Fatal(failed)
		}
		if !again {
			req.GetBody = nil
		}
		if prepare != nil {
			req = prepare(req)
		}
		return Classify(req, resp, err)
	}
	get := ask(http.MethodGet, 1, true)
	got := judgement{
		class: get.Class, reason: get.Reason, get: get.Retry,
		getAgain: ask(http.MethodGet, 2, true).Retry, post: ask(http.MethodPost, 1, true).Retry,
	}
	if ask(http.MethodGet, 1, false).Retry || ask(http.MethodPost, 1, false).Retry {
		t.Error("a request whose body is gone may be repeated")
	}
	return got
}

func TestEachStatusIsJudgedAsTheTableSays(t *testing.T) {
	want := make(map[int]judgement)
	for _, row := range []struct {
		statuses []int
		judgement
	}{
		{[]int{100, 101, 103, 200, 204, 206, 299, 300, 301, 304, 307, 308, 399}, judgement{class: success}},
		{[]int{400, 401, 402, 403, 404, 405, 409, 410, 412, 413, 415, 418, 422, 423, 424, 426, 428, 431, 451, 498}, judgement{class: success, reason: "status_4xx"}},
		{[]int{408, 499}, judgement{class: ignored, get: true, getAgain: true, reason: "status_4xx"}},
		{[]int{421, 425}, judgement{class: ignored, get: true, reason: "status_4xx"}},
		{[]int{429}, judgement{class: throttled, get: true, getAgain: true, reason: "throttled"}},
		{[]int{500, 502, 503, 504, 520, 521, 522, 523, 524, 599}, judgement{class: failure, get: true, getAgain: true, reason: "status_5xx"}},
		{[]int{501, 505, 511}, judgement{class: ignored, reason: "status_5xx"}},
		{[]int{507}, judgement{class: failure, reason: "status_5xx"}},
		{[]int{0, -1, 99, 600, 999}, judgement{class: failure, reason: "status_invalid"}},
	} {
		for _, status := range row.statuses {
			want[status] = row.judgement
		}
	}
	for status, j := range want {
		if got := judge(t, nil, &http.Response{StatusCode: status}, nil); got != j {
			t.Errorf("%d: %+v, want %+v", status, got, j)
		}
	}
	for _, row := range statuses { // each row is in use
		if _, tested := want[row.from]; !tested || row.from > 0 && ofStatus(row.from) != row.outcome {
			t.Errorf("the row %d-%d has no test, or one before it hides it", row.from, row.to)
		}
	}
	for status := 100; status < 600; status++ { // reason and class hang together
		o := ofStatus(status)
		if (o.class == success) != (status < 400 || o.reason == "status_4xx" && o.repeat == never) {
			t.Errorf("%d: %+v", status, o)
		}
	}
	if got, want := judge(t, nil, nil, nil), (judgement{class: failure, reason: "no_response"}); got != want {
		t.Errorf("neither response nor error: %+v", got)
	}
}

// failedTimeout is a net.Error, as of a response header timeout.
type failedTimeout struct{}

func (failedTimeout) Error() string   { return "x" }
func (failedTimeout) Timeout() bool   { return true }
func (failedTimeout) Temporary() bool { return true }

// A bundledError behaves like the stream error of the HTTP/2 code in net/http.
type bundledError struct{ code uint32 }

func (bundledError) Error() string { return "x" }

func (e bundledError) As(target any) bool {
	s, ok := target.(*streamError)
	if ok {
		s.Code = e.code
	}
	return ok
}

// The requests of attempts whose context had ended, and that left evidence.
func ended(cause error) func(*http.Request) *http.Request {
	return func(r *http.Request) *http.Request {
		ctx, cancel := context.WithCancelCause(r.Context())
		cancel(cause)
		return r.WithContext(ctx)
	}
}

func traced(hooks ...func(*httptrace.ClientTrace)) func(*http.Request) *http.Request {
	return func(r *http.Request) *http.Request {
		r = r.WithContext(withEvidence(r.Context()))
		for _, hook := range hooks {
			hook(httptrace.ContextClientTrace(r.Context()))
		}
		return r
	}
}

func asked(c *httptrace.ClientTrace)   { c.GetConn("example.com:80") }
func gotConn(c *httptrace.ClientTrace) { c.GotConn(httptrace.GotConnInfo{}) }
func shook(c *httptrace.ClientTrace)   { c.TLSHandshakeDone(tls.ConnectionState{}, nil) }
func broke(c *httptrace.ClientTrace)   { c.TLSHandshakeDone(tls.ConnectionState{}, errHandshake) }

var (
	errHandshake = errors.New("reset by peer")
	errLimit     = &middleware.Rejection{Reason: middleware.ErrTimeout}
)

func TestEachErrorIsJudgedAsTheTableSays(t *testing.T) {
	unsent := func(reason string) judgement {
		return judgement{class: failure, get: true, post: true, getAgain: true, reason: reason}
	}
	sent := func(reason string) judgement {
		return judgement{class: failure, get: true, getAgain: true, reason: reason}
	}
	final := func(class middleware.Class, reason string) judgement { return judgement{class: class, reason: reason} }
	operation := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	then := func(a, b func(*http.Request) *http.Request) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request { return b(a(r)) }
	}
	tested := make(map[string]bool)
	for _, row := range []struct {
		condition, name string
		prepare         func(*http.Request) *http.Request
		err             error
		want            judgement
	}{
		{"time limit of the chain, before there was a connection", "dialling", then(traced(asked), ended(errLimit)), io.EOF, unsent("timeout")},
		{"time limit of the chain", "no evidence", ended(errLimit), context.Canceled, sent("timeout")},
		{"time limit of the chain", "whatever the error says", ended(errLimit), operation("dial", errors.New("x")), sent("timeout")},
		{"time limit of the chain", "connected", then(traced(asked, gotConn), ended(errLimit)), io.EOF, sent("timeout")},
		{"time limit of the chain", "hooks that did not fire", then(traced(), ended(errLimit)), io.EOF, sent("timeout")},
		{"the caller cancelled, or its deadline passed", "cancelled", ended(nil), io.EOF, final(ignored, "canceled")},
		{"the caller cancelled, or its deadline passed", "deadline", ended(context.DeadlineExceeded), errLimit, final(ignored, "canceled")},
		{"the caller cancelled, or its deadline passed", "dialling", then(traced(asked), ended(nil)), io.EOF, final(ignored, "canceled")},
		{"the caller cancelled, or its deadline passed", "Request.Cancel", func(r *http.Request) *http.Request {
			closed := make(chan struct{})
			close(closed)
			r.Cancel = closed
			return r
		}, io.EOF, final(ignored, "canceled")},
		{"a policy further in refused it", "open", nil, &middleware.Rejection{Reason: middleware.ErrOpen}, final(ignored, "rejected")},
		{"the certificate is not trusted", "verification", nil, &tls.CertificateVerificationError{Err: errors.New("x")}, final(failure, "certificate")},
		{"the certificate is not trusted", "authority", nil, fmt.Errorf("x: %w", x509.UnknownAuthorityError{}), final(failure, "certificate")},
		{"the certificate is not trusted", "other host", nil, x509.HostnameError{}, final(failure, "certificate")},
		{"the certificate is not trusted", "invalid", nil, x509.CertificateInvalidError{}, final(failure, "certificate")},
		{"the certificate is not trusted", "no roots", nil, x509.SystemRootsError{}, final(failure, "certificate")},
		{"the certificate is not trusted", "behind a proxy", nil, operation("proxyconnect", x509.HostnameError{}), final(failure, "certificate")},
		{"plain HTTP answer to TLS", "record", nil, tls.RecordHeaderError{}, final(ignored, "plain_http")},
		{"plain HTTP answer to TLS", "by name", nil, http.ErrSchemeMismatch, final(ignored, "plain_http")},
		{"DNS: no such host", "", nil, operation("dial", &net.DNSError{IsNotFound: true}), final(failure, "dns")},
		{"DNS: any other error", "down", nil, operation("dial", &net.DNSError{IsTemporary: true}), unsent("dns")},
		{"DNS: any other error", "timeout", nil, &net.DNSError{IsTimeout: true}, unsent("dns")},
		{"proxy: no connection through it", "HTTP", nil, operation("proxyconnect", operation("dial", errors.New("refused"))), unsent("proxy")},
		{"proxy: no connection through it", "SOCKS", nil, operation("socks connect", errors.New("refused")), unsent("proxy")},
		{"connect: refused, unreachable, timed out", "refused", nil, operation("dial", errors.New("refused")), unsent("connect")},
		{"connect: refused, unreachable, timed out", "timed out", nil, operation("dial", failedTimeout{}), unsent("connect")},
		{"TLS: the two do not agree (alert)", "ours", nil, operation("local error", errors.New("x")), final(failure, "tls")},
		{"TLS: the two do not agree (alert)", "theirs", nil, operation("remote error", errors.New("bad certificate")), final(failure, "tls")},
		{"TLS: the handshake broke", "", traced(asked, broke), fmt.Errorf("x: %w", errHandshake), unsent("tls")},
		{"HTTP/2: the stream was reset", "", nil, bundledError{2}, sent("stream_reset")},
		{"HTTP/2: the stream was reset", "calm", nil, bundledError{11}, sent("stream_reset")},
		{"the response makes no sense", "header", nil, textproto.ProtocolError("x"), final(failure, "malformed_response")},
		{"the response makes no sense", "status", nil, errors.New(`malformed HTTP status code "x"`), final(failure, "malformed_response")},
		{"the response makes no sense", "too large", nil, errors.New("net/http: server response headers exceeded 10 bytes; aborted"), final(failure, "malformed_response")},
		{"the body is not as long as ContentLength says", "HTTP/1", nil, errors.New("http: ContentLength=1 with Body length 2"), final(ignored, "malformed_request")},
		{"the body is not as long as ContentLength says", "HTTP/2", nil, errors.New("http2: request body larger than specified content length"), final(ignored, "malformed_request")},
		{"the request makes no sense", "", func(r *http.Request) *http.Request { r.Method = "G T"; return r }, errors.New("x"), final(ignored, "malformed_request")},
		{"any other error before there was a connection", "", traced(asked), errors.New("x"), unsent("connect")},
		{"no answer in time (a limit of the transport)", "", nil, failedTimeout{}, sent("timeout")},
		{"any other error: the connection broke", "EOF", nil, io.EOF, sent("connection")},
		{"any other error: the connection broke", "reset", nil, operation("read", errors.New("reset")), sent("connection")},
		{"any other error: the connection broke", "broken pipe", nil, operation("write", errors.New("broken pipe")), sent("connection")},
		{"any other error: the connection broke", "HTTP/2 goes away", nil, errors.New("http2: server sent GOAWAY and closed the connection"), sent("connection")},
		{"any other error: the connection broke", "handshake of another request", traced(asked, gotConn, broke), io.EOF, sent("connection")},
		{"any other error: the connection broke", "after the handshake", traced(asked, shook, broke), errHandshake, sent("connection")},
		{"connect: refused, unreachable, timed out", "for the second time that it was sent", traced(asked, gotConn), operation("dial", errors.New("refused")), sent("connect")},
	} {
		tested[row.condition] = true
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
		if row.prepare != nil {
			req = row.prepare(req)
		}
		if i := slices.IndexFunc(failures, func(f failureRow) bool { return f.match(req, row.err) }); failures[i].condition != row.condition {
			t.Errorf("%s, %s: it is in the row %q", row.condition, row.name, failures[i].condition)
		}
		if got := judge(t, row.prepare, nil, row.err); got != row.want {
			t.Errorf("%s, %s: %+v, want %+v", row.condition, row.name, got, row.want)
		}
	}
	// What counts is the attempt.
	tested["HTTP/2: the stream was refused, at the first attempt"] = true
	tested["HTTP/2: the stream was refused again"] = true
	for attempt, want := range map[int]middleware.Verdict{
		1: {Class: ignored, Retry: true, Reason: "refused_stream"}, 2: {Class: failure, Reason: "refused_stream"},
	} {
		for _, method := range []string{"GET", "POST"} {
			req, _ := http.NewRequestWithContext(middleware.WithAttempt(t.Context(), attempt), method, "http://example.com", nil)
			if got := Classify(req, nil, bundledError{7}); got != want {
				t.Errorf("%s, attempt %d: refused stream: %+v, want %+v", method, attempt, got, want)
			}
		}
	}
	for _, row := range failures {
		if !tested[row.condition] {
			t.Errorf("the row %q has no test", row.condition)
		}
	}
}

func TestStatusError(t *testing.T) {
	for err, want := range map[statusError]string{503: "the server answered with status 503 (Service Unavailable)", 799: "the server answered with status 799"} {
		if err.Error() != want || err.StatusCode() != int(err) || err.ErrorType() != fmt.Sprint(int(err)) {
			t.Errorf("%q, %d, %q", err.Error(), err.StatusCode(), err.ErrorType())
		}
	}
}
