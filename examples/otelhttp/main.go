// Command otelhttp shows Tidegate's spans beside those of otelhttp: the requests have
// otelhttp's span, with the number of the attempt from Tidegate. It asks its own server,
// whose first answer is a failure, and prints the trace.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer) error {
	spans := tracetest.NewInMemoryExporter() // a program has the exporter of its collector here
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	observer := observability.New(observability.WithTracerProvider(tracers))
	chain := middleware.NewChain("billing", observer, policies.NewRetry(policies.RetryConfig{}))
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: transports.New( // the policies, around each attempt:
		otelhttp.NewTransport( // its span, and in it
			observer.Transport(base), // the number of the attempt
			otelhttp.WithTracerProvider(tracers)), chain)}

	server := newServer()
	defer server.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // otelhttp's span ends with the body
		return err
	}
	for _, s := range spans.GetSpans() {
		fmt.Fprintf(w, "%s %s%s\n", s.Name, s.SpanKind, numbers(s))
	}
	return nil
}

// numbers are the attributes that tell which attempt a span is.
func numbers(s tracetest.SpanStub) string {
	if s.SpanKind != trace.SpanKindClient {
		return ""
	}
	var text strings.Builder
	for _, a := range s.Attributes {
		switch a.Key {
		case "tidegate.attempt", "http.request.resend_count":
			fmt.Fprintf(&text, " %s=%d", a.Key, a.Value.AsInt64())
		}
	}
	return text.String()
}

// newServer fails the first request.
func newServer() *httptest.Server {
	var requests atomic.Int32
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "an invoice")
	}))
}
