package middleware

import "time"

// A Reporter is a policy that tells what kind it is, how it is set and how it is just
// now, for metrics, health reports and pages.
type Reporter interface {
	Policy

	// Reports yields the report of the policy, and then, if it consists of other
	// policies, as one for each key does, theirs. It must not take a lock that calls
	// hold for long, and must be safe for concurrent use.
	Reports(yield func(Report) bool)
}

// A Report is a snapshot of one policy. What a policy does not have is zero.
type Report struct {
	Type string // the kind of policy, such as "breaker": a word of a small fixed set
	Name string // as in events
	Key  string // that the policy stands for, if there is one for each key

	// Settings are the settings in force, defaults included, in the order of the
	// documentation. The slice must not be changed.
	Settings []Setting

	// Readings are further numbers that say how the policy is.
	Readings []Reading

	Running int // calls that hold a place
	Waiting int // calls that wait for their turn

	// Breaker is the circuit, of a policy that has one.
	Breaker *Circuit
}

// A Setting is one setting as text: "FailureThreshold", "5".
type Setting struct{ Name, Value string }

// A Reading is one number: "failure_rate", 0.25. Durations are in seconds, rates from 0
// to 1.
type Reading struct {
	Name  string
	Value float64
}

// A Circuit is a snapshot of a circuit breaker.
type Circuit struct {
	State  string      // one of the states of its transitions
	Since  time.Time   // when it began
	Share  float64     // the share of calls that are let through, from 0 to 1
	Opened time.Time   // when the outage began, until the circuit is closed again
	Until  time.Time   // when an open circuit lets a call through again, if it is known
	Reason string      // of the last transition; empty if there was none
	Opener string      // the trace of the call that opened the circuit, while it is not closed
	Times  []StateTime // how long it has been in each state that it ever was in
}

// A StateTime is how long a circuit has been in a state, in all.
type StateTime struct {
	State string
	Time  time.Duration
}

// Reports implements [Reporter]: it yields the reports of the policies of the chain,
// outermost first.
func (c *Chain) Reports(yield func(Report) bool) {
	if c == nil {
		return
	}
	for _, p := range c.Policies() {
		r, ok := p.(Reporter)
		if !ok {
			continue
		}
		more := true
		r.Reports(func(r Report) bool {
			more = yield(r)
			return more
		})
		if !more {
			return
		}
	}
}
