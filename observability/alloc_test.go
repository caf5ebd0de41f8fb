package observability_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// What a call allocates more than without an observer. Of a call that is not
// sampled the SDK allocates three: the span, its context and the attributes for
// the sampler.
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
		{"traced, not sampled", never, nil, 3},
		{"measured", nil, meters, 1},
		{"measured by nobody", nil, noop.NewMeterProvider(), 1},
		{"traced, not sampled, and measured", never, meters, 4},
		{"sampled", always, nil, 10},
		{"sampled and measured", always, meters, 10},
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
