package policies

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// What the window holds stays, as far as the new one reaches back, whatever is applied and
// whenever: nothing that is younger than the window is lost but what was given back, and nothing
// stays longer than the window by more than its own bucket and one for each change.
func TestABudgetKeepsItsCountsWhenItsSettingsChange(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 2))
				window := time.Second
				b := NewBudget(BudgetConfig{Ratio: 1000, Window: window})
				var calls, extras, backs []time.Time
				type taken struct {
					unit int64
					at   time.Time
				}
				var units []taken
				reach, coarse := time.Now(), time.Duration(0) // what was dropped by shorter windows; the old buckets
				for range 500 {
					switch random.IntN(8) {
					case 0, 1, 2:
						b.count()
						calls = append(calls, time.Now())
					case 3, 4:
						if unit, ok := b.take(); ok {
							extras, units = append(extras, time.Now()), append(units, taken{unit, time.Now()})
						}
					case 5:
						if len(units) > 0 && random.IntN(3) == 0 {
							u := units[len(units)-1]
							units = units[:len(units)-1]
							b.giveBack(u.unit)
							backs = append(backs, u.at)
						}
					case 6:
						time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
					case 7:
						if random.IntN(15) > 0 {
							continue
						}
						coarse += window / budgetBuckets
						window = time.Duration(100+random.IntN(3000)) * time.Millisecond
						if err := b.Apply(BudgetConfig{Ratio: 500 + 500*random.Float64(), Window: window}); err != nil {
							t.Fatal(err)
						}
					}
					if from := time.Now().Add(-window); from.After(reach) {
						reach = from
					}
					since := func(all []time.Time, from time.Time) (n int) {
						for _, at := range all {
							if at.After(from) {
								n++
							}
						}
						return n
					}
					longest := window + window/budgetBuckets + coarse + time.Millisecond
					oldest := time.Now().Add(-longest)
					s := b.Status()
					if least, most := since(calls, reach), since(calls, oldest); s.Calls < least || s.Calls > most {
						t.Fatalf("%+v, want between %d and %d calls", s, least, most)
					}
					if least, most := since(extras, reach)-len(backs), since(extras, oldest); s.Extra < least || s.Extra > most {
						t.Fatalf("%+v, want between %d and %d further attempts", s, least, most)
					}
					for i := range b.buckets {
						if b.buckets[i].calls < 0 || b.buckets[i].extra < 0 {
							t.Fatalf("bucket %+v", b.buckets[i])
						}
					}
				}
				time.Sleep(time.Hour)
				if s := b.Status(); s.Calls != 0 || s.Extra != 0 {
					t.Errorf("an hour later: %+v", s)
				}
			})
		})
	}
}

func TestApplyChangesABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetConfig{Ratio: 0.5, MinPerSecond: -1})
		r := NewRetry(RetryConfig{Budget: b})
		chain := middleware.NewChain("x", r)
		for range 10 {
			_ = chain.Do(t.Context(), func(context.Context) error { return nil })
		}
		settings := func() (text string) {
			b.report("retry", func(r middleware.Report) bool {
				for _, s := range r.Settings {
					text += s.Name + "=" + s.Value + " "
				}
				return true
			})
			return text
		}
		for _, row := range []struct {
			config BudgetConfig
			want   BudgetStatus
			shown  string
		}{
			{BudgetConfig{Ratio: 0.5, MinPerSecond: -1}, BudgetStatus{10, 0, 5}, "Ratio=0.5 MinPerSecond=off Window=10s "},
			{BudgetConfig{Ratio: 0.1, MinPerSecond: -1}, BudgetStatus{10, 0, 1}, "Ratio=0.1 MinPerSecond=off Window=10s "},
			{BudgetConfig{Window: time.Minute}, BudgetStatus{10, 0, 600}, "Ratio=0.2 MinPerSecond=10 Window=1m "},
			{BudgetConfig{Ratio: -1}, BudgetStatus{0, 0, math.MaxInt}, ""},
			{BudgetConfig{}, BudgetStatus{0, 0, 100}, "Ratio=0.2 MinPerSecond=10 Window=10s "},
		} {
			if err := b.Apply(row.config); err != nil {
				t.Fatal(err)
			}
			if s := b.Status(); s != row.want || settings() != row.shown {
				t.Errorf("%+v: %+v, %q, want %+v, %q", row.config, s, settings(), row.want, row.shown)
			}
		}
		// An attempt that nothing bounded when it was taken is not given back to what bounds it now.
		b.take()
		b.giveBack(untaken)
		if s := b.Status(); s.Extra != 1 {
			t.Errorf("%+v", s)
		}
		var setting *SettingError
		if err := b.Apply(BudgetConfig{Ratio: 2000, Window: 1}); !errors.As(err, &setting) || settings() != "Ratio=0.2 MinPerSecond=10 Window=10s " {
			t.Errorf("%v, %s", err, settings())
		}
	})
}

// Settings may change while calls run.
func TestABudgetIsChangedWhileItIsUsed(t *testing.T) {
	b := NewBudget(BudgetConfig{})
	chain := middleware.NewChain("x", NewRetry(RetryConfig{Budget: b, Delay: 1, MaxDelay: 1}), NewHedge(HedgeConfig{Budget: b}))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 300 {
				_ = chain.Do(t.Context(), func(context.Context) error { return errors.New("down") })
				if i == 0 {
					_ = b.Apply(BudgetConfig{Ratio: float64(n%3 - 1), Window: time.Duration(n%2+1) * time.Second})
				}
				chain.Reports(func(middleware.Report) bool { return true })
			}
		})
	}
	wg.Wait()
	if s := b.Status(); s.Calls < 0 || s.Extra < 0 {
		t.Errorf("%+v", s)
	}
}
