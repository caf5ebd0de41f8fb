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

// run makes calls of a chain of the breaker: 's' succeeds, 'f' fails.
func run(b *policies.Breaker, outcomes string) {
	chain := middleware.NewChain("applied", b)
	for _, o := range outcomes {
		_ = chain.Do(context.Background(), func(context.Context) error {
			if o == 'f' {
				return errBroken
			}
			return nil
		})
	}
}

func apply(t *testing.T, b *policies.Breaker, c policies.BreakerConfig) {
	t.Helper()
	if err := b.Apply(c); err != nil {
		t.Fatal(err)
	}
}

func TestApplyKeepsTheStateAndAllThatIsCounted(t *testing.T) {
	for _, row := range []struct {
		name          string
		first, second policies.BreakerConfig
		before, after string
		want          policies.State
		counts        policies.Counts
	}{
		{
			name:  "a lower threshold counts the failures of before",
			first: policies.BreakerConfig{FailureThreshold: 5}, second: policies.BreakerConfig{FailureThreshold: 3},
			before: "ff", after: "f", want: policies.Open,
		},
		{
			name:  "a threshold that is reached already is looked at with the next call",
			first: policies.BreakerConfig{FailureThreshold: 5}, second: policies.BreakerConfig{FailureThreshold: 2},
			before: "fff", after: "", want: policies.Closed,
			counts: policies.Counts{Calls: 3, Failures: 3, ConsecutiveFailures: 3},
		},
		{
			name:  "a higher threshold does not open yet",
			first: policies.BreakerConfig{FailureThreshold: 3}, second: policies.BreakerConfig{FailureThreshold: 5},
			before: "ff", after: "ff", want: policies.Closed,
			counts: policies.Counts{Calls: 4, Failures: 4, ConsecutiveFailures: 4},
		},
		{
			name:  "a longer window keeps its calls",
			first: policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10}, second: policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10, Window: time.Hour},
			before: "sssff", after: "ssf", want: policies.Closed,
			counts: policies.Counts{Calls: 8, Successes: 5, Failures: 3, ConsecutiveFailures: 1},
		},
		{
			name:  "a lower rate counts the calls of before",
			first: policies.BreakerConfig{FailureRate: 0.9, MinCalls: 4}, second: policies.BreakerConfig{FailureRate: 0.5, MinCalls: 4},
			before: "ssff", after: "f", want: policies.Open,
		},
		{
			name:  "another kind of window begins empty, failures in a row stay",
			first: policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10}, second: policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10, WindowCalls: 20},
			before: "ssff", after: "f", want: policies.Closed,
			counts: policies.Counts{Calls: 1, Failures: 1, ConsecutiveFailures: 3},
		},
		{
			name:  "failures in a row count on when the rates go",
			first: policies.BreakerConfig{FailureRate: 0.9, MinCalls: 10}, second: policies.BreakerConfig{FailureThreshold: 3},
			before: "ff", after: "f", want: policies.Open,
		},
		{
			name:  "an open circuit stays open",
			first: policies.BreakerConfig{FailureThreshold: 1}, second: policies.BreakerConfig{FailureThreshold: 9, SlowCall: 0},
			before: "f", after: "ss", want: policies.Open,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := policies.NewBreaker(row.first)
				run(b, row.before)
				apply(t, b, row.second)
				run(b, row.after)
				s := b.Status()
				if s.State != row.want {
					t.Errorf("the state is %v, want %v", s.State, row.want)
				}
				if row.want == policies.Closed && s.Counts != row.counts {
					t.Errorf("the counts are %+v, want %+v", s.Counts, row.counts)
				}
			})
		})
	}
}

func TestACircuitThatIsOpenStaysSoForAsLongAsWasSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Minute, RecoveryBackoff: 1})
		run(b, "f")
		apply(t, b, policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Second, RecoveryBackoff: 1, SuccessThreshold: 1})
		time.Sleep(59 * time.Second)
		if s := b.State(); s != policies.Open {
			t.Fatalf("after 59 s it is %v", s)
		}
		time.Sleep(2 * time.Second)
		run(b, "f") // and the next time it is the new one
		time.Sleep(time.Second + time.Millisecond)
		run(b, "s")
		if s := b.State(); s != policies.Closed {
			t.Fatalf("one probe that succeeded left it %v", s)
		}
	})
}

func TestASuccessThresholdWaitsForTheEndOfTheProbes(t *testing.T) {
	for _, row := range []struct {
		name         string
		when         policies.State
		first, after int // SuccessThreshold
		want         string
	}{
		{"closed, from 2 to 3", policies.Closed, 2, 3, "sss"},
		{"closed, from 3 to 1", policies.Closed, 3, 1, "s"},
		{"open, from 2 to 3", policies.Open, 2, 3, "sss"},
		{"open, from 3 to 1", policies.Open, 3, 1, "s"},
		{"half-open, from 3 to 1", policies.HalfOpen, 3, 1, "ss"}, // the third and last one of before
		{"half-open, from 2 to 4", policies.HalfOpen, 2, 4, "s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: row.first, Timeout: time.Minute})
				if row.when != policies.Closed {
					run(b, "f")
				}
				if row.when == policies.HalfOpen {
					time.Sleep(time.Minute)
					run(b, "s")
				}
				apply(t, b, policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: row.after, Timeout: time.Minute})
				if row.when == policies.Closed {
					run(b, "f")
				}
				if row.when != policies.HalfOpen {
					time.Sleep(time.Minute)
				}
				got := ""
				for b.State() != policies.Closed && len(got) < 10 {
					run(b, "s")
					got += "s"
				}
				if got != row.want {
					t.Errorf("it took %q to close, want %q", got, row.want)
				}
				run(b, "f") // and the next time the new one counts
				if s := b.State(); s != policies.Open {
					t.Fatalf("a failure left it %v", s)
				}
				time.Sleep(time.Minute)
				n := 0
				for ; b.State() != policies.Closed && n < 10; n++ {
					run(b, "s")
				}
				if n != row.after {
					t.Errorf("the next time it took %d probes to close, want %d", n, row.after)
				}
			})
		})
	}
}

func TestApplyThatIsRefusedChangesNothing(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2})
	run(b, "f")
	before := b.Status()
	err := b.Apply(policies.BreakerConfig{FailureThreshold: 1, MaxProbes: 9})
	if e, ok := errors.AsType[*policies.SettingError](err); !ok || e.Field != "MaxProbes" {
		t.Fatalf("the error is %v", err)
	}
	if after := b.Status(); after.Counts != before.Counts || after.Generation != before.Generation {
		t.Errorf("it was %+v, and is %+v", before, after)
	}
	run(b, "f")
	if s := b.State(); s != policies.Open {
		t.Errorf("the old threshold left it %v", s)
	}
}

func TestReportsHaveTheSettingsThatWereApplied(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{Name: "first", Key: "eu"})
	has := func(want middleware.Setting) bool {
		found := false
		b.Reports(func(r middleware.Report) bool {
			found = r.Name == "first" && r.Key == "eu" && slices.Contains(r.Settings, want)
			return true
		})
		return found
	}
	if !has(middleware.Setting{Name: "FailureThreshold", Value: "5"}) {
		t.Fatal("the report is not that of the defaults")
	}
	apply(t, b, policies.BreakerConfig{Name: "second", FailureThreshold: 9})
	if !has(middleware.Setting{Name: "FailureThreshold", Value: "9"}) {
		t.Error("the report has not the new threshold, or another name or key")
	}
}

func TestApplyCanMakeABreakerObserve(t *testing.T) {
	c := policies.BreakerConfig{FailureThreshold: 1}
	observed := c
	observed.ObserveOnly = true
	b := policies.NewBreaker(observed)
	if s := b.State(); s != policies.ObservedClosed {
		t.Fatalf("by its settings it is %v", s)
	}
	for _, step := range []struct {
		name string
		do   func()
		want policies.State
	}{
		{"a failure", func() { run(b, "f") }, policies.ObservedOpen},
		{"Reset", b.Reset, policies.ObservedClosed},
		{"Release", b.Release, policies.ObservedClosed},
		{"ForceOpen", b.ForceOpen, policies.ForcedOpen},
		{"Release of that", b.Release, policies.ObservedClosed},
		{"Apply without", func() { apply(t, b, c) }, policies.Closed},
		{"a failure", func() { run(b, "f") }, policies.Open},
		{"Apply with", func() { apply(t, b, observed) }, policies.ObservedClosed},
		{"Disable", b.Disable, policies.Disabled},
		{"Apply without, while disabled", func() { apply(t, b, c) }, policies.Disabled},
		{"Release", b.Release, policies.Closed},
	} {
		step.do()
		if s := b.State(); s != step.want {
			t.Fatalf("after %s it is %v, want %v", step.name, s, step.want)
		}
	}
}

func TestApplyEndsAHealthCheckThatWasTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := 0
		c := policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Second, RecoveryTime: time.Hour, HealthInterval: time.Second}
		with := c
		with.HealthCheck = func(context.Context) error { checks++; return errBroken }
		b := policies.NewBreaker(with)
		defer b.Close()
		run(b, "f")
		time.Sleep(3*time.Second + time.Millisecond)
		apply(t, b, c)
		was := checks
		time.Sleep(time.Minute)
		if checks != was || was == 0 {
			t.Errorf("there were %d checks before it was taken away, and %d after", was, checks-was)
		}
	})
}

// The times of the states are those that have passed, whatever is applied during a ramp.
func TestApplyKeepsTheTimesOfTheStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Minute, Ramp: time.Hour}
		b := policies.NewBreaker(first)
		want := map[string]time.Duration{"closed": 2 * time.Minute, "open": time.Minute, "half_open": 0}
		check := func() {
			t.Helper()
			b.Reports(func(r middleware.Report) bool {
				for _, s := range r.Breaker.Times {
					if s.Time != want[s.State] {
						t.Errorf("it was %s for %v, want %v", s.State, s.Time, want[s.State])
					}
				}
				return true
			})
		}
		time.Sleep(2 * time.Minute)
		run(b, "f")
		time.Sleep(time.Minute)
		run(b, "s")
		second := policies.BreakerConfig{FailureRate: 0.5, MinCalls: 5, SuccessThreshold: 1, Timeout: time.Minute, Ramp: time.Hour}
		for _, c := range []policies.BreakerConfig{second, first, second} {
			time.Sleep(10 * time.Minute)
			want["closed"] += 10 * time.Minute
			share := b.Status().Share
			apply(t, b, c)
			check()
			if got := b.Status().Share; got != share || got == 1 {
				t.Errorf("the share of the ramp was %v and is %v", share, got)
			}
		}
	})
}

// A SlowCall that is shorter than before finds the calls that begin from now on in its own time.
func TestApplyOfAShorterSlowCallFindsCallsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := policies.BreakerConfig{SlowCall: time.Hour, SlowRate: 0.5, MinCalls: 2}
		b := policies.NewBreaker(c)
		chain := middleware.NewChain("applied", b)
		end := make(chan struct{})
		var wg sync.WaitGroup
		hang := func() {
			wg.Go(func() { _ = chain.Do(t.Context(), func(context.Context) error { <-end; return nil }) })
			synctest.Wait()
		}
		hang()
		c.SlowCall = time.Second
		apply(t, b, c)
		hang()
		hang()
		time.Sleep(1300 * time.Millisecond)
		hang()
		if s := b.Status(); s.State != policies.Open || s.Last.Reason != "slow_in_flight" {
			t.Errorf("it is %v, because of %q", s.State, s.Last.Reason)
		}
		close(end)
		wg.Wait()
	})
}

// MaxRecoveryTime bounds the waits of an outage from when it is applied.
func TestApplyBoundsTheWaitsOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Minute, RecoveryBackoff: 4, MaxRecoveryTime: 10 * time.Hour}
		b := policies.NewBreaker(c)
		run(b, "f")
		for range 5 {
			time.Sleep(time.Until(b.Status().NextProbe))
			run(b, "f")
		}
		if wait := time.Until(b.Status().NextProbe); wait < time.Hour {
			t.Fatalf("after five probes that failed the next is in %v", wait)
		}
		c.MaxRecoveryTime = 2 * time.Minute
		apply(t, b, c)
		time.Sleep(time.Until(b.Status().NextProbe))
		run(b, "f")
		if wait := time.Until(b.Status().NextProbe); wait > 2*time.Minute {
			t.Errorf("the next probe is in %v, and MaxRecoveryTime 2m", wait)
		}
	})
}

// Calls, orders and settings at the same time: no count may be lost for good, and each
// state is one that there is.
func TestApplyWhileCallsRun(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3})
	defer b.Close()
	configs := []policies.BreakerConfig{
		{FailureThreshold: 3},
		{FailureThreshold: 5, SuccessThreshold: 1, Timeout: time.Nanosecond},
		{FailureRate: 0.5, MinCalls: 5, Window: time.Second, Timeout: time.Nanosecond},
		{FailureRate: 0.5, MinCalls: 5, WindowCalls: 64, SuccessThreshold: 4, Timeout: time.Nanosecond},
		{SlowCall: time.Nanosecond, MinCalls: 5, Timeout: time.Nanosecond, Ramp: time.Millisecond},
		{FailureThreshold: 2, ObserveOnly: true},
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				run(b, "sffs")
				_ = b.Status()
				b.Reports(func(middleware.Report) bool { return true })
			}
		})
	}
	wg.Go(func() {
		for i := range 600 {
			_ = b.Apply(configs[i%len(configs)])
		}
	})
	wg.Wait()
	if err := b.Apply(policies.BreakerConfig{FailureThreshold: 2}); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	run(b, "ff")
	if s := b.State(); s != policies.Open {
		t.Errorf("after all that two failures left it %v", s)
	}
	if n := b.Status().InFlight; n != 0 {
		t.Errorf("%d calls are in flight", n)
	}
}
