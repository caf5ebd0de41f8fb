package policies

import "time"

// Counts are what a [Breaker] has counted. With FailureRate or SlowCall, Calls,
// Failures and Slow are those in the window; otherwise those since the counts began,
// with the last transition or Reset, and Slow is zero; Successes then begins again at
// zero after 2^40. In the half-open state they are the probes.
type Counts struct {
	Calls     int // that succeeded or failed
	Successes int
	Failures  int
	Slow      int // of the calls, whether they succeeded or failed

	ConsecutiveFailures int

	// Ignored are the calls since the counts began that were neither a success nor a
	// failure.
	Ignored int
}

// BreakerStatus is a snapshot of a [Breaker]. Numbers that calls change meanwhile
// may be of slightly different moments.
type BreakerStatus struct {
	State State

	// Generation counts how often the breaker has begun to count anew, from 1.
	Generation uint64

	Since  time.Time // when the state began; of one that is half-open by time, when it opened
	Counts Counts

	// FailureRate and SlowRate are the shares of failures and of slow calls among
	// Counts.Calls, from 0 to 1, SlowRate with the calls in flight that are slow already.
	// From the opening until the breaker is closed again they are those that it opened
	// with.
	FailureRate, SlowRate float64

	// InFlight are the calls of this generation that have not ended: neither those from
	// before the last transition, nor those that pass uncounted.
	InFlight int

	// Share is the share of calls let through, from 0 to 1: 1 when all pass, less
	// during a Ramp, 0 when the breaker is open, and when it is half-open and only
	// probes pass.
	Share float64

	// Opened is when the outage began: the time at which the breaker opened by itself,
	// kept until it is closed again. Otherwise the zero time.
	Opened time.Time

	// NextProbe is when an open breaker lets a call through again, until a call has
	// been let through; otherwise the zero time.
	NextProbe time.Time

	// Last is the last transition. It is the zero Transition if there was none.
	Last Transition
}

// State returns the state of the breaker. An open breaker whose RecoveryTime has
// passed is half-open, though the next call makes it so.
func (b *Breaker) State() State { return b.gate.Load().stateAt(b.now()) }

func (g *gate) stateAt(now int64) State {
	if g.state.plain() == Open && now >= g.until {
		return g.state + HalfOpen - Open
	}
	return g.state
}

// Status returns a snapshot of the breaker. It takes no lock.
func (b *Breaker) Status() BreakerStatus { return b.status(b.gate.Load(), b.now()) }

func (b *Breaker) status(g *gate, now int64) BreakerStatus {
	s := BreakerStatus{
		State:      g.stateAt(now),
		Generation: g.generation,
		Since:      g.since,
		Counts:     g.counts(now),
		InFlight:   int(g.running.count()),
		Share:      g.passing(now),
		Opened:     g.opened,
		Last:       g.last,
	}
	s.FailureRate, s.SlowRate = g.rates(now)
	if g.trace != nil {
		if id := g.trace.Load(); id != nil {
			s.Last.TraceID = *id
		}
	}
	if g.state.plain() == Open {
		s.NextProbe = g.since.Add(time.Duration(g.until - g.begin))
	}
	return s
}

// rates returns the shares of failures and of slow calls.
func (g *gate) rates(now int64) (failure, slow float64) {
	if !g.opened.IsZero() {
		return g.failureRate, g.slowRate
	}
	n := g.counts(now)
	if c := g.config.Load(); c.SlowCall > 0 && g.window != nil {
		late := g.running.begunBefore(now - int64(c.SlowCall))
		slow = share(int64(n.Slow)+late, int64(n.Calls)+late)
	}
	return share(int64(n.Failures), int64(n.Calls)), slow
}

// Counts returns what the breaker has counted.
func (b *Breaker) Counts() Counts { return b.Status().Counts }

func (g *gate) counts(now int64) Counts {
	c := Counts{ConsecutiveFailures: int(g.consecutive.Load()), Ignored: int(g.ignored.Load())}
	if g.window == nil {
		c.Successes, c.Failures = int(g.succeeded()), int(g.failures.Load())
	} else {
		t := g.window.tally(now)
		c.Successes, c.Failures, c.Slow = int(t.calls-t.failures), int(t.failures), int(t.slow)
	}
	c.Calls = c.Successes + c.Failures
	return c
}
