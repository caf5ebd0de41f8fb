package policies_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The turns that are left stay, as far as the new burst has room, and new ones come at the new
// rate.
func TestARateLimitKeepsItsTurnsWhenItsSettingsChange(t *testing.T) {
	for _, row := range []struct {
		name   string
		before int // calls, of ten turns at once
		config policies.RateLimitConfig
		wait   time.Duration
		want   int // calls that pass then
	}{
		{"the same", 4, policies.RateLimitConfig{Rate: 2, Burst: 10}, 0, 6},
		{"a higher rate", 4, policies.RateLimitConfig{Rate: 50, Burst: 10}, 0, 6},
		{"a larger burst", 4, policies.RateLimitConfig{Rate: 2, Burst: 100}, 0, 6},
		{"a smaller burst", 4, policies.RateLimitConfig{Rate: 2, Burst: 3}, 0, 3},
		{"nothing was left", 10, policies.RateLimitConfig{Rate: 50, Burst: 100}, 0, 0},
		{"at the new rate", 10, policies.RateLimitConfig{Rate: 50, Burst: 100}, time.Second, 50},
		{"at a lower rate", 10, policies.RateLimitConfig{Rate: 1, Burst: 100}, 3 * time.Second, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 2, Burst: 10})
			chain := middleware.NewChain("x", limit)
			for range row.before {
				_ = chain.Do(t.Context(), succeed)
			}
			if err := limit.Apply(row.config); err != nil {
				t.Fatal(err)
			}
			time.Sleep(row.wait)
			passed := 0
			for range 200 {
				if chain.Do(t.Context(), succeed) == nil {
					passed++
				}
			}
			if passed != row.want {
				t.Errorf("%s: %d passed, want %d", row.name, passed, row.want)
			}
		})
	}
}

// Calls that wait keep their turns, and those that come later are behind them.
func TestARateLimitKeepsItsQueueWhenItsSettingsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Minute})
		chain := middleware.NewChain("x", limit)
		begin := time.Now()
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		call := func(name string) {
			wg.Go(func() {
				_ = chain.Do(t.Context(), func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, fmt.Sprint(name, time.Since(begin)))
					return nil
				})
			})
			synctest.Wait()
		}
		for _, name := range []string{"a ", "b ", "c "} {
			call(name)
		}
		if err := limit.Apply(policies.RateLimitConfig{Rate: 10, Burst: 1, MaxWait: time.Minute}); err != nil {
			t.Fatal(err)
		}
		call("d ")
		wg.Wait()
		// Two turns were promised when the rate was one: at the new one they are two tenths of a
		// second, so d is next after three, though b and c wait for what they were told.
		if want := []string{"a 0s", "d 300ms", "b 1s", "c 2s"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
	})
}

// A pause stays, and the limiter's time is that of its end.
func TestARateLimitKeepsItsPauseWhenItsSettingsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxPause: time.Minute, MaxWait: time.Minute})
		chain := middleware.NewChain("x", limit)
		_ = chain.Do(t.Context(), throttled(10*time.Second))
		begin := time.Now()
		began := make(chan time.Duration, 1)
		go func() {
			_ = chain.Do(t.Context(), func(context.Context) error { began <- time.Since(begin); return nil })
		}()
		time.Sleep(time.Second)
		if err := limit.Apply(policies.RateLimitConfig{Rate: 2, Burst: 1, MaxWait: time.Minute}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []time.Duration{10500 * ms, 11 * time.Second} {
			if err := chain.Do(t.Context(), succeed); err != nil || time.Since(begin) != want {
				t.Errorf("%v after %v, want %v", err, time.Since(begin), want)
			}
		}
		if first := <-began; first != 10*time.Second {
			t.Errorf("the call that waited began after %v", first)
		}
		// There is none any more.
		_ = chain.Do(t.Context(), throttled(time.Hour))
		if p := readingOf(limit, "pause"); p != 0 {
			t.Errorf("a pause of %v seconds", p)
		}
	})
}

// A lower rate stays, as far as it is between the new MinRate and Rate.
func TestARateLimitKeepsALowerRateWhenItsSettingsChange(t *testing.T) {
	const long = 1000 * time.Hour
	for _, row := range []struct {
		name   string
		config policies.RateLimitConfig
		want   float64
	}{
		{"the same", policies.RateLimitConfig{Rate: 100, MinRate: 10, Decrease: 0.5, Recovery: long}, 50},
		{"a higher one", policies.RateLimitConfig{Rate: 1000, MinRate: 10, Decrease: 0.5, Recovery: long}, 50},
		{"a lower one", policies.RateLimitConfig{Rate: 30, MinRate: 10, Decrease: 0.5, Recovery: long}, 30},
		{"a least one above it", policies.RateLimitConfig{Rate: 100, MinRate: 80, Decrease: 0.5, Recovery: long}, 80},
		{"one that stays", policies.RateLimitConfig{Rate: 90}, 90},
	} {
		synctest.Test(t, func(t *testing.T) {
			var seen recorder
			limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 100, Burst: 100, MinRate: 10, Decrease: 0.5, Recovery: long, MaxWait: time.Minute})
			chain := middleware.NewChain("x", &seen, limit)
			_ = chain.Do(t.Context(), throttled(0))
			row.config.MaxWait = time.Minute
			if err := limit.Apply(row.config); err != nil {
				t.Fatal(err)
			}
			if got := rateOf(limit); got < row.want || got > row.want+0.001 {
				t.Errorf("%s: the rate is %v, want %v", row.name, got, row.want)
			}
			begin, wait := time.Now(), time.Duration(-1)
			_ = chain.Do(t.Context(), func(context.Context) error { wait = time.Since(begin); return nil })
			if want := time.Duration(float64(time.Second) / row.want); row.name != "one that stays" && wait.Round(ms) != want.Round(ms) {
				t.Errorf("%s: the next call began after %v, want %v", row.name, wait, want)
			}
		})
	}
	// What was not lowered has the new rate at once.
	limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 100, MinRate: 10})
	if err := limit.Apply(policies.RateLimitConfig{Rate: 200, MinRate: 10}); err != nil || rateOf(limit) != 200 {
		t.Errorf("%v, the rate is %v", err, rateOf(limit))
	}
	if err := limit.Apply(policies.RateLimitConfig{Rate: 1, MinRate: 2}); err == nil || rateOf(limit) != 200 {
		t.Errorf("%v, the rate is %v", err, rateOf(limit))
	}
}

// What only observed refuses from then on, and the other way round.
func TestARateLimitBeginsToRefuse(t *testing.T) {
	limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e-3, Burst: 1, ObserveOnly: true})
	chain := middleware.NewChain("x", limit)
	for _, observes := range []bool{true, false, true} {
		if err := limit.Apply(policies.RateLimitConfig{Rate: 1e-3, Burst: 1, ObserveOnly: observes}); err != nil {
			t.Fatal(err)
		}
		_ = chain.Do(t.Context(), succeed)
		if err := chain.Do(t.Context(), succeed); errors.Is(err, middleware.ErrRateLimited) == observes {
			t.Errorf("observes: %t, got %v", observes, err)
		}
	}
}
