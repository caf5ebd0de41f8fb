package observability

import (
	"context"
	"net/http"
	"reflect"

	"go.opentelemetry.io/otel/trace"
)

// otelhttp is the package whose transport makes spans of requests itself.
const otelhttp = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

// hasSpans reports whether base, or a transport that it wraps and shows, is one of
// otelhttp's.
func hasSpans(base http.RoundTripper) bool {
	for base != nil {
		t := reflect.TypeOf(base)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.PkgPath() == otelhttp {
			return true
		}
		switch b := base.(type) {
		case interface{ WrappedRoundTripper() http.RoundTripper }:
			base = b.WrappedRoundTripper()
		case interface{ Unwrap() http.RoundTripper }:
			base = b.Unwrap()
		default:
			return false
		}
	}
	return false
}

// foreignSpan returns the span that otelhttp has made for a request which is sent with
// ctx, or nil.
func foreignSpan(ctx context.Context) trace.Span {
	span := trace.SpanFromContext(ctx)
	// The spans of the SDK tell their kind and who made them.
	s, ok := span.(interface{ SpanKind() trace.SpanKind })
	if !ok || !span.IsRecording() || s.SpanKind() != trace.SpanKindClient || scopeOf(span) != otelhttp {
		return nil
	}
	return span
}

// scopeOf returns the name of the instrumentation that made a span of the SDK, which
// tells it by a type that the API does not have.
func scopeOf(span trace.Span) string {
	tells := reflect.ValueOf(span).MethodByName("InstrumentationScope")
	if !tells.IsValid() || tells.Type().NumIn() != 0 || tells.Type().NumOut() != 1 {
		return ""
	}
	scope := tells.Call(nil)[0]
	if scope.Kind() != reflect.Struct {
		return ""
	}
	name := scope.FieldByName("Name")
	if name.Kind() != reflect.String { // nor anything else that is not there
		return ""
	}
	return name.String()
}
