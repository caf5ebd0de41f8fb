package middlewaretest_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
)

// bare is a chain without policies.
func bare() *middleware.Chain { return nil }

// chain returns a function that makes a chain of one policy.
func chain(f middleware.PolicyFunc) func() *middleware.Chain {
	return func() *middleware.Chain { return middleware.NewChain("x", f) }
}

// repeat is a retry as people write it: at once, and whatever the dependency says.
func repeat(times int) middleware.PolicyFunc {
	return func(ctx context.Context, next middleware.Next) error {
		var err error
		for range times {
			if err = next.Do(ctx); err == nil {
				break
			}
		}
		return err
	}
}

func near(got, want, share float64) bool { return math.Abs(got-want) <= share*math.Abs(want) }

func TestScenarioValidateNamesTheSetting(t *testing.T) {
	load := middlewaretest.Load{Rate: 1}
	fixed := middlewaretest.Fixed(1)
	for _, row := range []struct {
		name     string
		scenario middlewaretest.Scenario
		want     string // empty: valid
	}{
		{"a rate", middlewaretest.Scenario{Load: load}, ""},
		{"clients", middlewaretest.Scenario{Load: middlewaretest.Load{Clients: 1, Think: fixed}}, ""},
		{"no queue", middlewaretest.Scenario{Load: load, Dependency: middlewaretest.Dependency{Servers: 1, Queue: -1}}, ""},
		{"nothing", middlewaretest.Scenario{}, "Load is without calls: it must be given a Rate or Clients"},
		{"duration", middlewaretest.Scenario{Load: load, Duration: -1}, "Duration is -1ns: it must be a positive duration, or 0 for a minute"},
		{"rate", middlewaretest.Scenario{Load: middlewaretest.Load{Rate: math.Inf(1)}}, "Load.Rate is +Inf: it must be between 0 and 2147483647"},
		{"rate that is no number", middlewaretest.Scenario{Load: middlewaretest.Load{Rate: math.NaN(), Clients: 1, Think: fixed}}, "Load.Rate is NaN: it must be between 0 and 2147483647"},
		{"negative clients", middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 1, Clients: -1}}, "Load.Clients is -1: it must be a positive number, or 0 for none"},
		{"clients that never pause", middlewaretest.Scenario{Load: middlewaretest.Load{Clients: 1}}, "Load.Think is nil: it must be set with Clients"},
		{"timeout", middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 1, Timeout: -1}}, "Load.Timeout is -1ns: it must be a positive duration, or 0 for none"},
		{"processes", middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 1, Processes: -1}}, "Load.Processes is -1: it must be a positive number, or 0 for one"},
		{"a surge without an end", middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 1, Surges: []middlewaretest.Surge{{From: time.Second, Times: 2}}}},
			"Load.Surges[0].Until is 0s: it must be later than From, which is 1s and must not be negative"},
		{"a negative surge", middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 1, Surges: []middlewaretest.Surge{{Until: 1, Times: -2}}}},
			"Load.Surges[0].Times is -2: it must be between 0 and 2147483647"},
		{"errors", middlewaretest.Scenario{Load: load, Dependency: middlewaretest.Dependency{Errors: 2}}, "Dependency.Errors is 2: it must be between 0 and 1"},
		{"servers", middlewaretest.Scenario{Load: load, Dependency: middlewaretest.Dependency{Servers: -1}}, "Dependency.Servers is -1: it must be a positive number, or 0 for any"},
		{"a queue for any number of servers", middlewaretest.Scenario{Load: load, Dependency: middlewaretest.Dependency{Queue: 1}}, "Dependency.Queue is 1: it must be 0 without Servers"},
		{"retry after", middlewaretest.Scenario{Load: load, Dependency: middlewaretest.Dependency{RetryAfter: -1}}, "Dependency.RetryAfter is -1ns: it must be a positive duration, or 0 for none"},
		{"an outage before the beginning", middlewaretest.Scenario{Load: load, Dependency: middlewaretest.Dependency{Outages: []middlewaretest.Outage{{From: -2, Until: 1}}}},
			"Dependency.Outages[0].Until is 1ns: it must be later than From, which is -2ns and must not be negative"},
		{"an outage out of range", middlewaretest.Scenario{Load: load, Dependency: middlewaretest.Dependency{
			Outages: []middlewaretest.Outage{{Until: 1, Errors: math.NaN(), Hangs: -1, Slow: -1, Servers: -1}}}},
			"Dependency.Outages[0].Errors is NaN: it must be between 0 and 1\n" +
				"middlewaretest: Scenario.Dependency.Outages[0].Hangs is -1: it must be between 0 and 1\n" +
				"middlewaretest: Scenario.Dependency.Outages[0].Slow is -1: it must be a factor, or 0 for 1\n" +
				"middlewaretest: Scenario.Dependency.Outages[0].Servers is -1: it must be a positive number, or 0 for all"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.scenario.Validate()
			switch {
			case row.want == "" && err != nil:
				t.Errorf("got %v, want a valid scenario", err)
			case row.want != "" && (err == nil || err.Error() != "middlewaretest: Scenario."+row.want):
				t.Errorf("\ngot  %v\nwant %s", err, row.want)
			}
		})
	}
}

// What becomes of a call.
func TestScenarioOutcomes(t *testing.T) {
	always := []middlewaretest.Outage{{Until: time.Hour}}
	hangs := []middlewaretest.Outage{{Until: time.Hour, Hangs: 1}}
	for _, row := range []struct {
		name       string
		load       middlewaretest.Load
		dependency middlewaretest.Dependency
		policy     middleware.PolicyFunc
		want       string
		requests   int // for each call
	}{
		{"success", middlewaretest.Load{}, middlewaretest.Dependency{}, repeat(3), "success", 1},
		{"failure", middlewaretest.Load{}, middlewaretest.Dependency{Errors: 1}, repeat(3), "failure", 3},
		{"outage", middlewaretest.Load{}, middlewaretest.Dependency{Latency: middlewaretest.Fixed(time.Minute), Outages: always}, repeat(1), "failure", 1},
		{"deadline", middlewaretest.Load{Timeout: time.Second}, middlewaretest.Dependency{Outages: hangs}, repeat(1), "deadline", 1},
		{"unfinished", middlewaretest.Load{}, middlewaretest.Dependency{Outages: hangs}, repeat(1), "unfinished", 1},
		{"rejection", middlewaretest.Load{}, middlewaretest.Dependency{}, func(_ context.Context, next middleware.Next) error {
			return next.Reject(middleware.Rejection{Policy: "p", Reason: middleware.ErrBulkheadFull})
		}, "bulkhead_full", 0},
		{"an error of a policy", middlewaretest.Load{}, middlewaretest.Dependency{}, func(context.Context, middleware.Next) error { return errors.New("own") }, "other", 0},
		{"Goexit", middlewaretest.Load{}, middlewaretest.Dependency{}, func(context.Context, middleware.Next) error { runtime.Goexit(); return nil }, "other", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.load.Rate, row.load.Even = 10, true
			r := middlewaretest.Scenario{Duration: 10500 * time.Millisecond, Load: row.load, Dependency: row.dependency}.Run(t, chain(row.policy))
			if r.Calls != 104 || r.Outcomes[row.want] != r.Calls || len(r.Outcomes) != 1 || r.Requests != row.requests*r.Calls {
				t.Errorf("got %d calls, %d requests, %v, want all to be %q with %d requests each", r.Calls, r.Requests, r.Outcomes, row.want, row.requests)
			}
			if want := map[bool]int{true: r.Calls}[row.want == "success"]; r.Succeeded != want {
				t.Errorf("%d of %d calls succeeded, want %d", r.Succeeded, r.Calls, want)
			}
		})
	}
}

// A dependency tells the policies what its answers mean.
func TestScenarioVerdicts(t *testing.T) {
	seen := make(map[middleware.Verdict]int)
	middlewaretest.Scenario{
		Load:       middlewaretest.Load{Rate: 100},
		Dependency: middlewaretest.Dependency{Latency: middlewaretest.Fixed(time.Second), Servers: 10, Queue: -1, RetryAfter: time.Minute, Errors: 0.5},
	}.Run(t, chain(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		v := middleware.VerdictOf(err)
		seen[v]++ // one call goes on at a time
		return err
	}))
	for _, v := range []middleware.Verdict{
		{},
		{Class: middleware.Failure, Retry: true, Reason: "failure"},
		{Class: middleware.Throttled, Retry: true, After: time.Minute, Reason: "overloaded"},
	} {
		if seen[v] == 0 {
			t.Errorf("no call had the verdict %+v", v)
		}
		delete(seen, v)
	}
	if len(seen) != 0 {
		t.Errorf("calls had verdicts that are not documented: %+v", seen)
	}
}

// The same scenario has the same result each time.
func TestScenarioIsRepeatable(t *testing.T) {
	s := middlewaretest.Scenario{
		Duration: 30 * time.Second,
		Load: middlewaretest.Load{
			Rate: 100, Even: true, Clients: 5, Think: middlewaretest.Fixed(50 * time.Millisecond), Timeout: time.Second,
		},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(50 * time.Millisecond), Servers: 9, Queue: 20, Errors: 0.1,
			Outages: []middlewaretest.Outage{{From: 10 * time.Second, Until: 12 * time.Second, Hangs: 0.5}},
		},
	}
	// All that the calls do is a multiple of 50 ms, and who comes first after a wait takes the turn.
	limited := func() *middleware.Chain {
		var turns atomic.Int64
		return middleware.NewChain("x", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			for {
				err := next.Do(ctx)
				if err == nil || ctx.Err() != nil {
					return err
				}
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
				}
				if turns.Add(1)%3 == 0 {
					return err
				}
			}
		}))
	}
	first := s.Run(t, limited)
	for range 19 {
		again := s.Run(t, limited)
		if again.String() != first.String() || !slices.Equal(again.Latencies(), first.Latencies()) {
			t.Fatalf("got\n%v\nand then\n%v", first, again)
		}
	}
	s.Seed = 1
	if other := s.Run(t, limited); slices.Equal(other.Latencies(), first.Latencies()) {
		t.Error("another seed has the same result")
	}
}

// newChain is called for each process, and the calls are spread over the chains in turn.
func TestScenarioProcesses(t *testing.T) {
	var made []*closer
	r := middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 10, Even: true, Processes: 3}}.Run(t, func() *middleware.Chain {
		made = append(made, &closer{})
		return middleware.NewChain("x", made[len(made)-1])
	})
	if len(made) != 3 || r.Calls < 590 {
		t.Fatalf("%d chains were made for %d calls, want 3 for about 600", len(made), r.Calls)
	}
	for _, c := range made {
		if n := int(c.calls.Load()); n < r.Calls/3 || n > r.Calls/3+1 || !c.closed {
			t.Errorf("a chain had %d of %d calls, closed %v, want a third and closed", n, r.Calls, c.closed)
		}
	}
}

type closer struct {
	calls  atomic.Int64
	closed bool
}

func (c *closer) Execute(ctx context.Context, next middleware.Next) error {
	c.calls.Add(1)
	return next.Do(ctx)
}

func (c *closer) Close() error { c.closed = true; return nil }

// Context returns the context of a call.
func TestScenarioContext(t *testing.T) {
	type key struct{}
	seen := make(map[any]bool)
	r := middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 5, Context: func(ctx context.Context, call int) context.Context {
		return context.WithValue(ctx, key{}, call)
	}}}.Run(t, chain(func(ctx context.Context, next middleware.Next) error {
		seen[ctx.Value(key{})] = true
		return next.Do(ctx)
	}))
	for n := range r.Calls {
		if !seen[n] {
			t.Errorf("call %d did not have its context", n)
		}
	}
}

func TestScenarioText(t *testing.T) {
	text := middlewaretest.Scenario{Duration: 3 * time.Hour, Load: middlewaretest.Load{Rate: 0.5}}.Run(t, bare).String()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if rows := len(lines) - 4; rows != 18 { // of 10 minutes
		t.Errorf("got %d rows, want 18:\n%s", rows, text)
	}
	for _, line := range lines {
		if strings.TrimRight(line, " ") != line {
			t.Errorf("the line %q has blanks at its end", line)
		}
	}
}
