package policies

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A gate is one generation of a breaker, from one transition to the next. Closed,
// it lets calls pass (during a ramp a share of them), counts them by itself, and turns to
// the machine with a result that must open the circuit. Open or half-open, it rejects by
// itself until hold, and from then on asks the machine about each call. A call reports to
// the gate that it came through; when that is no longer the breaker's, nobody reads what
// it counts.
type gate struct {
	state      State
	passes     atomic.Bool // calls need not ask
	config     atomic.Pointer[settled]
	generation uint64
	begin      int64 // by the breaker's clock
	since      time.Time
	last       Transition              // without its trace
	trace      *atomic.Pointer[string] // of last, once an observer has told it
	opened     time.Time               // the beginning of the outage
	earlier    *earlier                // nil of the first generation

	hold atomic.Int64 // until then no call need ask

	counters
	window      window // nil: only consecutive failures count
	consecutive atomic.Int64
	ignored     atomic.Int64

	failureRate, slowRate float64 // when the outage began

	until   int64 // of an open gate, when it lets probes through; of a ramp, its end
	ramped  atomic.Uint64
	refusal atomic.Pointer[refusal]
}

// forever is a time that does not come: of what only a person ends, and of no ramp.
const forever = math.MaxInt64

// passing returns the share of calls that the gate lets through.
func (g *gate) passing(now int64) float64 {
	switch {
	case g.passes.Load(), g.state == Disabled, g.state.observed():
		return 1
	case g.state == Closed:
		return g.ramp(now)
	default:
		return 0
	}
}

// ramp returns the share of calls that a gate lets through which has closed after
// a recovery.
func (g *gate) ramp(now int64) float64 {
	if now >= g.until {
		return 1
	}
	const first = 0.1
	return first + (1-first)*float64(now-g.begin)/float64(g.until-g.begin)
}

// admits decides about one call during a ramp.
func (g *gate) admits(now int64) bool {
	share := g.ramp(now)
	if share >= 1 {
		g.passes.Store(true)
		return true
	}
	return evenly(g.ramped.Add(1)) < share
}

// rejection returns why a call is rejected, and how long until calls are let through
// if that is known.
func (g *gate) rejection(now int64) middleware.Rejection {
	r := middleware.Rejection{Policy: g.config.Load().Name, Reason: middleware.ErrOpen}
	switch g.state.plain() {
	case HalfOpen:
		r.Reason = middleware.ErrTooManyProbes
	case Closed: // the next call may pass
		r.Reason = middleware.ErrRecovering
	case Open:
		r.RetryAfter = max(0, time.Duration(g.until-now))
	default:
	}
	return r
}

// A refusal is an error that a gate can use again for a while.
type refusal struct {
	chain    *middleware.Chain
	err      *middleware.Rejection
	from, to int64
}

func (r *refusal) fits(c *middleware.Chain, now int64) bool {
	return r.chain == c && now >= r.from && now < r.to
}

// refuse returns the error of a call that the gate rejects. While a breaker is open
// it may have to do so very often, so an error is used again for a millisecond, or
// the thousandth part of the whole time if that is less: RetryAfter is never too
// short, and too long by no more than that.
func (g *gate) refuse(next middleware.Next, now int64) *middleware.Rejection {
	if r := g.refusal.Load(); r != nil && r.fits(next.Chain(), now) {
		return r.err
	}
	return g.newRefusal(next, now)
}

func (g *gate) newRefusal(next middleware.Next, now int64) *middleware.Rejection {
	err := g.rejection(now)
	err.Chain = next.Chain().Name()
	r := &refusal{chain: next.Chain(), err: &err, from: now, to: forever}
	if g.until != forever {
		r.to = now + min(int64(time.Millisecond), (g.until-g.begin)/1000)
	}
	g.refusal.Store(r)
	return r.err
}
