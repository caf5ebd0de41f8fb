package policies

import (
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Transition is a change of the state of a [Breaker].
type Transition struct {
	Time     time.Time
	From, To State

	// Reason is a word of a small fixed set:
	//
	//	consecutive_failures   FailureThreshold was reached
	//	failure_rate           FailureRate was reached
	//	slow_rate              SlowRate was reached
	//	slow_in_flight         SlowRate was reached with the slow calls in flight
	//	delay_elapsed          it was time for probes
	//	probe_succeeded        SuccessThreshold was reached
	//	probe_failed           a probe failed
	//	probe_slow             a probe succeeded, but was slow
	//	health_check_passed    HealthCheck returned nil
	//	forced                 ForceOpen or ForceClose
	//	disabled               Disable
	//	observe_only           ObserveOnly
	//	released               Release
	//	reset                  Reset
	Reason string

	// Err is the error that caused the transition, if any. Its text may hold secrets.
	Err error

	// TraceID is the trace of the call that caused the transition, as an observer of
	// its chain knows it (see [middleware.Tracer]); for slow_in_flight of the call that
	// came then. It is empty if there is none, and until the observer has told it.
	TraceID string
}

// restart begins anew in a state that the machine does not know of, or that it
// has not come to by itself. Results of calls in flight no longer count. The lock is
// held.
func (b *Breaker) restart(to State, reason string) {
	b.machine = nil
	b.cause = &origin{reason: reason}
	b.move(to)
	b.cause = nil
}

// move begins a new generation. The lock is held.
func (b *Breaker) move(to State) {
	if b.observes && to <= HalfOpen {
		to = to.observe()
	}
	old := b.gate.Load()
	g := b.newGate(to, old)
	if to == old.state { // counts begin anew, and that is all
		g.last, g.since = old.last, old.since
		g.trace = old.trace
		b.replace(g)
		return
	}
	g.trace = new(atomic.Pointer[string])
	g.inherit(old)
	b.cause.gate = g
	g.last = Transition{
		Time: g.since, From: old.state, To: to,
		Reason: b.cause.reason, Err: middleware.Unjudged(b.cause.err),
	}
	b.replace(g)
	e := middleware.Event{
		Time: g.since, Policy: b.config.Name, Key: b.config.Key, Kind: middleware.Transition,
		From: old.state.String(), To: to.String(), Reason: b.cause.reason, Err: b.cause.err,
	}
	if to.plain() == Open {
		e.Wait = time.Duration(g.until - g.begin)
		switch b.cause.reason {
		case "failure_rate":
			e.Rate = g.failureRate
		case "slow_rate", "slow_in_flight":
			e.Rate = g.slowRate
		}
	}
	b.note(event{*b.cause, e})
}

// replace makes g the gate. What belongs to the old one ends. The lock is held.
func (b *Breaker) replace(g *gate) {
	b.check.stop()
	b.check, b.probes = nil, nil
	b.gate.Store(g)
	if g.state.plain() == Open {
		b.startCheck(g)
	}
}

// newGate returns the gate that follows old. The lock is held.
func (b *Breaker) newGate(state State, old *gate) *gate {
	g := &gate{state: state, generation: old.generation + 1, since: time.Now(), until: forever}
	g.begin = int64(g.since.Sub(b.epoch))
	g.config.Store(b.config)
	if old.generation > 0 {
		g.earlier = &earlier{past: old.pastAt(g.begin)}
	}
	var slow int64
	if state.plain() == Closed || state == ForcedClosed {
		slow = int64(b.config.SlowCall)
	}
	g.running.start(slow, g.begin)
	switch state.plain() {
	case Closed, ForcedClosed:
		g.window = newWindow(&b.config.BreakerConfig, &g.counters, g.begin)
		if b.config.Ramp > 0 && b.cause.recovers() {
			g.until = later(g.begin, int64(b.config.Ramp))
		}
		g.passes.Store(g.until == forever)
	case Open:
		g.until = later(g.begin, int64(b.openTime(g, old)))
		g.hold.Store(g.until)
		if old.opened.IsZero() {
			g.opened = g.since
			g.failureRate, g.slowRate = old.rates(g.begin)
			break
		}
		g.continues(old)
	case HalfOpen:
		g.continues(old)
	case ForcedOpen:
		g.hold.Store(forever)
		g.continues(old)
	default:
	}
	return g
}

// continues says that the outage goes on, if there is one.
func (g *gate) continues(old *gate) {
	g.opened, g.failureRate, g.slowRate = old.opened, old.failureRate, old.slowRate
}

// openTime returns how long the breaker stays open: the longer for each recovery
// that failed, and at least as long as the dependency asked for. The lock is held.
func (b *Breaker) openTime(g, old *gate) time.Duration {
	c := b.config
	ramping := old.state.plain() == Closed && !old.recovered(g.begin)
	wait := c.RecoveryTime
	switch {
	case old.state.plain() != HalfOpen && !ramping:
		b.waits = nil
	case c.RecoveryBackoff > 1:
		if b.waits == nil {
			b.waits = &backoff.ExponentialBackOff{
				InitialInterval:     wait,
				RandomizationFactor: DefaultJitter,
				Multiplier:          c.RecoveryBackoff,
				MaxInterval:         c.MaxRecoveryTime,
				Clock:               backoff.SystemClock,
			}
			b.waits.Reset()
			b.waits.NextBackOff() // the first wait, which is over
		}
		b.waits.Multiplier, b.waits.MaxInterval = c.RecoveryBackoff, c.MaxRecoveryTime // they may be new
		wait = max(wait, nextInterval(b.waits))
	}
	return max(wait, min(b.cause.after, c.MaxRecoveryTime), machineTimeout+1)
}
