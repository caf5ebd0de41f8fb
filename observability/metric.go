package observability

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/tidegate-go/tidegate/middleware"
)

// instruments are the metrics of an observer. The attributes of a series are made
// once, because making them costs more than counting.
type instruments struct {
	duration    metric.Float64Histogram
	attempt     metric.Float64Histogram
	attempts    metric.Int64Histogram
	decisions   metric.Int64Counter
	wait        metric.Float64Histogram
	transitions metric.Int64Counter

	series cache[string, *cache[series, *options]] // by chain
	chains *chains
}

// A series holds the attributes of a measurement; an empty one is absent.
type series struct {
	chain, policy      string
	decision           string
	outcome, errorType string
	from, to           string
	typed              bool // the kind of the policy is an attribute
}

// options are the attributes of a series in the forms that instruments take.
type options struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func newInstruments(p metric.MeterProvider, c *chains) *instruments {
	if p == nil {
		return nil
	}
	m := p.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
	seconds := metric.WithExplicitBucketBoundaries(
		0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
	observeStates(m, c)
	observeReadings(m, c)
	return &instruments{
		chains: c,
		attempt: handled(m.Float64Histogram(metricAttempt, seconds, metric.WithUnit("s"),
			metric.WithDescription("Time until an attempt of a call returned."))),
		duration: handled(m.Float64Histogram(metricDuration, seconds, metric.WithUnit("s"),
			metric.WithDescription("Time until a call through a chain returned."))),
		attempts: handled(m.Int64Histogram(metricAttempts, metric.WithUnit("{attempt}"),
			metric.WithExplicitBucketBoundaries(1, 2, 3, 4, 5, 8, 13),
			metric.WithDescription("Attempts of a call through a chain."))),
		decisions: handled(m.Int64Counter(metricDecisions, metric.WithUnit("{decision}"),
			metric.WithDescription("Decisions of policies, other than to let a call through."))),
		wait: handled(m.Float64Histogram(metricWait, seconds, metric.WithUnit("s"),
			metric.WithDescription("Waits of calls, for their turn or before another attempt."))),
		transitions: handled(m.Int64Counter(metricTransitions, metric.WithUnit("{transition}"),
			metric.WithDescription("Changes of the state of circuit breakers."))),
	}
}

// handled passes an instrument on. A provider that fails to make one says so and
// gives one that does nothing.
func handled[I any](instrument I, err error) I {
	if err != nil {
		otel.Handle(err)
	}
	return instrument
}

// attach begins the counters whose first event is an alert's business at zero. Prometheus
// knows how much a counter has grown only since it first saw it, so that an event which is
// the first of its kind would be none.
func (i *instruments) attach(c *middleware.Chain) {
	ctx := context.Background()
	for r := range c.Reports {
		switch {
		case r.Breaker != nil && i.transitions.Enabled(ctx):
			s := series{chain: c.Name(), policy: r.Name, from: "closed", to: "open"}
			i.transitions.Add(ctx, 0, i.options(s).add...)
		case r.Type == "retry" && i.decisions.Enabled(ctx):
			s := series{chain: c.Name(), policy: r.Name, typed: true, decision: "retry_budget"}
			i.decisions.Add(ctx, 0, i.options(s).add...)
		}
	}
}

// called measures a call that has returned.
func (i *instruments) called(ctx context.Context, chain string, o outcome, took time.Duration, attempts int) {
	if i.duration.Enabled(ctx) {
		s := series{chain: chain, outcome: o.word, errorType: o.metricType()}
		i.duration.Record(ctx, took.Seconds(), i.options(s).record...)
	}
	if i.attempts.Enabled(ctx) {
		s := series{chain: chain, outcome: o.word}
		i.attempts.Record(ctx, int64(attempts), i.options(s).record...)
	}
}

// attempted measures an attempt that has returned.
func (i *instruments) attempted(ctx context.Context, chain string, o outcome, took time.Duration) {
	if i.attempt.Enabled(ctx) {
		s := series{chain: chain, outcome: o.word, errorType: o.metricType()}
		i.attempt.Record(ctx, took.Seconds(), i.options(s).record...)
	}
}

// observe measures an event.
func (i *instruments) observe(ctx context.Context, e middleware.Event) {
	if e.Kind == middleware.Transition {
		if i.transitions.Enabled(ctx) {
			s := series{chain: e.Chain, policy: e.Policy, from: e.From, to: e.To}
			i.transitions.Add(ctx, 1, i.options(s).add...)
		}
		return
	}
	if d := decisionOf(e); d != "" && i.decisions.Enabled(ctx) {
		s := series{chain: e.Chain, policy: e.Policy, typed: true, decision: d}
		i.decisions.Add(ctx, 1, i.options(s).add...)
	}
	if e.Kind == middleware.Waited || e.Kind == middleware.RetryScheduled {
		if i.wait.Enabled(ctx) {
			s := series{chain: e.Chain, policy: e.Policy, typed: true}
			i.wait.Record(ctx, e.Wait.Seconds(), i.options(s).record...)
		}
	}
}

func (i *instruments) options(s series) *options {
	known, ok := i.series.load(s.chain)
	if !ok {
		known = i.series.store(s.chain, new(cache[series, *options]))
	}
	if o, ok := known.load(s); ok {
		return o
	}
	kind := ""
	if s.typed {
		kind = i.chains.policyType(s.chain, s.policy)
	}
	set := metric.WithAttributeSet(s.set(kind))
	return known.store(s, &options{add: []metric.AddOption{set}, record: []metric.RecordOption{set}})
}

func (s series) set(kind string) attribute.Set {
	var kv []attribute.KeyValue
	for _, a := range []struct {
		key   attribute.Key
		value string
	}{
		{keyChain, s.chain}, {keyPolicyType, kind}, {keyPolicy, s.policy}, {keyDecision, s.decision},
		{keyOutcome, s.outcome}, {semconv.ErrorTypeKey, s.errorType},
		{keyStateFrom, s.from}, {keyStateTo, s.to},
	} {
		if a.value != "" {
			kv = append(kv, a.key.String(a.value))
		}
	}
	return attribute.NewSet(kv...)
}

// decisionOf returns the word of e in the closed list of decisions, or "" when e
// is none.
func decisionOf(e middleware.Event) string {
	switch e.Kind {
	case middleware.Rejected:
		switch e.Reason {
		case "circuit_open":
			return "rejected_open"
		case "probe_limit":
			return "rejected_probe_limit"
		case "recovering":
			return "rejected_recovering"
		case "rate_limited":
			return "rejected_rate"
		case "bulkhead_full":
			return "rejected_bulkhead"
		case "concurrency_limited":
			return "rejected_concurrency"
		case "client_throttled":
			return "rejected_throttle"
		case "deadline_too_short":
			return "rejected_deadline"
		default:
			return "rejected"
		}
	case middleware.RetryScheduled:
		return "retry_scheduled"
	case middleware.RetryStopped:
		switch e.Reason {
		case "exhausted", "not_retryable", "budget", "deadline", "canceled":
			return "retry_" + e.Reason
		case "nested": // its NestedRetry counts
			return ""
		case "retry_after": // the server asked for a longer wait than is allowed
			return "retry_after_exceeded"
		default:
			return "retry_stopped"
		}
	case middleware.TimedOut:
		return "timed_out"
	case middleware.WouldReject:
		return "would_reject"
	case middleware.HealthCheckFailed:
		return "health_check_failed"
	case middleware.HealthCheckPassed:
		return "health_check_passed"
	case middleware.LimitChanged:
		return "limit_changed"
	case middleware.FallbackUsed:
		if failedToo(e) {
			return "fallback_failed"
		}
		return "fallback_used"
	case middleware.Injected:
		return "injected"
	case middleware.NestedRetry:
		return "retry_nested"
	case middleware.LeaseExpired:
		return "lease_expired"
	case middleware.HedgeStarted:
		return "hedge_started"
	case middleware.HedgeWon:
		return "hedge_won"
	case middleware.HedgeRefused:
		return "hedge_refused"
	default:
		return ""
	}
}

// metricType returns the error type if it is one of the few that metrics tell
// apart, or else the reason of the verdict, which is made for metrics, or else
// "_OTHER": what operations of users return must not add series without end.
func (o outcome) metricType() string {
	switch o.errorType {
	case "", "circuit_open", "probe_limit", "recovering", "rate_limited", "bulkhead_full", "budget_exhausted",
		"concurrency_limited", "client_throttled", "deadline_too_short", "timeout", "chaos", "alternative_failed",
		"deadline_exceeded", "canceled", "superseded", "panic":
		return o.errorType
	}
	if code, err := strconv.Atoi(o.errorType); err == nil && code >= 100 && code <= 599 {
		return o.errorType
	}
	if o.reason != "" {
		return o.reason
	}
	return semconv.ErrorTypeOther.Value.AsString()
}
