package observability_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/observability"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A recorder keeps what an observer exports.
type recorder struct {
	tracers *sdktrace.TracerProvider
	spans   *tracetest.InMemoryExporter
	meters  *sdkmetric.MeterProvider
	reader  *sdkmetric.ManualReader
}

func newRecorder(opts ...sdktrace.TracerProviderOption) *recorder {
	r := &recorder{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	r.tracers = sdktrace.NewTracerProvider(append(opts, sdktrace.WithSyncer(r.spans))...)
	r.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))
	return r
}

func (r *recorder) observer(opts ...observability.Option) *observability.Observer {
	return observability.New(append([]observability.Option{
		observability.WithTracerProvider(r.tracers),
		observability.WithMeterProvider(r.meters),
	}, opts...)...)
}

// span returns the one ended span with the name.
func (r *recorder) span(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	all := r.named(name)
	if len(all) != 1 {
		t.Fatalf("%d spans %q, want 1; there are\n%s", len(all), name, r.picture())
	}
	return all[0]
}

func (r *recorder) named(name string) tracetest.SpanStubs {
	var all tracetest.SpanStubs
	for _, s := range r.spans.GetSpans() {
		if s.Name == name {
			all = append(all, s)
		}
	}
	return all
}

// measured returns the points of the instrument, as text, sorted: attributes, then
// a count and, for a histogram, a sum.
func (r *recorder) measured(t *testing.T, name string) []string {
	t.Helper()
	var points []string
	for _, m := range r.metrics(t) {
		if m.Name != name {
			continue
		}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				points = append(points, fmt.Sprintf("%s: %d", text(p.Attributes.ToSlice()), p.Value))
			}
		case metricdata.Sum[float64]:
			for _, p := range data.DataPoints {
				points = append(points, fmt.Sprintf("%s: %.3g", text(p.Attributes.ToSlice()), p.Value))
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				points = append(points, fmt.Sprintf("%s: %.3g", text(p.Attributes.ToSlice()), p.Value))
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				points = append(points, fmt.Sprintf("%s: %d, sum %d", text(p.Attributes.ToSlice()), p.Count, p.Sum))
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				points = append(points, fmt.Sprintf("%s: %d, sum %.3g", text(p.Attributes.ToSlice()), p.Count, p.Sum))
			}
		default:
			t.Fatalf("%s is a %T", name, m.Data)
		}
	}
	slices.Sort(points)
	return points
}

func (r *recorder) metrics(t *testing.T) []metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var all []metricdata.Metrics
	for _, scope := range data.ScopeMetrics {
		all = append(all, scope.Metrics...)
	}
	return all
}

// picture draws the ended spans as a tree, in the order of their beginnings. It
// leaves out what all requests have in common.
func (r *recorder) picture() string {
	var b strings.Builder
	spans := r.spans.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	var draw func(parent trace.SpanID, indent string)
	draw = func(parent trace.SpanID, indent string) {
		for _, s := range spans {
			if s.Parent.SpanID() != parent {
				continue
			}
			fmt.Fprintf(&b, "%s%s %s %s", indent, s.Name, strings.ToUpper(s.SpanKind.String()), s.EndTime.Sub(s.StartTime))
			if s.Status.Code == codes.Error {
				b.WriteString(" RED")
			}
			fmt.Fprintf(&b, " %s\n", inTrace(s, slices.DeleteFunc(slices.Clone(s.Attributes), common)))
			for _, e := range s.Events {
				fmt.Fprintf(&b, "%s  + %s %s %s\n", indent, e.Time.Sub(s.StartTime).Round(time.Microsecond), e.Name, inTrace(s, e.Attributes))
			}
			draw(s.SpanContext.SpanID(), indent+"  ")
		}
	}
	draw(trace.SpanID{}, "")
	return b.String()
}

// inTrace writes attributes of a span or its events. The id of a trace differs each time:
// what counts is whether it is this one.
func inTrace(s tracetest.SpanStub, attributes []attribute.KeyValue) string {
	attributes = slices.Clone(attributes)
	for i, a := range attributes {
		if a.Key == "tidegate.breaker.opened_by" {
			whose := "another"
			if a.Value.AsString() == s.SpanContext.TraceID().String() {
				whose = "this"
			}
			attributes[i].Value = attribute.StringValue(whose)
		}
	}
	return text(attributes)
}

func common(a attribute.KeyValue) bool {
	switch a.Key {
	case "http.request.method", "network.protocol.version", "server.address", "server.port", "url.full", "tidegate.operation.key":
		return true
	}
	return false
}

// text writes attributes in the order of their keys, ours without the namespace.
func text(attributes []attribute.KeyValue) string {
	var words []string
	for _, a := range attributes {
		key := strings.TrimPrefix(string(a.Key), observability.Namespace)
		words = append(words, fmt.Sprintf("%s=%v", key, a.Value.String()))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func has(attributes []attribute.KeyValue, key, value string) bool {
	return slices.ContainsFunc(attributes, func(a attribute.KeyValue) bool {
		return string(a.Key) == key && a.Value.String() == value
	})
}
