package middleware

import (
	"fmt"
	"math"
)

// checkRuns looks at how often the operation runs.
func (f *findings) checkRuns() {
	f.each(repeats, func(i int, p *Plan) {
		j := f.inside(i, repeats)
		if j < 0 {
			return
		}
		inner := f.steps[j].plan
		f.add(Doubtful, "retries_multiply", []int{i, j},
			fmt.Sprintf("%d attempts of %d attempts each are %d runs, or %d with NestedAttempts",
				p.Attempts, inner.Attempts, product(p.Attempts, inner.Attempts), sum(inner.Attempts, product(p.Attempts-1, inner.nested()))),
			fmt.Sprintf("leave one of %s and %s out", f.steps[i].label(), f.steps[j].label()))
	})
	f.each(multiplies, func(i int, p *Plan) {
		if p.Budget == nil {
			f.add(Doubtful, "budget_off", []int{i},
				fmt.Sprintf("when the dependency is down, each call makes up to %s just then", count(max(1, p.Attempts)*(p.Hedges+1), "run")),
				fmt.Sprintf("give %s a Budget, or leave it nil for one with the defaults", f.steps[i].label()))
		}
		if p.Hedges > 0 && p.AnyCall {
			f.add(Doubtful, "hedge_any_call", []int{i},
				"its When decides which calls run beside themselves, and not the Idempotent of their operation",
				"leave When nil and say Idempotent of each operation that is so")
		}
	})
	first := f.any(multiplies)
	if first >= 0 && f.lacks(-1, func(p *Plan) bool { return p.Judges || p.Sheds }) {
		f.add(Doubtful, "nothing_judges", []int{first},
			"calls to a dependency that is down go on, with all their attempts", fmt.Sprintf("put a Breaker inside of %s", f.steps[first].label()))
	}
	f.each(judges, f.checkMinCalls)
}

// checkMinCalls looks whether the rate limits let as many calls through as a breaker needs.
func (f *findings) checkMinCalls(i int, p *Plan) {
	if p.MinCalls == 0 || p.Window == 0 {
		return
	}
	j := f.any(func(limit *Plan) bool {
		return limit.Rate > 0 && f.most(limit, p) < float64(p.MinCalls)
	})
	if j < 0 || f.steps[j].keyed && !f.steps[i].keyed {
		return
	}
	limit := &f.steps[j].plan
	f.add(Doubtful, "breaker_sees_too_few", []int{j, i},
		fmt.Sprintf("its rates need %d calls in %s, but a rate of %s lets through %s at the most",
			p.MinCalls, text(p.Window), number(limit.Rate), number(math.Floor(f.most(limit, p)))),
		fmt.Sprintf("set the MinCalls of %s lower, or its Window longer", f.steps[i].label()))
}

// most returns how many calls a rate limit lets through in the window of a breaker.
func (f *findings) most(limit, breaker *Plan) float64 {
	return float64(limit.Burst) + limit.Rate*breaker.Window.Seconds()
}

// checkInstances looks for policies that are in the way of one another.
func (f *findings) checkInstances() {
	for i := range f.steps {
		for j := range i {
			a, b := &f.steps[j], &f.steps[i]
			switch {
			case oneInstance(a.policy, b.policy) && a.plan.Places > 0:
				f.add(Impossible, "same_policy", []int{j, i},
					fmt.Sprintf("a call needs two of its %d places, so calls that have one wait for one another", a.plan.Places),
					fmt.Sprintf("leave one %s out", a.label()))
			case oneInstance(a.policy, b.policy):
				f.add(Doubtful, "same_policy", []int{j, i},
					"it is one policy, which counts each call twice", fmt.Sprintf("leave one %s out", a.label()))
			case a.plan.Judges && b.plan.Judges && a.plan.Type == b.plan.Type && a.label() == b.label():
				f.add(Doubtful, "same_name", []int{j, i},
					"two with that name cannot be told apart in events, metrics and errors", "give each a Name of its own")
			}
		}
	}
}
