package middleware_test

import (
	"context"
	"flag"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

var update = flag.Bool("update", false, "write what the golden files should be")

// What a chain may come to, by hand.
func TestExplain(t *testing.T) {
	const forever = middleware.Unbounded
	twice := with(retry, func(p *plan) { p.Attempts, p.Backoff, p.LongestBackoff = 2, second, second })
	free := func(p plan) plan { p.Budget = nil; return p }
	budget := func(p plan, id any, ratio, floor float64) plan {
		p.Budget = &middleware.BudgetPlan{ID: id, Ratio: ratio, MinPerSecond: floor}
		return p
	}
	for _, row := range []struct {
		name           string
		plans          []plan
		usual, latency time.Duration
		runs, parallel int
		load, perSec   float64
	}{
		{"nothing", nil, forever, forever, 1, 1, 1, 0},
		{"a limit", []plan{attempt}, 10 * second, 10 * second, 1, 1, 1, 0},
		{"a wait around a limit", []plan{bulkhead, attempt}, 11 * second, 11 * second, 1, 1, 1, 0},
		{"a limit around a wait", []plan{attempt, bulkhead}, 10 * second, 10 * second, 1, 1, 1, 0},
		{"attempts without a limit", []plan{retry}, forever, forever, 3, 1, 1.2, 10},
		{"attempts", []plan{retry, attempt}, 31 * second, 40 * second, 3, 1, 1.2, 10},
		{"attempts that each wait", []plan{retry, rate, bulkhead, attempt}, 37 * second, 46 * second, 3, 1, 1.2, 10},
		{"attempts in a limit", []plan{total, retry, attempt}, 31 * second, 40 * second, 3, 1, 1.2, 10},
		{"attempts cut by a limit", []plan{total, retry, with(attempt, func(p *plan) { p.Limit = 30 * second })}, 60 * second, 60 * second, 3, 1, 1.2, 10},
		{"one attempt", []plan{with(retry, func(p *plan) { p.Attempts = 1 }), attempt}, 10 * second, 10 * second, 1, 1, 1, 0},
		{"a hedge", []plan{hedge, attempt}, 11 * second, 11 * second, 2, 2, 1.2, 10},
		{"hedges", []plan{with(hedge, func(p *plan) { p.Hedges = 3 }), attempt}, 13 * second, 13 * second, 4, 4, 1.2, 10},
		{"a hedge of unknown delay", []plan{with(hedge, func(p *plan) { p.HedgeDelay = 0 }), attempt}, 20 * second, 20 * second, 2, 2, 1.2, 10},
		{"a hedge that never begins", []plan{with(hedge, func(p *plan) { p.HedgeDelay = 11 * second }), attempt}, 10 * second, 10 * second, 1, 1, 1, 0},
		{"a hedge in a retry, with one budget", []plan{retry, hedge, attempt}, 34 * second, 43 * second, 6, 2, 1.2, 20},
		{"a hedge in a retry, with two budgets", []plan{retry, budget(hedge, 2, 0.1, 1), attempt}, 34 * second, 43 * second, 6, 2, 1.2 * 1.1, 21},
		{"a hedge in a retry, without budgets", []plan{free(retry), free(hedge), attempt}, 34 * second, 43 * second, 6, 2, 6, 0},
		{"a budget without a floor", []plan{budget(retry, 2, 0.5, -1), attempt}, 31 * second, 40 * second, 3, 1, 1.5, 0},
		{"a budget that is too large to matter", []plan{budget(retry, 2, 10, 0), attempt}, 31 * second, 40 * second, 3, 1, 3, 0},
		{"two retries", []plan{free(retry), free(retry), attempt}, 52 * second, 70 * second, 5, 1, 5, 0},
		{"two retries that multiply", []plan{free(retry), free(with(retry, func(p *plan) { p.NestedAttempts = 0 })), attempt}, 94 * second, 130 * second, 9, 1, 9, 0},
		{"three retries", []plan{free(retry), free(retry), free(retry), with(attempt, func(p *plan) { p.Limit = forever })}, forever, forever, 7, 1, 7, 0},
		{"too many attempts", slices.Repeat([]plan{free(with(twice, func(p *plan) { p.Attempts, p.NestedAttempts = math.MaxInt32, 0 }))}, 3), forever, forever, math.MaxInt, 1, float64(math.MaxInt), 0},
		{"too long waits", []plan{with(free(twice), func(p *plan) { p.Backoff = forever }), attempt}, forever, forever, 2, 1, 2, 0},
		{"a limit that only observes", []plan{with(attempt, func(p *plan) { p.Observes = true })}, forever, forever, 1, 1, 1, 0},
		{"a wait that only observes", []plan{with(rate, func(p *plan) { p.Observes = true }), attempt}, 10 * second, 10 * second, 1, 1, 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := planning(row.plans...).Explain()
			if e.Usual != row.usual || e.Latency != row.latency {
				t.Errorf("it takes %s, at the most %s, want %s and %s", e.Usual, e.Latency, row.usual, row.latency)
			}
			if e.Runs != row.runs || e.Parallel != row.parallel {
				t.Errorf("%d runs, %d beside each other, want %d and %d", e.Runs, e.Parallel, row.runs, row.parallel)
			}
			if math.Abs(e.Load-row.load) > 1e-9*row.load || e.LoadPerSecond != row.perSec {
				t.Errorf("%v runs for each call and %v a second, want %v and %v", e.Load, e.LoadPerSecond, row.load, row.perSec)
			}
		})
	}
}

// A Keyed is a policy for each key, as far as its plan says.
func perKey(memory int64, inner ...plan) plan {
	p := plan{Type: "keyed", Name: "hosts", PerKey: true, Memory: memory, Unknown: inner == nil}
	for _, i := range inner {
		p.Inner = append(p.Inner, &planned{i})
	}
	return p
}

func TestExplainLooksIntoAPolicyForEachKey(t *testing.T) {
	e := planning(with(total, func(p *plan) { p.Memory = 5 }), perKey(1000, retry, with(attempt, func(p *plan) { p.Memory = 7 })), breaker).Explain()
	var got []string
	for _, p := range e.Policies {
		got = append(got, p.Name)
		if want := p.Name == "retry" || p.Name == "attempt" || p.Name == "hosts"; p.PerKey != want && p.Name != "hosts" {
			t.Errorf("%s is one for each key: %v", p.Name, p.PerKey)
		}
	}
	if want := []string{"total", "hosts", "retry", "attempt", "breaker"}; !slices.Equal(got, want) || e.Runs != 3 {
		t.Errorf("got %q and %d runs, want %q and 3", got, e.Runs, want)
	}
	if e.Memory != 1005 {
		t.Errorf("the memory is %d, want that of all keys, which is 1005", e.Memory)
	}
	if e.Unknown != nil {
		t.Errorf("unknown are %q, want none", e.Unknown)
	}
	e = planning(attempt, perKey(1)).Explain()
	if !slices.Equal(e.Unknown, []string{"hosts"}) {
		t.Errorf("unknown are %q, want the one that has no key", e.Unknown)
	}
}

// Observers are left out, with their innermost parts, and other policies that are no
// Planner are named.
func TestExplainNamesWhatItDoesNotKnow(t *testing.T) {
	observer := middleware.ObserverFunc(func(context.Context, middleware.Event) {})
	e := middleware.NewChain("x", observer, &watcher{}, new(pointerPolicy), middleware.Judge(func(error) middleware.Verdict { return middleware.Verdict{} })).Explain()
	if len(e.Policies) != 2 || !slices.Equal(e.Unknown, []string{"*middleware_test.pointerPolicy"}) {
		t.Errorf("there are %d policies, and unknown are %q", len(e.Policies), e.Unknown)
	}
}

// A watcher is an observer with a part inside.
type watcher struct{ inside pointerPolicy }

func (*watcher) Observe(context.Context, middleware.Event) {}

func (*watcher) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (w *watcher) Innermost() middleware.Policy { return &w.inside }

// whole is a chain with some of everything.
func whole() middleware.Explanation {
	described := func(p plan, typ string, settings ...string) plan {
		p.Type, p.Memory = typ, 300
		for i := 0; i < len(settings); i += 2 {
			p.Settings = append(p.Settings, middleware.Setting{Name: settings[i], Value: settings[i+1]})
		}
		return p
	}
	return middleware.NewChain(`store "A" & <B>`,
		middleware.ObserverFunc(func(context.Context, middleware.Event) {}),
		&planned{described(fallback, "fallback")},
		&planned{described(total, "timeout", "Limit", "1m", "Scope", "until_result")},
		&planned{described(throttle, "throttle", "K", "2")},
		&planned{described(retry, "retry", "Attempts", "3", "Delay", "100ms", "Multiplier", "2", "MaxDelay", "10s", "Jitter", "0.5", "MaxAfter", "1m", "Budget", "on", "NestedAttempts", "1")},
		&planned{described(hedge, "hedge", "Delay", "1s", "MaxHedges", "1")},
		&planned{perKey(400_000, described(breaker, "breaker", "FailureThreshold", "5"))},
		&planned{described(rate, "rate_limit", "Rate", "10")},
		&planned{described(with(bulkhead, func(p *plan) { p.Lease = 10 * second }), "bulkhead", "MaxConcurrent", "4")},
		new(pointerPolicy),
		&planned{described(with(attempt, func(p *plan) { p.EachRead = true }), "timeout", "Limit", "10s")},
		&planned{described(with(attempt, func(p *plan) { p.Name, p.Limit = "late", 90*second }), "timeout", "Limit", "1m30s")},
		&planned{described(with(chaos, func(p *plan) { p.Wait = 20 * ms }), "chaos")},
	).Explain()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s should be\n%s", file, got)
	}
}

func TestExplanationAsText(t *testing.T) {
	golden(t, "testdata/explanation.golden", whole().String())
	golden(t, "testdata/explanation_bare.golden", planning().Explain().String()+"\n"+planning(retry).Explain().String()+"\n"+
		planning(with(retry, func(p *plan) { p.Budget = nil }), with(attempt, func(p *plan) { p.Observes, p.UntilEnd = true, true })).Explain().String()+"\n"+
		planning(with(retry, func(p *plan) { p.Budget = &middleware.BudgetPlan{ID: 1, Ratio: 0.5} }), breaker, attempt).Explain().String())
}

func TestExplanationAsMermaid(t *testing.T) {
	golden(t, "testdata/explanation.mmd", whole().Mermaid())
}

// Whatever the names are, a flowchart is one statement a line, with two quotes or none.
func FuzzMermaid(f *testing.F) {
	f.Add("x", "retry", "breaker")
	f.Add(`"`, "a\nb", "<b>#quot;</b>")
	f.Add("", "`", "-->|\"")
	f.Fuzz(func(t *testing.T, chain, name, typ string) {
		e := middleware.NewChain(chain, &planned{with(retry, func(p *plan) { p.Name, p.Type = name, typ })}, &planned{attempt}).Explain()
		line := regexp.MustCompile(`^  (\w+(\[|\(\[)"[^"]*"(\]|\]\))|\w+ -->(\|"[^"]*"\|)? \w+|(classDef|class) [^"]*)$`)
		lines := strings.Split(strings.TrimSuffix(e.Mermaid(), "\n"), "\n")
		for _, l := range lines[1:] {
			if !line.MatchString(l) {
				t.Errorf("%q is no statement", l)
			}
		}
		if len(lines) < 8 {
			t.Errorf("only %d lines", len(lines))
		}
	})
}
