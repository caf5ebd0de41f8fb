package transports_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// One span for the call, in it one for each attempt, which tells the server of itself, and
// all of them end.
func TestH30EachAttemptIsASpanInTheCall(t *testing.T) {
	var mu sync.Mutex
	var parents []string
	over(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		parents = append(parents, r.Header.Get("Traceparent"))
		mu.Unlock()
		answers(503, 503, 200)(w, r)
	}, func(t *testing.T, s *server) {
		mu.Lock()
		parents = nil
		mu.Unlock()
		exporter := tracetest.NewInMemoryExporter()
		started := new(startCounter)
		tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithSpanProcessor(started))
		observer := observability.New(observability.WithTracerProvider(tracers))
		chain := s.retrying(3, policies.NewBreaker(policies.BreakerConfig{}))
		rt := transports.New(observer.Transport(s.base), middleware.NewChain("billing", observer, chain))
		resp, err := rt.RoundTrip(request(t, "GET", s.URL+"/?token=secret", nil))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(exporter.GetSpans()); n != 2 {
			t.Errorf("before the body was read %d spans had ended, want those of the two attempts that were given up", n)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()

		spans := exporter.GetSpans()
		if started.n != len(spans) || len(spans) != 4 {
			t.Fatalf("%d spans began and %d ended, want 4", started.n, len(spans))
		}
		call := spans[slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == "billing GET" })]
		if call.Status.Code == codes.Error || call.SpanKind != trace.SpanKindInternal {
			t.Errorf("the call: %v, %v", call.Status, call.SpanKind)
		}
		var resends []int64
		seen := make(map[string]bool)
		for _, span := range spans {
			for _, a := range span.Attributes {
				if strings.Contains(a.Value.String(), "secret") {
					t.Errorf("%s holds the secret: %s", span.Name, a.Value.String())
				}
			}
			if span.SpanKind != trace.SpanKindClient {
				continue
			}
			if span.Parent.SpanID() != call.SpanContext.SpanID() {
				t.Error("an attempt is not in the call")
			}
			resends = append(resends, valueOf(span.Attributes, "http.request.resend_count"))
			seen[span.SpanContext.SpanID().String()] = true
		}
		if !slices.Equal(resends, []int64{0, 1, 2}) {
			t.Errorf("the resend counts are %v", resends)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, p := range parents {
			id := strings.Split(p, "-")
			if len(id) != 4 || !seen[id[2]] {
				t.Errorf("the server was told of %q, which is no attempt", p)
				continue
			}
			delete(seen, id[2])
		}
		if len(seen) != 0 {
			t.Errorf("the server was not told of %d attempts, or of one twice", len(seen))
		}
	})
}

func valueOf(attributes []attribute.KeyValue, key string) int64 {
	for _, a := range attributes {
		if string(a.Key) == key {
			return a.Value.AsInt64()
		}
	}
	return 0
}

// A startCounter counts the spans that begin.
type startCounter struct{ n int }

func (c *startCounter) OnStart(context.Context, sdktrace.ReadWriteSpan) { c.n++ }
func (c *startCounter) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (c *startCounter) Shutdown(context.Context) error                  { return nil }
func (c *startCounter) ForceFlush(context.Context) error                { return nil }
