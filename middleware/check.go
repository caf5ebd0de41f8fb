package middleware

import (
	"cmp"
	"slices"
)

// Check looks for what cannot be meant in how the policies of the chain are put together
// and set: a time limit that never ends anything, a rate limit that further attempts
// pass by. The order is that of the policies concerned, what is impossible first.
//
// Policies that only observe are looked at as if they did what they would do, so that
// nothing is new when they do.
//
// It knows what each policy says of itself (see [Planner]) and nothing of the operation,
// nor of the caller's deadline, nor of policies that are no Planners. It makes no call.
// Of one for each key of which nothing is known yet it takes for granted that it does what
// the chain would lack. A chain that is made of the presets of package tidegate has no finding.
//
// The rules, which are the same for a policy for each key:
//
//   - limit_never_fires: a time limit is not shorter than one around it
//   - attempts_do_not_fit: the limits of the attempts are together longer than the one around
//     them, or the waits leave the last attempt less than half its time
//   - no_timeout: nothing limits how long a call takes
//   - no_attempt_timeout: an attempt may take all the time that there is for the call
//   - wait_beyond_limit: a call may wait as long as it may take
//   - wait_in_attempt: the limit of an attempt counts the wait for its turn
//   - slow_call_never: no call is as long as a slow one
//   - slow_call_counts_wait: a call is slow when it has waited for its turn
//   - lease_too_short: a call may lose its place while it still runs
//   - hedge_never_begins: a call is over before it is run again
//   - retry_inside_breaker: a breaker does not see the attempts
//   - limit_outside_attempts: a rate limit, or a bulkhead, does not see the attempts
//   - hedge_outside_retry: a call that takes long is repeated beside itself
//   - throttle_inside_retry: attempts count as calls, and are shed as such
//   - deadline_outside_retry: a call is refused by what calls with all their attempts take
//   - fallback_inside: policies do not see what failed, or leave the fallback no time
//   - judge_outside: policies do not see the verdicts of a [Judge]
//   - chaos_outside: policies do not see the disturbances
//   - chaos_present: calls are disturbed
//   - retries_multiply: two retries, one inside the other
//   - budget_off: nothing bounds the further runs
//   - hedge_any_call: a call may be run beside itself although that does harm
//   - nothing_judges: calls are repeated, and nothing stops them when the dependency is down
//   - breaker_sees_too_few: there are never as many calls as a rate needs
//   - same_name: two breakers cannot be told apart
//   - same_policy: one policy stands in the chain twice
func (c *Chain) Check() []Finding { return outlineOf(c, true).check() }

func (o *outline) check() []Finding {
	f := findings{outline: o}
	f.checkTimes()
	f.checkOrder()
	f.checkRuns()
	f.checkInstances()
	slices.SortStableFunc(f.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), slices.Compare(a.at, b.at))
	})
	return f.found
}

// findings are those of one outline.
type findings struct {
	*outline

	found []Finding
}

// add notes a finding about the steps at.
func (f *findings) add(severity Severity, rule string, at []int, problem, fix string) {
	slices.Sort(at)
	found := Finding{Severity: severity, Rule: rule, Problem: problem, Fix: fix, at: at}
	for _, i := range at {
		found.Policies = append(found.Policies, f.steps[i].label())
	}
	f.found = append(f.found, found)
}

// each calls look with each step that is so.
func (f *findings) each(is func(p *Plan) bool, look func(i int, p *Plan)) {
	for i := range f.steps {
		if p := &f.steps[i].plan; is(p) {
			look(i, p)
		}
	}
}
