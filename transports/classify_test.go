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
	"net/textproto"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// A verdict of a row: what it means for a GET, and whether a POST may be repeated.
type judgement struct {
	class    middleware.Class
	get      bool
	post     bool
	reason   string
	getAgain bool // whether a GET that failed for the second time may be repeated
}

const (
	success   = middleware.Success
	failure   = middleware.Failure
	throttled = middleware.Throttled
	ignored   = middleware.Ignored
)

func (want judgement) check(t *testing.T, resp *http.Response, err error) {
	t.Helper()
	requestOf := func(method string, attempt int) *http.Request {
		ctx := t.Context()
		if attempt > 1 {
			ctx = middleware.WithAttempt(ctx, attempt)
		}
		req, err := http.NewRequestWithContext(ctx, method, "http://example.com", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	get := requestOf(http.MethodGet, 1)
	v := Classify(get, resp, err)
	if v.Class != want.class || v.Retry != want.get || v.Reason != want.reason {
		t.Errorf("GET: %+v, want %+v", v, want)
	}
	if v := Classify(requestOf(http.MethodPost, 1), resp, err); v.Retry != want.post {
		t.Errorf("POST: retry %t, want %t", v.Retry, want.post)
	}
	if v := Classify(requestOf(http.MethodGet, 2), resp, err); v.Retry != want.getAgain {
		t.Errorf("GET, second attempt: retry %t, want %t", v.Retry, want.getAgain)
	}
	get.GetBody = nil
	if Classify(get, resp, err).Retry {
		t.Error("a request whose body is gone may be repeated")
	}
}

func TestClassifyStatus(t *testing.T) {
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
		t.Run(fmt.Sprint(status), func(t *testing.T) { j.check(t, &http.Response{StatusCode: status}, nil) })
	}
	for status := 100; status < 600; status++ { // reason and class hang together
		o := ofStatus(status)
		if (o.class == success) != (status < 400 || o.reason == "status_4xx" && o.repeat == never) {
			t.Errorf("%d: %+v", status, o)
		}
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

func TestClassifyError(t *testing.T) {
	unsentJudgement := func(reason string) judgement {
		return judgement{class: failure, get: true, post: true, getAgain: true, reason: reason}
	}
	broken := judgement{class: failure, get: true, getAgain: true, reason: "connection"}
	operation := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	for name, row := range map[string]struct {
		err error
		judgement
	}{
		"host not found":           {operation("dial", &net.DNSError{IsNotFound: true}), judgement{class: failure, reason: "dns"}},
		"DNS is down":              {operation("dial", &net.DNSError{IsTemporary: true}), unsentJudgement("dns")},
		"DNS timeout":              {&net.DNSError{IsTimeout: true}, unsentJudgement("dns")},
		"dial":                     {operation("dial", errors.New("refused")), unsentJudgement("connect")},
		"dial timeout":             {operation("dial", failedTimeout{}), unsentJudgement("connect")},
		"proxy":                    {operation("proxyconnect", operation("dial", errors.New("refused"))), unsentJudgement("proxy")},
		"SOCKS":                    {operation("socks connect", errors.New("refused")), unsentJudgement("proxy")},
		"certificate":              {&tls.CertificateVerificationError{Err: errors.New("x")}, judgement{class: failure, reason: "certificate"}},
		"unknown authority":        {fmt.Errorf("x: %w", x509.UnknownAuthorityError{}), judgement{class: failure, reason: "certificate"}},
		"other host":               {x509.HostnameError{}, judgement{class: failure, reason: "certificate"}},
		"certificate invalid":      {x509.CertificateInvalidError{}, judgement{class: failure, reason: "certificate"}},
		"certificate behind proxy": {operation("proxyconnect", x509.HostnameError{}), judgement{class: failure, reason: "certificate"}},
		"TLS alert":                {operation("remote error", errors.New("bad certificate")), judgement{class: failure, reason: "tls"}},
		"plain HTTP":               {tls.RecordHeaderError{}, judgement{class: ignored, reason: "plain_http"}},
		"plain HTTP, by name":      {http.ErrSchemeMismatch, judgement{class: ignored, reason: "plain_http"}},
		"refused stream":           {bundledError{7}, judgement{class: ignored, get: true, post: true, reason: "refused_stream"}},
		"reset stream":             {bundledError{2}, judgement{class: failure, get: true, getAgain: true, reason: "stream_reset"}},
		"malformed response":       {textproto.ProtocolError("x"), judgement{class: failure, reason: "malformed_response"}},
		"rejection further in":     {&middleware.Rejection{Reason: middleware.ErrOpen}, judgement{class: ignored, reason: "rejected"}},
		"EOF":                      {io.EOF, broken},
		"reset":                    {operation("read", errors.New("reset")), broken},
		"no answer in time":        {failedTimeout{}, broken},
		"anything else":            {errors.New("x"), broken},
	} {
		t.Run(name, func(t *testing.T) { row.check(t, nil, row.err) })
	}
	judgement{class: failure, reason: "no_response"}.check(t, nil, nil)
}

func TestClassifyEndedContext(t *testing.T) {
	type cause struct {
		name string
		end  func(*http.Request) *http.Request
		want judgement
	}
	with := func(err error) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			ctx, cancel := context.WithCancelCause(r.Context())
			cancel(err)
			return r.WithContext(ctx)
		}
	}
	for _, row := range []cause{
		{"caller's cancellation", with(nil), judgement{class: ignored, reason: "canceled"}},
		{"caller's deadline", with(context.DeadlineExceeded), judgement{class: ignored, reason: "canceled"}},
		{"Request.Cancel", func(r *http.Request) *http.Request {
			closed := make(chan struct{})
			close(closed)
			r.Cancel = closed
			return r
		}, judgement{class: ignored, reason: "canceled"}},
		{"limit of the chain", with(&middleware.Rejection{Reason: middleware.ErrTimeout}), judgement{class: failure, get: true, reason: "timeout"}},
	} {
		for method, retry := range map[string]bool{"GET": row.want.get, "POST": row.want.post} {
			// Whatever error the transport made of it, even one that says "never sent".
			for _, err := range []error{io.EOF, context.Canceled, &middleware.Rejection{Reason: middleware.ErrTimeout}} {
				req, _ := http.NewRequestWithContext(t.Context(), method, "http://example.com", nil)
				v := Classify(row.end(req), nil, err)
				if v.Class != row.want.class || v.Retry != retry || v.Reason != row.want.reason {
					t.Errorf("%s, %s, %v: %+v", row.name, method, err, v)
				}
			}
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
