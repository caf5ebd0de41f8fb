package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	if err := run(context.Background(), os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// HTTP GET client tidegate.attempt=1
	// HTTP GET client tidegate.attempt=2 http.request.resend_count=1
	// billing GET internal
}

// Which spans of attempts there are beside otelhttp, wherever it stands.
func TestAttemptSpansBesideOtelhttp(t *testing.T) {
	const theirs, ours = "HTTP GET", "GET"
	for _, row := range []struct {
		name   string
		spans  observability.AttemptSpans
		stack  func(o *observability.Observer, theirs func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper
		want   []string // spans of two attempts
		resend bool     // the second one has its number
	}{
		{"auto, ours inside", observability.AttemptSpansAuto, inside, []string{theirs, theirs}, true},
		{"auto, ours outside", observability.AttemptSpansAuto, outside, []string{theirs, theirs}, false},
		{"auto, ours around one that is hidden no deeper than by a wrapper", observability.AttemptSpansAuto, wrapped, []string{theirs, theirs}, false},
		{"auto, without theirs", observability.AttemptSpansAuto, alone, []string{ours, ours}, true},
		{"on, ours inside", observability.AttemptSpansOn, inside, []string{ours, theirs, ours, theirs}, true},
		{"on, ours outside", observability.AttemptSpansOn, outside, []string{theirs, ours, theirs, ours}, true},
		{"off, ours inside", observability.AttemptSpansOff, inside, []string{theirs, theirs}, true},
		{"off, without theirs", observability.AttemptSpansOff, alone, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			spans := tracetest.NewInMemoryExporter()
			tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
			o := observability.New(observability.WithTracerProvider(tracers), observability.WithAttemptSpans(row.spans))
			chain := middleware.NewChain("x", o, policies.NewRetry(policies.RetryConfig{Delay: 1}))
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			instrument := func(base http.RoundTripper) http.RoundTripper {
				return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracers))
			}
			server := newServer()
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transports.New(row.stack(o, instrument, base), chain).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			var got []string
			resend := false
			for _, s := range spans.GetSpans() {
				if s.SpanKind == trace.SpanKindClient {
					got = append(got, s.Name)
					resend = resend || strings.Contains(fmt.Sprint(s.Attributes), "http.request.resend_count")
				} else if s.Name != "x GET" {
					t.Errorf("there is a span %q", s.Name)
				}
			}
			if !slices.Equal(got, row.want) || resend != row.resend {
				t.Errorf("got %q, a number is %t, want %q and %t", got, resend, row.want, row.resend)
			}
		})
	}
}

func alone(o *observability.Observer, _ func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper {
	return o.Transport(base)
}

func inside(o *observability.Observer, theirs func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper {
	return theirs(o.Transport(base))
}

func outside(o *observability.Observer, theirs func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper {
	return o.Transport(theirs(base))
}

func wrapped(o *observability.Observer, theirs func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper {
	return o.Transport(wrapper{theirs(base)})
}

type wrapper struct{ http.RoundTripper }

func (w wrapper) Unwrap() http.RoundTripper { return w.RoundTripper }
