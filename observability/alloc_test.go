package observability_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// What a call allocates more than without an observer. Of a call that is not
// sampled the SDK allocates two: the span and its context.
func TestAllocations(t *testing.T) {
	never := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	always := sdktrace.NewTracerProvider()
	meters := newRecorder().meters
	for _, row := range []struct {
		name    string
		tracers trace.TracerProvider
		meters  metric.MeterProvider
		most    float64
	}{
		{"off", nil, nil, 0},
		{"traced, not sampled", never, nil, 2},
		{"measured", nil, meters, 1},
		{"measured by nobody", nil, noop.NewMeterProvider(), 1},
		{"traced, not sampled, and measured", never, meters, 3},
		{"sampled", always, nil, 22},
		{"sampled and measured", always, meters, 22},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := observability.New(observability.WithTracerProvider(row.tracers), observability.WithMeterProvider(row.meters))
			retry := policies.NewRetry(policies.RetryConfig{})
			chain := middleware.NewChain("x", o, retry)
			ctx := middleware.WithOperation(t.Context(), middleware.Operation{Name: "operation"})
			if n := testing.AllocsPerRun(1000, func() { _ = chain.Do(ctx, succeed) }); n > row.most {
				t.Errorf("%v allocations, want at most %v", n, row.most)
			} else {
				t.Logf("%v allocations", n)
			}
		})
	}
}

// What a request over [observability.Observer.Transport] allocates more than without an observer.
func TestAllocationsOfARequest(t *testing.T) {
	base := respond(http.StatusNoContent, http.NoBody)
	request := request(t, http.MethodGet, "http://example.com/a?b=c")
	measure := func(o *observability.Observer) float64 {
		transport := transports.New(o.Transport(base), middleware.NewChain("x", o))
		return testing.AllocsPerRun(1000, func() {
			resp, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
	}
	none := measure(nil)
	for _, row := range []struct {
		name    string
		options []observability.Option
		most    float64
	}{
		{"off", nil, 0},
		{"measured", []observability.Option{observability.WithMeterProvider(newRecorder().meters)}, 1},
		{"traced, not sampled", []observability.Option{observability.WithTracerProvider(
			sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())))}, 2 + 9},
		{"sampled", []observability.Option{observability.WithTracerProvider(sdktrace.NewTracerProvider())}, 40},
	} {
		t.Run(row.name, func(t *testing.T) {
			if n := measure(observability.New(row.options...)) - none; n > row.most {
				t.Errorf("%v allocations, want at most %v", n, row.most)
			} else {
				t.Logf("%v allocations", n)
			}
		})
	}
}

// A sampler keeps the attributes that it is asked about, by the name of the span.
type sampler map[string]string

func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s[p.Name] = text(p.Attributes)
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
}

func (sampler) Description() string { return "" }

func TestWhatASamplerSees(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"a request": {"GET": "attempt=1 http.request.method=GET server.address=example.com server.port=80 url.full=http://example.com"},
		"a call": {
			"x GET": "", "GET": "attempt=1 http.request.method=GET server.address=example.com server.port=80 url.full=http://example.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := sampler{}
			o := newRecorder(sdktrace.WithSampler(got)).observer()
			transport := o.Transport(respond(http.StatusNoContent, http.NoBody))
			if len(want) > 1 {
				transport = transports.New(transport, middleware.NewChain("x", o))
			}
			if _, err := transport.RoundTrip(request(t, http.MethodGet, "http://example.com")); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A sampler that wants a request of a trace which is not sampled gets all of it.
func TestASampledRequestInATraceThatIsNot(t *testing.T) {
	r := newRecorder(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	if _, err := r.observer().Transport(respond(204, http.NoBody)).RoundTrip(request(t, http.MethodGet, "http://example.com").WithContext(ctx)); err != nil {
		t.Fatal(err)
	}
	if s := r.span(t, "GET"); !has(s.Attributes, "url.full", "http://example.com") || !has(s.Attributes, "tidegate.attempt", "1") {
		t.Errorf("got %s", text(s.Attributes))
	}
}

// What is live costs more, sampled or not.
func TestAllocationsOfWhatIsLive(t *testing.T) {
	chain := middleware.NewChain("x", observability.New(observability.WithLive()), policies.NewRetry(policies.RetryConfig{}))
	ctx := middleware.WithOperation(t.Context(), middleware.Operation{Name: "operation"})
	if n := testing.AllocsPerRun(1000, func() { _ = chain.Do(ctx, succeed) }); n > 18 {
		t.Errorf("%v allocations, want at most 18", n)
	} else {
		t.Logf("%v allocations", n)
	}
}

// A refused call is cheap, also in a storm of them.
func TestARejectionAllocatesNothing(t *testing.T) {
	for name, o := range map[string]*observability.Observer{
		"no history":          observability.New(observability.WithHistory(-1)),
		"history":             observability.New(),
		"history and metrics": observability.New(observability.WithMeterProvider(newRecorder().meters)),
	} {
		chain := middleware.NewChain("x", o)
		ctx := context.Background()
		e := middleware.Event{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open"}
		if n := testing.AllocsPerRun(1000, func() { chain.Emit(ctx, e) }); n != 0 {
			t.Errorf("%s: %v allocations for an event, want 0", name, n)
		}
	}
}

// Hundreds of chains have thousands of series. Those of the last one are made once, too.
func TestEventsOfManyChainsAllocateNothing(t *testing.T) {
	o := observability.New(observability.WithHistory(-1), observability.WithMeterProvider(newRecorder().meters))
	var last func()
	for i := range 300 {
		chain := middleware.NewChain(fmt.Sprint("x", i), o)
		last = func() {
			for _, reason := range []string{"circuit_open", "probe_limit", "recovering", "rate_limited", "bulkhead_full"} {
				chain.Emit(t.Context(), middleware.Event{Kind: middleware.Rejected, Policy: "p", Reason: reason})
			}
		}
		last()
	}
	if n := testing.AllocsPerRun(100, last); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkObserver(b *testing.B) {
	for _, row := range []struct {
		name    string
		tracers trace.TracerProvider
		meters  metric.MeterProvider
	}{
		{"none", nil, nil},
		{"off", nil, nil},
		{"unsampled", sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())), nil},
		{"measured", nil, newRecorder().meters},
		{"sampled", sdktrace.NewTracerProvider(), nil},
		{"sampled and measured", sdktrace.NewTracerProvider(), newRecorder().meters},
	} {
		b.Run(row.name, func(b *testing.B) {
			o := observability.New(observability.WithTracerProvider(row.tracers), observability.WithMeterProvider(row.meters))
			if row.name == "none" {
				o = nil
			}
			chain := middleware.NewChain("x", o)
			ctx := middleware.WithOperation(b.Context(), middleware.Operation{Name: "operation"})
			b.ReportAllocs()
			for b.Loop() {
				_ = chain.Do(ctx, succeed)
			}
		})
	}
}
