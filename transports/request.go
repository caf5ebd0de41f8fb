package transports

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/tidegate-go/tidegate/middleware"
)

func methodOf(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// replayable reports whether the request of an attempt can be sent a second time at all.
func replayable(req *http.Request) bool {
	if x := exchangeOf(req.Context()); x != nil {
		return x.upload.repeatable()
	}
	return !hasBody(req) || req.GetBody != nil
}

// idempotent reports whether sending the request of an attempt twice does the same as
// sending it once.
func idempotent(req *http.Request) bool {
	if x := exchangeOf(req.Context()); x != nil {
		return x.idempotent
	}
	return new(Transport).mayRepeat(req)
}

// firstAttempt reports whether the request is the first attempt of its call.
func firstAttempt(req *http.Request) bool { return middleware.Attempt(req.Context()) == 1 }

// mayRepeat is idempotent for the caller's request: the context has the last word, then
// the method, the headers and the user's function.
func (t *Transport) mayRepeat(req *http.Request) bool {
	if is, ok := req.Context().Value(idempotentKey{}).(bool); ok {
		return is
	}
	if t.repeatable != nil {
		return t.repeatable(req)
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return hasIdempotencyKey(req) || t.idempotent != nil && t.idempotent(req)
}

// mayOverlap reports whether the request may be sent beside itself: if it changes nothing,
// or somebody says so. The second of two that are idempotent may still be told of the
// first: a DELETE that there is nothing any more, a PUT that its condition does not hold.
func (t *Transport) mayOverlap(req *http.Request) bool {
	if is, ok := req.Context().Value(idempotentKey{}).(bool); ok {
		return is
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	default:
		return t.idempotent != nil && t.idempotent(req)
	}
}

// hasIdempotencyKey goes by the entry alone: as in net/http, a key without a value marks
// the request and is not sent.
func hasIdempotencyKey(req *http.Request) bool {
	if _, ok := req.Header["Idempotency-Key"]; ok {
		return true
	}
	_, ok := req.Header["X-Idempotency-Key"]
	return ok
}

// getsKey reports whether the request, which is not idempotent, is to get an
// Idempotency-Key: unless the caller has decided that it may not be repeated.
func (t *Transport) getsKey(req *http.Request) bool {
	if !t.generateKeys || req.Header == nil {
		return false
	}
	for name := range req.Header { // also one that is not in its canonical form
		if strings.EqualFold(name, "Idempotency-Key") || strings.EqualFold(name, "X-Idempotency-Key") {
			return false
		}
	}
	_, decided := req.Context().Value(idempotentKey{}).(bool)
	return !decided
}

func newIdempotencyKey() string { return rand.Text() }

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
