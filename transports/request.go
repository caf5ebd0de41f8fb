package transports

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

func methodOf(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}

// keyOf names the server behind u: scheme, host and port, without credentials,
// path and query.
func keyOf(u *url.URL) string {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	switch {
	case port != "":
	case scheme == "http":
		port = "80"
	case scheme == "https":
		port = "443"
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return scheme + "://" + host
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// replayable reports whether the request can be sent a second time at all.
func replayable(req *http.Request) bool { return !hasBody(req) || req.GetBody != nil }

// idempotent reports whether sending the request twice does the same as sending
// it once.
func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	// As in net/http, a key without a value marks the request and is not sent.
	if _, ok := req.Header["Idempotency-Key"]; ok {
		return true
	}
	_, ok := req.Header["X-Idempotency-Key"]
	return ok
}

// malformed reports whether net/http refuses the request before it sends it. Its
// errors for that have no type.
func malformed(req *http.Request) bool {
	if req.URL == nil || req.URL.Host == "" || req.Header == nil {
		return true
	}
	if s := strings.ToLower(req.URL.Scheme); s != "http" && s != "https" {
		return true
	}
	if req.Method != "" && !isToken(req.Method) {
		return true
	}
	return malformedHeader(req.Header) || malformedHeader(req.Trailer)
}

func malformedHeader(h http.Header) bool {
	for name, values := range h {
		if !isToken(name) {
			return true
		}
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return true
			}
		}
	}
	return false
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		alphanumeric := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
