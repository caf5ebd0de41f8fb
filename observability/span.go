package observability

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// minWait is the shortest wait that has a span.
const minWait = time.Millisecond

// trace adds e to the span of its call c, or, without a call, to the span that
// ctx holds.
func (o *Observer) trace(ctx context.Context, c *call, e middleware.Event) {
	span := trace.SpanFromContext(ctx)
	if c != nil {
		span = c.span
	}
	if span == nil || !span.IsRecording() || e.Kind == middleware.Waited && e.Wait < minWait {
		return
	}
	if c != nil && !c.admit() {
		return
	}
	switch e.Kind {
	case middleware.Transition:
		addEvent(span, eventStateChanged, e, transitionAttributes(e))
	case middleware.RetryScheduled:
		addEvent(span, eventRetryScheduled, e, []attribute.KeyValue{
			keyPolicy.String(e.Policy), keyAttempt.Int(e.Attempt),
			keyDelay.Float64(e.Wait.Seconds()), keyDelaySource.String(e.Reason),
			semconv.ErrorTypeKey.String(eventErrorType(e)),
		})
	case middleware.RetryStopped:
		addEvent(span, eventRetryStopped, e, []attribute.KeyValue{
			keyPolicy.String(e.Policy), keyAttempt.Int(e.Attempt), keyStopReason.String(e.Reason),
			semconv.ErrorTypeKey.String(eventErrorType(e)),
		})
	case middleware.TimedOut:
		attributes := []attribute.KeyValue{keyPolicy.String(e.Policy), keyLimit.Float64(e.Wait.Seconds())}
		if c != nil {
			if scope := c.profile.scope(e); scope != "" {
				attributes = append(attributes, keyLimitScope.String(scope))
			}
		}
		addEvent(span, eventTimeout, e, attributes)
	case middleware.Waited:
		_, row := o.tracer.Start(ctx, waitName(e), trace.WithTimestamp(e.Time.Add(-e.Wait)),
			trace.WithAttributes(keyChain.String(e.Chain), keyPolicy.String(e.Policy), keyWait.Float64(e.Wait.Seconds())))
		row.End(trace.WithTimestamp(e.Time))
	case middleware.Rejected:
		_, row := o.tracer.Start(ctx, rejectedName(e), trace.WithTimestamp(e.Time),
			trace.WithAttributes(rejectedAttributes(e)...))
		row.SetStatus(codes.Error, "")
		row.End(trace.WithTimestamp(e.Time))
	}
}

func addEvent(span trace.Span, name string, e middleware.Event, attributes []attribute.KeyValue) {
	span.AddEvent(name, trace.WithTimestamp(e.Time), trace.WithAttributes(attributes...))
}

func transitionAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		keyPolicy.String(e.Policy), keyStateFrom.String(e.From), keyStateTo.String(e.To), keyReason.String(e.Reason),
	}
	if e.Wait > 0 {
		attributes = append(attributes, keyOpenFor.Float64(e.Wait.Seconds()))
	}
	if e.Err != nil {
		attributes = append(attributes, semconv.ErrorTypeKey.String(eventErrorType(e)))
	}
	return attributes
}

func rejectedAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		keyChain.String(e.Chain), keyPolicy.String(e.Policy), semconv.ErrorTypeKey.String(e.Reason),
	}
	if e.Wait > 0 {
		attributes = append(attributes, keyRetryAfter.Float64(e.Wait.Seconds()))
	}
	switch e.Reason {
	case "circuit_open":
		attributes = append(attributes, keyState.String("open"))
	case "probe_limit":
		attributes = append(attributes, keyState.String("half_open"))
	}
	return attributes
}

// waitName and rejectedName name the row of a wait and of a refusal after the
// kind of policy where the event tells it, or else after the policy.
func waitName(e middleware.Event) string {
	if e.Reason == "rate" {
		return "rate limit wait"
	}
	return words(e.Policy) + " wait"
}

func rejectedName(e middleware.Event) string {
	switch e.Reason {
	case "circuit_open", "probe_limit":
		return "breaker rejected"
	case "rate_limited":
		return "rate limit rejected"
	default:
		return words(e.Policy) + " rejected"
	}
}

func words(policy string) string { return strings.ReplaceAll(policy, "_", " ") }

func eventErrorType(e middleware.Event) string {
	if e.Err == nil {
		return semconv.ErrorTypeOther.Value.AsString()
	}
	return failed(e.Err, e.Verdict).errorType
}
