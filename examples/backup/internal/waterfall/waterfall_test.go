package waterfall

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden files")

// record makes a trace of a call that was retried after a 503, and another trace.
func record(t *testing.T) (trace.TraceID, []sdktrace.ReadOnlySpan) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	tracer := provider.Tracer("test")
	zero := time.Unix(1000, 0)
	at := func(ms int) trace.SpanEventOption {
		return trace.WithTimestamp(zero.Add(time.Duration(ms) * time.Millisecond))
	}
	ctx, root := tracer.Start(t.Context(), "backup", at(0))
	chained, call := tracer.Start(ctx, "s3 PutObject", at(100))
	_, first := tracer.Start(chained, "PUT", at(100), trace.WithAttributes(attribute.Int("http.response.status_code", 503), attribute.String("error.type", "503")))
	first.SetStatus(codes.Error, "")
	first.End(at(150))
	call.AddEvent("tidegate.retry.scheduled", at(150), trace.WithAttributes(
		attribute.Float64("tidegate.retry.delay", 1), attribute.String("tidegate.retry.delay_source", "retry_after"), attribute.String("error.type", "503")))
	_, second := tracer.Start(chained, "PUT", at(1150), trace.WithAttributes(attribute.Int("http.response.status_code", 200), attribute.Int("http.request.resend_count", 1)))
	second.End(at(1400))
	call.SetAttributes(attribute.Int("tidegate.attempts", 2))
	call.End(at(1400))
	_, notify := tracer.Start(ctx, "http POST with a name that is far too long", at(1999), trace.WithAttributes(attribute.Int("tidegate.attempts", 1)))
	notify.AddEvent("tidegate.breaker.state_changed", at(2000), trace.WithAttributes(attribute.String("tidegate.breaker.state.to", "open"), attribute.String("tidegate.reason", "consecutive_failures")))
	notify.End(at(2000))
	root.End(at(2000))
	_, other := tracer.Start(t.Context(), "another trace")
	other.End()
	return root.SpanContext().TraceID(), recorder.Ended()
}

func TestDraw(t *testing.T) {
	id, recorded := record(t)
	for _, row := range []struct {
		golden string
		colour bool
	}{
		{"testdata/plain.txt", false},
		{"testdata/coloured.txt", true},
	} {
		var out bytes.Buffer
		if err := Draw(&out, Trace(id, recorded), row.colour); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(row.golden, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(row.golden)
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", row.golden, &out, want)
		}
	}
}

func TestDrawOddTraces(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, row := range []struct {
		name  string
		spans []Span
		want  string
	}{
		{"no spans", nil, "no spans"},
		{"no length", []Span{{ID: "a", Name: "moment", Start: now, End: now}}, "moment"},
		{"an unknown parent", []Span{{ID: "a", Parent: "gone", Name: "orphan", Start: now, End: now.Add(time.Second)}}, "orphan"},
		{"a mark outside", []Span{{ID: "a", Name: "x", Start: now, End: now.Add(time.Second), Marks: []Mark{{At: now.Add(time.Hour), Name: "late"}}}}, "late"},
	} {
		var out bytes.Buffer
		if err := Draw(&out, row.spans, false); err != nil || !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: %v, got\n%s", row.name, err, &out)
		}
	}
}
