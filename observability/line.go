package observability

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A line is a span and its copy in the live traces. Either may be missing, and then it
// is not told anything.
type line struct {
	span trace.Span // nil unless it records
	kept *keptSpan
}

// records reports whether anybody sees the line.
func (l line) records() bool { return l.span != nil || l.kept != nil }

func (l line) set(attributes []attribute.KeyValue) {
	if l.span != nil {
		l.span.SetAttributes(attributes...)
	}
	l.kept.set(attributes)
}

func (l line) event(name string, at time.Time, attributes []attribute.KeyValue) {
	if l.span != nil {
		l.span.AddEvent(name, trace.WithTimestamp(at), trace.WithAttributes(attributes...))
	}
	l.kept.event(name, at, attributes)
}

// conclude sets the attributes and says how the line ends: red unless o is a success, or
// nobody's error.
func (l line) conclude(o outcome, attributes []attribute.KeyValue) {
	attributes = append(attributes, keyOutcome.String(o.word))
	if o.isError() {
		attributes = append(attributes, errorTypeKey.String(o.errorType))
		l.redden()
	}
	l.set(attributes)
}

func (l line) redden() {
	if l.span != nil {
		l.span.SetStatus(codes.Error, "")
	}
	l.kept.redden()
}

func (l line) end() { l.endAt(time.Now()) }

func (l line) endAt(at time.Time) {
	if l.span != nil {
		l.span.End(trace.WithTimestamp(at))
	}
	l.kept.end(at)
}
