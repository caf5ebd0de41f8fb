package policies

import (
	"context"
	"slices"

	"github.com/tidegate-go/tidegate/middleware"
)

// A probe is a call that a half-open breaker let through, and its lease on one of
// the places there are.
type probe struct {
	gate  *gate
	done  func(error) // tells the machine
	began int64
	due   int64 // when the lease ends
	ended bool  // the machine has the place back
}

// lease asks the machine about one more probe. It returns nil if there is no place,
// or if the gate is no longer the current one.
func (b *Breaker) lease(ctx context.Context, next middleware.Next, g *gate, now int64) (p *probe, current bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gate.Load() != g {
		return nil, false
	}
	b.reclaim(now)
	if len(b.probes) < b.config.MaxProbes {
		// If that makes the breaker half-open, it is the time that did it, and not this call.
		b.drive(&origin{ctx: ctx, chain: next.Chain(), reason: "delay_elapsed"}, func() {
			if done, err := b.machine.Allow(); err == nil {
				p = &probe{gate: b.gate.Load(), done: done, began: now, due: later(now, int64(b.config.ProbeLease))}
				b.probes = append(b.probes, p)
			}
		})
	}
	if p == nil && len(b.probes) > 0 { // nobody need ask until a lease ends
		hold := b.probes[0].due
		for _, other := range b.probes {
			hold = min(hold, other.due)
		}
		g.hold.Store(hold)
	}
	return p, true
}

// reclaim gives the places of lost probes back to the machine. The lock is held.
func (b *Breaker) reclaim(now int64) {
	for _, p := range slices.Clone(b.probes) {
		if now >= p.due {
			b.end(p, errIgnored)
		}
	}
}

// end tells the machine how a probe ended. The lock is held.
func (b *Breaker) end(p *probe, result error) {
	if i := slices.Index(b.probes, p); i >= 0 {
		b.probes = slices.Delete(b.probes, i, i+1)
		p.gate.hold.Store(0)
	}
	// The place is given back once. gobreaker takes a verdict of a call after that, too.
	if !p.ended || result != errIgnored {
		p.ended = true
		p.done(result)
	}
}

// try runs a probe and settles it.
func (b *Breaker) try(ctx context.Context, next middleware.Next, p *probe) (err error) {
	by := origin{ctx: ctx, chain: next.Chain()}
	result := errIgnored // should an observer panic
	cohort, c := p.gate.running.enter(p.began), p.gate.config.Load()
	defer func() {
		p.gate.running.leave(cohort, result == nil)
		b.settle(p, by, result)
	}()
	b.deliver()
	result, by.reason = errFailed, "probe_failed" // unless next returns
	err = next.Do(ctx)
	v := middleware.VerdictOf(err)
	by.err, by.after = err, v.After
	switch {
	case c.fails(v):
	case v.Class != middleware.Success:
		result = errIgnored
	case c.SlowCall > 0 && b.now()-p.began > int64(c.SlowCall):
		by.reason = "probe_slow"
	default:
		result, by.reason = nil, "probe_succeeded"
	}
	return err
}

// settle reports the result of a probe to the machine, unless it belongs to an
// earlier generation.
func (b *Breaker) settle(p *probe, by origin, result error) {
	if result == errIgnored {
		p.gate.ignored.Add(1)
	}
	b.mu.Lock()
	if b.gate.Load() == p.gate {
		b.drive(&by, func() { b.end(p, result) })
	}
	b.mu.Unlock()
	defer b.deliver()
	by.findTrace()
}
