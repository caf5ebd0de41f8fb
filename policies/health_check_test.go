package policies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// checked are settings of a breaker that opens at once, with a health check from
// 10 s until 60 s after the opening, every 5 s.
func checked(check func(context.Context) error) policies.BreakerConfig {
	return policies.BreakerConfig{
		FailureThreshold: 1, SuccessThreshold: 1, Timeout: 10 * time.Second, RecoveryTime: time.Minute, RecoveryBackoff: 1,
		HealthCheck: check,
	}
}

func TestTheHealthCheckClosesTheBreakerWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		var seen recorder
		b, chain := opened(t, checked(func(context.Context) error {
			if at = append(at, time.Since(began)); len(at) < 3 {
				return errBroken
			}
			return nil
		}), &seen)
		time.Sleep(20*time.Second - 1)
		if b.State() != policies.Open {
			t.Errorf("before a check has passed the breaker is %v", b.State())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := "[10s 15s 20s]"; fmt.Sprint(at) != want {
			t.Errorf("checks at %v, want %v", at, want)
		}
		if s := b.Status(); s.State != policies.Closed || s.Last.Reason != "health_check_passed" || s.Last.From != policies.Open || s.Last.Err != nil {
			t.Errorf("%+v", s)
		}
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Errorf("a call afterwards: %v", err)
		}
		failed := seen.of(middleware.HealthCheckFailed)
		if len(failed) != 2 || failed[0].Chain != "x" || failed[0].Policy != "breaker" || failed[0].Err != errBroken {
			t.Errorf("events of failed checks: %+v", failed)
		}
	})
}

// The health check runs only while the breaker is open, from Timeout until
// RecoveryTime.
func TestTheHealthCheckRunsOnlyWhileTheBreakerIsOpen(t *testing.T) {
	for name, row := range map[string]struct {
		act  func(b *policies.Breaker, chain *middleware.Chain)
		want int64 // checks in all
	}{
		"nothing happens":  {func(*policies.Breaker, *middleware.Chain) {}, 10}, // 10 s, 15 s, ... 55 s
		"reset":            {func(b *policies.Breaker, _ *middleware.Chain) { b.Reset() }, 3},
		"forced open":      {func(b *policies.Breaker, _ *middleware.Chain) { b.ForceOpen() }, 3},
		"forced closed":    {func(b *policies.Breaker, _ *middleware.Chain) { b.ForceClose() }, 3},
		"disabled":         {func(b *policies.Breaker, _ *middleware.Chain) { b.Disable() }, 3},
		"closed for good":  {func(b *policies.Breaker, _ *middleware.Chain) { _ = b.Close(); _ = b.Close() }, 3},
		"opened once more": {func(b *policies.Breaker, c *middleware.Chain) { b.Reset(); _ = c.Do(context.Background(), fail) }, 13},
		"closed, and opened": {func(b *policies.Breaker, c *middleware.Chain) {
			_ = b.Close()
			b.Reset()
			_ = c.Do(context.Background(), fail)
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var checks atomic.Int64
				b, chain := opened(t, checked(func(context.Context) error { checks.Add(1); return errBroken }))
				time.Sleep(21 * time.Second)
				if n := checks.Load(); n != 3 {
					t.Fatalf("%d checks, want 3", n)
				}
				row.act(b, chain)
				time.Sleep(time.Hour)
				if n := checks.Load(); n != row.want {
					t.Errorf("%d checks, want %d", n, row.want)
				}
			})
		})
	}
}

// A live probe ends the checks, and each opening begins them again.
func TestProbesAndHealthChecksTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		b, chain := opened(t, checked(func(context.Context) error { at = append(at, time.Since(began)); return errBroken }))
		time.Sleep(time.Minute)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if at[len(at)-1] != 70*time.Second || at[len(at)-2] != 55*time.Second {
			t.Errorf("checks at %v, want one at 55s and then one at 70s", at)
		}
		_ = b.Close()
	})
}

func TestTheContextOfAHealthCheckEnds(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(b *policies.Breaker, chain *middleware.Chain)
		want error
	}{
		"after HealthInterval":             {func(*policies.Breaker, *middleware.Chain) {}, context.DeadlineExceeded},
		"on Close":                         {func(b *policies.Breaker, _ *middleware.Chain) { _ = b.Close() }, context.Canceled},
		"when the breaker is no more open": {func(b *policies.Breaker, _ *middleware.Chain) { b.Reset() }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 100)
				b, chain := opened(t, checked(func(ctx context.Context) error { <-ctx.Done(); ended <- ctx.Err(); return ctx.Err() }))
				time.Sleep(12 * time.Second)
				row.end(b, chain)
				if err := <-ended; err != row.want {
					t.Errorf("the check ended with %v, want %v", err, row.want)
				}
				_ = b.Close()
			})
		})
	}
}

// A health check that does not heed its context never overlaps itself, and holds
// no recovery up.
func TestABlockedHealthCheckHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		release := make(chan struct{})
		b, chain := opened(t, checked(func(context.Context) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-release
			return nil
		}))
		time.Sleep(time.Minute)
		if running.Load() != 1 {
			t.Fatalf("%d checks run, want 1", running.Load())
		}
		if err := chain.Do(t.Context(), fail); err != errBroken || b.State() != policies.Open {
			t.Errorf("a live probe: %v, the breaker is %v", err, b.State())
		}
		time.Sleep(31 * time.Second) // the second opening has its checks due
		close(release)
		synctest.Wait()
		if b.State() != policies.Open {
			t.Errorf("a check of the first opening closed the second: %v", b.State())
		}
		time.Sleep(10 * time.Second) // and now its own check comes
		if b.State() != policies.Closed || most.Load() != 1 {
			t.Errorf("the breaker is %v, %d checks at once", b.State(), most.Load())
		}
	})
}

func TestAHealthCheckThatPanicsHasFailed(t *testing.T) {
	for name, check := range map[string]func(){"panic": func() { panic("check") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				checks := 0
				b, _ := opened(t, checked(func(context.Context) error {
					if checks++; checks == 1 {
						check()
					}
					return nil
				}), &seen)
				time.Sleep(12 * time.Second)
				synctest.Wait()
				if b.State() != policies.Open {
					t.Errorf("the breaker is %v", b.State())
				}
				if e := seen.of(middleware.HealthCheckFailed); len(e) != 1 || e[0].Err == nil {
					t.Errorf("events %+v", e)
				}
				time.Sleep(10 * time.Second)
				if b.State() != policies.Closed {
					t.Errorf("after the next check the breaker is %v", b.State())
				}
			})
		})
	}
}

// There is nobody to recover the panic of an observer that hears of a health check.
func TestAnObserverThatPanicsDoesNotEndTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks, heard := 0, 0
		b, chain := opened(t, checked(func(context.Context) error {
			if checks++; checks == 1 {
				return errBroken
			}
			return nil
		}), middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if heard++; e.Kind != middleware.Transition || e.Reason == "health_check_passed" {
				panic("observer")
			}
		}))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed || heard != 4 {
			t.Errorf("got %v, the breaker is %v, %d events", err, b.State(), heard)
		}
	})
}

// The dependency said when to come back; the health check keeps to it too.
func TestTheHealthCheckWaitsAsLongAsTheDependencyAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first time.Duration
		began := time.Now()
		b := policies.NewBreaker(checked(func(context.Context) error { first = time.Since(began); return nil }))
		defer b.Close()
		_ = middleware.NewChain("x", b).Do(t.Context(), func(context.Context) error {
			return judged(middleware.Verdict{Class: middleware.Failure, After: 40 * time.Second})
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if first != 40*time.Second {
			t.Errorf("the first check came after %v, want 40s", first)
		}
	})
}

// When the dependency asked for as long as RecoveryTime or more, there is no time
// for checks.
func TestNoHealthCheckComesAfterRecoveryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := 0
		b := policies.NewBreaker(checked(func(context.Context) error { checks++; return nil }))
		_ = middleware.NewChain("x", b).Do(t.Context(), func(context.Context) error {
			return judged(middleware.Verdict{Class: middleware.Failure, After: 2 * time.Minute})
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if checks != 0 {
			t.Errorf("%d checks, want none", checks)
		}
	})
}

func TestCloseFromAnEventHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(checked(func(context.Context) error { return errBroken }))
		chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.HealthCheckFailed {
				_ = b.Close()
			}
		}), b)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Minute)
		if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
			t.Errorf("after Close the breaker still recovers: %v, %v", err, b.State())
		}
		if errors.Is(b.Close(), errBroken) {
			t.Error("Close failed")
		}
	})
}

// A health check closes the breaker for a recovery too, with its ramp.
func TestARampFollowsAHealthCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := checked(succeed)
		c.Ramp = time.Minute
		b, _ := opened(t, c)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := b.Status(); s.State != policies.Closed || s.Share != 0.1 {
			t.Errorf("%+v, want a share of a tenth", s)
		}
	})
}

// However long the times are, checks come when they should and no oftener.
func TestHealthChecksWithOverflowingDurations(t *testing.T) {
	const most = time.Duration(1<<63 - 1)
	for _, row := range []struct {
		name   string
		config policies.BreakerConfig
		want   int64
	}{
		{"a timeout that cannot be doubled", policies.BreakerConfig{Timeout: most/2 + 1}, 0},
		{"the longest recovery time", policies.BreakerConfig{Timeout: time.Hour, RecoveryTime: most, HealthInterval: 10 * time.Hour}, 3},
		{"the longest interval", policies.BreakerConfig{Timeout: time.Hour, RecoveryTime: 20 * time.Hour, HealthInterval: most}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var checks atomic.Int64
				row.config.HealthCheck = func(context.Context) error { checks.Add(1); return errBroken }
				time.Sleep(time.Minute) // so that the clock is not at zero
				b, _ := opened(t, row.config)
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if n := checks.Load(); n != row.want {
					t.Errorf("%d checks in a day, want %d", n, row.want)
				}
				_ = b.Close()
			})
		})
	}
}

// An observer that blocks on a failed check holds up the checks and gathers nobody.
func TestAnObserverThatBlocksOnAFailedCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside atomic.Int64
		release := make(chan struct{})
		b, chain := opened(t, checked(func(context.Context) error { return errBroken }), middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.HealthCheckFailed {
				inside.Add(1)
				<-release
			}
		}))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := inside.Load(); n != 1 {
			t.Errorf("%d observers at once, want 1", n)
		}
		if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
			t.Errorf("a probe: %v, the breaker is %v", err, b.State())
		}
		close(release)
	})
}

// A check that passes too late has failed: after HealthInterval, or when it is time for
// probes.
func TestAHealthCheckThatPassesTooLateHasFailed(t *testing.T) {
	for name, row := range map[string]struct{ interval, takes time.Duration }{
		"after HealthInterval": {5 * time.Second, 6 * time.Second},
		"after RecoveryTime":   {time.Minute, 51 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := checked(lasting(row.takes, nil))
				c.HealthInterval = row.interval
				b, _ := opened(t, c)
				time.Sleep(time.Hour)
				synctest.Wait()
				if s := b.Status(); s.State != policies.HalfOpen || s.Last.To != policies.Open {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// An observer that ends the goroutine of a health check ends no check but that one.
func TestAnObserverThatEndsTheGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := 0
		b, _ := opened(t, checked(func(context.Context) error {
			if checks++; checks < 3 {
				return errBroken
			}
			return nil
		}), middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.HealthCheckFailed {
				runtime.Goexit()
			}
		}))
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.State() != policies.Closed || checks != 3 {
			t.Errorf("the breaker is %v after %d checks", b.State(), checks)
		}
	})
}
