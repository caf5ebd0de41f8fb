package middlewaretest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Scenario is a load on a dependency, through a chain, in virtual time: hours of it take
// seconds. It tells what settings come to before an outage does.
//
// The real policies run, on the real clock of a bubble of [testing/synctest]; what is
// simulated is the callers and the dependency. Set what is written down of them, give Run
// a function that makes the chain, and look at the [Result], or print it.
//
// The same scenario has the same result each time, as far as it depends on the scenario:
// one thing happens at a time, in an order that does not depend on the machine. For that,
// whatever the Load and the Dependency do is up to 20 µs late, so that it has a moment of
// its own. Left to chance is what policies draw themselves, as the jitter of a retry or of a
// breaker's recovery, and which of two timers of one call comes first if their times
// are the very same.
type Scenario struct {
	// Duration is how long calls begin. Those in flight by then may end, but have no
	// longer than an hour: then their contexts are cancelled. Zero means a minute.
	Duration time.Duration

	// Load is the callers. It must be set.
	Load Load

	// Dependency is what they call. The zero Dependency answers at once, and always.
	Dependency Dependency

	// Seed makes one of many runs that are alike: each seed has the result of its own.
	Seed uint64
}

// defaultDuration is the Duration of a scenario that sets none.
const defaultDuration = time.Minute

// Run runs the scenario once and returns what came of it. It fails t at once if the
// scenario makes no sense; what result is good is for the test to say.
//
// newChain makes the chain, and all of its policies, anew. It is called inside of the
// bubble, once for each of the processes of the Load. Run closes policies that have a
// method Close when it is over. t must not be in a bubble itself.
func (s Scenario) Run(t *testing.T, newChain func() *middleware.Chain) *Result {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.Duration == 0 {
		s.Duration = defaultDuration
	}
	var result *Result
	synctest.Test(t, func(*testing.T) { result = newSimulation(s, newChain).run() })
	return result
}

// Validate returns an error for each thing that makes no sense.
func (s Scenario) Validate() error {
	var p problems
	p.require(s.Duration >= 0, "Duration", s.Duration, "a positive duration, or 0 for a minute")
	s.Load.validate(&p)
	s.Dependency.validate(&p)
	return errors.Join(p...)
}

type problems []error

func (p *problems) require(ok bool, field string, value any, allowed string) {
	if !ok {
		*p = append(*p, fmt.Errorf("middlewaretest: Scenario.%s is %v: it must be %s", field, value, allowed))
	}
}

// A window is a part of the scenario, from its beginning.
type window struct{ from, until time.Duration }

func (w window) contains(at time.Duration) bool { return w.from <= at && at < w.until }

// edges returns, in order, when any of the windows begins or ends after at.
func edges(windows []window, at time.Duration) []time.Duration {
	var all []time.Duration
	for _, w := range windows {
		for _, e := range []time.Duration{w.from, w.until} {
			if e > at {
				all = append(all, e)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
