package policies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// brokenAs returns an error with a verdict.
func brokenAs(v middleware.Verdict) error { return middleware.Judged(errBroken, v) }

// One call for each place, refused as the reason says: the bound is the limit.
func TestAnAdaptiveLimitRefusesCallsBeyondIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Name: "disk", Initial: 3, MaxQueue: 2, MaxWait: time.Minute})
		chain := middleware.NewChain("x", &seen, limit)
		var refused atomic.Int64
		for range 9 {
			go func() {
				if err := chain.Do(t.Context(), lasting(time.Second, nil)); err != nil {
					if r := rejection(t, err); r.Reason == middleware.ErrConcurrencyLimited && r.Policy == "disk" && r.Chain == "x" && !r.Timeout() {
						refused.Add(1)
					}
				}
			}()
		}
		synctest.Wait()
		if s := limit.Status(); s != (policies.AdaptiveLimitStatus{Running: 3, Waiting: 2, Limit: 3}) || refused.Load() != 4 {
			t.Errorf("%+v, %d were refused", s, refused.Load())
		}
		time.Sleep(time.Minute)
		if e := seen.of(middleware.Rejected); len(e) != 4 || e[0].Reason != "concurrency_limited" {
			t.Errorf("%+v", e)
		}
		if e := seen.of(middleware.Waited); len(e) != 2 || e[0].Reason != "adaptive_limit" || e[0].Wait != time.Second {
			t.Errorf("%+v", e)
		}
		if s := limit.Status(); s.Running+s.Waiting != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// What a verdict does to the limit: successes let it grow, drops lower it, other failures,
// what is ignored and panics do nothing.
func TestWhichVerdictsCount(t *testing.T) {
	timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second})
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, row := range []struct {
		name string
		op   func(context.Context) error
		want string // what the limit does
	}{
		{"success", succeed, "grows"},
		{"success with an error", func(context.Context) error { return brokenAs(middleware.Verdict{Class: middleware.Success}) }, "grows"},
		{"failure", fail, "stays"},
		{"failure, come back later", func(context.Context) error {
			return brokenAs(middleware.Verdict{Class: middleware.Failure, After: time.Second})
		}, "falls"},
		{"throttled", func(context.Context) error { return brokenAs(middleware.Verdict{Class: middleware.Throttled}) }, "falls"},
		{"ignored", func(context.Context) error { return brokenAs(middleware.Verdict{Class: middleware.Ignored}) }, "stays"},
		{"time was up", hangs, "falls"},
		{"panic", func(context.Context) error { panic("boom") }, "stays"},
		{"Goexit", func(context.Context) error { runtime.Goexit(); return nil }, "stays"},
	} {
		for _, until := range []bool{false, true} {
			t.Run(fmt.Sprint(row.name, " ", until), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Initial: 2, UntilResult: until})
					chain := middleware.NewChain("x", limit, timeout)
					for range 40 {
						var two sync.WaitGroup
						for range 2 {
							two.Go(func() {
								defer func() { _ = recover() }()
								_ = chain.Do(t.Context(), func(ctx context.Context) error { time.Sleep(time.Second / 2); return row.op(ctx) })
							})
						}
						two.Wait()
					}
					got := "stays"
					switch s := limit.Status(); {
					case s.Limit > 2:
						got = "grows"
					case s.Limit < 2:
						got = "falls"
					}
					if s := limit.Status(); got != row.want || s.Running != 0 || (s.RTT == time.Second/2) != (got == "grows") {
						t.Errorf("the limit %s: %+v", got, s)
					}
				})
			})
		}
	}
}

// Unless UntilResult is set, a streamed result keeps its place until it has been closed. How
// long it is read does not count.
func TestAStreamedResultKeepsItsPlaceInAnAdaptiveLimit(t *testing.T) {
	for _, until := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Initial: 1, MinCalls: 1, UntilResult: until})
			chain := middleware.NewChain("x", limit)
			time.Sleep(time.Second)
			_, end, err := middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { time.Sleep(time.Second); return 1, nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if s := limit.Status(); s.RTT != time.Second || (s.Running == 1) == until {
				t.Errorf("UntilResult %v: %+v", until, s)
			}
			end()
			if s := limit.Status(); s.Running != 0 {
				t.Errorf("UntilResult %v, closed: %+v", until, s)
			}
		})
	}
}

// A window lasts until there are MinCalls.
func TestAWindowGoesOnUntilItHasItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, Initial: 1, Window: 10 * time.Second, MinCalls: 5})
		chain := middleware.NewChain("x", limit)
		for i, want := range []int{1, 1, 1, 1, 2, 2, 2, 2, 2, 3} {
			time.Sleep(time.Minute)
			if _ = chain.Do(t.Context(), succeed); limit.Status().Limit != want {
				t.Errorf("after call %d the limit is %d, want %d", i, limit.Status().Limit, want)
			}
		}
		for i := range 20 { // in no time
			if _ = chain.Do(t.Context(), succeed); limit.Status().Limit != 3 {
				t.Errorf("after %d calls in the same window the limit is %d", i, limit.Status().Limit)
			}
		}
	})
}

// An AdaptiveLimit that only observes refuses nothing and holds nothing back.
func TestAnAdaptiveLimitThatObserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Initial: 2, MaxQueue: 1, ObserveOnly: true})
		chain := middleware.NewChain("x", &seen, limit)
		begin := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := chain.Do(t.Context(), lasting(time.Second, nil)); err != nil || time.Since(begin) != time.Second {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
			})
		}
		synctest.Wait()
		if s := limit.Status(); s.Running != 3 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		all.Wait()
		if e := seen.of(middleware.WouldReject); len(e) != 7 || e[0].Reason != "concurrency_limited" || len(seen.of(middleware.Rejected)) != 0 {
			t.Errorf("%+v", seen.events)
		}
		for range 20 {
			time.Sleep(time.Second)
			for range 10 {
				_ = chain.Do(t.Context(), func(context.Context) error { return brokenAs(middleware.Verdict{Class: middleware.Throttled}) })
			}
		}
		if s := limit.Status(); s.Limit != 1 {
			t.Errorf("it does not go on finding its limit: %+v", s)
		}
	})
}

// Apply keeps the limit, within the new bounds, those that run and wait, and what is usual,
// and nothing changes when a setting is wrong.
func TestAnAdaptiveLimitAppliesSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Name: "disk", Initial: 4, MaxQueue: 9, MaxWait: time.Hour})
		chain := middleware.NewChain("x", limit)
		for range 12 {
			_ = chain.Do(t.Context(), lasting(time.Second, nil))
		}
		for range 8 {
			go func() { _ = chain.Do(t.Context(), lasting(time.Minute, nil)) }()
		}
		synctest.Wait()
		const readings = " rtt:1 rtt_long:1"
		for _, step := range []struct {
			config policies.AdaptiveLimitConfig
			want   string
		}{
			{policies.AdaptiveLimitConfig{Min: 9, Max: 3}, "running=4 waiting=4 Algorithm=gradient Initial=4 Min=1 Max=200 Window=1s MinCalls=10 Tolerance=1.5 SlowCall=off Decrease=0.9 MaxQueue=9 MaxWait=1h Order=fifo UntilResult=off limit:4" + readings},
			{policies.AdaptiveLimitConfig{Initial: 100, Max: 100, MaxQueue: 1, Tolerance: 2}, "running=4 waiting=4 Algorithm=gradient Initial=100 Min=1 Max=100 Window=1s MinCalls=10 Tolerance=2 SlowCall=off Decrease=0.9 MaxQueue=1 MaxWait=1s Order=fifo UntilResult=off limit:4" + readings},
			{policies.AdaptiveLimitConfig{Min: 6}, "running=6 waiting=2 Algorithm=gradient Initial=20 Min=6 Max=200 Window=1s MinCalls=10 Tolerance=1.5 SlowCall=off Decrease=0.9 MaxQueue=off MaxWait=off Order=fifo UntilResult=off limit:6" + readings},
			{policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, SlowCall: time.Second, Max: 2}, "running=6 waiting=2 Algorithm=aimd Initial=2 Min=1 Max=2 Window=1s MinCalls=10 Tolerance=off SlowCall=1s Decrease=0.9 MaxQueue=off MaxWait=off Order=fifo UntilResult=off limit:2 rtt:1 rtt_long:0"},
			{policies.AdaptiveLimitConfig{Algorithm: policies.Vegas, ObserveOnly: true}, "running=8 waiting=0 Algorithm=vegas Initial=20 Min=1 Max=200 Window=1s MinCalls=10 Tolerance=off SlowCall=off Decrease=0.9 MaxQueue=off MaxWait=off Order=fifo UntilResult=off ObserveOnly=on limit:2 rtt:1 rtt_long:0"},
		} {
			err := limit.Apply(step.config)
			if _, wrong := errors.AsType[*policies.SettingError](err); wrong != (step.config.Min > 6) {
				t.Errorf("%+v: got %v", step.config, err)
			}
			if got := reportsOf(limit)[0]; got != "adaptive_limit/disk "+step.want {
				t.Errorf("got  %s\nwant adaptive_limit/disk %s", got, step.want)
			}
		}
		time.Sleep(time.Hour)
		if s := limit.Status(); s.Running+s.Waiting != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// An observer may use the limit that it hears of, and one that panics does not keep it from
// changing again.
func TestObserversOfAnAdaptiveLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, Initial: 10, MinCalls: 1})
		var chain *middleware.Chain
		told := 0
		chain = middleware.NewChain("x", middleware.ObserverFunc(func(ctx context.Context, e middleware.Event) {
			told++
			if to := fmt.Sprint(limit.Status().Limit); to != e.To {
				t.Errorf("the limit is %s: %+v", to, e)
			}
			_ = limit.Apply(policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, MinCalls: 1})
			time.Sleep(time.Minute)
			_ = chain.Do(ctx, succeed)
			if told == 2 {
				panic("observer")
			}
		}), limit)
		for range 4 {
			time.Sleep(2 * time.Second)
			func() {
				defer func() { _ = recover() }()
				_ = chain.Do(t.Context(), func(context.Context) error { return brokenAs(middleware.Verdict{Class: middleware.Throttled}) })
			}()
		}
		if s := limit.Status(); told != 4 || s.Running != 0 || s.Limit != 6 {
			t.Errorf("%d events, %+v", told, s)
		}
	})
}

// Many goroutines: never more at the same time than the limit could be, nothing is lost.
func TestAnAdaptiveLimitUnderFire(t *testing.T) {
	limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{
		Initial: 4, Max: 6, Window: time.Microsecond, MinCalls: 1, MaxQueue: 100, MaxWait: time.Hour,
	})
	var changes, inside atomic.Int64
	chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Kind == middleware.LimitChanged {
			changes.Add(1)
		}
	}), limit)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			for n := range 500 {
				_ = chain.Do(t.Context(), func(context.Context) error {
					if running := inside.Add(1); running > 6 {
						t.Errorf("%d at the same time", running)
					}
					defer inside.Add(-1)
					runtime.Gosched()
					if (i+n)%10 == 0 {
						return brokenAs(middleware.Verdict{Class: middleware.Throttled})
					}
					return nil
				})
				if n%100 == 0 {
					_ = limit.Apply(policies.AdaptiveLimitConfig{
						Algorithm: policies.LimitAlgorithm(i % 3), Max: 6, Window: time.Microsecond, MinCalls: 1, MaxQueue: 100, MaxWait: time.Hour,
					})
					reportsOf(limit)
				}
			}
		})
	}
	all.Wait()
	if s := limit.Status(); s.Running != 0 || s.Waiting != 0 || changes.Load() == 0 {
		t.Errorf("%+v after %d changes", s, changes.Load())
	}
}

func TestAnAdaptiveLimitHasAName(t *testing.T) {
	for want, c := range map[string]policies.AdaptiveLimitConfig{"adaptive_limit": {}, "disk": {Name: "disk"}} {
		limit := policies.NewAdaptiveLimit(c)
		if got := limit.Name(); got != want || !strings.Contains(reportsOf(limit)[0], "/"+want+" ") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	names := fmt.Sprint(policies.Gradient, policies.Vegas, policies.AIMD, policies.LimitAlgorithm(9), policies.FIFO, policies.LIFO, policies.QueueOrder(9))
	if names != "gradient vegas aimd unknown fifo lifo unknown" {
		t.Error(names)
	}
}
