package policies_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The last error comes with what came with it, although earlier results were given up.
func TestTheResultOfTheLastRunIsNotLost(t *testing.T) {
	notNow := middleware.Judged(errors.New("not now"), middleware.Verdict{Class: middleware.Ignored})
	missing := middleware.Judged(errors.New("missing"), middleware.Verdict{Reason: "not_found"})
	deaf := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if middleware.Attempt(ctx) == 1 {
			time.Sleep(time.Second)
		}
		return next.Do(ctx)
	})
	limit := func() middleware.Policy {
		return policies.NewRateLimit(policies.RateLimitConfig{Rate: 50, Burst: 1, MaxWait: time.Second})
	}
	for name, row := range map[string]struct {
		runs   []outcome
		hedges int
		inner  func() middleware.Policy
	}{
		"a run begins after another failed": {[]outcome{{after: 15 * ms, err: errBroken}, {after: 50 * ms, err: notNow}, {after: 10 * ms, err: notNow}}, 2, nil},
		"a limit holds the hedge back":      {[]outcome{{after: 15 * ms, err: errBroken}, {after: 50 * ms, err: notNow}}, 1, limit},
		"the first run begins too late to win": {[]outcome{{after: 5 * ms, err: missing}, {after: 5 * ms}}, 1,
			func() middleware.Policy { return deaf }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(row.runs...)
				chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, MaxHedges: row.hedges, When: always}))
				if row.inner != nil {
					chain = middleware.NewChain("x", chain, row.inner())
				}
				value, end, err := middleware.Stream(t.Context(), chain, s.run, s.discard)
				defer end()
				if value == 0 || err == nil {
					t.Errorf("got %d, %v", value, err)
				}
			})
		})
	}
}

// A run that failed holds nothing that another one waits for, nor does it while a Retry
// outside waits.
func TestAFailedRunHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 25, MaxQueue: 100, MaxWait: time.Minute})
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}), bulkhead)
		begin := time.Now()
		var group sync.WaitGroup
		for range 25 { // all places are taken when the hedges come
			group.Go(func() {
				_, end, err := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) {
					if middleware.Attempt(ctx) == 1 {
						time.Sleep(15 * ms)
						return 1, errBroken
					}
					return 2, nil
				}, func(int) {})
				if err != nil {
					t.Error(err)
				}
				end()
			})
		}
		group.Wait()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the hedges had to wait for %s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newStage(outcome{after: 15 * ms, err: errBroken}, outcome{after: 20 * ms, err: errBroken}, outcome{})
		bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 10})
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1}),
			policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}), bulkhead)
		var running atomic.Int64
		time.AfterFunc(500*ms, func() { running.Store(int64(bulkhead.Status().Running)) })
		_, end, err := middleware.Stream(t.Context(), chain, s.run, s.discard)
		end()
		if err != nil || running.Load() != 0 {
			t.Errorf("%v; during the back-off %d places were taken", err, running.Load())
		}
	})
}

// A hedge that begins after the first run has won, and before that has come back, takes
// nothing from it: not its result, and not the caller's.
func TestAHedgeThatBeginsTooLateReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slowToReturn := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			err := next.Do(ctx)
			time.Sleep(10 * ms)
			return err
		})
		s := newStage(outcome{after: 5 * ms}, outcome{after: 3 * ms})
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}), slowToReturn)
		value, end, err := middleware.Stream(t.Context(), chain, s.run, s.discard)
		time.Sleep(time.Second) // the hedge is on its way out too
		synctest.Wait()
		if value != 1 || err != nil || s.contexts[0].Err() != nil {
			t.Errorf("got %d, %v, whose context says %v", value, err, context.Cause(s.contexts[0]))
		}
		end()
	})
}

// A budget that two policies of one key share goes with the key, so the key stays while
// the budget holds something; one that others have too does not keep it.
func TestAKeyStaysWhileItsSharedBudgetHoldsSomething(t *testing.T) {
	for name, row := range map[string]struct {
		everybodys bool
		stays      bool
	}{"of the key": {false, true}, "of all keys": {true, false}} {
		synctest.Test(t, func(t *testing.T) {
			all := policies.NewBudget(policies.BudgetConfig{Window: time.Hour})
			keyed := policies.NewKeyed(policies.KeyedConfig{Idle: time.Second}, func(string) *middleware.Chain {
				b := all
				if !row.everybodys {
					b = policies.NewBudget(policies.BudgetConfig{Window: time.Hour})
				}
				return middleware.NewChain("", policies.NewRetry(policies.RetryConfig{Budget: b}), policies.NewHedge(policies.HedgeConfig{Delay: time.Second, Budget: b}))
			})
			first := keyed.For("a")
			_ = first.Do(t.Context(), func(context.Context) error { return nil })
			for i := range 4 {
				time.Sleep(3 * time.Second)
				keyed.For(string(rune('b' + i)))
			}
			if got := keyed.For("a") == first; got != row.stays {
				t.Errorf("%s: the key stayed: %t, want %t", name, got, row.stays)
			}
		})
	}
}
