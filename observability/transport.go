package observability

import (
	"net/http"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// Transport returns an [http.RoundTripper] over base that makes one span for each
// request it sends, after the semantic conventions for HTTP clients, and tells
// the server of that span. Put it under the transport that runs a chain, so that
// each attempt is a span of its own and a refused call is none. A nil base means
// [http.DefaultTransport].
//
// The span ends with the body of the response, at its end or when it is closed,
// and at once when the request fails, the response has no body or switches
// protocols. A status of 400 or above makes it red, and so does an error, unless
// the caller cancelled the request.
//
// Without a tracer provider Transport returns base itself.
func (o *Observer) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if o == nil || o.tracer == nil {
		return base
	}
	return &transport{base: base, tracer: o.tracer, propagator: o.propagator}
}

type transport struct {
	base       http.RoundTripper
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, span := t.tracer.Start(req.Context(), methodName(req.Method),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(requestAttributes(req)...))
	a := &attempt{ctx: ctx, span: span}
	returned := false
	defer func() {
		if !returned {
			a.end(panicked)
		}
	}()
	traced := req.WithContext(ctx)
	traced.Header = req.Header.Clone()
	if traced.Header == nil {
		traced.Header = make(http.Header)
	}
	t.propagator.Inject(ctx, propagation.HeaderCarrier(traced.Header))
	resp, err := t.base.RoundTrip(traced)
	returned = true
	if err != nil {
		a.fail(err)
		return resp, err
	}
	if resp.Request == traced {
		resp.Request = req
	}
	a.answered(resp)
	return resp, nil
}

// CloseIdleConnections closes those of the base, for [http.Client.CloseIdleConnections].
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// WrappedRoundTripper returns the base, for who looks through wrappers.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.base }

// methods are those that the conventions know. Another one could be anything.
var methods = []string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead,
	http.MethodPatch, http.MethodOptions, http.MethodConnect, http.MethodTrace, "QUERY",
}

func methodName(method string) string {
	switch {
	case method == "":
		return http.MethodGet
	case slices.Contains(methods, method):
		return method
	default:
		return "HTTP"
	}
}

// requestAttributes are known before the request is sent, so a sampler sees them.
func requestAttributes(req *http.Request) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, 7)
	if name := methodName(req.Method); name != "HTTP" {
		attributes = append(attributes, semconv.HTTPRequestMethodKey.String(name))
	} else {
		attributes = append(attributes, semconv.HTTPRequestMethodOther, semconv.HTTPRequestMethodOriginal(req.Method))
	}
	if req.URL != nil {
		attributes = append(attributes, semconv.ServerAddress(req.URL.Hostname()), semconv.URLFull(redactedURL(req.URL)))
		if port := portOf(req); port != 0 {
			attributes = append(attributes, semconv.ServerPort(port))
		}
	}
	n := middleware.Attempt(req.Context())
	attributes = append(attributes, keyAttempt.Int(n))
	if n > 1 {
		attributes = append(attributes, semconv.HTTPRequestResendCount(n-1))
	}
	return attributes
}

// portOf returns the port that req goes to, or 0 when it names none that exists.
func portOf(req *http.Request) int {
	if port := req.URL.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return 0
		}
		return int(n)
	}
	switch req.URL.Scheme {
	case "http":
		return 80
	case "https":
		return 443
	default:
		return 0
	}
}

func responseAttributes(resp *http.Response) []attribute.KeyValue {
	attributes := []attribute.KeyValue{semconv.HTTPResponseStatusCode(resp.StatusCode)}
	switch major := strconv.Itoa(resp.ProtoMajor); major {
	case "0":
	case "1":
		attributes = append(attributes, semconv.NetworkProtocolVersion(major+"."+strconv.Itoa(resp.ProtoMinor)))
	default:
		attributes = append(attributes, semconv.NetworkProtocolVersion(major))
	}
	return attributes
}
