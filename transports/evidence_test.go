package transports

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"testing"
)

func TestEvidenceOfAFailedHandshake(t *testing.T) {
	reset, other := errors.New("reset"), errors.New("other")
	for name, row := range map[string]struct {
		hooks func(*httptrace.ClientTrace)
		err   error
		retry bool
	}{
		"no hook fired":       {func(*httptrace.ClientTrace) {}, reset, false},
		"handshake succeeded": {func(h *httptrace.ClientTrace) { h.TLSHandshakeDone(tls.ConnectionState{}, nil) }, reset, false},
		"handshake failed":    {func(h *httptrace.ClientTrace) { h.TLSHandshakeDone(tls.ConnectionState{}, reset) }, reset, true},
		"and was wrapped":     {func(h *httptrace.ClientTrace) { h.TLSHandshakeDone(tls.ConnectionState{}, reset) }, fmt.Errorf("x: %w", reset), true},
		"of another request":  {func(h *httptrace.ClientTrace) { h.TLSHandshakeDone(tls.ConnectionState{}, other) }, reset, false},
		"after it was sent": {func(h *httptrace.ClientTrace) {
			h.GotConn(httptrace.GotConnInfo{})
			h.TLSHandshakeDone(tls.ConnectionState{}, reset)
		}, reset, false},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(withEvidence(t.Context()), http.MethodPost, "https://example.com", nil)
			if err != nil {
				t.Fatal(err)
			}
			row.hooks(httptrace.ContextClientTrace(req.Context()))
			if v := Classify(req, nil, row.err); v.Retry != row.retry {
				t.Errorf("%+v, want Retry %t", v, row.retry)
			}
		})
	}
}

// Hooks cost something; they are set only where they can change a verdict.
func TestEvidenceIsGatheredOnlyWhereItMatters(t *testing.T) {
	for name, row := range map[string]struct {
		method string
		ctx    context.Context
		header string
		want   bool
	}{
		"a POST":                      {"POST", t.Context(), "X", true},
		"a GET":                       {"GET", t.Context(), "X", false},
		"a POST with a key":           {"POST", t.Context(), "Idempotency-Key", false},
		"a POST that may be repeated": {"POST", Idempotent(t.Context(), true), "X", false},
		"a GET that may not":          {"GET", Idempotent(t.Context(), false), "X", true},
	} {
		req, err := http.NewRequestWithContext(row.ctx, row.method, "http://example.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(row.header, "x")
		var got bool
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			got = evidenceOf(req) != nil
			return &http.Response{StatusCode: 200}, nil
		})
		if _, err := New(base, nil).RoundTrip(req); err != nil || got != row.want {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
}
