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
	keyOperationKey  = attribute.Key(Namespace + "operation.key")
	keyPolicies      = attribute.Key(Namespace + "policies")
	keyPolicy        = attribute.Key(Namespace + "policy.name")
	keyPolicyType    = attribute.Key(Namespace + "policy.type")
	keyPolicyKey     = attribute.Key(Namespace + "policy.key")
	keyOutcome       = attribute.Key(Namespace + "outcome")
	keyAttempts      = attribute.Key(Namespace + "attempts")
	keyHedge         = attribute.Key(Namespace + "hedge")
	keyAttempt       = attribute.Key(Namespace + "attempt")
	keyWait          = attribute.Key(Namespace + "wait.duration")
	keyEventsDropped = attribute.Key(Namespace + "events.dropped")
	keyReason        = attribute.Key(Namespace + "reason")
	keyRetryAfter    = attribute.Key(Namespace + "retry_after")
	keyState         = attribute.Key(Namespace + "breaker.state")
	keyStateFrom     = attribute.Key(Namespace + "breaker.state.from")
	keyStateTo       = attribute.Key(Namespace + "breaker.state.to")
	keyOpenFor       = attribute.Key(Namespace + "breaker.open_for")
	keyOpener        = attribute.Key(Namespace + "breaker.opened_by")
	keyFailureRate   = attribute.Key(Namespace + "breaker.failure_rate")
	keyDelay         = attribute.Key(Namespace + "retry.delay")
	keyDelaySource   = attribute.Key(Namespace + "retry.delay_source")
	keyStopReason    = attribute.Key(Namespace + "retry.stop_reason")
	keyHedgeDelay    = attribute.Key(Namespace + "hedge.delay")
	keyLimit         = attribute.Key(Namespace + "timeout.limit")
	keyLimitScope    = attribute.Key(Namespace + "timeout.scope")
	keyLimitFrom     = attribute.Key(Namespace + "limit.from")
	keyLimitTo       = attribute.Key(Namespace + "limit.to")
	keyFault         = attribute.Key(Namespace + "chaos.fault")
	keyFaultDuration = attribute.Key(Namespace + "chaos.duration")
	keyOuterAttempt  = attribute.Key(Namespace + "retry.outer_attempt")
	keyOuterSource   = attribute.Key(Namespace + "retry.outer_source")
	keyHeld          = attribute.Key(Namespace + "lease.held")
	keyCallState     = attribute.Key(Namespace + "call.state")
	keyDecision      = attribute.Key(Namespace + "decision")
)

// Span events.
const (
	eventStateChanged   = Namespace + "breaker.state_changed"
	eventCheckFailed    = Namespace + "breaker.health_check_failed"
	eventCheckPassed    = Namespace + "breaker.health_check_passed"
	eventWouldReject    = Namespace + "policy.would_reject"
	eventRetryScheduled = Namespace + "retry.scheduled"
	eventRetryStopped   = Namespace + "retry.stopped"
	eventHedgeStarted   = Namespace + "hedge.started"
	eventHedgeWon       = Namespace + "hedge.won"
	eventHedgeRefused   = Namespace + "hedge.refused"
	eventLimitChanged   = Namespace + "policy.limit_changed"
	eventFallbackUsed   = Namespace + "fallback.used"
	eventInjected       = Namespace + "chaos.injected"
	eventNestedRetry    = Namespace + "retry.nested"
	eventLeaseExpired   = Namespace + "policy.lease_expired"
	eventWaited         = Namespace + "policy.waited"   // log records only
	eventRejected       = Namespace + "policy.rejected" // log records only
	eventTimeout        = Namespace + "timeout.exceeded"
)

// Instruments.
const (
	metricDuration    = Namespace + "operation.duration"
	metricAttempt     = Namespace + "attempt.duration"
	metricActive      = Namespace + "policy.active"
	metricStatus      = Namespace + "breaker.status"
	metricStateTime   = Namespace + "breaker.state.time"
	metricAttempts    = Namespace + "operation.attempts"
	metricDecisions   = Namespace + "policy.decisions"
	metricWait        = Namespace + "policy.wait.duration"
	metricTransitions = Namespace + "breaker.transitions"
	metricLimit       = Namespace + "policy.limit"
	metricRate        = Namespace + "rate_limit.rate"
	metricRejection   = Namespace + "throttle.rejection"
	metricArmed       = Namespace + "chaos.armed"
)
