package observability

import (
	"context"
	"runtime"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

func spanOf(traceID, spanID uint16, flags trace.TraceFlags) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, byte(traceID >> 8), byte(traceID)}, SpanID: trace.SpanID{1, byte(spanID)}, TraceFlags: flags,
	})
}

// The newest openers are kept, of one trace the newest, and none that nobody can see.
func TestOpenersAreBounded(t *testing.T) {
	var o openers
	o.add(spanOf(0, 0, 0))
	if _, ok := o.find(spanOf(0, 0, 0).TraceID().String()); ok {
		t.Error("a call that is not sampled is kept")
	}
	for i := range uint16(2 * maxOpeners) {
		o.add(spanOf(i, 0, trace.FlagsSampled))
		o.add(spanOf(i, 1, trace.FlagsSampled))
	}
	if len(o.all) != maxOpeners || len(o.ages) != maxOpeners {
		t.Errorf("%d calls of %d ages are kept, want %d", len(o.all), len(o.ages), maxOpeners)
	}
	for i, want := range map[uint16]bool{0: false, maxOpeners - 1: false, maxOpeners: true, 2*maxOpeners - 1: true} {
		newest := spanOf(i, 1, trace.FlagsSampled)
		if got, ok := o.find(newest.TraceID().String()); ok != want || ok && !got.Equal(newest) {
			t.Errorf("call %d: %v is kept: %t, want %t", i, got, ok, want)
		}
	}
}

// Only what opens a breaker is an opener.
func TestWhatIsAnOpener(t *testing.T) {
	o := New(WithTracerProvider(sdktrace.NewTracerProvider()))
	chain := middleware.NewChain("x", o)
	for i, to := range []string{"half_open", "closed", "forced_open", "open", "observed_open"} {
		ctx := trace.ContextWithSpanContext(context.Background(), spanOf(uint16(i), 0, trace.FlagsSampled))
		chain.Emit(ctx, middleware.Event{Kind: middleware.Transition, Policy: "p", To: to})
	}
	if len(o.openers.all) != 2 {
		t.Errorf("%d openers are kept, want two", len(o.openers.all))
	}
}

func TestACacheIsBounded(t *testing.T) {
	var c cache[int, int]
	for i := range 2 * cacheSize {
		if got := c.store(i, i); got != i {
			t.Fatalf("stored %d, got %d", i, got)
		}
	}
	if got := c.store(0, 1); got != 0 || len(*c.values.Load()) != cacheSize {
		t.Errorf("%d values are kept, want %d; the first one is %d", len(*c.values.Load()), cacheSize, got)
	}
	c.remove(2 * cacheSize)
	c.remove(0)
	if got := c.store(0, 1); got != 1 {
		t.Errorf("what was removed is still %d", got)
	}
}

// A record leads to the newest trace that can be seen.
func TestARecordKeepsItsTrace(t *testing.T) {
	o := New()
	chain := middleware.NewChain("x", o)
	for _, flags := range []trace.TraceFlags{trace.FlagsSampled, 0} {
		ctx := trace.ContextWithSpanContext(context.Background(), spanOf(1, 1, flags))
		chain.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: "p"})
	}
	if got := o.History(); len(got) != 1 || got[0].Count != 2 || got[0].TraceID != spanOf(1, 1, 0).TraceID() {
		t.Errorf("got %+v", got)
	}
}

// A trace that shows a failure is kept as such, also if it is the only thing in it.
func TestATraceWithARedAttemptIsNotable(t *testing.T) {
	for red, want := range map[bool]int{false: 0, true: 1} {
		var kept traces
		first := kept.begin("x", "x", time.Now())
		second := first.child("attempt", trace.SpanKindInternal, time.Now())
		if red {
			second.redden()
		}
		second.end(time.Now())
		first.end(time.Now())
		if len(kept.notable) != want || len(kept.plain) != 1-want {
			t.Errorf("red %t: %d are notable, %d plain", red, len(kept.notable), len(kept.plain))
		}
	}
}

// Chains that come and go leave nothing behind.
func TestChainsAreForgotten(t *testing.T) {
	o := New(WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))), WithLive())
	for range 20 {
		for range 100 {
			_ = middleware.NewChain("x", o).Do(t.Context(), func(context.Context) error { return nil })
		}
		runtime.GC()
	}
	if n, profiles := len(o.chains.all), len(*o.profiles.values.Load()); n > 1000 || profiles > 1000 {
		t.Errorf("%d of 2000 chains and %d profiles are kept", n, profiles)
	}
}

// What is live only writes on no span of others.
func TestLiveWritesOnNoSpan(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	ctx, span := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)).Tracer("").Start(t.Context(), "theirs")
	chain := middleware.NewChain("x", New(WithLive()))
	chain.Emit(ctx, middleware.Event{Kind: middleware.HedgeWon, Policy: "p"})
	_ = chain.Do(ctx, func(context.Context) error { return nil })
	span.End()
	if s := exporter.GetSpans(); len(s) != 1 || len(s[0].Events)+len(s[0].Attributes) != 0 {
		t.Errorf("got %+v", s)
	}
}
