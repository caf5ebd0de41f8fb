package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestBreakerLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, SuccessThreshold: 2, Timeout: 10 * time.Second, RecoveryTime: time.Minute, RecoveryBackoff: 1})
		var seen recorder
		chain := middleware.NewChain("x", &seen, b)
		do := func(op func(context.Context) error, want error, state policies.State) {
			t.Helper()
			if err := chain.Do(t.Context(), op); !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Fatalf("got %v, want %v", err, want)
			}
			if b.State() != state {
				t.Fatalf("the breaker is %v, want %v", b.State(), state)
			}
		}
		do(fail, errBroken, policies.Closed)
		do(fail, errBroken, policies.Closed)
		do(succeed, nil, policies.Closed) // consecutive failures only
		do(fail, errBroken, policies.Closed)
		do(fail, errBroken, policies.Closed)
		do(fail, errBroken, policies.Open)

		opened := time.Now()
		s := b.Status()
		if s.Last.Reason != "consecutive_failures" || s.Last.Err != errBroken || !s.Since.Equal(opened) || !s.NextProbe.Equal(opened.Add(time.Minute)) || s.Last.From != policies.Closed {
			t.Errorf("status %+v", s)
		}
		time.Sleep(20 * time.Second)
		do(succeed, middleware.ErrOpen, policies.Open)
		if r := rejection(t, chain.Do(t.Context(), succeed)); r.RetryAfter != 40*time.Second || r.Chain != "x" || r.Policy != "breaker" || r.Timeout() {
			t.Errorf("got %+v, want the 40s that remain", r)
		}

		time.Sleep(40 * time.Second) // exactly what the rejection said
		if b.State() != policies.HalfOpen {
			t.Fatalf("the breaker is %v after RecoveryTime, want half-open", b.State())
		}
		do(fail, errBroken, policies.Open) // any failed probe opens it again

		time.Sleep(time.Minute)
		do(succeed, nil, policies.HalfOpen)
		do(succeed, nil, policies.Closed)

		want := []string{
			"closed open consecutive_failures", "open half_open delay_elapsed", "half_open open probe_failed",
			"open half_open delay_elapsed", "half_open closed probe_succeeded",
		}
		for i, e := range seen.of(middleware.Transition) {
			if got := e.From + " " + e.To + " " + e.Reason; i >= len(want) || got != want[i] {
				t.Errorf("transition %d: %s", i+1, got)
			}
		}
		if n := len(seen.of(middleware.Transition)); n != len(want) {
			t.Errorf("%d transitions, want %d", n, len(want))
		}
		if n := len(seen.of(middleware.Rejected)); n != 2 {
			t.Errorf("%d events of rejections, want 2", n)
		}
	})
}

func TestBreakerCountsByVerdict(t *testing.T) {
	judge := func(c middleware.Class) func(context.Context) error {
		return func(context.Context) error { return judged(middleware.Verdict{Class: c, Reason: "x"}) }
	}
	for _, row := range []struct {
		name  string
		op    func(context.Context) error
		opens bool
	}{
		{"nil", succeed, false},
		{"an unjudged error", fail, true},
		{"Success with an error", judge(middleware.Success), false},
		{"Failure", judge(middleware.Failure), true},
		{"Throttled", judge(middleware.Throttled), false},
		{"Ignored", judge(middleware.Ignored), false},
		{"a rejection from further in", func(context.Context) error { return &middleware.Rejection{Reason: middleware.ErrRateLimited} }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3})
			chain := middleware.NewChain("x", b)
			for range 10 {
				_ = chain.Do(t.Context(), row.op)
			}
			if opened := b.State() == policies.Open; opened != row.opens {
				t.Errorf("open: %v, want %v (%+v)", opened, row.opens, b.Counts())
			}
		})
	}
}

func TestIgnoredCallsDoNotInterruptConsecutiveFailures(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2})
	chain := middleware.NewChain("x", b)
	_ = chain.Do(t.Context(), fail)
	_ = chain.Do(t.Context(), func(context.Context) error { return judged(middleware.Verdict{Class: middleware.Ignored}) })
	_ = chain.Do(t.Context(), fail)
	if b.State() != policies.Open {
		t.Errorf("the breaker is %v, want open", b.State())
	}
}

func TestCallersCancellationDoesNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
		chain := middleware.NewChain("x", b, policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := chain.Do(ctx, hang); err == nil || b.State() != policies.Closed {
			t.Errorf("the caller's deadline: %v, the breaker is %v, want closed", err, b.State())
		}
		if err := chain.Do(t.Context(), hang); !errors.Is(err, middleware.ErrTimeout) || b.State() != policies.Open {
			t.Errorf("the chain's timeout: %v, the breaker is %v, want open", err, b.State())
		}
	})
}

func TestHalfOpenAdmitsAsManyProbesAsItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 3, Timeout: time.Second})
		chain := middleware.NewChain("x", b)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		hold := make(chan struct{})
		var probes, refused atomic.Int32
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				err := chain.Do(t.Context(), func(context.Context) error {
					probes.Add(1)
					<-hold
					return nil
				})
				if errors.Is(err, middleware.ErrTooManyProbes) {
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		if probes.Load() != 3 || refused.Load() != 7 {
			t.Errorf("%d probes and %d refusals, want 3 and 7", probes.Load(), refused.Load())
		}
		close(hold)
		wg.Wait()
		if b.State() != policies.Closed {
			t.Errorf("the breaker is %v, want closed", b.State())
		}
	})
}

func TestACancelledProbeGivesItsPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second})
		chain := middleware.NewChain("x", b)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		_ = chain.Do(ctx, func(ctx context.Context) error { cancel(); return ctx.Err() })
		if b.State() != policies.HalfOpen {
			t.Fatalf("the breaker is %v, want half-open still", b.State())
		}
		if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
			t.Errorf("the next probe: %v, the breaker is %v", err, b.State())
		}
	})
}

func TestAResultOfAnEarlierStateChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 2, Timeout: time.Second})
		chain := middleware.NewChain("x", b)
		slow := func(result error) (finish func()) {
			hold, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				_ = chain.Do(t.Context(), func(context.Context) error { <-hold; return result })
			}()
			synctest.Wait()
			return func() { close(hold); <-done }
		}
		lateFailure, lateSuccess := slow(errBroken), slow(nil)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		_ = chain.Do(t.Context(), succeed) // the first of two probes
		lateFailure()
		if b.State() != policies.HalfOpen {
			t.Errorf("after a late failure the breaker is %v, want half-open", b.State())
		}
		lateSuccess()
		if b.State() != policies.HalfOpen {
			t.Errorf("after a late success the breaker is %v, want half-open", b.State())
		}
		beforeReset := slow(errBroken)
		b.Reset()
		beforeReset()
		if b.State() != policies.Closed || b.Counts().Failures != 0 {
			t.Errorf("after a failure from before Reset the breaker is %v with %+v", b.State(), b.Counts())
		}
	})
}

func TestForceOpenReleaseAndReset(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	var seen recorder
	chain := middleware.NewChain("x", &seen, b)
	b.Release() // nothing to release
	b.Reset()   // nothing to reset
	b.ForceOpen()
	b.ForceOpen()
	if r := rejection(t, chain.Do(t.Context(), succeed)); r.Reason != middleware.ErrOpen || r.RetryAfter != 0 || b.State() != policies.ForcedOpen {
		t.Errorf("forced open: %+v, state %v", r, b.State())
	}
	b.Release()
	if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
		t.Errorf("released: %v, state %v", err, b.State())
	}
	_ = chain.Do(t.Context(), fail)
	b.Release() // an open breaker is not forced open
	if b.State() != policies.Open {
		t.Errorf("Release changed an open breaker to %v", b.State())
	}
	b.Reset()
	if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
		t.Errorf("reset: %v, state %v", err, b.State())
	}
	var got []string
	for _, e := range seen.of(middleware.Transition) {
		got = append(got, e.Chain+" "+e.From+" "+e.To+" "+e.Reason)
	}
	want := "[x closed forced_open forced x forced_open closed released x closed open consecutive_failures x open closed reset]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// An observer may use the breaker that it hears of: no lock is held.
func TestObserversRunOutsideOfTheLock(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	var states []string
	chain := middleware.NewChain("x", middleware.ObserverFunc(func(ctx context.Context, e middleware.Event) {
		if e.Kind != middleware.Transition {
			return
		}
		states = append(states, e.To)
		_, _, _ = b.State(), b.Counts(), b.Status()
		switch e.Reason {
		case "consecutive_failures":
			b.ForceOpen()
		case "forced":
			b.Release()
		case "released":
			b.Reset()
		}
	}), b)
	_ = chain.Do(t.Context(), fail)
	if fmt.Sprint(states) != "[open forced_open closed]" || b.State() != policies.Closed {
		t.Errorf("got %v, the breaker is %v", states, b.State())
	}
}

// inOrder is an observer that fails the test when a transition does not begin where
// the one before it ended. It counts them in n.
func inOrder(t *testing.T, n *atomic.Int64) middleware.Policy {
	var mu sync.Mutex
	last := policies.Closed.String()
	return middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Kind != middleware.Transition {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if e.From != last {
			t.Errorf("a transition from %s after one to %s", e.From, last)
		}
		last = e.To
		n.Add(1)
	})
}

func TestTransitionsAreDeliveredInOrder(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: 1})
	chain := middleware.NewChain("x", inOrder(t, new(atomic.Int64)), b)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				_ = chain.Do(t.Context(), func(context.Context) error {
					if rand.IntN(2) == 0 {
						return errBroken
					}
					return nil
				})
			}
		})
	}
	wg.Wait()
}

// A panicking observer does not stop later events.
func TestAPanickingObserverLeavesTheBreakerWhole(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	heard := 0
	chain := middleware.NewChain("x", middleware.ObserverFunc(func(context.Context, middleware.Event) {
		heard++
		panic("observer")
	}), b)
	for _, act := range []func(){func() { _ = chain.Do(t.Context(), fail) }, b.ForceOpen, b.Reset} {
		func() {
			defer func() { _ = recover() }()
			act()
		}()
	}
	if heard != 3 || b.State() != policies.Closed {
		t.Errorf("heard %d transitions, the breaker is %v, want 3 and closed", heard, b.State())
	}
}

// A probe is given back when an observer panics before it has run.
func TestAPanickingObserverLosesNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second})
		panics := true
		chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.To == "half_open" && panics {
				panics = false
				panic("observer")
			}
		}), b)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		func() {
			defer func() { _ = recover() }()
			_ = chain.Do(t.Context(), succeed)
		}()
		if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
			t.Errorf("the next probe: %v, the breaker is %v", err, b.State())
		}
	})
}

// Who notices that the time has come did not bring it about.
func TestALateResultIsNotTheCauseOfAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Second})
		chain := middleware.NewChain("x", b)
		hold, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			_ = chain.Do(t.Context(), func(context.Context) error { <-hold; return errors.New("late") })
		}()
		synctest.Wait()
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Minute)
		close(hold)
		<-done
		if last := b.Status().Last; last.Reason != "consecutive_failures" || last.Err != errBroken {
			t.Errorf("%s is blamed on %v", last.Reason, last.Err)
		}
		if err := chain.Do(t.Context(), succeed); err != nil || b.Status().Last.Reason != "delay_elapsed" || b.Status().Last.Err != nil {
			t.Errorf("a probe: %v, %+v", err, b.Status().Last)
		}
	})
}

func TestTransitionsByHandReachTheObserversOfTheOuterChain(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{})
	var seen recorder
	inner := middleware.NewChain("inner", b)
	middleware.NewChain("outer", &seen, inner)
	middleware.NewChain("unobserved", b)
	b.ForceOpen()
	if e := seen.of(middleware.Transition); len(e) != 1 || e[0].Chain != "outer" {
		t.Errorf("heard %+v", e)
	}
}

func TestAPanicCountsAsAFailure(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2})
			chain := middleware.NewChain("x", b)
			for n, want := range []policies.State{policies.Closed, policies.Open} {
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					_ = chain.Do(context.WithoutCancel(t.Context()), func(context.Context) error { end(); return nil })
				}()
				<-done
				if s := b.Status(); s.State != want || s.InFlight != 0 || n == 0 && s.Counts.Failures != 1 {
					t.Errorf("after %d: %+v, want %v", n+1, s, want)
				}
			}
		})
	}
}
