package policies_test

import (
	"math"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

// The example of Bronson, Aghayev, Charapko and Zhu, "Metastable Failures in Distributed
// Systems", HotOS 2021, section 2: a web application makes 280 queries per second to a
// database that answers within 100 ms up to 300 queries per second. The application gives a
// query up after a second and repeats it once. When something has slowed the database down for
// a short while, it gets 560 queries per second, all that it works on has been given up, and
// so it stays although nothing is wrong any longer.
//
// Expected of the paper: no query succeeds after the trigger (the goodput collapses, and the
// load is 560). It ends only when the load is brought below 150, half of what the database can do.
//
// The trigger is ours: for 5 s the database is ten times as slow. How long it then takes to recover
// follows from the same numbers: what has piled up grows by the load less 30 per second during
// the trigger, shrinks by 300 less the load afterwards, and has to come down to 270, which is 900 ms
// of work. TimeToRecover counts in seconds.
//
//	                              load          expected     ours
//	no budget                     280 * 2       never        not in 95 s
//	  and 200 queries per second  200 * 2       never        not in 90 s
//	  and 100 queries per second  100 * 2       37 s         35 s
//	budget of 0.05                280 * 1.05    175 s        170 s
//	no retry                      280           49 s         50 s
//	default ratio, 0.2            280 * 1.2     never        not in 95 s
//	  and 240 queries per second  240 * 1.2     85 s         83 s
//
// The last two rows are the lesson: a budget bounds the load, but that ends such a failure only
// if what the budget allows fits into the spare capacity, here 7 %. Huang et al., "Metastable
// Failures in the Wild", OSDI 2022, find retries behind half of the failures they look at.
func TestRetriesAreMetastableWithoutABudget(t *testing.T) {
	const (
		load     = 280.0
		scale    = 0.2 // of everything, to be quick
		begins   = 20 * time.Second
		ends     = 25 * time.Second
		patience = time.Second
		eases    = 30 * time.Second // in the rows in which the load does
	)
	never := time.Duration(math.MaxInt64)
	off := policies.BudgetConfig{Ratio: -1}
	small := policies.BudgetConfig{Ratio: 0.05, MinPerSecond: -1}
	usual := policies.BudgetConfig{MinPerSecond: -1}
	for _, row := range []struct {
		name    string
		load    float64
		eased   float64 // what the load is multiplied by at that time
		retry   int
		budget  policies.BudgetConfig
		recover time.Duration // after the trigger, or after the load has eased
	}{
		{"no budget", load, 1, 2, off, never},
		{"no budget, and 200 queries per second", load, 200 / load, 2, off, never},
		{"no budget, and 100 queries per second", load, 100 / load, 2, off, 37 * time.Second},
		{"a budget of 0.05", load, 1, 2, small, backlog(load*1.05, ends-begins)},
		{"no retry", load, 1, 1, off, backlog(load, ends-begins)},
		{"the default ratio", load, 1, 2, usual, never},
		{"the default ratio, and 240 queries per second", 240, 1, 2, usual, backlog(240*1.2, ends-begins)},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := middlewaretest.Scenario{
				Duration: 2 * time.Minute,
				Load:     middlewaretest.Load{Rate: row.load * scale, Even: true},
				Dependency: middlewaretest.Dependency{
					Latency: middlewaretest.Fixed(100 * time.Millisecond),
					Servers: 30 * scale,
					Outages: []middlewaretest.Outage{{From: begins, Until: ends, Slow: 10}},
				},
			}
			from := ends
			if row.eased != 1 {
				from = eases
				s.Load.Surges = []middlewaretest.Surge{{From: eases, Until: time.Hour, Times: row.eased}}
			} else if row.recover != never {
				s.Duration = ends + row.recover + 30*time.Second
			}
			r := s.Run(t, func() *middleware.Chain {
				return middleware.NewChain("database",
					policies.NewRetry(policies.RetryConfig{Attempts: row.retry, Delay: 10 * time.Millisecond, Budget: policies.NewBudget(row.budget)}),
					policies.NewTimeout(policies.TimeoutConfig{Limit: patience}))
			})
			t.Log(r)
			if before := r.Between(0, begins-patience); before.Success() < 0.99 {
				t.Errorf("before the trigger only %v of the calls succeed", before.Success())
			}
			got, ok := r.TimeToRecover(from, 0.9)
			if row.recover == never {
				if after := r.Between(from, s.Duration); ok || after.Goodput() > 1 {
					t.Errorf("recovered after %v (%v) with a goodput of %.1f, want a collapse that lasts", got, ok, after.Goodput())
				}
				return
			}
			if off := (got - row.recover).Abs(); !ok || off > max(3*time.Second, row.recover/10) {
				t.Errorf("recovered after %v (%v), want about %v", got, ok, row.recover)
			}
		})
	}
}

// backlog returns how long a database that can do 300 queries per second needs for what has
// piled up, at that load, while it could do 30, until what comes waits for no more than 900 ms.
func backlog(load float64, trigger time.Duration) time.Duration {
	left := (load-30)*trigger.Seconds() - 270
	return time.Duration(left / (300 - load) * float64(time.Second))
}
