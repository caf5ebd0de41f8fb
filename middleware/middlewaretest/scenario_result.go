package middlewaretest

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Result is what came of a [Scenario]. It does not change.
type Result struct {
	// Stats are those of all calls.
	Stats

	// Transitions are those of the breakers, in the order of time.
	Transitions []Transition

	// Events counts the events of the chains.
	Events map[middleware.Kind]int

	// Peak is how many requests the dependency had at the same time at the most, those that
	// waited included.
	Peak int

	scenario Scenario
	calls    []*call // in the order in which they began
}

// A Transition is one of a breaker.
type Transition struct {
	At       time.Duration // since the scenario began
	Process  int           // of the Load, counted from 0
	Policy   string        // the name of the breaker
	From, To string        // its states
	Reason   string
}

// Stats are what became of some calls, as a rule those that began in some time.
type Stats struct {
	// Calls is how many there were, Succeeded how many of them had no error, and Requests
	// how often the dependency was asked for them.
	Calls, Succeeded, Requests int

	// Outcomes counts the calls by what became of them. It is "success"; the ErrorType of a
	// rejection, such as "circuit_open", "timeout" or "budget_exhausted"; "failure" or
	// "overloaded" for what the dependency said; "deadline" where the context had one,
	// the caller's or a policy's; "unfinished" for calls that were in flight an hour after the scenario;
	// and "other" for what else a policy did.
	Outcomes map[string]int

	length time.Duration
	took   []time.Duration // of those that succeeded, in order
}

// Rate returns how many calls began in a second.
func (s Stats) Rate() float64 { return s.perSecond(s.Calls) }

// Goodput returns how many calls succeeded in a second.
func (s Stats) Goodput() float64 { return s.perSecond(s.Succeeded) }

func (s Stats) perSecond(n int) float64 { return ratio(float64(n), s.length.Seconds()) }

// Success returns the share of calls that succeeded, from 0 to 1. Without calls it is 0.
func (s Stats) Success() float64 { return ratio(float64(s.Succeeded), float64(s.Calls)) }

// Amplification returns how many requests there were for each call. Without calls it is 0.
func (s Stats) Amplification() float64 { return ratio(float64(s.Requests), float64(s.Calls)) }

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Latency returns how long that share of the calls that succeeded took at the most: with
// 0.99 all but the slowest one in a hundred. If none did it is 0.
func (s Stats) Latency(share float64) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	n := int(math.Ceil(share*float64(len(s.took)))) - 1
	return s.took[min(max(n, 0), len(s.took)-1)]
}

func newResult(s Scenario) *Result {
	return &Result{scenario: s, Events: make(map[middleware.Kind]int)}
}

func (r *Result) add(c *call) { r.calls = append(r.calls, c) }

func (r *Result) observe(process int, at time.Duration, e middleware.Event) {
	r.Events[e.Kind]++
	if e.Kind == middleware.Transition {
		r.Transitions = append(r.Transitions, Transition{at, process, e.Policy, e.From, e.To, e.Reason})
	}
}

func (r *Result) finish() {
	slices.SortFunc(r.calls, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.began, b.began), cmp.Compare(a.number, b.number))
	})
	slices.SortStableFunc(r.Transitions, func(a, b Transition) int { return cmp.Compare(a.At, b.At) })
	r.Stats = r.Between(0, r.scenario.Duration)
}

// Between returns what became of the calls that began at from or later and before until, both
// counted from the beginning of the scenario, whenever they ended.
func (r *Result) Between(from, until time.Duration) Stats {
	from, until = max(from, 0), min(until, r.scenario.Duration)
	s := Stats{Outcomes: make(map[string]int), length: max(0, until-from)}
	for _, c := range r.calls[r.find(from):] {
		if c.began >= until {
			break
		}
		s.Calls++
		s.Requests += c.attempts
		s.Outcomes[c.outcome]++
		if c.outcome == succeeded {
			s.took = append(s.took, c.took)
		}
	}
	s.Succeeded = len(s.took)
	slices.Sort(s.took)
	return s
}

// find returns the index of the first call that began at that time or later.
func (r *Result) find(at time.Duration) int {
	i, _ := slices.BinarySearchFunc(r.calls, at, func(c *call, at time.Duration) int { return cmp.Compare(c.began, at) })
	return i
}

// Timeline yields what became of the calls of each step of time, and when the step began.
func (r *Result) Timeline(step time.Duration) iter.Seq2[time.Duration, Stats] {
	return func(yield func(time.Duration, Stats) bool) {
		for at := time.Duration(0); at < r.scenario.Duration && step > 0; at += step {
			if !yield(at, r.Between(at, at+step)) {
				return
			}
		}
	}
}

// Latencies returns how long each call that succeeded took, in the order in which they
// began, to put together what consists of several calls.
func (r *Result) Latencies() []time.Duration {
	took := make([]time.Duration, 0, r.Succeeded)
	for _, c := range r.calls {
		if c.outcome == succeeded {
			took = append(took, c.took)
		}
	}
	return took
}

// TimeToOpen returns how long after the given time, as a rule the beginning of an outage, a
// breaker opened first, or false if none did.
func (r *Result) TimeToOpen(after time.Duration) (time.Duration, bool) {
	for _, t := range r.Transitions {
		if t.At >= after && t.To == "open" {
			return t.At - after, true
		}
	}
	return 0, false
}

// recoveryStep is how long calls are put together to say whether they succeed.
const recoveryStep = time.Second

// TimeToRecover returns how long after the given time, as a rule the end of an outage, calls
// succeeded again: until the first second from which on, to the end of the scenario or
// the beginning of the next outage, that share of the calls of each second in which there were any
// succeeded. It is false if there is none. A share of 1 is too much to ask for where the
// dependency fails now and then.
func (r *Result) TimeToRecover(after time.Duration, share float64) (time.Duration, bool) {
	until := r.scenario.Duration
	for _, o := range r.scenario.Dependency.Outages {
		if o.From > after {
			until = min(until, o.From)
		}
	}
	recovered, ok := after, false
	for at := after; at < until; at += recoveryStep {
		switch s := r.Between(at, min(at+recoveryStep, until)); {
		case s.Calls == 0:
		case s.Success() >= share:
			ok = true
		default:
			recovered, ok = at+recoveryStep, false
		}
	}
	return recovered - after, ok
}

// outcomes returns the words of the outcomes but success, the most frequent first.
func (s Stats) outcomes() []string {
	words := slices.Collect(maps.Keys(s.Outcomes))
	words = slices.DeleteFunc(words, func(w string) bool { return w == succeeded })
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Outcomes[b], s.Outcomes[a]), cmp.Compare(a, b))
	})
	return words
}
