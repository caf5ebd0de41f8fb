package policies_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// randomChain returns a chain of policies of any kind in any order.
func randomChain(r *rand.Rand) *middleware.Chain {
	upTo := func(d time.Duration) time.Duration { return 1 + time.Duration(r.Int64N(int64(d))) }
	kinds := []func() middleware.Policy{
		func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{Limit: upTo(time.Minute)}) },
		func() middleware.Policy {
			return policies.NewTimeout(policies.TimeoutConfig{Limit: upTo(10 * time.Second)})
		},
		func() middleware.Policy {
			delay := upTo(5 * time.Second)
			attempts := 1 + r.IntN(5)
			return policies.NewRetry(policies.RetryConfig{
				Attempts: attempts, Delay: delay, MaxDelay: delay + upTo(20*time.Second),
				Multiplier: 1 + 2*r.Float64(), Jitter: r.Float64() - 0.1, MaxAfter: upTo(time.Minute),
				Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
			})
		},
		func() middleware.Policy {
			return policies.NewHedge(policies.HedgeConfig{
				Delay: upTo(10 * time.Second), MaxHedges: 1 + r.IntN(3), When: always,
				Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
			})
		},
		func() middleware.Policy {
			return policies.NewHedge(policies.HedgeConfig{MinCalls: 1, When: always, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})})
		},
		func() middleware.Policy {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.1 + r.Float64(), Burst: 1 + r.IntN(3), MaxWait: upTo(20 * time.Second), MaxPause: upTo(time.Minute)})
		},
		func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1 + r.IntN(3), MaxQueue: 1 + r.IntN(5), MaxWait: upTo(20 * time.Second)})
		},
		func() middleware.Policy {
			attempts := 1 + r.IntN(4)
			return policies.NewRetry(policies.RetryConfig{
				Attempts: attempts, NestedAttempts: 1 + r.IntN(attempts), Delay: upTo(5 * time.Second), Jitter: -1, MaxAfter: upTo(time.Minute),
				Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
			})
		},
		func() middleware.Policy {
			return policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Initial: 2, Max: 4, MaxQueue: 3, MaxWait: upTo(20 * time.Second)})
		},
		func() middleware.Policy { return policies.NewThrottle(policies.ThrottleConfig{}) },
		func() middleware.Policy { return policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1}) },
		func() middleware.Policy {
			return policies.NewChaos(policies.ChaosConfig{
				Enabled: true, Seed: 1 + r.Uint64N(1000), LatencyRate: 0.3, Latency: upTo(20 * time.Second), ErrorRate: 0.1, CutRate: 0.1, CutAfter: upTo(20 * time.Second),
			})
		},
		func() middleware.Policy {
			return policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 20, Timeout: time.Second})
		},
	}
	var all []middleware.Policy
	for _, i := range r.Perm(len(kinds))[:1+r.IntN(len(kinds))] {
		all = append(all, kinds[i]())
	}
	return middleware.NewChain("random", all...)
}

// A calling is one call, as its operation sees it.
type calling struct{ runs, running, parallel atomic.Int64 }

func (c *calling) begin() {
	c.runs.Add(1)
	n := c.running.Add(1)
	for most := c.parallel.Load(); n > most && !c.parallel.CompareAndSwap(most, n); most = c.parallel.Load() {
	}
}

// No call takes longer, or runs more often, than Explain says, whatever the operation does.
func TestExplainIsNeverExceeded(t *testing.T) {
	reached := 0
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			chain := randomChain(r)
			e := chain.Explain()
			throws := rand.New(rand.NewPCG(seed, 2))
			var mu sync.Mutex
			throw := func(n int64) int64 {
				mu.Lock()
				defer mu.Unlock()
				return throws.Int64N(n)
			}
			var calls sync.WaitGroup
			for range 12 {
				calls.Go(func() {
					var c calling
					began := time.Now()
					_ = chain.Do(t.Context(), func(ctx context.Context) error { return c.run(ctx, throw) })
					took := time.Since(began)
					switch {
					case took > e.Latency:
						t.Errorf("seed %d: a call took %s, not at most %s\n%s", seed, took, e.Latency, e)
					case c.runs.Load() > int64(e.Runs):
						t.Errorf("seed %d: %d runs, not at most %d\n%s", seed, c.runs.Load(), e.Runs, e)
					case c.parallel.Load() > int64(e.Parallel):
						t.Errorf("seed %d: %d runs at the same time, not at most %d\n%s", seed, c.parallel.Load(), e.Parallel, e)
					case e.Runs > 1 && c.runs.Load() == int64(e.Runs), took == e.Latency:
						mu.Lock()
						reached++
						mu.Unlock()
					}
				})
			}
			calls.Wait()
		})
	}
	if reached < 100 {
		t.Errorf("the bounds were reached %d times only: the test tries too little", reached)
	}
}

// run is an operation that hangs, fails, asks for fewer calls, or succeeds.
func (c *calling) run(ctx context.Context, throw func(n int64) int64) error {
	c.begin()
	defer c.running.Add(-1)
	takes := time.Duration(throw(int64(20 * time.Second)))
	switch throw(5) {
	case 0, 1:
		takes = 1000 * time.Hour
	case 2:
		takes = 0
	}
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	switch throw(4) {
	case 0:
		return nil
	case 1:
		return middleware.Judged(errBroken, middleware.Verdict{
			Class: middleware.Throttled, Retry: true, After: time.Duration(throw(int64(time.Minute))), Reason: "throttled",
		})
	default:
		return errBroken
	}
}

// What Explain says can happen.
func TestExplainIsReached(t *testing.T) {
	off := policies.NewBudget(policies.BudgetConfig{Ratio: -1})
	attempt := func() middleware.Policy {
		return policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 2 * time.Second})
	}
	retry := policies.RetryConfig{Attempts: 4, Delay: time.Second, MaxDelay: 3 * time.Second, Jitter: -1, MaxAfter: 7 * time.Second, Budget: off}
	for _, row := range []struct {
		name   string
		chain  []middleware.Policy
		after  time.Duration // the dependency asks for that, at once
		time   time.Duration
		runs   int64
		beside int64
	}{
		{"a limit", []middleware.Policy{attempt()}, 0, 2 * time.Second, 1, 1},
		{"attempts", []middleware.Policy{policies.NewRetry(retry), attempt()}, 0, 4*2*time.Second + 6*time.Second, 4, 1},
		{"a limit around them", []middleware.Policy{policies.NewTimeout(policies.TimeoutConfig{Limit: 8 * time.Second}), policies.NewRetry(retry), attempt()}, 0, 8 * time.Second, 4, 1},
		{"waits that the dependency asks for", []middleware.Policy{policies.NewRetry(retry)}, 7 * time.Second, 3 * 7 * time.Second, 4, 1},
		{"hedges", []middleware.Policy{policies.NewHedge(policies.HedgeConfig{Delay: 600 * time.Millisecond, MaxHedges: 2, When: always, Budget: off}), attempt()}, 0, 3200 * time.Millisecond, 3, 3},
		{"hedges that are repeated", []middleware.Policy{
			policies.NewRetry(retry), policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always, Budget: off}), attempt()}, 0, 4*3*time.Second + 6*time.Second, 8, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain := middleware.NewChain("x", row.chain...)
				e := chain.Explain()
				var c calling
				began := time.Now()
				_ = chain.Do(t.Context(), func(ctx context.Context) error {
					c.begin()
					defer c.running.Add(-1)
					if row.after > 0 {
						return middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Throttled, Retry: true, After: row.after})
					}
					<-ctx.Done()
					return ctx.Err()
				})
				if got := time.Since(began); got != row.time || row.after == 0 && e.Latency < got || row.after == 0 && e.Usual != got {
					t.Errorf("the call took %s, want %s; Explain says %s, usually %s", got, row.time, e.Latency, e.Usual)
				}
				if row.after > 0 && e.Policies[0].LongestBackoff != row.time {
					t.Errorf("Explain says that the waits are %s, want %s", e.Policies[0].LongestBackoff, row.time)
				}
				if row.name == "a limit around them" { // cut before the last attempts
					row.runs = c.runs.Load()
				} else if int64(e.Runs) != row.runs {
					t.Errorf("Explain says %d runs, want %d", e.Runs, row.runs)
				}
				if c.runs.Load() != row.runs || c.parallel.Load() != row.beside {
					t.Errorf("%d runs, %d beside each other, want %d and %d", c.runs.Load(), c.parallel.Load(), row.runs, row.beside)
				}
			})
		})
	}
}

// What waits there are between attempts is what Explain says at the most, with any jitter.
func TestExplainKnowsTheJitter(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			delay := 1 + time.Duration(r.Int64N(int64(time.Second)))
			chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{
				Attempts: 1 + r.IntN(6), Delay: delay, MaxDelay: delay + time.Duration(r.Int64N(int64(3*time.Second))),
				Multiplier: 1 + 3*r.Float64(), Jitter: r.Float64(), Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
			}))
			most := chain.Explain().Policies[0].Backoff
			began := time.Now()
			_ = chain.Do(t.Context(), fail)
			if took := time.Since(began); took > most {
				t.Errorf("seed %d: waits of %s, not at most %s\n%s", seed, took, most, chain.Explain())
			}
		})
	}
}
