package middleware

import (
	"math"
	"time"
)

// An Explanation says what a chain may do to a call at the worst, as its policies plan it.
// What nothing bounds is [Unbounded], or the largest int.
type Explanation struct {
	Chain    string
	Policies []ExplainedPolicy // outermost first, those that only observe left out

	// Latency is how long a call may take until it has a result, if every run takes as long
	// as it may and the dependency asks for the longest waits; Usual is the same without
	// such wishes. Both take an operation for granted that ends with its context, and leave out
	// what the caller's deadline cuts, what a fallback does and what policies would do that
	// only observe.
	Latency, Usual time.Duration

	// Runs is how often the operation may run in one call, and Parallel how often at the
	// same time.
	Runs, Parallel int

	// Load is how often the operation runs for each call in the long run, when every run
	// fails: what budgets leave of Runs. If calls are few, there may be LoadPerSecond
	// further runs instead. Bounded says that there is a budget.
	Load          float64
	LoadPerSecond float64
	Bounded       bool

	// Memory is how many bytes the policies keep, about, when they keep all that they may,
	// without what calls in flight need.
	Memory int64

	// Unknown are the policies of which this says nothing: those that are no [Planner], and
	// one for each key that has no key yet. They are taken to run the rest of the chain
	// once and at once.
	Unknown []string

	Findings []Finding // of Check
}

// An ExplainedPolicy is one policy of an [Explanation], with what it and those inside of it
// come to in one run.
type ExplainedPolicy struct {
	Plan

	PerKey  bool   // there is one for each key, and this is that of one of them
	Effect  string // what it does, in words
	Latency time.Duration
	Runs    int
}

// Explain says what the chain may do to a call at the worst: how long it may take, how
// often the operation runs, what that is for the dependency when it is down, and what
// memory the policies take. It makes no call. Print it, draw it with
// [Explanation.Mermaid], or read its fields.
//
// Of a policy for each key it explains that of one key, the first in order.
func (c *Chain) Explain() Explanation {
	o := outlineOf(c, false)
	all := o.longest[0].first
	e := Explanation{
		Chain: o.name, Latency: all.time, Usual: o.usual[0].first.time, Runs: all.runs, Parallel: all.parallel, Findings: c.Check(),
	}
	for i := range o.steps {
		s := &o.steps[i]
		rest := o.longest[i].first
		e.Policies = append(e.Policies, ExplainedPolicy{
			Plan: s.plan, PerKey: s.keyed, Effect: s.plan.effect(), Latency: rest.time, Runs: rest.runs,
		})
		e.Policies[i].Name = s.label()
		e.Memory += s.plan.Memory
		if s.unknown {
			e.Unknown = append(e.Unknown, s.label())
		}
	}
	e.Load, e.LoadPerSecond, e.Bounded = o.load()
	return e
}

// load returns what budgets leave of the runs of the operation, when all of them fail: how
// many for each call, or how many further ones in a second.
func (o *outline) load() (ratio, perSecond float64, bounded bool) {
	shared := make(map[any]int) // the index of its factor
	var factors, most []float64
	for i := range o.steps {
		p := &o.steps[i].plan
		all := float64(max(1, p.Attempts))
		if p.hedges(o.longest[i+1].first.time) {
			all *= float64(p.Hedges + 1)
		}
		if all == 1 {
			continue
		}
		if p.Budget == nil {
			factors, most = append(factors, all), append(most, math.Inf(1))
			continue
		}
		bounded = true
		if at, ok := shared[p.Budget.ID]; ok { // both together
			factors[at] *= all
			continue
		}
		shared[p.Budget.ID] = len(factors)
		factors, most = append(factors, all), append(most, 1+max(0, p.Budget.Ratio))
		perSecond += max(0, p.Budget.MinPerSecond) * float64(o.longest[i+1].first.runs)
	}
	ratio = 1
	for i := range factors {
		ratio *= min(factors[i], most[i])
	}
	return min(ratio, float64(o.longest[0].first.runs)), perSecond, bounded
}
