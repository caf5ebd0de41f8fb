package middleware

import (
	"math"
	"time"
)

// Unbounded is how long takes what nothing bounds.
const Unbounded time.Duration = math.MaxInt64

// A Planner is a policy that says beforehand what it may do to a call. [Chain.Check] and
// [Chain.Explain] go by that. A policy that is none is taken to run the rest of the chain
// once and at once.
type Planner interface {
	Policy

	// Plan returns what the policy does at the most, with the settings in force. It runs
	// no code of users, does not block and is safe for concurrent use.
	Plan() Plan
}

// A Plan is what a policy may do to one call. What it does not do is zero.
type Plan struct {
	Type     string    // as in a [Report]
	Name     string    // as in events
	Settings []Setting // as in a [Report]

	// Observes says that the policy only observes: it does not wait, nor end, nor refuse
	// anything. The rest is what the policy would do.
	Observes bool

	// Wait is how long the policy may hold a call back before it runs the rest of the
	// chain.
	Wait time.Duration

	// Limit is how long a run of the rest of the chain may take until it has a result.
	// EachRead says that it is then the limit for each read of a streamed result, and
	// UntilEnd that it goes on until that has been read.
	Limit    time.Duration
	EachRead bool
	UntilEnd bool

	// Attempts is how often the rest of the chain runs at the most, one run after the
	// other; NestedAttempts, if it is not zero, how often when an outer policy repeats the
	// call. Backoff is how long all waits in between are together, and LongestBackoff
	// what that may become if the dependency asks for it.
	Attempts       int
	NestedAttempts int
	Backoff        time.Duration
	LongestBackoff time.Duration

	// Hedges is how many further runs there are beside the first at the most, each
	// HedgeDelay after the one before. HedgeDelay is zero if it is not fixed. AnyCall says
	// that the policy does not ask whether the operation is idempotent.
	Hedges     int
	HedgeDelay time.Duration
	AnyCall    bool

	// Budget bounds the further runs of all calls together; nil: nothing does.
	Budget *BudgetPlan

	// Rate is how many runs may begin in a second, and Burst how many at once.
	Rate  float64
	Burst int

	// Places is how many runs there are at the same time, and Lease how long one may have
	// its place before others get it, if that is bounded.
	Places int
	Lease  time.Duration

	// Judges says that the policy counts how runs end and stops calls to a dependency
	// that fails, as a breaker does. Shares say nothing to it before there are MinCalls in
	// a Window; what takes longer than SlowCall is slow.
	Judges   bool
	MinCalls int
	Window   time.Duration
	SlowCall time.Duration

	// Classifies says that policies outside of this one see the verdicts that it gives, and
	// those inside do not.
	Classifies bool

	Sheds    bool // refuses a share of the calls to a dependency that refuses many
	Foresees bool // refuses a call that has less time left than calls usually take
	Replaces bool // does something else in place of a call that failed
	Disturbs bool // makes calls fail, for a test

	// Inner are the policies that this one consists of. PerKey says that there are such
	// ones for each key, and that these are those of one of them.
	Inner  []Policy
	PerKey bool

	// Unknown says that what the policy consists of is not known yet.
	Unknown bool

	// Memory is how many bytes the policy keeps, about, when it keeps all that it may;
	// what Inner keeps is part of it.
	Memory int64
}

// A BudgetPlan is a bound of the further runs of all calls together. Plans with the same
// ID, which is not nil and comparable, share it.
type BudgetPlan struct {
	ID           any
	Ratio        float64 // further runs for each call, in the long run
	MinPerSecond float64 // or so many in a second, if that is more
}

// repeats reports whether the rest of the chain may run more than once, one run after the
// other.
func (p *Plan) repeats() bool { return p.Attempts > 1 }

// multiplies reports whether the rest of the chain may run more than once.
func (p *Plan) multiplies() bool { return p.Attempts > 1 || p.Hedges > 0 }

// hedges reports whether there are further runs beside one that takes that long.
func (p *Plan) hedges(takes time.Duration) bool { return p.Hedges > 0 && p.HedgeDelay <= takes }

// acts reports whether the policy may do anything but run the rest of the chain.
func (p *Plan) acts() bool {
	return p.Wait > 0 || p.Limit > 0 || p.multiplies() || p.Rate > 0 || p.Places > 0 ||
		p.Judges || p.Sheds || p.Foresees || p.Replaces || p.Disturbs
}

// empty reports whether the policy has no name and does nothing to a call, as one that only
// counts.
func (p Plan) empty() bool {
	return p.Type == "" && p.Name == "" && p.Inner == nil && !p.Unknown && !p.Observes && !p.Classifies && !p.acts()
}
