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
		addEvent(span, eventStateChanged, e, transitionAttributes(e)...)
	case middleware.HealthCheckFailed:
		addEvent(span, eventCheckFailed, e, semconv.ErrorTypeKey.String(eventErrorType(e)))
	case middleware.RetryScheduled:
		addEvent(span, eventRetryScheduled, e,
			keyAttempt.Int(e.Attempt), keyDelay.Float64(e.Wait.Seconds()), keyDelaySource.String(e.Reason),
			semconv.ErrorTypeKey.String(eventErrorType(e)))
	case middleware.RetryStopped:
		addEvent(span, eventRetryStopped, e,
			keyAttempt.Int(e.Attempt), keyStopReason.String(e.Reason), semconv.ErrorTypeKey.String(eventErrorType(e)))
	case middleware.HedgeStarted:
		addEvent(span, eventHedgeStarted, e, keyAttempt.Int(e.Attempt), keyHedgeDelay.Float64(e.Wait.Seconds()))
	case middleware.HedgeWon:
		addEvent(span, eventHedgeWon, e, keyAttempt.Int(e.Attempt))
	case middleware.HedgeRefused:
		addEvent(span, eventHedgeRefused, e, keyAttempt.Int(e.Attempt), keyReason.String(e.Reason))
	case middleware.TimedOut:
		attributes := []attribute.KeyValue{keyLimit.Float64(e.Wait.Seconds())}
		if c != nil {
			if scope := c.profile.scope(e); scope != "" {
				attributes = append(attributes, keyLimitScope.String(scope))
			}
		}
		addEvent(span, eventTimeout, e, attributes...)
	case middleware.WouldReject:
		addEvent(span, eventWouldReject, e, append(retryAfter(e), keyReason.String(e.Reason))...)
	case middleware.Waited:
		o.row(ctx, waitName(e), e, e.Wait, keyWait.Float64(e.Wait.Seconds())).End(trace.WithTimestamp(e.Time))
	case middleware.Rejected:
		row := o.row(ctx, rejectedName(e), e, 0, rejectedAttributes(e)...)
		row.SetStatus(codes.Error, "")
		row.End(trace.WithTimestamp(e.Time))
	}
}

func addEvent(span trace.Span, name string, e middleware.Event, attributes ...attribute.KeyValue) {
	span.AddEvent(name, trace.WithTimestamp(e.Time), trace.WithAttributes(policyAttributes(e)...), trace.WithAttributes(attributes...))
}

// row starts a span of what took until e.
func (o *Observer) row(ctx context.Context, name string, e middleware.Event, took time.Duration, attributes ...attribute.KeyValue) trace.Span {
	_, row := o.tracer.Start(ctx, name, trace.WithTimestamp(e.Time.Add(-took)), trace.WithAttributes(keyChain.String(e.Chain)),
		trace.WithAttributes(policyAttributes(e)...), trace.WithAttributes(attributes...))
	return row
}

// policyAttributes name the policy that e comes from.
func policyAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := []attribute.KeyValue{keyPolicy.String(e.Policy)}
	if e.Key != "" {
		attributes = append(attributes, keyPolicyKey.String(e.Key))
	}
	return attributes
}

func transitionAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := []attribute.KeyValue{keyStateFrom.String(e.From), keyStateTo.String(e.To), keyReason.String(e.Reason)}
	if e.Wait > 0 {
		attributes = append(attributes, keyOpenFor.Float64(e.Wait.Seconds()))
	}
	if e.Err != nil {
		attributes = append(attributes, semconv.ErrorTypeKey.String(eventErrorType(e)))
	}
	return attributes
}

func rejectedAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := append(retryAfter(e), semconv.ErrorTypeKey.String(e.Reason))
	switch e.Reason {
	case "circuit_open":
		attributes = append(attributes, keyState.String("open"))
	case "probe_limit":
		attributes = append(attributes, keyState.String("half_open"))
	case "recovering":
		attributes = append(attributes, keyState.String("closed"))
	}
	return attributes
}

// retryAfter says when a refused call may come back, if that is known.
func retryAfter(e middleware.Event) []attribute.KeyValue {
	if e.Wait <= 0 {
		return nil
	}
	return []attribute.KeyValue{keyRetryAfter.Float64(e.Wait.Seconds())}
}

// waitName and rejectedName name the row of a wait and of a refusal after the
// kind of policy where the event tells it, or else after the policy.
func waitName(e middleware.Event) string {
	switch e.Reason {
	case "rate", "pause":
		return "rate limit wait"
	case "bulkhead":
		return "bulkhead wait"
	default:
		return words(e.Policy) + " wait"
	}
}

func rejectedName(e middleware.Event) string {
	switch e.Reason {
	case "circuit_open", "probe_limit", "recovering":
		return "breaker rejected"
	case "rate_limited":
		return "rate limit rejected"
	case "bulkhead_full":
		return "bulkhead rejected"
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
