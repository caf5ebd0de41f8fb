package policies_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// rateOf returns the rate that a RateLimit reports.
func rateOf(r *policies.RateLimit) float64 { return readingOf(r, "rate") }

func readingOf(p middleware.Reporter, name string) (value float64) {
	p.Reports(func(r middleware.Report) bool {
		for _, reading := range r.Readings {
			if reading.Name == name {
				value = reading.Value
			}
		}
		return false
	})
	return value
}

// limits returns the changes that were told.
func limits(seen *recorder) (all []string) {
	for _, e := range seen.of(middleware.LimitChanged) {
		all = append(all, fmt.Sprintf("%s %s-%s", e.Reason, e.From, e.To))
	}
	return all
}

// Throttled multiplies the rate by Decrease, down to MinRate, and from then on it grows by the
// same amount in each second, up to Rate.
func TestTheRateFollowsTheDependency(t *testing.T) {
	const s = time.Second
	adaptive := policies.RateLimitConfig{Rate: 100, MinRate: 10, Decrease: 0.5, Recovery: 90 * s} // 1 per second in each second
	for _, row := range []struct {
		name   string
		config policies.RateLimitConfig
		ops    []func(context.Context) error
		wait   time.Duration // then
		want   float64
		told   string
	}{
		{"success", adaptive, []func(context.Context) error{succeed}, 0, 100, ""},
		{"failure", adaptive, []func(context.Context) error{fail}, 0, 100, ""},
		{"failure with a time to wait", adaptive, []func(context.Context) error{func(context.Context) error {
			return middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Failure, After: s})
		}}, 0, 100, ""},
		{"throttled", adaptive, []func(context.Context) error{throttled(0)}, 0, 50, "throttled 100-50"},
		{"throttled with a time to wait", adaptive, []func(context.Context) error{throttled(time.Hour)}, 0, 50, "throttled 100-50"},
		{"twice", adaptive, []func(context.Context) error{throttled(0), throttled(0)}, 0, 25, "throttled 100-50, throttled 50.02-25.01"},
		{"down to the least", adaptive, slices.Repeat([]func(context.Context) error{throttled(0)}, 9), 0, 10,
			"throttled 100-50, throttled 50.02-25.01, throttled 25.05-12.52, throttled 12.6-10"},
		{"growing", adaptive, []func(context.Context) error{throttled(0)}, 20 * s, 70, "throttled 100-50"},
		{"nearly there", adaptive, []func(context.Context) error{throttled(0)}, 49 * s, 99, "throttled 100-50"},
		{"recovered", adaptive, []func(context.Context) error{throttled(0)}, 50 * s, 100, "throttled 100-50, recovered 50-100"},
		{"recovered long ago", adaptive, []func(context.Context) error{throttled(0)}, time.Hour, 100, "throttled 100-50, recovered 50-100"},
		{"the defaults", policies.RateLimitConfig{MinRate: 40}, []func(context.Context) error{throttled(0)}, 5 * s, 80, "throttled 100-70"},
		{"no room", policies.RateLimitConfig{Rate: 7, MinRate: 7}, []func(context.Context) error{throttled(0), throttled(0)}, s, 7, ""},
		{"a decrease that is hardly one", policies.RateLimitConfig{Rate: 1000, MinRate: 1, Decrease: 0.97, Recovery: time.Hour},
			slices.Repeat([]func(context.Context) error{throttled(0)}, 3), 0, 912.67, "throttled 970-940.9"},
		{"hardly a decrease, and recovered", policies.RateLimitConfig{Rate: 1000, MinRate: 1, Decrease: 0.97},
			[]func(context.Context) error{throttled(0)}, time.Minute, 1000, ""},
		{"not adaptive", policies.RateLimitConfig{}, []func(context.Context) error{throttled(0)}, 0, 100, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				row.config.MaxWait = s
				limit := policies.NewRateLimit(row.config)
				chain := middleware.NewChain("x", &seen, limit)
				for _, op := range row.ops {
					_ = chain.Do(t.Context(), op)
				}
				time.Sleep(row.wait)
				if row.wait > 0 {
					_ = chain.Do(t.Context(), succeed) // tells the limiter
				}
				if got := rateOf(limit); math.Abs(got-row.want) > 0.002*row.want {
					t.Errorf("the rate is %v, want %v", got, row.want)
				}
				if got := strings.Join(limits(&seen), ", "); got != row.told {
					t.Errorf("told %q, want %q", got, row.told)
				}
			})
		})
	}
}

// What had begun before a decrease does not do it again, so that many calls refused
// together count as one, and what begins after that does.
func TestCallsRefusedTogetherDecreaseTheRateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 1000, MinRate: 1, Decrease: 0.5, Recovery: 1000 * time.Hour, MaxWait: time.Minute})
		chain := middleware.NewChain("x", &seen, limit)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				_ = chain.Do(t.Context(), func(ctx context.Context) error {
					time.Sleep(time.Second + time.Duration(i)*ms) // they come back one after another
					return throttled(0)(ctx)
				})
			})
		}
		time.Sleep(1020 * ms)
		_ = chain.Do(t.Context(), throttled(0)) // begins after the first decrease
		wg.Wait()
		if got, want := limits(&seen), []string{"throttled 1000-500", "throttled 500-250"}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

// A call that has waited for its turn begins when it has got it.
func TestACallThatHasWaitedDecreasesTheRateAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 8, Burst: 1, MinRate: 1, Decrease: 0.5, Recovery: 1000 * time.Hour, MaxWait: time.Minute})
		chain := middleware.NewChain("x", limit)
		var wg sync.WaitGroup
		for range 2 { // the second one has waited when the first one has failed
			wg.Go(func() {
				_ = chain.Do(t.Context(), func(ctx context.Context) error { time.Sleep(100 * ms); return throttled(0)(ctx) })
			})
			synctest.Wait()
		}
		wg.Wait()
		if got := rateOf(limit); math.Abs(got-2) > 0.001 {
			t.Errorf("the rate is %v, want 2", got)
		}
	})
}

// A decrease takes the turns away that were saved up for a burst.
func TestADecreaseEndsTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 100, Burst: 50, MinRate: 1, Decrease: 0.1, Recovery: 1000 * time.Hour})
		chain := middleware.NewChain("x", limit)
		_ = chain.Do(t.Context(), throttled(0))
		if r := rejection(t, chain.Do(t.Context(), succeed)); r.RetryAfter != 100*ms {
			t.Errorf("got %+v, want a turn in a tenth of a second", r)
		}
		time.Sleep(time.Second)
		passed := 0
		for range 100 {
			if chain.Do(t.Context(), succeed) == nil {
				passed++
			}
		}
		if passed != 10 {
			t.Errorf("%d passed a second later, want 10", passed)
		}
	})
}

// A dependency that takes less than Rate is asked for about what it takes: with the defaults it
// refuses one call in forty at the most, and at least 0.65 of what it takes is made use of. The rate goes
// back and forth between what it takes and, as two decreases may come one after the other, a half of
// that. When it takes all again, so does the limit.
func TestTheRateSettlesAtWhatTheDependencyTakes(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			takes := 20 + 60*random.Float64() // per second
			server := rate.NewLimiter(rate.Limit(takes), 5)
			limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 100, Burst: 10, MinRate: 2, Recovery: time.Minute, MaxWait: time.Second})
			chain := middleware.NewChain("x", limit)
			var served, refused float64
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			var mu sync.Mutex // of random and the counts
			for range 30 {
				wg.Go(func() {
					for ctx.Err() == nil {
						_ = chain.Do(ctx, func(ctx context.Context) error {
							mu.Lock()
							ok := server.Allow()
							d := time.Duration(1+random.IntN(100)) * ms
							mu.Unlock()
							time.Sleep(d)
							mu.Lock()
							defer mu.Unlock()
							if ok {
								served++
								return nil
							}
							refused++
							return throttled(0)(ctx)
						})
						time.Sleep(100 * ms)
					}
				})
			}
			time.Sleep(30 * time.Second) // until it has settled
			mu.Lock()
			served, refused = 0, 0
			mu.Unlock()
			const minutes = 5
			time.Sleep(minutes * time.Minute)
			mu.Lock()
			share, busy := refused/(served+refused), served/(takes*minutes*60)
			mu.Unlock()
			if share > 0.025 || busy < 0.65 {
				t.Errorf("of %.0f calls per second: %.3f refused, %.3f of the capacity used", takes, share, busy)
			}
			server.SetLimit(1000)
			time.Sleep(2 * time.Minute)
			if got := rateOf(limit); got != 100 {
				t.Errorf("the rate is %v when the dependency has recovered", got)
			}
			cancel()
			wg.Wait()
		})
	}
}

// With a limit for each key, one that is throttled does not slow another.
func TestAThrottledKeyDoesNotSlowAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		perKey := policies.NewKeyed(policies.KeyedConfig{Idle: time.Second}, func(string) *policies.RateLimit {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 100, Burst: 1, MinRate: 1, Decrease: 0.01, Recovery: time.Hour, MaxWait: time.Minute})
		})
		chain := middleware.NewChain("x", perKey)
		_ = chain.Do(to(t, "busy"), throttled(0))
		begin := time.Now()
		for range 100 {
			if err := chain.Do(to(t, "well"), succeed); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("100 calls of the other key took %v, want its rate of 100 per second", d)
		}
		if busy, well := rateOf(perKey.For("busy")), rateOf(perKey.For("well")); busy > 2 || well != 100 {
			t.Errorf("the rates are %v and %v", busy, well)
		}
		// One with a lower rate is not dropped, although it has its turn.
		for _, other := range []string{"a", "b", "c"} {
			time.Sleep(10 * time.Second)
			_ = chain.Do(to(t, other), succeed)
		}
		if busy := rateOf(perKey.For("busy")); busy > 3 {
			t.Errorf("the key was dropped with its lower rate: %v", busy)
		}
	})
}

// A limit that only observes refuses nothing and holds nothing back, and says what it would do,
// as one that does.
func TestARateLimitThatObservesHoldsNothingBack(t *testing.T) {
	for _, row := range []struct {
		name    string
		maxWait time.Duration
		pause   time.Duration
		limit   time.Duration // the deadline; 0: none
		want    []string      // of three calls at once
	}{
		{"would refuse", 0, 0, 0, []string{"rate_limited 500ms", "rate_limited 500ms"}},
		{"would wait", time.Minute, 0, 0, []string{"rate 500ms", "rate 1s"}},
		{"would wait, then refuse", 600 * ms, 0, 0, []string{"rate 500ms", "rate_limited 1s"}},
		{"would miss the deadline", time.Minute, 0, 700 * ms, []string{"rate 500ms", "deadline_too_short 1s"}},
		{"would pause", time.Minute, 10 * time.Second, 0, []string{"pause 10s", "pause 10.5s"}},
		{"would refuse in a pause", time.Second, 10 * time.Second, 0, []string{"rate_limited 10s", "rate_limited 10s"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var seen recorder
			chain := middleware.NewChain("x", &seen, policies.NewRateLimit(policies.RateLimitConfig{
				Rate: 2, Burst: 1, MaxWait: row.maxWait, MaxPause: time.Hour, ObserveOnly: true,
			}))
			ctx := t.Context()
			if row.limit > 0 {
				with, cancel := context.WithTimeout(ctx, row.limit)
				defer cancel()
				ctx = with
			}
			begin := time.Now()
			_ = chain.Do(ctx, throttled(row.pause))
			for range 2 {
				if err := chain.Do(ctx, succeed); err != nil {
					t.Errorf("%s: %v", row.name, err)
				}
			}
			var got []string
			for _, e := range seen.of(middleware.WouldReject) {
				got = append(got, e.Reason+" "+e.Wait.String())
			}
			if !slices.Equal(got, row.want) || time.Since(begin) != 0 {
				t.Errorf("%s: told %v after %v, want %v at once", row.name, got, time.Since(begin), row.want)
			}
			if n := len(seen.of(middleware.Rejected)) + len(seen.of(middleware.Waited)); n != 0 {
				t.Errorf("%s: %d other events", row.name, n)
			}
		})
	}
}
