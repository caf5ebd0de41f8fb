package middleware

import (
	"context"
	"time"
)

// A Kind says what an [Event] reports.
type Kind uint8

const (
	// Rejected: a policy refused a call. Reason, Wait (when to come back, if known), Err.
	Rejected Kind = iota + 1
	// Transition: a breaker changed its state. From, To, Reason, Wait (how long it
	// stays open), Err (the failure that caused it, if any).
	Transition
	// RetryScheduled: attempt Attempt failed with Err; another one follows after
	// Wait. Reason is the source of the wait: "backoff" or "retry_after".
	RetryScheduled
	// RetryStopped: attempt Attempt failed with Err and no other follows. Reason is
	// "exhausted", "nested", "not_retryable", "retry_after", "budget", "deadline" or
	// "canceled".
	RetryStopped
	// Waited: a limiter held a call back for Wait before it let it through.
	Waited
	// TimedOut: a timeout policy ended a call after Wait.
	TimedOut
	// WouldReject: a policy that only observes let a call pass which it would have
	// refused. Reason and Wait as for Rejected.
	WouldReject
	// HealthCheckFailed: the health check of an open breaker failed with Err after Wait.
	HealthCheckFailed
	// HedgeStarted: attempt Attempt began beside those that had not ended, after Wait.
	HedgeStarted
	// HedgeWon: attempt Attempt, which began beside others, succeeded first.
	HedgeWon
	// HedgeRefused: it was time for attempt Attempt to begin beside the others, after
	// Wait, but it did not. Reason is "budget".
	HedgeRefused
	// HealthCheckPassed: the health check of an open breaker passed after Wait.
	HealthCheckPassed
	// LimitChanged: a policy changed a limit of its own. From, To (numbers as text),
	// Reason.
	LimitChanged
	// FallbackUsed: something else was done in place of what failed with Err; it took
	// Wait. Reason is "failed" if that failed too, or empty.
	FallbackUsed
	// Injected: a chaos policy disturbed a call. Reason is "latency", "error", "outcome",
	// "hang" or "cut"; Wait is for how long, if that is known.
	Injected
	// NestedRetry: a retry would repeat once more what failed with Err, but runs inside of
	// attempt Attempt of an outer one, which may. Reason is "context", or "header" when that
	// one is in another process.
	NestedRetry
	// LeaseExpired: a place that a call had held for Wait was given to others, because it
	// was not given back in time.
	LeaseExpired
)

// String returns the name of the kind, in lower case with underscores.
func (k Kind) String() string {
	switch k {
	case Rejected:
		return "rejected"
	case Transition:
		return "transition"
	case RetryScheduled:
		return "retry_scheduled"
	case RetryStopped:
		return "retry_stopped"
	case Waited:
		return "waited"
	case TimedOut:
		return "timed_out"
	case WouldReject:
		return "would_reject"
	case HealthCheckFailed:
		return "health_check_failed"
	case HedgeStarted:
		return "hedge_started"
	case HedgeWon:
		return "hedge_won"
	case HedgeRefused:
		return "hedge_refused"
	case HealthCheckPassed:
		return "health_check_passed"
	case LimitChanged:
		return "limit_changed"
	case FallbackUsed:
		return "fallback_used"
	case Injected:
		return "injected"
	case NestedRetry:
		return "nested_retry"
	case LeaseExpired:
		return "lease_expired"
	default:
		return "unknown"
	}
}

// An Event is one decision of a policy. Which fields are set depends on Kind.
type Event struct {
	Time   time.Time
	Chain  string // the name of the chain
	Policy string // the name of the policy
	Key    string // the key that the policy stands for, if there is one for each key
	Kind   Kind

	Attempt  int           // counted from 1
	Wait     time.Duration // see Kind
	From, To string        // states of a Transition, numbers of a LimitChanged
	Reason   string        // a word of a small fixed set
	Err      error         // may hold secrets in its text: do not export it as it is
	Verdict  Verdict       // of Err
	Rate     float64       // of a Transition to open by a rate: the share of calls that brought it about
	Opener   string        // the trace of the call that opened the breaker which rejects, or is checked; see [Tracer]
}

// An Observer receives the events of the chains that it is part of: put it into
// [NewChain] among the policies, outermost if it also decorates the call. An
// Observer that knows of traces is a [Tracer] too.
//
// Observe runs on the goroutine of the call that caused the event, with its
// context, so it must be quick and must not block. It is called without any lock
// held, and may use the policies that it observes. The events of one call come
// in order; the transitions of one policy come in order over all calls. Observe
// must be safe for concurrent use.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// A Tracer is an [Observer] that can name the trace which a call belongs to, so
// that a policy can say which call brought about what it does to others.
type Tracer interface {
	Observer

	// TraceID returns the id of the trace that ctx belongs to, or "".
	TraceID(ctx context.Context) string
}

// ObserverFunc adapts a function to an [Observer] that can be put into a chain.
type ObserverFunc func(ctx context.Context, e Event)

// Observe calls f(ctx, e).
func (f ObserverFunc) Observe(ctx context.Context, e Event) { f(ctx, e) }

// Execute lets the call through.
func (f ObserverFunc) Execute(ctx context.Context, next Next) error { return next.Do(ctx) }
