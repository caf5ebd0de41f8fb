package policies

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A plain list is the oracle: what the budget says of a window holds at each step of a
// random history.
func TestABudgetHoldsWhatAListHolds(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				config := BudgetConfig{Ratio: 0.05 + random.Float64(), MinPerSecond: []float64{-1, 0.5, 3}[random.IntN(3)], Window: time.Second}
				crowd := []int{1, 5, 300}[seed%3] // calls at once
				b := NewBudget(config)
				begin := time.Now()
				bucket := func() int64 { return int64(time.Since(begin) / (100 * time.Millisecond)) }
				var calls, extras []int64 // the bucket of each
				var units []int64
				for range 2000 {
					switch n := bucket(); random.IntN(8) {
					case 0, 1:
						for range 1 + random.IntN(crowd) {
							b.count()
							calls = append(calls, n)
						}
					case 2, 3, 4:
						before := b.Status()
						unit, ok := b.take()
						if ok != (before.Left > 0) {
							t.Fatalf("take says %t although %+v", ok, before)
						}
						if ok {
							extras, units = append(extras, n), append(units, unit)
						}
					case 5:
						if len(units) > 0 && random.IntN(3) == 0 {
							i := random.IntN(len(units))
							b.giveBack(units[i])
							if at := slices.Index(extras, units[i]/b.settings.period); at >= 0 {
								extras = slices.Delete(extras, at, at+1)
							}
							units = slices.Delete(units, i, i+1)
						}
					case 6:
						time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
					default:
						if random.IntN(20) == 0 {
							time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
						}
					}
					n := bucket()
					old := func(b int64) bool { return b < n-10 }
					calls, extras = slices.DeleteFunc(calls, old), slices.DeleteFunc(extras, old)
					s := b.Status()
					if s.Extra != len(extras) {
						t.Fatalf("%+v, want %d further attempts", s, len(extras))
					}
					least := len(calls)
					if crowd > busyCalls {
						least -= 11 * (lookEvery - 1)
					}
					if s.Calls > len(calls) || s.Calls < least {
						t.Fatalf("%+v, want %d calls", s, len(calls))
					}
					most := max(config.Ratio*float64(s.Calls), config.MinPerSecond)
					if left := max(0, int(most+1e-9)-s.Extra); s.Left != left {
						t.Fatalf("%+v, want %d left", s, left)
					}
					if b.idle() != (s.Calls == 0 && s.Extra == 0) {
						t.Fatalf("idle is %t with %+v", b.idle(), s)
					}
				}
			})
		})
	}
}

// The number of further attempts is never above the bound, whatever runs at the same
// time, and no attempt is lost.
func TestABudgetIsExactUnderConcurrency(t *testing.T) {
	b := NewBudget(BudgetConfig{Ratio: 0.5, MinPerSecond: -1, Window: time.Hour})
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 500 {
				b.count()
				unit, ok := b.take()
				if !ok {
					continue
				}
				if n := taken.Add(1); n > 4000 {
					t.Errorf("attempt %d was let through, with at most 8000 calls and a ratio of a half", n)
				}
				if n := taken.Load(); n%7 == 0 {
					taken.Add(-1) // before it can be taken again
					b.giveBack(unit)
				}
			}
		})
	}
	wg.Wait()
	for range 8000 {
		if _, ok := b.take(); ok {
			taken.Add(1)
		}
	}
	if s := b.Status(); s.Calls != 8000 || s.Extra != 4000 || s.Left != 0 || taken.Load() != 4000 {
		t.Errorf("%+v with %d taken, want 8000 calls and all of 4000 attempts", s, taken.Load())
	}
}

// Calls that need no further attempt take no lock: they go on while somebody has it.
func TestCallsTakeNoLockOfABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetConfig{})
		hedge := NewHedge(HedgeConfig{Delay: time.Second, When: func(context.Context) bool { return true }, Budget: b})
		chain := middleware.NewChain("x", NewRetry(RetryConfig{Budget: b}), hedge)
		b.mu.Lock()
		for range 3 { // in buckets of their own
			if err := chain.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
				t.Error(err)
			}
			time.Sleep(DefaultBudgetWindow / budgetBuckets)
		}
		b.mu.Unlock()
		if s := b.Status(); s.Calls != 3 {
			t.Errorf("%+v, want 3 calls", s)
		}
	})
}
