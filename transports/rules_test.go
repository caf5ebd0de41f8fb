package transports

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestRulesChangeWhatTheySay(t *testing.T) {
	response := func(status int, header ...string) *http.Response {
		h := make(http.Header)
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h}
	}
	notFound := &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}
	certificate := &tls.CertificateVerificationError{Err: errors.New("x")}
	now := time.Now().Truncate(time.Second)
	date := now.UTC().Format(http.TimeFormat)
	reset := strconv.FormatInt(now.Add(90*time.Second).Unix(), 10)
	throttledFor := func(after time.Duration, retry bool) middleware.Verdict {
		return middleware.Verdict{Class: throttled, Retry: retry, Reason: "throttled", After: after}
	}
	all := Rules{RepeatThrottled: true, ForbiddenIsThrottled: true, RepeatUnknownHost: true, IgnoreCertificates: true}
	for _, row := range []struct {
		name   string
		rules  Rules
		method string
		resp   *http.Response
		err    error
		want   middleware.Verdict
	}{
		{"429, opted in", Rules{RepeatThrottled: true}, "POST", response(429), nil, throttledFor(0, true)},
		{"429, not opted in", Rules{ForbiddenIsThrottled: true}, "POST", response(429), nil, throttledFor(0, false)},
		{"503 with Retry-After", Rules{RepeatThrottled: true}, "POST", response(503, "Retry-After", "7"), nil,
			middleware.Verdict{Class: failure, Retry: true, Reason: "status_5xx", After: 7 * time.Second}},
		{"503 without", Rules{RepeatThrottled: true}, "POST", response(503), nil, middleware.Verdict{Class: failure, Reason: "status_5xx"}},
		{"500 with Retry-After", Rules{RepeatThrottled: true}, "POST", response(500, "Retry-After", "7"), nil, middleware.Verdict{Class: failure, Reason: "status_5xx"}},
		{"403 with Retry-After", Rules{ForbiddenIsThrottled: true}, "GET", response(403, "Retry-After", "7"), nil, throttledFor(7*time.Second, true)},
		{"403, quota used up", Rules{ForbiddenIsThrottled: true}, "GET", response(403, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", reset, "Date", date), nil,
			throttledFor(90*time.Second, true)},
		{"403, no word of when", Rules{ForbiddenIsThrottled: true}, "GET", response(403, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "soon"), nil, throttledFor(0, true)},
		{"403, long ago", Rules{ForbiddenIsThrottled: true}, "GET", response(403, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "5"), nil, throttledFor(0, true)},
		{"403 of a POST", Rules{ForbiddenIsThrottled: true}, "POST", response(403, "Retry-After", "7"), nil, throttledFor(7*time.Second, false)},
		{"403 of a POST, both", all, "POST", response(403, "Retry-After", "7"), nil, throttledFor(7*time.Second, true)},
		{"403, quota left", all, "GET", response(403, "X-RateLimit-Remaining", "10"), nil, middleware.Verdict{Class: success, Reason: "status_4xx"}},
		{"403, not opted in", Rules{RepeatThrottled: true}, "GET", response(403, "Retry-After", "7"), nil, middleware.Verdict{Class: success, Reason: "status_4xx"}},
		{"404 with Retry-After", all, "GET", response(404, "Retry-After", "7"), nil, middleware.Verdict{Class: success, Reason: "status_4xx"}},
		{"no such host, opted in", Rules{RepeatUnknownHost: true}, "POST", nil, notFound, middleware.Verdict{Class: failure, Retry: true, Reason: "dns"}},
		{"no such host", Rules{IgnoreCertificates: true}, "GET", nil, notFound, middleware.Verdict{Class: failure, Reason: "dns"}},
		{"certificate, opted in", Rules{IgnoreCertificates: true}, "GET", nil, certificate, middleware.Verdict{Class: ignored, Reason: "certificate"}},
		{"certificate", Rules{RepeatUnknownHost: true}, "GET", nil, certificate, middleware.Verdict{Class: failure, Reason: "certificate"}},
		{"nothing at all", all, "GET", nil, nil, middleware.Verdict{Class: failure, Reason: "no_response"}},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), row.method, "http://example.com", strings.NewReader("x"))
		if got := row.rules.Classify(req, row.resp, row.err); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
		if got, want := (Rules{}).Classify(req, row.resp, row.err), Classify(req, row.resp, row.err); got != want {
			t.Errorf("%s: no rules: %+v, want %+v", row.name, got, want)
		}
		req.GetBody = nil
		if row.rules.Classify(req, row.resp, row.err).Retry {
			t.Errorf("%s: a request whose body is gone may be repeated", row.name)
		}
	}
}
