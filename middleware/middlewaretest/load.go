package middlewaretest

import (
	"context"
	"fmt"
	"math"
	"time"
)

// A Load is the callers of a [Scenario]. Either calls come at a Rate, whatever becomes of
// those before, as from many users; or each of some Clients makes one call after another, as
// workers do, and slows down with the dependency. Both may be set.
type Load struct {
	// Rate is how many calls begin in a second, on average: independently of each other (a
	// Poisson process), or evenly.
	Rate float64
	Even bool

	// Surges are times at which Rate is another one.
	Surges []Surge

	// Clients is how many callers there are that make one call at a time, and Think how
	// long each one pauses after a call, and before its first. It must be set with Clients.
	Clients int
	Think   Latency

	// Timeout is how long a caller waits: the deadline of the context of each call. Zero
	// means that he waits for ever.
	Timeout time.Duration

	// Processes is how many chains the calls are spread over in turn, as those of the
	// replicas of a service, of which each one has breakers and budgets of its own. Zero
	// means one.
	Processes int

	// Context returns the context of a call, derived from ctx, with its operation, key
	// or priority. Each call has another number, from 0 on. Nil leaves the context as it is.
	Context func(ctx context.Context, call int) context.Context
}

// A Surge multiplies the Rate of a [Load] from From until Until, counted from the beginning
// of the scenario: by 2 to double it, by 0.5 to halve it, by 0 to stop it. Where two
// overlap, both do.
type Surge struct {
	From, Until time.Duration
	Times       float64
}

func (l *Load) validate(p *problems) {
	p.require(l.Rate >= 0 && l.Rate <= math.MaxInt32, "Load.Rate", l.Rate, "between 0 and 2147483647")
	p.require(l.Clients >= 0, "Load.Clients", l.Clients, "a positive number, or 0 for none")
	p.require(l.Rate > 0 || l.Clients > 0, "Load", "without calls", "given a Rate or Clients")
	p.require(l.Clients <= 0 || l.Think != nil, "Load.Think", "nil", "set with Clients")
	p.require(l.Timeout >= 0, "Load.Timeout", l.Timeout, "a positive duration, or 0 for none")
	p.require(l.Processes >= 0, "Load.Processes", l.Processes, "a positive number, or 0 for one")
	for i, s := range l.Surges {
		name := fmt.Sprintf("Load.Surges[%d]", i)
		p.require(s.From >= 0 && s.Until > s.From, name+".Until", s.Until, fmt.Sprintf("later than From, which is %s and must not be negative", s.From))
		p.require(s.Times >= 0 && s.Times <= math.MaxInt32, name+".Times", s.Times, "between 0 and 2147483647")
	}
}

// rate returns the rate at that time.
func (l *Load) rate(at time.Duration) float64 {
	r := l.Rate
	for _, s := range l.Surges {
		if (window{s.From, s.Until}).contains(at) {
			r *= s.Times
		}
	}
	return r
}

func (l *Load) windows() []window {
	windows := make([]window, len(l.Surges))
	for i, s := range l.Surges {
		windows[i] = window{s.From, s.Until}
	}
	return windows
}

// after returns when as many calls as calls have come since at, or false if they never do.
// With a rate that changes, the last second of the old one and the first of the new one
// count each for what they are.
func (l *Load) after(at time.Duration, calls float64) (time.Duration, bool) {
	for _, edge := range edges(l.windows(), at) {
		comes := l.rate(at) * (edge - at).Seconds()
		if comes > calls {
			break
		}
		calls -= comes
		at = edge
	}
	rate := l.rate(at)
	if rate == 0 {
		return 0, false
	}
	wait := calls / rate * float64(time.Second)
	if at > math.MaxInt64/4 || wait > math.MaxInt64/4 { // later than any scenario goes on
		return 0, false
	}
	return at + time.Duration(wait), true
}
