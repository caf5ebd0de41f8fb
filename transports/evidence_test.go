package transports

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
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
			h.WroteHeaders()
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
	for _, row := range []struct {
		method, url string
		again, want bool
	}{
		{"POST", "https://example.com", true, true},
		{"POST", "HTTPS://example.com", true, true},
		{"POST", "http://example.com", true, false},
		{"GET", "https://example.com", true, false},
		{"POST", "https://example.com", false, false},
	} {
		req, err := http.NewRequestWithContext(t.Context(), row.method, row.url, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if !row.again {
			req.GetBody = nil
		}
		if got := needsEvidence(req); got != row.want {
			t.Errorf("%+v: %t", row, got)
		}
	}
}
