package observability

import "go.opentelemetry.io/otel/attribute"

// Namespace begins the name of every attribute, span event and instrument that
// is not from the semantic conventions of OpenTelemetry. They have none for
// resilience yet; should that change, names may follow them.
const Namespace = "tidegate."

// scope names this instrumentation in exported spans and metrics.
const scope = "github.com/tidegate-go/tidegate/observability"

// Attributes. What they say stands in the package documentation.
const (
	keyChain         = attribute.Key(Namespace + "chain.name")
	keyOperation     = attribute.Key(Namespace + "operation")
	keyPolicies      = attribute.Key(Namespace + "policies")
	keyPolicy        = attribute.Key(Namespace + "policy.name")
	keyPolicyKey     = attribute.Key(Namespace + "policy.key")
	keyOutcome       = attribute.Key(Namespace + "outcome")
	keyAttempts      = attribute.Key(Namespace + "attempts")
	keyAttempt       = attribute.Key(Namespace + "attempt")
	keyWait          = attribute.Key(Namespace + "wait.duration")
	keyEventsDropped = attribute.Key(Namespace + "events.dropped")
	keyReason        = attribute.Key(Namespace + "reason")
	keyRetryAfter    = attribute.Key(Namespace + "retry_after")
	keyState         = attribute.Key(Namespace + "breaker.state")
	keyStateFrom     = attribute.Key(Namespace + "breaker.state.from")
	keyStateTo       = attribute.Key(Namespace + "breaker.state.to")
	keyOpenFor       = attribute.Key(Namespace + "breaker.open_for")
	keyDelay         = attribute.Key(Namespace + "retry.delay")
	keyDelaySource   = attribute.Key(Namespace + "retry.delay_source")
	keyStopReason    = attribute.Key(Namespace + "retry.stop_reason")
	keyHedgeDelay    = attribute.Key(Namespace + "hedge.delay")
	keyLimit         = attribute.Key(Namespace + "timeout.limit")
	keyLimitScope    = attribute.Key(Namespace + "timeout.scope")
	keyDecision      = attribute.Key(Namespace + "decision")
)

// Span events.
const (
	eventStateChanged   = Namespace + "breaker.state_changed"
	eventCheckFailed    = Namespace + "breaker.health_check_failed"
	eventWouldReject    = Namespace + "policy.would_reject"
	eventRetryScheduled = Namespace + "retry.scheduled"
	eventRetryStopped   = Namespace + "retry.stopped"
	eventHedgeStarted   = Namespace + "hedge.started"
	eventHedgeWon       = Namespace + "hedge.won"
	eventHedgeRefused   = Namespace + "hedge.refused"
	eventTimeout        = Namespace + "timeout.exceeded"
)

// Instruments.
const (
	metricDuration    = Namespace + "operation.duration"
	metricAttempts    = Namespace + "operation.attempts"
	metricDecisions   = Namespace + "policy.decisions"
	metricWait        = Namespace + "policy.wait.duration"
	metricTransitions = Namespace + "breaker.transitions"
)
