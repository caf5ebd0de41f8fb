package waterfall

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
	"github.com/tidegate-go/tidegate/observability"
)

// Trace returns the bars of one trace among the recorded spans.
func Trace(id trace.TraceID, recorded []sdktrace.ReadOnlySpan) []Span {
	var spans []Span
	for _, r := range recorded {
		if r.SpanContext().TraceID() != id {
			continue
		}
		s := Span{
			ID:     r.SpanContext().SpanID().String(),
			Name:   r.Name(),
			Note:   note(r.Attributes()),
			Failed: r.Status().Code == codes.Error,
			Start:  r.StartTime(),
			End:    r.EndTime(),
		}
		if r.Parent().IsValid() {
			s.Parent = r.Parent().SpanID().String()
		}
		for _, e := range r.Events() {
			s.Marks = append(s.Marks, Mark{At: e.Time, Name: strings.TrimPrefix(e.Name, observability.Namespace), Note: note(e.Attributes)})
		}
		spans = append(spans, s)
	}
	return spans
}

// notable are the attributes that a note shows, in its order, and how.
var notable = []struct {
	key    attribute.Key
	format func(attribute.Value) string
}{
	{"http.response.status_code", attribute.Value.String},
	{"error.type", attribute.Value.String},
	{observability.Namespace + "attempts", func(v attribute.Value) string {
		if v.AsInt64() == 1 {
			return "1 attempt"
		}
		return v.String() + " attempts"
	}},
	{"http.request.resend_count", func(v attribute.Value) string { return "resend " + v.String() }},
	{observability.Namespace + "breaker.state.to", func(v attribute.Value) string { return "to " + v.String() }},
	{observability.Namespace + "reason", attribute.Value.String},
	{observability.Namespace + "retry.delay", func(v attribute.Value) string { return "in " + seconds(v) }},
	{observability.Namespace + "retry.delay_source", attribute.Value.String},
	{observability.Namespace + "retry.stop_reason", attribute.Value.String},
	{observability.Namespace + "timeout.limit", func(v attribute.Value) string { return "after " + seconds(v) }},
}

func seconds(v attribute.Value) string {
	return timeline.Duration(time.Duration(v.AsFloat64() * float64(time.Second)))
}

// note joins what is notable. A status that is also the type of the error stands
// in it once.
func note(attributes []attribute.KeyValue) string {
	set := attribute.NewSet(attributes...)
	var words []string
	for _, n := range notable {
		v, found := set.Value(n.key)
		if !found {
			continue
		}
		if word := n.format(v); len(words) == 0 || words[len(words)-1] != word {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}
