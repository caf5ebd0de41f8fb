package policies_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// opened returns a breaker that has just opened, and its chain.
func opened(t *testing.T, c policies.BreakerConfig, more ...middleware.Policy) (*policies.Breaker, *middleware.Chain) {
	t.Helper()
	c.FailureThreshold = 1
	b := policies.NewBreaker(c)
	chain := middleware.NewChain("x", append(more, b)...)
	_ = chain.Do(t.Context(), fail)
	if b.State() != policies.Open {
		t.Fatalf("the breaker is %v, want open", b.State())
	}
	return b, chain
}

func TestHalfOpenLetsUpToMaxProbesThroughAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 5, MaxProbes: 2, Timeout: time.Second})
		time.Sleep(time.Second)
		for range 2 { // two at a time, four successes
			finish := hold(t, chain, 2, nil)
			if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrTooManyProbes) {
				t.Errorf("a third probe: %v", err)
			}
			if s := b.Status(); s.InFlight != 2 {
				t.Errorf("%d in flight, want 2", s.InFlight)
			}
			finish()
		}
		if s := b.Status(); s.State != policies.HalfOpen || s.Counts.Successes != 4 {
			t.Fatalf("after four successes: %+v", s)
		}
		finish := hold(t, chain, 1, nil)
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrTooManyProbes) {
			t.Errorf("more probes than are needed: %v", err)
		}
		finish()
		if b.State() != policies.Closed {
			t.Errorf("the breaker is %v, want closed", b.State())
		}
	})
}

// However a probe ends, its place comes back; only a verdict moves the breaker.
func TestAProbeGivesItsPlaceBackHoweverItEnds(t *testing.T) {
	for _, row := range []struct {
		name string
		op   func(context.Context) error
		want policies.State
	}{
		{"success", succeed, policies.Closed},
		{"failure", fail, policies.Open},
		{"ignored", as(middleware.Ignored), policies.HalfOpen},
		{"throttled", as(middleware.Throttled), policies.HalfOpen},
		{"rejected further in", func(context.Context) error { return &middleware.Rejection{Reason: middleware.ErrRateLimited} }, policies.HalfOpen},
		{"panic", func(context.Context) error { panic("probe") }, policies.Open},
		{"Goexit", func(context.Context) error { runtime.Goexit(); return nil }, policies.Open},
		{"slow", lasting(2*time.Second, nil), policies.Open},
		{"slow and ignored", lasting(2*time.Second, judged(middleware.Verdict{Class: middleware.Ignored})), policies.HalfOpen},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := policies.NewBreaker(policies.BreakerConfig{
					FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, RecoveryBackoff: 1,
					SlowCall: time.Second, SlowRate: 1, MinCalls: 1000,
				})
				chain := middleware.NewChain("x", b)
				_ = chain.Do(t.Context(), fail)
				time.Sleep(time.Second)
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					_ = chain.Do(context.WithoutCancel(t.Context()), row.op)
				}()
				<-done
				if b.State() != row.want {
					t.Fatalf("the breaker is %v, want %v", b.State(), row.want)
				}
				if n := b.Status().InFlight; n != 0 {
					t.Errorf("%d in flight, want none", n)
				}
				time.Sleep(time.Second)
				if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
					t.Errorf("the next probe: %v, the breaker is %v", err, b.State())
				}
			})
		})
	}
}

func TestALostProbeDoesNotHoldTheRecoveryUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 1, Timeout: time.Second, ProbeLease: 10 * time.Second})
		time.Sleep(time.Second)
		finish := hold(t, chain, 1, nil)
		time.Sleep(10*time.Second - 1)
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrTooManyProbes) {
			t.Errorf("before the lease ends: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
			t.Errorf("after the lease: %v, the breaker is %v", err, b.State())
		}
		finish()
		if s := b.Status(); s.State != policies.Closed || s.Counts.Calls != 0 {
			t.Errorf("a result of an earlier generation changed something: %+v", s)
		}
	})
}

// The result of a probe counts whenever it comes, or else a breaker whose calls
// outlast the lease would never close.
func TestTheResultOfALostProbeCountsInItsGeneration(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want policies.State
	}{"success": {nil, policies.Closed}, "failure": {errBroken, policies.Open}, "nothing": {judged(middleware.Verdict{Class: middleware.Ignored}), policies.HalfOpen}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 2, Timeout: time.Second, ProbeLease: time.Second})
				time.Sleep(time.Second)
				finish := hold(t, chain, 1, row.err)
				time.Sleep(time.Second)
				_ = chain.Do(t.Context(), succeed) // takes the place over, and succeeds
				if b.State() != policies.HalfOpen {
					t.Fatalf("the breaker is %v, want half-open", b.State())
				}
				finish()
				if b.State() != row.want {
					t.Fatalf("the breaker is %v, want %v", b.State(), row.want)
				}
				if row.want == policies.HalfOpen { // the place was given back once, not twice
					finish := hold(t, chain, 1, nil)
					if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrTooManyProbes) {
						t.Errorf("more probes than are needed: %v", err)
					}
					finish()
				}
			})
		})
	}
}

func TestFailedRecoveriesLengthenTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const recovery, most = 10 * time.Second, time.Minute
		b, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 1, Timeout: time.Second, RecoveryTime: recovery, RecoveryBackoff: 3, MaxRecoveryTime: most})
		wait := func() time.Duration { return time.Until(b.Status().NextProbe) }
		if wait() != recovery {
			t.Errorf("the first wait is %v, want %v exactly", wait(), recovery)
		}
		opened := b.Status().Opened
		different := map[time.Duration]bool{}
		for i := range 20 {
			time.Sleep(wait())
			_ = chain.Do(t.Context(), fail)
			low, high := time.Duration(float64(recovery)*1.5), min(most, time.Duration(float64(recovery)*4.5))
			if i > 0 {
				low, high = most/2, most
			}
			if w := wait(); w < low || w > high {
				t.Errorf("wait %d is %v, want between %v and %v", i+2, w, low, high)
			}
			different[wait()] = true
			if r := rejection(t, chain.Do(t.Context(), succeed)); r.RetryAfter != wait() {
				t.Errorf("retry after %v, want the %v that remain", r.RetryAfter, wait())
			}
		}
		if len(different) < 5 {
			t.Errorf("%d different waits of 20, want them spread", len(different))
		}
		if s := b.Status(); !s.Opened.Equal(opened) {
			t.Errorf("the outage began at %v, want %v", s.Opened, opened)
		}
		time.Sleep(wait())
		_ = chain.Do(t.Context(), succeed)
		if s := b.Status(); s.State != policies.Closed || !s.Opened.IsZero() {
			t.Fatalf("after a success: %+v", s)
		}
		_ = chain.Do(t.Context(), fail)
		if wait() != recovery {
			t.Errorf("after a recovery the wait is %v, want %v again", wait(), recovery)
		}
		time.Sleep(wait())
		_ = chain.Do(t.Context(), fail)
		if w := wait(); w < recovery*3/2 || w > recovery*9/2 {
			t.Errorf("and then it is %v, want between %v and %v again", w, recovery*3/2, recovery*9/2)
		}
	})
}

// However steep the backoff, waits are spread below the cap.
func TestASteepBackoffIsSpreadToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, chain := opened(t, policies.BreakerConfig{Timeout: time.Second, RecoveryBackoff: 1e300, MaxRecoveryTime: time.Minute})
		different := map[time.Duration]bool{}
		for range 20 {
			time.Sleep(time.Until(b.Status().NextProbe))
			_ = chain.Do(t.Context(), fail)
			wait := time.Until(b.Status().NextProbe)
			if wait < 30*time.Second || wait > time.Minute {
				t.Errorf("the wait is %v, want between 30s and 1m", wait)
			}
			different[wait] = true
		}
		if len(different) < 5 {
			t.Errorf("%d different waits of 20, want them spread", len(different))
		}
	})
}

func TestWithoutBackoffTheWaitIsAlwaysRecoveryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, chain := opened(t, policies.BreakerConfig{Timeout: 10 * time.Second, RecoveryBackoff: 1})
		for range 10 {
			if wait := time.Until(b.Status().NextProbe); wait != 10*time.Second {
				t.Errorf("the wait is %v", wait)
			}
			time.Sleep(10 * time.Second)
			_ = chain.Do(t.Context(), fail)
		}
	})
}

func TestAfterIsHowLongTheBreakerStaysOpen(t *testing.T) {
	failing := func(class middleware.Class, after time.Duration) func(context.Context) error {
		return func(context.Context) error {
			return judged(middleware.Verdict{Class: class, After: after, Reason: "x"})
		}
	}
	for _, row := range []struct {
		name  string
		class middleware.Class
		after time.Duration
		want  time.Duration
	}{
		{"none", middleware.Failure, 0, 10 * time.Second},
		{"shorter than the wait", middleware.Failure, time.Second, 10 * time.Second},
		{"longer", middleware.Failure, 20 * time.Second, 20 * time.Second},
		{"of a throttled call", middleware.Throttled, 20 * time.Second, 20 * time.Second},
		{"capped", middleware.Throttled, time.Hour, time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := policies.NewBreaker(policies.BreakerConfig{
					FailureThreshold: 1, Timeout: 10 * time.Second, MaxRecoveryTime: time.Minute, RecoveryBackoff: 1, TripOnThrottle: true,
				})
				chain := middleware.NewChain("x", b)
				for range 2 { // the second time as a probe
					_ = chain.Do(t.Context(), failing(row.class, row.after))
					if r := rejection(t, chain.Do(t.Context(), succeed)); r.RetryAfter != row.want {
						t.Errorf("retry after %v, want %v", r.RetryAfter, row.want)
					}
					time.Sleep(row.want)
				}
			})
		})
	}
}

// RetryAfter is never too short, and too long by a thousandth at the most.
func TestRetryAfterIsTheTimeThatRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, wait := range []time.Duration{1, 2, 1000, time.Millisecond, time.Second, time.Hour} {
			b, chain := opened(t, policies.BreakerConfig{Timeout: wait, SuccessThreshold: 1})
			end := b.Status().NextProbe
			most := min(time.Millisecond, wait/1000)
			for range 5000 {
				left := time.Until(end)
				if left <= 0 {
					break
				}
				r := rejection(t, chain.Do(t.Context(), succeed))
				if r.RetryAfter < left || r.RetryAfter > left+most {
					t.Fatalf("of %v: retry after %v, want %v", wait, r.RetryAfter, left)
				}
				time.Sleep(max(1, wait/4999))
			}
			time.Sleep(time.Until(end))
			if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
				t.Errorf("of %v, when it was over: %v, the breaker is %v", wait, err, b.State())
			}
		}
	})
}

// One error is used for many rejections, but each chain gets its own name.
func TestEachChainIsNamedInItsRejections(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	one, other := middleware.NewChain("one", b), middleware.NewChain("other", b)
	_ = one.Do(t.Context(), fail)
	for range 3 {
		for _, chain := range []*middleware.Chain{one, other} {
			if r := rejection(t, chain.Do(t.Context(), succeed)); r.Chain != chain.Name() {
				t.Errorf("the rejection names %s, want %s", r.Chain, chain.Name())
			}
		}
	}
}

func TestARampLetsAGrowingShareThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		b, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 1, Timeout: time.Second, Ramp: 10 * time.Second}, &seen)
		time.Sleep(time.Second)
		_ = chain.Do(t.Context(), succeed)
		for second, want := range []float64{0.1, 0.19, 0.28, 0.37, 0.46, 0.55, 0.64, 0.73, 0.82, 0.91, 1, 1} {
			if s := b.Status(); s.State != policies.Closed || s.Share < want-1e-9 || s.Share > want+1e-9 {
				t.Fatalf("after %d s: %+v, want a share of %v", second, s, want)
			}
			passed := 0
			for range 1000 {
				err := chain.Do(t.Context(), succeed)
				switch {
				case err == nil:
					passed++
				case !errors.Is(err, middleware.ErrRecovering) || errors.Is(err, middleware.ErrOpen):
					t.Fatalf("got %v", err)
				case rejection(t, err).RetryAfter != 0:
					t.Fatalf("after %d s: retry after %v, but the next call may pass", second, rejection(t, err).RetryAfter)
				}
			}
			if got := float64(passed) / 1000; got < want-0.01 || got > want+0.01 {
				t.Errorf("after %d s: a share of %v passed, want %v", second, got, want)
			}
			time.Sleep(time.Second)
		}
		if e := seen.of(middleware.Rejected); len(e) == 0 || e[0].Reason != "recovering" {
			t.Errorf("no event of a rejection: %+v", e)
		}
		b.Reset()
		for range 100 {
			if err := chain.Do(t.Context(), succeed); err != nil {
				t.Fatalf("a ramp without a recovery: %v", err)
			}
		}
	})
}

// The recovery has failed when the breaker opens again during the ramp.
func TestAnOpeningDuringTheRampLengthensTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 1, Timeout: 10 * time.Second, Ramp: 10 * time.Second, RecoveryBackoff: 2})
		next := func() time.Duration {
			time.Sleep(time.Until(b.Status().NextProbe))
			_ = chain.Do(t.Context(), succeed)
			for b.State() == policies.Closed {
				_ = chain.Do(t.Context(), fail)
			}
			return time.Until(b.Status().NextProbe)
		}
		if second := next(); second <= 10*time.Second {
			t.Errorf("the wait is %v, want more than 10s", second)
		}
		time.Sleep(time.Until(b.Status().NextProbe))
		_ = chain.Do(t.Context(), succeed)
		time.Sleep(10 * time.Second)
		_ = chain.Do(t.Context(), fail)
		if wait := time.Until(b.Status().NextProbe); wait != 10*time.Second {
			t.Errorf("after the ramp the wait is %v, want 10s", wait)
		}
	})
}

// Calls in flight are judged during the ramp too.
func TestSlowCallsInFlightDuringTheRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{
			FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, Ramp: time.Hour,
			SlowCall: time.Second, SlowRate: 1, MinCalls: 2, WindowCalls: 10,
		})
		chain := middleware.NewChain("x", b)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		_ = chain.Do(t.Context(), succeed)
		finish := hold(t, chain, 100, nil)
		defer finish()
		if n := b.Status().InFlight; n < 8 || n > 12 {
			t.Fatalf("%d calls in flight, want a tenth of 100", n)
		}
		time.Sleep(2 * time.Second)
		_ = chain.Do(t.Context(), succeed)
		if s := b.Status(); s.State != policies.Open || s.Last.Reason != "slow_in_flight" {
			t.Errorf("%+v", s)
		}
	})
}

// Each probe has a lease of its own.
func TestThePlaceOfTheFirstLostProbeComesBackFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 2, Timeout: time.Second, ProbeLease: 10 * time.Second})
		time.Sleep(time.Second)
		first := hold(t, chain, 1, nil)
		time.Sleep(5 * time.Second)
		second := hold(t, chain, 1, nil)
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrTooManyProbes) {
			t.Errorf("with two probes: %v", err)
		}
		time.Sleep(5 * time.Second)
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Errorf("when the first lease has ended: %v", err)
		}
		first()
		second()
	})
}
