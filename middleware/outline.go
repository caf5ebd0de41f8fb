package middleware

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
)

// An outline is a chain as its policies plan it.
type outline struct {
	name  string
	steps []step // outermost first

	// enforced says that policies which only observe count as if they did what they would do.
	enforced bool

	longest []bound // what the steps from there on come to at the most
	usual   []bound // if the dependency asks for no wait
}

// A step is one policy of an outline.
type step struct {
	policy  Policy
	plan    Plan
	keyed   bool // there is one for each key
	unknown bool // what it does is not known
}

// label is what the policy is called.
func (s *step) label() string {
	switch {
	case s.plan.Name != "":
		return s.plan.Name
	case s.plan.Type != "":
		return s.plan.Type
	default:
		return fmt.Sprintf("%T", s.policy)
	}
}

func outlineOf(c *Chain, enforced bool) *outline {
	o := &outline{name: c.Name(), enforced: enforced}
	policies := c.Policies()
	var aside []Policy // the innermost parts of observers
	for _, p := range policies {
		if e, ok := p.(Enclosing); ok && observes(p) {
			aside = append(aside, e.Innermost())
		}
	}
	for _, p := range policies {
		if !observes(p) && !slices.ContainsFunc(aside, func(a Policy) bool { return oneInstance(a, p) }) {
			o.add(p, false, false)
		}
	}
	o.longest, o.usual = o.bounds(true), o.bounds(false)
	return o
}

// oneInstance reports whether two policies are one instance.
func oneInstance(a, b Policy) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Kind() == reflect.Pointer && a == b
}

func observes(p Policy) bool {
	if planner, ok := p.(Planner); ok {
		return planner.Plan().empty()
	}
	_, ok := p.(Observer)
	return ok
}

// add appends a policy, and behind one that consists of others, those.
func (o *outline) add(p Policy, keyed, inner bool) {
	s := step{policy: p, keyed: keyed, unknown: true}
	if planner, ok := p.(Planner); ok {
		s.plan = planner.Plan()
		s.unknown = s.plan.Unknown
	}
	if inner {
		s.plan.Memory = 0 // the policy that they are part of has it
	}
	o.steps = append(o.steps, s)
	for _, p := range s.plan.Inner {
		o.add(p, keyed || s.plan.PerKey, true)
	}
}

// A bound is what a part of a chain comes to at the most, in a first run of it, and in one
// that an outer policy repeats.
type bound struct{ first, repeated cost }

// A cost is how long one run of a part of a chain may take, how often the operation runs
// in it, and how often at the same time.
type cost struct {
	time           time.Duration
	runs, parallel int
}

// bounds returns the bound of the steps from each one on, and at last that of the
// operation alone. asked says that the dependency asks for the longest waits.
func (o *outline) bounds(asked bool) []bound {
	operation := cost{time: Unbounded, runs: 1, parallel: 1}
	bounds := make([]bound, len(o.steps)+1)
	bounds[len(o.steps)] = bound{first: operation, repeated: operation}
	for i := len(o.steps) - 1; i >= 0; i-- {
		p, rest := o.steps[i].plan, bounds[i+1]
		if p.Observes && !o.enforced {
			p.Limit, p.Wait = 0, 0
		}
		bounds[i] = bound{
			first:    p.cost(rest.first, rest.repeated, p.Attempts, asked),
			repeated: p.cost(rest.repeated, rest.repeated, p.nested(), asked),
		}
	}
	return bounds
}

// nested returns the attempts when an outer policy repeats the call.
func (p *Plan) nested() int {
	if p.NestedAttempts > 0 {
		return min(p.NestedAttempts, p.Attempts)
	}
	return p.Attempts
}

// cost returns what the policy makes of the rest of the chain: of its first run and of
// those that repeat it.
func (p *Plan) cost(first, repeated cost, attempts int, asked bool) cost {
	c := first
	if attempts > 1 {
		backoff := p.Backoff
		if asked {
			backoff = max(backoff, p.LongestBackoff)
		}
		c.time = plus(plus(first.time, times(attempts-1, repeated.time)), backoff)
		c.runs = sum(first.runs, product(attempts-1, repeated.runs))
		c.parallel = max(first.parallel, repeated.parallel)
	}
	if p.hedges(c.time) {
		delay := p.HedgeDelay
		if delay == 0 {
			delay = c.time
		}
		c.time = plus(c.time, times(p.Hedges, delay))
		c.runs = product(p.Hedges+1, c.runs)
		c.parallel = product(p.Hedges+1, c.parallel)
	}
	if p.Limit > 0 {
		c.time = min(c.time, p.Limit)
	}
	c.time = plus(c.time, p.Wait)
	return c
}

// plus and times stay Unbounded when the result would be longer than a Duration holds.
func plus(a, b time.Duration) time.Duration {
	if b > 0 && a > Unbounded-b {
		return Unbounded
	}
	return a + b
}

func times(n int, d time.Duration) time.Duration {
	switch {
	case n <= 0 || d <= 0:
		return 0
	case d > Unbounded/time.Duration(n):
		return Unbounded
	default:
		return time.Duration(n) * d
	}
}

// sum and product stay at the largest int.
func sum(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

func product(a, b int) int {
	if a > 0 && b > math.MaxInt/a {
		return math.MaxInt
	}
	return a * b
}

// outside returns the last of the steps before i that is so, or -1.
func (o *outline) outside(i int, is func(p *Plan) bool) int {
	for i--; i >= 0; i-- {
		if is(&o.steps[i].plan) {
			return i
		}
	}
	return -1
}

// inside returns the first of the steps after i that is so, or -1.
func (o *outline) inside(i int, is func(p *Plan) bool) int {
	for i++; i < len(o.steps); i++ {
		if is(&o.steps[i].plan) {
			return i
		}
	}
	return -1
}

// any returns the first step that is so, or -1.
func (o *outline) any(is func(p *Plan) bool) int { return o.inside(-1, is) }

// lacks reports whether it is sure that no step after i is so: each says what it consists of.
func (o *outline) lacks(i int, is func(p *Plan) bool) bool {
	return o.inside(i, func(p *Plan) bool { return p.Unknown || is(p) }) < 0
}

// Questions that rules ask of a plan.
func limits(p *Plan) bool     { return p.Limit > 0 }
func repeats(p *Plan) bool    { return p.repeats() }
func multiplies(p *Plan) bool { return p.multiplies() }
func hedges(p *Plan) bool     { return p.Hedges > 0 }
func judges(p *Plan) bool     { return p.Judges }
func acts(p *Plan) bool       { return p.acts() }
func learns(p *Plan) bool     { return p.Judges || p.Sheds || p.multiplies() }

func goesByVerdicts(p *Plan) bool { return learns(p) || p.Replaces }
