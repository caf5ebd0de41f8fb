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

func TestRateLimitRejectsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewRateLimit(policies.RateLimitConfig{Rate: 2, Burst: 3}))
		for i := range 3 {
			if err := chain.Do(t.Context(), succeed); err != nil {
				t.Fatalf("call %d of the burst: %v", i+1, err)
			}
		}
		r := rejection(t, chain.Do(t.Context(), succeed))
		if r.Reason != middleware.ErrRateLimited || r.RetryAfter != 500*time.Millisecond || r.Timeout() {
			t.Errorf("got %+v, want a turn in half a second", r)
		}
		if e := seen.of(middleware.Rejected); len(e) != 1 || e[0].Reason != "rate_limited" || e[0].Wait != r.RetryAfter {
			t.Errorf("events %+v", e)
		}
		// Refused calls take nothing from the others, however many they are.
		for range 100 {
			rejection(t, chain.Do(t.Context(), succeed))
		}
		time.Sleep(r.RetryAfter)
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Errorf("after RetryAfter: %v", err)
		}
	})
}

func TestRateLimitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 1, MaxWait: time.Second}))
		begin := time.Now()
		var passed, refused int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				err := chain.Do(t.Context(), succeed)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					passed++
				} else if errors.Is(err, middleware.ErrRateLimited) {
					refused++
				}
			})
		}
		wg.Wait()
		// One at once and ten more, the last after a full second.
		if passed != 11 || refused != 9 || time.Since(begin) != time.Second {
			t.Errorf("%d passed and %d were refused in %v, want 11 and 9 in 1s", passed, refused, time.Since(begin))
		}
		if e := seen.of(middleware.Waited); len(e) != 10 {
			t.Errorf("%d events of waits, want 10", len(e))
		}
	})
}

func TestRateLimitRefusesBeforeQueueingWhenTheDeadlineCannotBeMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Minute}))
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := chain.Do(ctx, succeed)
		if r := rejection(t, err); time.Since(begin) != 0 || r.Reason != middleware.ErrDeadline || r.RetryAfter != time.Second || r.Timeout() {
			t.Errorf("got %v after %v, want a refusal at once", err, time.Since(begin))
		}
		// The refused call took no turn.
		if err := chain.Do(t.Context(), succeed); err != nil || time.Since(begin) != time.Second {
			t.Errorf("the next call: %v after %v, want the turn at 1s", err, time.Since(begin))
		}
	})
}

// Calls that are refused take no turn from those that wait, not even for a moment.
func TestRefusedCallsTakeNothingFromTheOthers(t *testing.T) {
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			chain := middleware.NewChain("x", policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 1, MaxWait: 10 * time.Second}))
			var passed atomic.Int32
			var wg sync.WaitGroup
			for range 300 {
				wg.Go(func() {
					if chain.Do(t.Context(), succeed) == nil {
						passed.Add(1)
					}
				})
			}
			wg.Wait()
			if passed.Load() != 101 {
				t.Errorf("%d of 300 passed, want 1 at once and 100 in their turns", passed.Load())
			}
		})
	}
}

func TestACancelledWaitGivesItsTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Minute}))
		_ = chain.Do(t.Context(), succeed)
		begin := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		ran := false
		err := chain.Do(ctx, func(context.Context) error { ran = true; return nil })
		r := rejection(t, err)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, middleware.ErrCanceled) || r.Policy != "rate_limit" || ran || time.Since(begin) != 100*time.Millisecond {
			t.Errorf("got %v (ran: %v) after %v, want the cancellation", err, ran, time.Since(begin))
		}
		if err := chain.Do(t.Context(), succeed); err != nil || time.Since(begin) != time.Second {
			t.Errorf("the next call: %v after %v, want the turn that was given back, at 1s", err, time.Since(begin))
		}
	})
}
