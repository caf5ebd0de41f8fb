package policies

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// What a gate knows of the generations before. It is made with the gate.
type earlier struct {
	past
	opening
}

// A past is what a breaker was before a generation began.
type past struct {
	times [len(stateNames)]time.Duration // in each state
	was   uint16                         // a bit for each state that it ever was in
}

func (p *past) add(s State, d int64) {
	p.times[s] += time.Duration(d)
	p.was |= 1 << s
}

// pastAt returns the past of a gate together with its own time until now. An open gate
// whose time has passed is half-open from then on, as its state is.
func (g *gate) pastAt(now int64) past {
	var p past
	if g.earlier != nil {
		p = g.earlier.past
	}
	end := now
	if s := g.stateAt(now); s != g.state {
		end = g.until
		p.add(s, now-end)
	}
	p.add(g.state, end-g.begin)
	return p
}

// An opening is how a circuit came to be open. It is empty when the circuit is closed, after
// the ramp.
type opening struct {
	trace  *atomic.Pointer[string] // of the call that opened it, once an observer has told it
	before string                  // the trace of the opening before, in the same outage
}

// openedBy returns the trace of the call that opened the circuit, or "". A probe that failed
// has opened it again: the newest trace is the one that can still be found. Where that
// call has none, because it was not sampled, it is that of the opening before.
func (g *gate) openedBy() string {
	if g.earlier == nil || g.earlier.trace == nil {
		return ""
	}
	if id := g.earlier.trace.Load(); id != nil {
		return *id
	}
	return g.earlier.before
}

// recovered reports whether the gate is closed, and no ramp goes on.
func (g *gate) recovered(now int64) bool {
	return g.state.plain() == Closed && (g.until == forever || now >= g.until)
}

// inherit carries the opening on to the gate that follows old. It ends when the circuit
// is closed, after the ramp, and when a person takes over.
func (g *gate) inherit(old *gate) {
	switch plain := g.state.plain(); {
	case plain == Open:
		g.earlier.trace = g.trace
		if !old.recovered(g.begin) {
			g.earlier.before = old.openedBy()
		}
	case plain == HalfOpen, plain == Closed && g.until != forever:
		if old.earlier != nil {
			g.earlier.opening = old.earlier.opening
		}
	}
}

// Reports implements [middleware.Reporter]. Its type is "breaker". The readings are
// failure_rate, slow_rate, consecutive_failures and in_flight, as [BreakerStatus] has them.
// The state and the times take an open breaker whose RecoveryTime has passed for half-open.
// The opener is the call that opened the circuit last: after probes that failed, the one
// whose failure opened it again. It takes no lock.
func (b *Breaker) Reports(yield func(middleware.Report) bool) {
	g, now := b.gate.Load(), b.now()
	s, c := b.status(g, now), &g.config.Load().BreakerConfig
	yield(middleware.Report{
		Type: breakerType, Name: c.Name, Key: c.Key,
		Settings: b.description.of(func() any { return *c }),
		Readings: []middleware.Reading{
			{Name: "failure_rate", Value: s.FailureRate},
			{Name: "slow_rate", Value: s.SlowRate},
			{Name: "consecutive_failures", Value: float64(s.Counts.ConsecutiveFailures)},
			{Name: "in_flight", Value: float64(s.InFlight)},
		},
		Breaker: g.circuit(now),
	})
}

func (g *gate) circuit(now int64) *middleware.Circuit {
	state := g.stateAt(now)
	c := &middleware.Circuit{
		State: state.String(), Since: g.since, Share: g.passing(now), Opened: g.opened, Reason: g.last.Reason,
	}
	if state != g.state {
		c.Since, c.Reason = g.since.Add(time.Duration(g.until-g.begin)), "delay_elapsed"
	}
	if g.state.plain() == Open {
		c.Until = g.since.Add(time.Duration(g.until - g.begin))
	}
	if g.state.plain() != Closed {
		c.Opener = g.openedBy()
	}
	p := g.pastAt(now)
	c.Times = make([]middleware.StateTime, 0, bits.OnesCount16(p.was))
	for s, d := range p.times {
		if p.was&(1<<s) != 0 {
			c.Times = append(c.Times, middleware.StateTime{State: State(s).String(), Time: d})
		}
	}
	return c
}
