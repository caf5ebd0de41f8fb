package observability

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

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
// the request was cancelled before, by the caller or because another one won.
//
// [WithAttemptSpans] says what it does beside package otelhttp. By default, when base
// is a transport of otelhttp, or Transport stands inside of one, it makes no span. Inside
// is the better place, as it then adds the number of the attempt to otelhttp's span:
//
//	client.Transport = transports.New(otelhttp.NewTransport(observer.Transport(nil)), chain)
//
// Without a tracer provider and [WithLive] Transport returns base itself.
func (o *Observer) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if o == nil || o.tracer == nil && o.live == nil {
		return base
	}
	spans := o.attemptSpans
	if spans == AttemptSpansAuto && hasSpans(base) {
		spans = AttemptSpansOff
	}
	return &transport{base: base, observer: o, spans: spans}
}

type transport struct {
	base     http.RoundTripper
	observer *Observer
	spans    AttemptSpans
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	o, ctx := t.observer, req.Context()
	try := o.tryOf(ctx)
	foreign := foreignSpan(ctx)
	if foreign != nil && try != nil && foreign.SpanContext().Equal(trace.SpanContextFromContext(try.Context)) {
		foreign = nil // it is around all the attempts
	}
	if try != nil && (foreign != nil || t.spans == AttemptSpansOff) {
		try.wired.Store(true)
	}
	ours := t.spans == AttemptSpansOn || t.spans == AttemptSpansAuto && foreign == nil
	if foreign != nil && !ours {
		foreign.SetAttributes(numbersOf(ctx, try)...)
	}
	if !ours && (try == nil || try.call.kept == nil || o.attemptSpans == AttemptSpansOff) {
		return t.base.RoundTrip(req)
	}
	ours = ours && o.tracer != nil // or else it is for the live traces
	ctx, a := t.begin(req, try, ours)
	returned := false
	defer func() {
		if !returned {
			a.finish(panicked)
		}
	}()
	sent := req
	if ours {
		sent = req.WithContext(ctx)
		sent.Header = req.Header.Clone()
		if sent.Header == nil {
			sent.Header = make(http.Header)
		}
		o.propagator.Inject(ctx, propagation.HeaderCarrier(sent.Header))
	}
	resp, err := t.base.RoundTrip(sent)
	returned = true
	if err != nil {
		a.fail(err)
		return resp, err
	}
	if resp.Request == sent {
		resp.Request = req
	}
	a.answered(resp)
	return resp, nil
}

var startClient = slices.Clip([]trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)})

// begin begins the span of a request, which is part of the attempt try or of none. Only if it is
// ours a tracer gets it.
func (t *transport) begin(req *http.Request, try *try, ours bool) (context.Context, *attempt) {
	o, ctx := t.observer, req.Context()
	a := &attempt{}
	name := methodName(req.Method)
	var attributes []attribute.KeyValue
	if around := trace.SpanContextFromContext(ctx); try != nil || !around.IsValid() || around.IsSampled() {
		attributes = requestAttributes(req, try)
	}
	if ours {
		options := startClient
		if attributes != nil {
			options = append(options, trace.WithAttributes(attributes...))
		}
		ctx, a.span = o.tracer.Start(ctx, name, options...)
		switch {
		case !a.span.IsRecording():
			a.span.End()
			a.span = nil
		case attributes == nil:
			a.set(requestAttributes(req, try))
		}
	}
	a.ctx = ctx
	if try != nil {
		try.wired.Store(true)
		if a.kept = try.call.kept.child(name, trace.SpanKindClient, time.Now()); a.kept != nil {
			a.kept.set(attributes)
		}
	}
	return ctx, a
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

// requestAttributes are known before the request is sent, so a sampler sees them, unless the
// trace is not sampled anyway: they cost more than all the rest.
func requestAttributes(req *http.Request, try *try) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 0, 8)
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
	return append(attributes, numbersOf(req.Context(), try)...)
}

// numbersOf tell which attempt of a call a request is.
func numbersOf(ctx context.Context, try *try) []attribute.KeyValue {
	if try != nil {
		return try.numbers(true)
	}
	return numberAttributes(middleware.Attempt(ctx), true)
}

func numberAttributes(n int, request bool) []attribute.KeyValue {
	attributes := append(make([]attribute.KeyValue, 0, 3), keyAttempt.Int(n))
	if request && n > 1 {
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
