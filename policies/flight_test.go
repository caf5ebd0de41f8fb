package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

// Calls of the same key at the same time share one run, the error as well as the value.
func TestAFlightSharesARun(t *testing.T) {
	for _, want := range []error{nil, errBroken} {
		synctest.Test(t, func(t *testing.T) {
			var flight policies.Flight[string, int]
			var runs [2]int
			for i, key := range []string{"a", "b"} {
				for range 10 {
					go func() {
						got, err := flight.Do(t.Context(), key, func(context.Context) (int, error) {
							runs[i]++ // by one at a time, or the race detector says so
							time.Sleep(time.Minute)
							return 1 + runs[i], want
						})
						if got != 2 || err != want {
							t.Errorf("got %d, %v", got, err)
						}
					}()
				}
				synctest.Wait()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if runs != [2]int{1, 1} {
				t.Errorf("runs: %v", runs)
			}
			// Who comes when a run is over begins a new one.
			if got, err := flight.Do(t.Context(), "a", func(context.Context) (int, error) { return 7, nil }); got != 7 || err != nil {
				t.Errorf("afterwards: %d, %v", got, err)
			}
		})
	}
}

// One that waits leaves alone when its own context ends, with the error of that.
func TestAFollowerLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flight policies.Flight[int, string]
		slow := func(context.Context) (string, error) { time.Sleep(time.Minute); return "value", nil }
		var delivered atomic.Int64
		for range 3 {
			go func() {
				if got, err := flight.Do(t.Context(), 1, slow); got == "value" && err == nil {
					delivered.Add(1)
				}
			}()
		}
		synctest.Wait()
		begin := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("why"))
		defer cancel()
		got, err := flight.Do(ctx, 1, slow)
		if got != "" || err != context.DeadlineExceeded || time.Since(begin) != time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begin))
		}
		time.Sleep(time.Hour)
		if n := delivered.Load(); n != 3 {
			t.Errorf("%d others got the value, want 3", n)
		}
	})
}

// When the leader's context has ended and its run failed, or when it panicked or called
// runtime.Goexit, one of those that wait takes over and runs its own function.
func TestAFollowerTakesOver(t *testing.T) {
	for _, row := range []struct {
		name  string
		leave func(ctx context.Context) (int, error)
	}{
		{"the leader's context ends", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }},
		{"the leader panics", func(context.Context) (int, error) { time.Sleep(time.Second); panic("boom") }},
		{"the leader ends its goroutine", func(context.Context) (int, error) { time.Sleep(time.Second); runtime.Goexit(); return 0, nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var flight policies.Flight[int, int]
				var took, shared atomic.Int64
				go func() {
					defer func() { _ = recover() }()
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if _, err := flight.Do(ctx, 1, row.leave); err != context.DeadlineExceeded {
						t.Errorf("the leader got %v", err)
					}
				}()
				synctest.Wait()
				begin := time.Now()
				for i := 1; i <= 5; i++ {
					go func() {
						got, err := flight.Do(t.Context(), 1, func(context.Context) (int, error) {
							took.Add(1)
							time.Sleep(time.Second)
							return i, nil
						})
						if err != nil || got == 0 || time.Since(begin) != 2*time.Second {
							t.Errorf("got %d, %v after %v", got, err, time.Since(begin))
						}
						shared.Add(int64(got))
					}()
				}
				time.Sleep(time.Hour)
				if n := took.Load(); n != 1 || shared.Load()%5 != 0 {
					t.Errorf("%d took over", n)
				}
			})
		})
	}
}

// A value that came although the leader's context had ended is shared, and so is an error while it
// goes on.
func TestALeaderThatSucceedsLateShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flight policies.Flight[int, int]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			if got, err := flight.Do(ctx, 1, func(context.Context) (int, error) { time.Sleep(time.Minute); return 7, nil }); got != 7 || err != nil {
				t.Errorf("the leader got %d, %v", got, err)
			}
		}()
		synctest.Wait()
		got, err := flight.Do(t.Context(), 1, func(context.Context) (int, error) { t.Error("it ran"); return 0, nil })
		if got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	})
}

// It returns the error of ctx if that has ended before fn could run.
func TestAFlightDoesNotBeginTooLate(t *testing.T) {
	var flight policies.Flight[int, int]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := flight.Do(ctx, 1, func(context.Context) (int, error) { t.Error("it ran"); return 7, nil }); got != 0 || err != context.Canceled {
		t.Errorf("got %d, %v", got, err)
	}
}

// A NaN is no key: it is never the same as another one.
func TestAFlightOfNaN(t *testing.T) {
	var flight policies.Flight[float64, int]
	got, err := flight.Do(t.Context(), math.NaN(), func(ctx context.Context) (int, error) {
		return flight.Do(ctx, math.NaN(), func(context.Context) (int, error) { return 7, nil })
	})
	if got != 7 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
}

// Whatever becomes of leaders and followers, of the runs of a key never two go on at once,
// everybody returns, and who gets a value gets one that a run of its time returned.
func TestAFlightInRandomHistories(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var flight policies.Flight[int, time.Time]
			var running [3]atomic.Int64
			var returned atomic.Int64
			const calls = 60
			for range calls {
				key, begin, patience := random.IntN(len(running)), random.IntN(100), 1+random.IntN(40)
				lasts, how := random.IntN(30), random.IntN(5)
				go func() {
					defer returned.Add(1)
					defer func() { _ = recover() }()
					time.Sleep(time.Duration(begin) * time.Second)
					called := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(patience)*time.Second)
					defer cancel()
					got, err := flight.Do(ctx, key, func(ctx context.Context) (time.Time, error) {
						if running[key].Add(1) != 1 {
							t.Errorf("seed %d: two runs of key %d", seed, key)
						}
						defer running[key].Add(-1)
						select {
						case <-time.After(time.Duration(lasts) * time.Second):
						case <-ctx.Done():
							return time.Time{}, ctx.Err()
						}
						switch how {
						case 0:
							panic("boom")
						case 1:
							runtime.Goexit()
						case 2:
							return time.Time{}, errBroken
						}
						return time.Now(), nil
					})
					waited := time.Since(called)
					switch {
					case err == nil && (got.Before(called) || got.After(time.Now())):
						t.Errorf("seed %d: a value of %v for a call from %v to %v", seed, got, called, time.Now())
					case err == context.DeadlineExceeded && waited != time.Duration(patience)*time.Second:
						t.Errorf("seed %d: gave up after %v of %ds", seed, waited, patience)
					case err != nil && err != errBroken && err != context.DeadlineExceeded:
						t.Errorf("seed %d: %v", seed, err)
					}
				}()
			}
			time.Sleep(time.Hour)
			if n := returned.Load(); n != calls {
				t.Errorf("seed %d: %d of %d calls returned", seed, n, calls)
			}
		})
	}
}

func TestAFlightAtOnce(t *testing.T) {
	var flight policies.Flight[string, string]
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for n := range 200 {
				key := fmt.Sprint((i + n) % 5)
				ctx, cancel := context.WithCancel(t.Context())
				got, err := flight.Do(ctx, key, func(context.Context) (string, error) {
					if n%7 == 0 {
						cancel()
						return "", ctx.Err()
					}
					return key, nil
				})
				if cancel(); err == nil && got != key || err != nil && err != context.Canceled {
					t.Errorf("got %q, %v for %q", got, err, key)
				}
			}
		})
	}
	wg.Wait()
}
