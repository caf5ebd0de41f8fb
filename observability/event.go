package observability

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/tidegate-go/tidegate/middleware"
)

const errorTypeKey = semconv.ErrorTypeKey

// An entry is an event of a policy as span events and log records tell it.
type entry struct {
	name       string
	severity   log.Severity
	attributes []attribute.KeyValue
}

// entryOf describes e, which belongs to the call c, or to none.
func entryOf(c *call, e middleware.Event) entry {
	n := entry{attributes: policyAttributes(e)}
	say := func(name string, severity log.Severity, attributes ...attribute.KeyValue) {
		n.name, n.severity, n.attributes = name, severity, append(n.attributes, attributes...)
	}
	kind := errorTypeKey.String(eventErrorType(e))
	switch e.Kind {
	case middleware.Transition:
		severity := log.SeverityInfo
		if opens(e) {
			severity = log.SeverityWarn
		}
		say(eventStateChanged, severity, transitionAttributes(e)...)
	case middleware.HealthCheckFailed:
		say(eventCheckFailed, log.SeverityInfo, kind)
	case middleware.HealthCheckPassed:
		say(eventCheckPassed, log.SeverityInfo)
	case middleware.RetryScheduled:
		say(eventRetryScheduled, log.SeverityDebug,
			keyAttempt.Int(e.Attempt), keyDelay.Float64(e.Wait.Seconds()), keyDelaySource.String(e.Reason), kind)
	case middleware.RetryStopped:
		severity := log.SeverityInfo
		if e.Reason == "budget" {
			severity = log.SeverityWarn
		}
		say(eventRetryStopped, severity, keyAttempt.Int(e.Attempt), keyStopReason.String(e.Reason), kind)
	case middleware.HedgeStarted:
		say(eventHedgeStarted, log.SeverityDebug, keyAttempt.Int(e.Attempt), keyHedgeDelay.Float64(e.Wait.Seconds()))
	case middleware.HedgeWon:
		say(eventHedgeWon, log.SeverityDebug, keyAttempt.Int(e.Attempt))
	case middleware.HedgeRefused:
		say(eventHedgeRefused, log.SeverityInfo, keyAttempt.Int(e.Attempt), keyReason.String(e.Reason))
	case middleware.TimedOut:
		say(eventTimeout, log.SeverityWarn, keyLimit.Float64(e.Wait.Seconds()))
		if c != nil {
			if scope := c.profile.scope(e); scope != "" {
				n.attributes = append(n.attributes, keyLimitScope.String(scope))
			}
		}
	case middleware.WouldReject:
		say(eventWouldReject, log.SeverityInfo, append(refusalAttributes(e), keyReason.String(e.Reason))...)
	case middleware.LimitChanged:
		say(eventLimitChanged, log.SeverityInfo, keyLimitFrom.String(e.From), keyLimitTo.String(e.To), keyReason.String(e.Reason))
	case middleware.FallbackUsed:
		severity := log.SeverityInfo
		if failedToo(e) {
			severity = log.SeverityWarn
		}
		say(eventFallbackUsed, severity, fallbackAttributes(e)...)
	case middleware.Injected:
		say(eventInjected, log.SeverityWarn, injectedAttributes(e)...)
	case middleware.NestedRetry:
		say(eventNestedRetry, log.SeverityInfo, keyOuterAttempt.Int(e.Attempt), keyOuterSource.String(e.Reason), kind)
	case middleware.LeaseExpired:
		say(eventLeaseExpired, log.SeverityWarn, keyHeld.Float64(e.Wait.Seconds()))
	case middleware.Waited:
		say(eventWaited, log.SeverityDebug, keyWait.Float64(e.Wait.Seconds()))
	case middleware.Rejected:
		say(eventRejected, log.SeverityWarn, rejectedAttributes(e)...)
	}
	return n
}

// log makes a record of e.
func (o *Observer) log(ctx context.Context, c *call, e middleware.Event) {
	n := entryOf(c, e)
	if n.name == "" || !o.records.Enabled(ctx, log.EnabledParameters{Severity: n.severity, EventName: n.name}) {
		return
	}
	var r log.Record
	r.SetTimestamp(e.Time)
	r.SetEventName(n.name)
	r.SetSeverity(n.severity)
	r.AddAttributes(keyChain.String(e.Chain))
	r.AddAttributes(n.attributes...)
	o.records.Emit(ctx, r)
}

// opens reports whether e is a breaker that opens by itself.
func opens(e middleware.Event) bool {
	return e.Kind == middleware.Transition && (e.To == "open" || e.To == "observed_open")
}

// failedToo reports whether e is an alternative that failed as what it replaced.
func failedToo(e middleware.Event) bool {
	return e.Kind == middleware.FallbackUsed && e.Reason == "failed"
}

// policyAttributes name the policy that e comes from.
func policyAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := make([]attribute.KeyValue, 1, 8)
	attributes[0] = keyPolicy.String(e.Policy)
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
	if e.Rate > 0 {
		attributes = append(attributes, keyFailureRate.Float64(e.Rate))
	}
	if e.Err != nil {
		attributes = append(attributes, errorTypeKey.String(eventErrorType(e)))
	}
	return attributes
}

func rejectedAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := append(refusalAttributes(e), errorTypeKey.String(e.Reason))
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

// refusalAttributes say when a refused call may come back, and which call brought it
// about, as far as that is known.
func refusalAttributes(e middleware.Event) []attribute.KeyValue {
	var attributes []attribute.KeyValue
	if e.Wait > 0 {
		attributes = append(attributes, keyRetryAfter.Float64(e.Wait.Seconds()))
	}
	if e.Opener != "" {
		attributes = append(attributes, keyOpener.String(e.Opener))
	}
	return attributes
}

func fallbackAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := []attribute.KeyValue{errorTypeKey.String(eventErrorType(e))}
	if e.Reason != "" {
		attributes = append(attributes, keyReason.String(e.Reason))
	}
	return attributes
}

// injectedAttributes say what a chaos policy has done, and for how long or with which error,
// as far as there is one.
func injectedAttributes(e middleware.Event) []attribute.KeyValue {
	attributes := []attribute.KeyValue{keyFault.String(e.Reason)}
	if e.Attempt > 0 {
		attributes = append(attributes, keyAttempt.Int(e.Attempt))
	}
	if e.Wait > 0 {
		attributes = append(attributes, keyFaultDuration.Float64(e.Wait.Seconds()))
	}
	if e.Err != nil {
		attributes = append(attributes, errorTypeKey.String(eventErrorType(e)))
	}
	return attributes
}

func eventErrorType(e middleware.Event) string {
	if e.Err == nil {
		return semconv.ErrorTypeOther.Value.AsString()
	}
	return failed(e.Err, e.Verdict).errorType
}
