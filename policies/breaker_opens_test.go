package policies_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// lasting returns an operation that takes d and returns err.
func lasting(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return err }
}

func as(c middleware.Class) func(context.Context) error {
	return func(context.Context) error { return judged(middleware.Verdict{Class: c, Reason: "x"}) }
}

// A step is a number of equal calls, one after the other, and then a pause.
type step struct {
	n     int
	op    func(context.Context) error
	pause time.Duration
}

func TestBreakerOpens(t *testing.T) {
	const never = "never"
	slow, slowFailure := lasting(3*time.Second, nil), lasting(3*time.Second, errBroken)
	byCalls := policies.BreakerConfig{FailureRate: 0.5, MinCalls: 4, WindowCalls: 10}
	byTime := policies.BreakerConfig{FailureRate: 0.5, MinCalls: 4, Window: 10 * time.Second, Buckets: 5}
	bySlowness := policies.BreakerConfig{SlowCall: 2 * time.Second, SlowRate: 0.5, MinCalls: 4, WindowCalls: 10}
	both := policies.BreakerConfig{FailureThreshold: 3, FailureRate: 0.9, MinCalls: 10, WindowCalls: 10}
	throttle := policies.BreakerConfig{FailureThreshold: 3, TripOnThrottle: true}
	for _, row := range []struct {
		name   string
		config policies.BreakerConfig
		steps  []step
		want   string // the reason
	}{
		{"consecutive failures by default", policies.BreakerConfig{}, []step{{5, fail, 0}}, "consecutive_failures"},
		{"one failure fewer", policies.BreakerConfig{}, []step{{4, fail, 0}}, never},
		{"failures that are not consecutive", policies.BreakerConfig{}, []step{{4, fail, 0}, {1, succeed, 0}, {4, fail, 0}}, never},

		{"the rate over the last calls", byCalls, []step{{2, succeed, 0}, {2, fail, 0}}, "failure_rate"},
		{"below the minimum of calls", byCalls, []step{{3, fail, 0}}, never},
		{"below the rate", byCalls, []step{{6, succeed, 0}, {4, fail, 0}}, never},
		{"failures that have left the last calls", byCalls, []step{{2, succeed, 0}, {1, fail, 0}, {10, succeed, 0}, {4, fail, 0}}, never},
		{"a rate replaces consecutive failures", byCalls, []step{{10, succeed, 0}, {4, fail, 0}}, never},
		{"the minimum is reached by a success: the next failure opens", byCalls, []step{{3, fail, 0}, {1, succeed, 0}, {1, fail, 0}}, "failure_rate"},

		{"the rate over a time", byTime, []step{{2, succeed, time.Second}, {2, fail, 0}}, "failure_rate"},
		{"failures that are too long ago", byTime, []step{{3, fail, 10 * time.Second}, {4, succeed, 0}, {3, fail, 0}}, never},
		{"failures that are just not too long ago", byTime, []step{{3, fail, 10*time.Second - 1}, {2, succeed, 0}, {1, fail, 0}}, "failure_rate"},
		{"the window moves by buckets", byTime, []step{{1, fail, time.Second}, {2, fail, 9 * time.Second}, {4, succeed, 0}, {3, fail, 0}}, never},

		{"slow calls that succeed", bySlowness, []step{{2, succeed, 0}, {2, slow, 0}}, "slow_rate"},
		{"slow calls that fail", bySlowness, []step{{2, succeed, 0}, {2, slowFailure, 0}}, "slow_rate"},
		{"calls that take just as long as is allowed", bySlowness, []step{{9, lasting(2*time.Second, nil), 0}}, never},
		{"too few slow calls", bySlowness, []step{{6, succeed, 0}, {4, slow, 0}}, never},
		{"slow calls below the minimum", bySlowness, []step{{3, slow, 0}}, never},
		{"failures when only slowness counts", bySlowness, []step{{20, fail, 0}}, never},
		{"slow calls that nobody counts", bySlowness, []step{{9, lasting(3*time.Second, judged(middleware.Verdict{Class: middleware.Ignored})), 0}}, never},

		{"either of two limits: consecutive", both, []step{{7, succeed, 0}, {3, fail, 0}}, "consecutive_failures"},
		{"either of two limits: rate", both, []step{{2, fail, 0}, {1, succeed, 0}, {2, fail, 0}, {2, as(middleware.Ignored), 0}}, never},

		{"throttled calls", policies.BreakerConfig{FailureThreshold: 3}, []step{{9, as(middleware.Throttled), 0}}, never},
		{"throttled calls with TripOnThrottle", throttle, []step{{3, as(middleware.Throttled), 0}}, "consecutive_failures"},
		{"ignored calls", byCalls, []step{{20, as(middleware.Ignored), 0}}, never},
		{"local rejections", byCalls, []step{{20, func(context.Context) error { return &middleware.Rejection{Reason: middleware.ErrRateLimited} }, 0}}, never},
		{"a success that carries an error", byCalls, []step{{20, as(middleware.Success), 0}}, never},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := policies.NewBreaker(row.config)
				chain := middleware.NewChain("x", b)
				for i, s := range row.steps {
					for n := range s.n {
						if b.State() != policies.Closed {
							t.Fatalf("open before call %d of step %d: %+v", n+1, i+1, b.Status())
						}
						_ = chain.Do(t.Context(), s.op)
					}
					time.Sleep(s.pause)
				}
				got := never
				if s := b.Status(); s.State == policies.Open {
					got = s.Last.Reason
				}
				if got != row.want {
					t.Errorf("opened by %s, want %s: %+v", got, row.want, b.Status())
				}
			})
		})
	}
}

// hold starts n calls that end when finish is called.
func hold(t *testing.T, chain *middleware.Chain, n int, err error) (finish func()) {
	t.Helper()
	release, done := make(chan struct{}), make(chan struct{}, n)
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			_ = chain.Do(context.WithoutCancel(t.Context()), func(context.Context) error { <-release; return err })
		}()
	}
	synctest.Wait()
	return func() {
		close(release)
		for range n {
			<-done
		}
	}
}

// Calls in flight count as slow as soon as they are, though none of them ends.
func TestCallsInFlightThatAreSlowOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{SlowCall: 8 * time.Second, SlowRate: 0.5, MinCalls: 4, WindowCalls: 10})
		chain := middleware.NewChain("x", b)
		finish := hold(t, chain, 3, nil)
		time.Sleep(8 * time.Second)
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Fatalf("three calls that are just not slow: %v", err)
		}
		time.Sleep(time.Second) // one eighth of SlowCall
		if s := b.Status(); s.SlowRate != 0.75 || s.InFlight != 3 || s.State != policies.Closed {
			t.Errorf("before the next call: %+v", s)
		}
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrOpen) {
			t.Errorf("the next call: %v, want a rejection", err)
		}
		if s := b.Status(); s.Last.Reason != "slow_in_flight" || s.Last.Err != nil {
			t.Errorf("opened by %s: %v", s.Last.Reason, s.Last.Err)
		}
		finish()
		if s := b.Status(); s.State != policies.Open || s.Counts.Calls != 0 {
			t.Errorf("after they ended: %+v", s)
		}
	})
}

// Slow calls that have ended and those in flight count together.
func TestSlowCallsThatHaveEndedAndThoseInFlightCountTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{SlowCall: 2 * time.Second, SlowRate: 0.5, MinCalls: 4, WindowCalls: 10})
		chain := middleware.NewChain("x", b)
		for _, op := range []func(context.Context) error{succeed, succeed, lasting(3*time.Second, nil)} {
			_ = chain.Do(t.Context(), op)
		}
		finish := hold(t, chain, 1, nil)
		defer finish()
		time.Sleep(5 * time.Second)
		_ = chain.Do(t.Context(), succeed)
		if s := b.Status(); s.Last.Reason != "slow_in_flight" { // two of four
			t.Errorf("%+v", s)
		}
	})
}

func TestTooFewSlowCallsInFlightDoNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{SlowCall: time.Second, SlowRate: 0.5, MinCalls: 4, WindowCalls: 10})
		chain := middleware.NewChain("x", b)
		finish := hold(t, chain, 3, nil)
		defer finish()
		time.Sleep(time.Minute)
		if err := chain.Do(t.Context(), succeed); err != nil { // three of three, below the minimum
			t.Errorf("below the minimum: %v", err)
		}
		for range 2 {
			_ = chain.Do(t.Context(), succeed)
		}
		if s := b.Status(); s.State != policies.Closed {
			t.Fatalf("three of six before the next span of time: %+v", s)
		}
	})
}

// The window counts a call when it ends, so a call that outlasts the window counts.
func TestAFailureCountsWhenItIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 2, Window: 10 * time.Second})
		chain := middleware.NewChain("x", b)
		for range 2 {
			go func() { _ = chain.Do(context.WithoutCancel(t.Context()), lasting(time.Minute, errBroken)) }()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.State() != policies.Open {
			t.Errorf("two failures after a minute: %+v", b.Status())
		}
	})
}

// A clock that does not move keeps no call from being counted and no circuit from
// being open.
func TestAClockThatDoesNotMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{
			FailureRate: 0.5, MinCalls: 100, Window: 10 * time.Second, SlowCall: time.Second, Timeout: 30 * time.Second, Ramp: time.Second,
		})
		chain := middleware.NewChain("x", b)
		for range 99 {
			_ = chain.Do(t.Context(), fail)
		}
		if s := b.Status(); s.Counts.Failures != 99 || s.Counts.Slow != 0 || s.State != policies.Closed {
			t.Fatalf("after 99 failures: %+v", s)
		}
		_ = chain.Do(t.Context(), fail)
		for range 1000 {
			if r := rejection(t, chain.Do(t.Context(), succeed)); r.RetryAfter != 30*time.Second {
				t.Fatalf("retry after %v, want 30s all the time", r.RetryAfter)
			}
		}
	})
}

func TestOverflowingDurationsAreForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = time.Duration(1<<63 - 1)
		b := policies.NewBreaker(policies.BreakerConfig{
			FailureRate: 0.5, MinCalls: 1, Window: most, Buckets: 1000, SlowCall: most,
			Timeout: most, RecoveryTime: most, RecoveryBackoff: 1e300, MaxRecoveryTime: most, ProbeLease: most, Ramp: most,
			HealthInterval: most,
		})
		chain := middleware.NewChain("x", b)
		time.Sleep(time.Hour)
		_ = chain.Do(t.Context(), succeed)
		if s := b.Status(); s.State != policies.Closed || s.Counts.Calls != 1 {
			t.Fatalf("after a success: %+v", s)
		}
		_ = chain.Do(t.Context(), fail)
		time.Sleep(24 * time.Hour)
		if r := rejection(t, chain.Do(t.Context(), succeed)); r.RetryAfter < most/2 {
			t.Errorf("retry after %v, want hundreds of years", r.RetryAfter)
		}
		if s := b.Status(); s.State != policies.Open || !s.NextProbe.After(time.Now().AddDate(100, 0, 0)) {
			t.Errorf("%+v", s)
		}
	})
}

func TestOverflowingDurationsOfARecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = time.Duration(1<<63 - 1)
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, ProbeLease: most, Ramp: most})
		chain := middleware.NewChain("x", b)
		time.Sleep(time.Minute) // so that the clock is not at zero
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		finish := hold(t, chain, 1, nil)
		time.Sleep(24 * time.Hour)
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrTooManyProbes) {
			t.Errorf("during the lease: %v", err)
		}
		finish()
		if s := b.Status(); s.State != policies.Closed || s.Share < 0.1 || s.Share > 0.11 {
			t.Errorf("during the ramp: %+v", s)
		}
	})
}
