package observability

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// minWait is the shortest wait that has a span.
const minWait = time.Millisecond

// trace adds e to the span of its call c, or, without a call, to the span that
// ctx holds.
func (o *Observer) trace(ctx context.Context, c *call, e middleware.Event) {
	var l line
	switch span := trace.SpanFromContext(ctx); {
	case c != nil:
		l = c.line
		if l.span != nil && !l.span.IsRecording() { // it has ended: an event that comes late
			l.span = nil
		}
	case span.IsRecording() && o.tracer != nil:
		l.span = span
	case e.Kind == middleware.HealthCheckFailed, e.Kind == middleware.HealthCheckPassed:
		o.probe(e)
	}
	if !l.records() || e.Kind == middleware.Waited && e.Wait < minWait {
		return
	}
	if c != nil && !c.admit() {
		return
	}
	switch e.Kind {
	case middleware.Waited:
		row := o.row(ctx, l, o.kind(e)+" wait", e.Time.Add(-e.Wait))
		describeRow(row, e, keyWait.Float64(e.Wait.Seconds()))
		row.endAt(e.Time)
	case middleware.Rejected:
		row := o.row(ctx, l, o.kind(e)+" rejected", e.Time)
		row.redden()
		describeRow(row, e, rejectedAttributes(e)...)
		row.endAt(e.Time.Add(time.Nanosecond)) // Jaeger warns of a span that takes no time
	case middleware.FallbackUsed:
		row := o.row(ctx, l, "fallback", e.Time.Add(-e.Wait))
		if failedToo(e) {
			row.redden()
		}
		describeRow(row, e, fallbackAttributes(e)...)
		row.endAt(e.Time)
		o.event(l, c, e)
	default:
		o.event(l, c, e)
	}
}

// event makes e an event of the span, if that is where events go.
func (o *Observer) event(l line, c *call, e middleware.Event) {
	if !o.spanEvents {
		l.span = nil
	}
	if n := entryOf(c, e); n.name != "" && l.records() {
		l.event(n.name, e.Time, n.attributes)
	}
}

// row begins a span below that of a call.
func (o *Observer) row(ctx context.Context, call line, name string, start time.Time) line {
	var row line
	if call.span != nil {
		_, row.span = o.tracer.Start(ctx, name, trace.WithTimestamp(start))
	}
	row.kept = call.kept.child(name, trace.SpanKindInternal, start)
	return row
}

func describeRow(row line, e middleware.Event, attributes ...attribute.KeyValue) {
	row.set(append(append(policyAttributes(e), keyChain.String(e.Chain)), attributes...))
}

// probe makes the span of a health check, which no call brought about: a trace of its
// own, with a link to the call that opened the breaker.
func (o *Observer) probe(e middleware.Event) {
	const name = "breaker probe"
	var l line
	start := e.Time.Add(-e.Wait)
	if o.tracer != nil {
		options := []trace.SpanStartOption{trace.WithTimestamp(start)}
		if opener, ok := o.openers.find(e.Opener); ok {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: opener}))
		}
		_, l.span = o.tracer.Start(context.Background(), name, options...)
	}
	if o.live != nil {
		l.kept = o.live.traces.begin(e.Chain, name, start)
		if l.span != nil {
			l.kept.identify(l.span.SpanContext())
		}
	}
	attributes := append(policyAttributes(e), keyChain.String(e.Chain))
	if e.Opener != "" {
		attributes = append(attributes, keyOpener.String(e.Opener))
	}
	result := succeeded
	if e.Kind == middleware.HealthCheckFailed {
		result = outcome{word: failure, errorType: eventErrorType(e)}
	}
	l.conclude(result, attributes)
	l.endAt(e.Time)
}

// kind names the row of a wait or a refusal after the kind of policy where the event tells it or
// the policy is of ours, or else after the policy.
func (o *Observer) kind(e middleware.Event) string {
	switch e.Reason {
	case "circuit_open", "probe_limit", "recovering":
		return "breaker"
	case "rate", "pause", "rate_limited":
		return "rate limit"
	case "bulkhead", "bulkhead_full":
		return "bulkhead"
	case "adaptive_limit", "concurrency_limited":
		return "adaptive limit"
	case "client_throttled":
		return "throttle"
	}
	kind := e.Policy
	switch t := o.chains.policyType(e.Chain, e.Policy); t {
	case "breaker", "rate_limit", "bulkhead", "adaptive_limit", "throttle", "deadline", "chaos":
		kind = t
	}
	return strings.ReplaceAll(kind, "_", " ")
}
