package policies_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The durations that have been observed are kept, unless the new delay is a fixed one.
func TestAHedgeKeepsWhatItHasObserved(t *testing.T) {
	for _, row := range []struct {
		name    string
		configs []policies.HedgeConfig
		want    time.Duration // the least delay; it is a sixteenth more at the most
	}{
		{"the same", []policies.HedgeConfig{{MinCalls: 10}}, 95 * ms},
		{"other hedges", []policies.HedgeConfig{{MinCalls: 10, MaxHedges: 2}}, 95 * ms},
		{"fewer calls", []policies.HedgeConfig{{MinCalls: 5}}, 95 * ms},
		{"just as many calls", []policies.HedgeConfig{{MinCalls: 100}}, 95 * ms},
		{"more calls than there were", []policies.HedgeConfig{{MinCalls: 101}}, 0},
		{"and back", []policies.HedgeConfig{{MinCalls: 101}, {MinCalls: 10}}, 95 * ms},
		{"another quantile", []policies.HedgeConfig{{Quantile: 0.5}}, 50 * ms},
		{"a fixed delay", []policies.HedgeConfig{{Delay: time.Second}}, time.Second},
		{"a fixed delay, and back", []policies.HedgeConfig{{Delay: time.Second}, {MinCalls: 10}}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			hedge := policies.NewHedge(policies.HedgeConfig{MinCalls: 10, When: always, Budget: policies.NewBudget(policies.BudgetConfig{})})
			chain := middleware.NewChain("x", hedge)
			for i := range 100 {
				if i == 50 {
					time.Sleep(29 * time.Second) // in the older half too
				}
				d := time.Duration(i*37%100+1) * ms
				_ = chain.Do(t.Context(), func(context.Context) error { time.Sleep(d); return nil })
			}
			for _, c := range row.configs {
				c.When = always
				if err := hedge.Apply(c); err != nil {
					t.Fatal(err)
				}
			}
			if d := hedge.Delay(); d < row.want || d > row.want+row.want/16+1 {
				t.Errorf("%s: the delay is %v, want %v", row.name, d, row.want)
			}
		})
	}
}

// A call in flight goes on with the delay and the number of hedges that it began with, the
// next one has the new ones.
func TestAHedgeInFlightGoesOnAsItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Second, MaxHedges: 2, When: always})
		chain := middleware.NewChain("x", &seen, hedge)
		slow := func(context.Context) error { time.Sleep(10 * time.Second); return nil }
		time.AfterFunc(1500*ms, func() {
			if err := hedge.Apply(policies.HedgeConfig{Delay: 4 * time.Second, When: always}); err != nil {
				t.Error(err)
			}
		})
		for range 2 {
			_ = chain.Do(t.Context(), slow)
			synctest.Wait()
		}
		var waits []time.Duration
		for _, e := range seen.of(middleware.HedgeStarted) {
			waits = append(waits, e.Wait)
		}
		if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}; !slices.Equal(waits, want) {
			t.Errorf("hedges after %v, want %v", waits, want)
		}
		time.Sleep(time.Minute)
	})
}

// What cannot be applied changes nothing, and says why.
func TestApplyChangesNothingWithSettingsThatAreNotValid(t *testing.T) {
	own := policies.NewBudget(policies.BudgetConfig{})
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Second, Budget: own})
	retry := policies.NewRetry(policies.RetryConfig{Attempts: 5, Budget: own})
	limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 7})
	timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute})
	chaos := policies.NewChaos(policies.ChaosConfig{Enabled: true, ErrorRate: 0.5})
	other := policies.NewBudget(policies.BudgetConfig{})
	for _, row := range []struct {
		policy middleware.Policy
		apply  func() error
		want   string
	}{
		{hedge, func() error { return hedge.Apply(policies.HedgeConfig{MaxHedges: -1}) },
			"policies: HedgeConfig.MaxHedges is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{hedge, func() error { return hedge.Apply(policies.HedgeConfig{Budget: other}) },
			"policies: HedgeConfig.Budget is another one: it must be nil or the Budget of the policy, whose settings Budget.Apply changes"},
		{retry, func() error { return retry.Apply(policies.RetryConfig{Attempts: -1}) },
			"policies: RetryConfig.Attempts is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{retry, func() error { return retry.Apply(policies.RetryConfig{Budget: other}) },
			"policies: RetryConfig.Budget is another one: it must be nil or the Budget of the policy, whose settings Budget.Apply changes"},
		{limit, func() error { return limit.Apply(policies.RateLimitConfig{Burst: -1}) },
			"policies: RateLimitConfig.Burst is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{timeout, func() error { return timeout.Apply(policies.TimeoutConfig{Scope: 9}) },
			"policies: TimeoutConfig.Scope is 9: it must be UntilResult, EachRead or UntilEnd"},
		{chaos, func() error { return chaos.Apply(policies.ChaosConfig{Enabled: true, HangRate: 2}) },
			"policies: ChaosConfig.HangRate is 2: it must be between 0 and 1"},
	} {
		before := reportsOf(row.policy)
		err := row.apply()
		if _, ok := errors.AsType[*policies.SettingError](err); !ok || err.Error() != row.want {
			t.Errorf("%T: got %v, want %s", row.policy, err, row.want)
		}
		if after := reportsOf(row.policy); !slices.Equal(before, after) {
			t.Errorf("%T: %v, it was %v", row.policy, after, before)
		}
	}
	if err := errors.Join(hedge.Apply(policies.HedgeConfig{Budget: own}), retry.Apply(policies.RetryConfig{Budget: own})); err != nil {
		t.Errorf("their own budget: %v", err)
	}
}

// Attempts and waits of a call are those that it began with.
func TestARetryInFlightGoesOnAsItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retry := policies.NewRetry(policies.RetryConfig{Attempts: 4, Delay: time.Second, Multiplier: 1, Jitter: -1})
		chain := middleware.NewChain("x", retry)
		var runs []time.Duration
		begin := time.Now()
		op := func(ctx context.Context) error {
			runs = append(runs, time.Since(begin))
			if middleware.Attempt(ctx) == 2 {
				if err := retry.Apply(policies.RetryConfig{Attempts: 2, Delay: time.Minute, MaxDelay: time.Minute, Jitter: -1}); err != nil {
					t.Error(err)
				}
			}
			return errBroken
		}
		_ = chain.Do(t.Context(), op)
		if want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(runs, want) {
			t.Errorf("attempts at %v, want %v", runs, want)
		}
		begin, runs = time.Now(), nil
		_ = chain.Do(t.Context(), op)
		if want := []time.Duration{0, time.Minute}; !slices.Equal(runs, want) || retry.Attempts() != 2 {
			t.Errorf("the next call: attempts at %v, want %v", runs, want)
		}
		want := "retry/retry Attempts=2 Delay=1m Multiplier=2 MaxDelay=1m Jitter=off MaxAfter=1m Budget=on NestedAttempts=1"
		if got := reportsOf(retry)[0]; got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	})
}

// Settings may change while calls run.
func TestPoliciesAreChangedWhileTheyAreUsed(t *testing.T) {
	retry := policies.NewRetry(policies.RetryConfig{Delay: 1, MaxDelay: 1})
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Hour, When: always})
	limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e6, MinRate: 1e5, MaxWait: ms})
	timeout := policies.NewTimeout(policies.TimeoutConfig{})
	chaos := policies.NewChaos(policies.ChaosConfig{Enabled: true, ErrorRate: 0.1})
	chain := middleware.NewChain("x", timeout, retry, hedge, limit, chaos)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 300 {
				_ = chain.Do(t.Context(), throttled(0))
				_ = chain.Do(t.Context(), succeed)
				if i > 0 {
					continue
				}
				delay := time.Duration(n%2) * time.Hour
				if err := errors.Join(
					retry.Apply(policies.RetryConfig{Attempts: n%3 + 1, Delay: 1, MaxDelay: 1}),
					hedge.Apply(policies.HedgeConfig{Delay: delay, When: always}),
					limit.Apply(policies.RateLimitConfig{Rate: 1e6, MinRate: float64(n%3) * 1e5, MaxWait: ms, ObserveOnly: n%2 > 0}),
					timeout.Apply(policies.TimeoutConfig{Scope: policies.TimeoutScope(n % 3), ObserveOnly: n%4 > 2}),
					chaos.Apply(policies.ChaosConfig{Enabled: true, ErrorRate: float64(n%3) / 10}),
				); err != nil {
					t.Error(err)
				}
				chain.Reports(func(middleware.Report) bool { return true })
			}
		})
	}
	wg.Wait()
}
