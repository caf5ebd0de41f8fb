package middleware_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

type plan = middleware.Plan

// A planned policy says that it does what plan says.
type planned struct{ plan plan }

func (*planned) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (p *planned) Plan() middleware.Plan { return p.plan }

// planning returns a chain of policies with these plans, the first one outermost.
func planning(plans ...plan) *middleware.Chain {
	var all []middleware.Policy
	for _, p := range plans {
		all = append(all, &planned{p})
	}
	return middleware.NewChain("x", all...)
}

const (
	ms     = time.Millisecond
	second = time.Second
)

// The plans of policies as there are, all as they should be.
var (
	bounded  = &middleware.BudgetPlan{ID: 1, Ratio: 0.2, MinPerSecond: 10}
	total    = plan{Name: "total", Limit: 60 * second}
	retry    = plan{Name: "retry", Attempts: 3, NestedAttempts: 1, Backoff: second, LongestBackoff: 10 * second, Budget: bounded}
	hedge    = plan{Name: "hedge", Hedges: 1, HedgeDelay: second, Budget: bounded}
	breaker  = plan{Type: "breaker", Name: "breaker", Judges: true}
	rate     = plan{Name: "rate", Rate: 10, Burst: 5, Wait: second}
	bulkhead = plan{Name: "bulkhead", Places: 4, Wait: second}
	attempt  = plan{Name: "attempt", Limit: 10 * second}
	throttle = plan{Name: "throttle", Sheds: true}
	deadline = plan{Name: "deadline", Foresees: true}
	fallback = plan{Name: "fallback", Replaces: true}
	chaos    = plan{Name: "chaos", Disturbs: true}
)

// with returns a copy of a plan, changed.
func with(p plan, change func(p *plan)) plan {
	change(&p)
	return p
}

func TestCheckFindsNothingInTheRecommendedOrder(t *testing.T) {
	for _, f := range planning(fallback, total, throttle, retry, hedge, deadline, breaker, rate, bulkhead, attempt).Check() {
		t.Error(f)
	}
	for _, f := range (*middleware.Chain)(nil).Check() {
		t.Error(f)
	}
}

// Each rule finds what it is for, with the numbers, and leaves alone what is almost so.
func TestCheck(t *testing.T) {
	limit := func(d time.Duration) func(*plan) { return func(p *plan) { p.Limit = d } }
	wait := func(d time.Duration) func(*plan) { return func(p *plan) { p.Wait = d } }
	for _, row := range []struct {
		name  string
		plans []plan
		want  string // severity, rule, policies and a part of the problem; empty: nothing
	}{
		{"limit_never_fires", []plan{total, retry, breaker, with(attempt, limit(61*second))},
			"impossible: limit_never_fires (total, attempt): the limit of 1m1s is never reached, because the one around it, of 1m, ends"},
		{"limit_never_fires, the same limit", []plan{total, retry, breaker, with(attempt, limit(60*second))},
			"doubtful: limit_never_fires (total, attempt): the limit of 1m is never reached, because the one around it, of 1m, ends"},
		{"limit_never_fires, directly", []plan{with(attempt, limit(second)), with(attempt, limit(2*second))}, "impossible: limit_never_fires (attempt, attempt)"},
		{"limit_never_fires, each read in each read", []plan{
			with(attempt, func(p *plan) { p.EachRead = true }), with(attempt, func(p *plan) { p.EachRead = true })}, "doubtful: limit_never_fires"},
		{"limit_never_fires, all in all", []plan{
			with(total, func(p *plan) { p.UntilEnd = true }), with(total, func(p *plan) { p.UntilEnd = true })}, "doubtful: limit_never_fires"},
		{"a limit that does fire", []plan{total, breaker, with(total, limit(60*second-1))}, ""},
		{"a limit of each read", []plan{total, with(total, func(p *plan) { p.EachRead = true })}, ""},
		{"a limit to the end", []plan{total, with(total, func(p *plan) { p.UntilEnd = true })}, ""},
		{"a limit to the end in one of each read", []plan{
			with(total, func(p *plan) { p.EachRead = true }), with(total, func(p *plan) { p.UntilEnd = true })}, ""},

		{"attempts_do_not_fit", []plan{with(total, limit(25*second)), retry, breaker, attempt},
			"doubtful: attempts_do_not_fit (total, retry): 3 attempts that take up to 10s each, and up to 1s of waits between them, are 31s, but the limit around them is 25s"},
		{"attempts_do_not_fit by the waits", []plan{total, with(retry, func(p *plan) { p.Backoff = 36 * second }), breaker, attempt}, "doubtful: attempts_do_not_fit"},
		{"attempts_do_not_fit by a queue", []plan{with(total, limit(30*second)), retry, breaker, with(rate, wait(5*second)), attempt}, "doubtful: attempts_do_not_fit"},
		{"attempts_do_not_fit by a second", []plan{with(total, limit(29*second)), retry, breaker, attempt},
			"doubtful: attempts_do_not_fit (total, retry): 3 attempts that take up to 10s each, and up to 1s of waits between them, are 31s, but the limit around them is 29s"},
		{"attempts fit that leave out the waits", []plan{with(total, limit(30*second)), retry, breaker, attempt}, ""},
		{"attempts_do_not_fit by the waits, less than half the last one", []plan{with(total, limit(30*second)), with(retry, func(p *plan) { p.Backoff = 5*second + 1 }), breaker, attempt}, "doubtful: attempts_do_not_fit"},
		{"half the last attempt fits", []plan{with(total, limit(30*second)), with(retry, func(p *plan) { p.Backoff = 5 * second }), breaker, attempt}, ""},
		{"attempts fit with a queue", []plan{with(total, limit(30*second)), retry, breaker, rate, attempt}, ""},

		{"no_timeout", []plan{breaker}, "doubtful: no_timeout (breaker)"},
		{"no_attempt_timeout", []plan{total, retry, breaker}, "doubtful: no_attempt_timeout (total, retry): an attempt that gets no answer takes all the 1m"},
		{"one attempt needs no limit of its own", []plan{total, with(retry, func(p *plan) { p.Attempts = 1 }), breaker}, ""},
		{"nor does a chain without policies", nil, ""},

		{"wait_beyond_limit", []plan{with(total, limit(5*second)), with(rate, wait(5*second))}, "doubtful: wait_beyond_limit (total, rate): a call may wait for 5s, but the limit around it is 5s"},
		{"a wait within the limit", []plan{with(total, limit(5*second)), with(rate, wait(5*second-1))}, ""},
		{"wait_in_attempt", []plan{total, retry, breaker, attempt, bulkhead}, "doubtful: wait_in_attempt (attempt, bulkhead): the limit of 10s for an attempt counts the up to 1s"},
		{"no wait in an attempt", []plan{total, retry, breaker, attempt, with(bulkhead, wait(0))}, ""},
		{"a wait in a call that is made once", []plan{total, breaker, attempt, bulkhead}, ""},

		{"slow_call_never", []plan{total, with(breaker, func(p *plan) { p.SlowCall = 11 * second }), attempt},
			"impossible: slow_call_never (breaker, attempt): a call is slow that takes more than 11s, but none takes more than 10s"},
		{"slow_call_never by a limit around", []plan{with(total, limit(9*second)), with(breaker, func(p *plan) { p.SlowCall = 10 * second })},
			"impossible: slow_call_never (total, breaker)"},
		{"a slow call", []plan{total, with(breaker, func(p *plan) { p.SlowCall = 10 * second }), attempt}, ""},
		{"a slow call after a wait of its own", []plan{total, with(bulkhead, func(p *plan) { p.SlowCall = 10*second + 1 }), attempt}, "impossible: slow_call_never (bulkhead, attempt)"},
		{"a slow call that is longer than anything", []plan{with(breaker, func(p *plan) { p.SlowCall = middleware.Unbounded })}, "doubtful: no_timeout"},
		{"slow because it waits", []plan{total, with(breaker, func(p *plan) { p.SlowCall = 2 * second }), rate, bulkhead, attempt},
			"doubtful: slow_call_counts_wait (breaker, rate, bulkhead): a call is slow that takes more than 2s, and it may have waited for 2s of them"},
		{"slower than it waits", []plan{total, with(breaker, func(p *plan) { p.SlowCall = 2*second + 1 }), rate, bulkhead, attempt}, ""},

		{"lease_too_short", []plan{total, with(bulkhead, func(p *plan) { p.Lease = 9 * second }), attempt}, "doubtful: lease_too_short (bulkhead): a place is given to another call after 9s, but a call may take 10s"},
		{"a lease that is long enough", []plan{total, with(bulkhead, func(p *plan) { p.Lease = 10 * second }), attempt}, ""},

		{"hedge_never_begins", []plan{total, with(hedge, func(p *plan) { p.HedgeDelay = 10 * second }), breaker, attempt},
			"impossible: hedge_never_begins (hedge, attempt): a call is run again after 10s, but it is over after 10s"},
		{"hedge_never_begins by a limit around", []plan{with(total, limit(second)), hedge, breaker}, "impossible: hedge_never_begins (total, hedge)"},
		{"a hedge that begins", []plan{total, with(hedge, func(p *plan) { p.HedgeDelay = 10*second - 1 }), breaker, attempt}, ""},
		{"a hedge that waits longer than anything", []plan{with(hedge, func(p *plan) { p.HedgeDelay = middleware.Unbounded }), breaker}, "doubtful: no_timeout"},
		{"a hedge by a quantile", []plan{total, with(hedge, func(p *plan) { p.HedgeDelay = 0 }), breaker, attempt}, ""},

		{"retry_inside_breaker", []plan{total, breaker, retry, attempt}, "doubtful: retry_inside_breaker (breaker, retry)"},
		{"a breaker on both sides", []plan{total, with(breaker, func(p *plan) { p.Name = "all" }), retry, breaker, attempt}, ""},
		{"a hedge in a breaker", []plan{total, breaker, hedge, attempt}, ""},

		{"a rate limit outside", []plan{total, with(rate, wait(0)), retry, breaker, attempt},
			"doubtful: limit_outside_attempts (rate, retry): a call takes one turn for its up to 3 runs, so the dependency may get 3 times as many a second as 10 says"},
		{"a bulkhead outside", []plan{total, with(bulkhead, wait(0)), retry, breaker, attempt}, "doubtful: limit_outside_attempts (bulkhead, retry): a call keeps its place while it waits for up to 1s"},
		{"a bulkhead outside of a hedge", []plan{total, bulkhead, hedge, breaker, attempt}, "doubtful: limit_outside_attempts (bulkhead, hedge): a call takes one place for up to 2 runs at the same time"},
		{"a bulkhead outside and a rate limit inside", []plan{total, with(bulkhead, wait(0)), retry, breaker, rate, attempt}, "doubtful: limit_outside_attempts (bulkhead, retry)"},
		{"a rate limit on both sides", []plan{total, rate, retry, breaker, with(rate, wait(0)), attempt}, ""},
		{"a bulkhead on both sides", []plan{total, bulkhead, retry, breaker, bulkhead, attempt}, ""},
		{"a rate limit outside and a bulkhead inside", []plan{total, rate, retry, breaker, bulkhead, attempt}, "doubtful: limit_outside_attempts (rate, retry)"},

		{"hedge_outside_retry", []plan{total, hedge, retry, breaker, attempt}, "doubtful: hedge_outside_retry (hedge, retry)"},
		{"throttle_inside_retry", []plan{total, retry, throttle, attempt}, "doubtful: throttle_inside_retry (retry, throttle): a call that fails counts as up to 3 requests"},
		{"throttle_inside_retry, outermost", []plan{retry, throttle, attempt}, "doubtful: throttle_inside_retry (retry, throttle)"},
		{"a throttle inside of a hedge", []plan{total, hedge, throttle, attempt}, ""},
		{"deadline_outside_retry", []plan{total, deadline, retry, breaker, attempt}, "doubtful: deadline_outside_retry (deadline, retry)"},
		{"a deadline outside of one attempt", []plan{total, deadline, breaker, attempt}, ""},

		{"fallback_inside", []plan{retry, breaker, fallback, attempt}, "doubtful: fallback_inside (breaker, fallback)"},
		{"a fallback inside of the outermost policy", []plan{retry, fallback, breaker, attempt}, "doubtful: fallback_inside (retry, fallback)"},
		{"a fallback innermost", []plan{total, retry, breaker, attempt, fallback}, "impossible: fallback_inside (breaker, fallback)"},
		{"a fallback in a limit", []plan{total, fallback, breaker, rate}, "doubtful: fallback_inside (total, fallback): when a call has failed by the limit of 1m,"},
		{"a fallback in a limit that leaves it time", []plan{total, fallback, retry, breaker, attempt}, ""},
		{"a fallback of a fallback", []plan{fallback, with(fallback, func(p *plan) { p.Name = "another" }), attempt}, ""},
		{"a fallback alone", []plan{fallback, attempt}, ""},

		{"judge_outside", []plan{total, {Type: "judge", Classifies: true}, breaker}, "doubtful: judge_outside (judge, breaker)"},
		{"a judge", []plan{total, breaker, {Type: "judge", Classifies: true}, attempt}, ""},

		{"chaos", []plan{total, retry, breaker, attempt, chaos}, "doubtful: chaos_present (chaos)"},
		{"chaos beside chaos, and what does nothing", []plan{total, chaos, with(chaos, func(p *plan) { p.Name = "more" }), {}}, "doubtful: chaos_present (chaos)\ndoubtful: chaos_present (more)"},
		{"chaos_outside", []plan{chaos, total}, "doubtful: chaos_present (chaos)\ndoubtful: chaos_outside (chaos, total)"},

		{"retries_multiply", []plan{total, retry, breaker, with(retry, func(p *plan) { p.Name, p.NestedAttempts = "again", 2 }), with(attempt, limit(second))},
			"doubtful: retries_multiply (retry, again): 3 attempts of 3 attempts each are 9 runs, or 7 with NestedAttempts\ndoubtful: retry_inside_breaker"},
		{"budget_off", []plan{total, with(retry, func(p *plan) { p.Budget = nil }), breaker, attempt}, "doubtful: budget_off (retry): when the dependency is down, each call makes up to 3 runs"},
		{"the budget of one attempt", []plan{total, with(retry, func(p *plan) { p.Budget, p.Attempts = nil, 1 }), breaker, attempt}, ""},
		{"hedge_any_call", []plan{total, with(hedge, func(p *plan) { p.AnyCall = true }), breaker, attempt}, "doubtful: hedge_any_call (hedge)"},
		{"nothing_judges", []plan{total, retry, attempt}, "doubtful: nothing_judges (retry)"},
		{"a breaker that is outermost judges", []plan{breaker, hedge, attempt}, ""},
		{"a throttle judges", []plan{total, throttle, retry, attempt}, ""},
		{"nothing that is repeated needs a judge", []plan{total}, ""},

		{"what is there for each key may judge and limit, before there is one", []plan{retry, perKey(0)}, ""},
		{"what is there for each key may limit an attempt", []plan{total, retry, breaker, perKey(0)}, ""},
		{"what is there for each key may see the attempts", []plan{total, breaker, with(rate, wait(0)), with(bulkhead, wait(0)), retry, perKey(0), attempt}, ""},
		{"nothing_judges, though something is known of each key", []plan{total, retry, perKey(0, attempt)}, "doubtful: nothing_judges (retry)"},
		{"no_timeout around what is there for each key", []plan{perKey(0, breaker)}, "doubtful: no_timeout (breaker)"},
		{"a fallback around what is there for each key", []plan{total, breaker, fallback, perKey(0)}, "doubtful: fallback_inside (breaker, fallback)"},

		{"breaker_sees_too_few", []plan{total, with(breaker, func(p *plan) { p.MinCalls, p.Window = 106, 10*second }), rate},
			"doubtful: breaker_sees_too_few (breaker, rate): its rates need 106 calls in 10s, but a rate of 10 lets through 105 at the most"},
		{"breaker_sees_too_few, with the rate limit outermost", []plan{rate, with(breaker, func(p *plan) { p.MinCalls, p.Window = 106, 10*second }), attempt}, "doubtful: breaker_sees_too_few (rate, breaker)"},
		{"breaker_sees_too_few, both for each key", []plan{perKey(0, with(breaker, func(p *plan) { p.MinCalls, p.Window = 106, 10*second }), rate), attempt}, "doubtful: breaker_sees_too_few (breaker, rate)"},
		{"a rate limit for each key and one breaker", []plan{with(breaker, func(p *plan) { p.MinCalls, p.Window = 106, 10*second }), perKey(0, rate), attempt}, ""},
		{"a breaker that sees enough", []plan{total, with(breaker, func(p *plan) { p.MinCalls, p.Window = 105, 10*second }), rate}, ""},
		{"breaker_sees_too_few once the rate limit does more than observe", []plan{total, with(breaker, func(p *plan) { p.MinCalls, p.Window = 106, 10*second }), with(rate, func(p *plan) { p.Observes = true })},
			"doubtful: breaker_sees_too_few (breaker, rate)"},
		{"limit_never_fires once it does more than observe", []plan{with(total, func(p *plan) { p.Observes = true }), with(total, func(p *plan) { p.Limit, p.Observes = 61*second, true })},
			"impossible: limit_never_fires (total, total)"},
		{"slow_call_never once the limit does more than observe", []plan{total, with(breaker, func(p *plan) { p.SlowCall = 11 * second }), with(attempt, func(p *plan) { p.Observes = true })},
			"impossible: slow_call_never (breaker, attempt)"},
		{"a timeout that only observes is one", []plan{with(attempt, func(p *plan) { p.Observes = true })}, ""},
		{"wait_beyond_limit once it does more than observe", []plan{with(total, limit(5*second)), with(rate, func(p *plan) { p.Wait, p.Observes = 5*second, true })}, "doubtful: wait_beyond_limit"},
		{"a window of calls", []plan{total, with(breaker, func(p *plan) { p.MinCalls = 106 }), rate}, ""},

		{"same_name", []plan{total, breaker, breaker}, "doubtful: same_name (breaker, breaker)"},
		{"two names", []plan{total, breaker, with(breaker, func(p *plan) { p.Name = "another" })}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			found := planning(row.plans...).Check()
			var want []string
			if row.want != "" {
				want = strings.Split(row.want, "\n")
			}
			for i, f := range found {
				if i >= len(want) || !strings.HasPrefix(f.String(), want[i]) {
					t.Errorf("got %s", f)
				}
			}
			if len(found) < len(want) {
				t.Errorf("got %d findings, want %q", len(found), want)
			}
		})
	}
}

func TestCheckKnowsAPolicyThatStandsInTheChainTwice(t *testing.T) {
	same := middleware.PolicyFunc(pass)
	one, places, calm := &planned{breaker}, &planned{bulkhead}, &planned{total}
	for _, row := range []struct {
		name     string
		policies []middleware.Policy
		want     string
	}{
		{"a breaker", []middleware.Policy{calm, one, one}, "doubtful: same_policy (breaker, breaker)"},
		{"a bulkhead", []middleware.Policy{calm, places, one, places}, "impossible: same_policy (bulkhead, bulkhead): a call needs two of its 4 places"},
		{"a func", []middleware.Policy{calm, same, same}, ""},
	} {
		found := middleware.NewChain("x", row.policies...).Check()
		if row.want == "" && len(found) > 0 || row.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0].String(), row.want)) {
			t.Errorf("%s: got %v, want %q", row.name, found, row.want)
		}
	}
}

// Findings come with what is impossible first, and then by place.
func TestFindingsAreInOrder(t *testing.T) {
	found := planning(chaos, total, with(retry, func(p *plan) { p.Budget = nil }), breaker, with(total, func(p *plan) { p.Limit++ })).Check()
	var got []string
	for _, f := range found {
		got = append(got, f.Rule)
		if f.Problem == "" || f.Fix == "" || f.Severity.String() == "unknown" || strings.HasSuffix(f.Problem, ".") || strings.HasSuffix(f.Fix, ".") {
			t.Errorf("%+v is not complete", f)
		}
	}
	if want := []string{"limit_never_fires", "chaos_present", "chaos_outside", "budget_off"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
