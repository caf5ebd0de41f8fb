package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// throttled is an operation that is told to come back later.
func throttled(after time.Duration) func(context.Context) error {
	return func(context.Context) error {
		return middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Throttled, Retry: true, After: after, Reason: "status_429"})
	}
}

// One call that is told to come back later holds those that come meanwhile.
func TestAPauseHoldsTheCallsThatComeMeanwhile(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name               string
		maxPause, after    time.Duration
		maxWait            time.Duration
		come               time.Duration // after the end of the call that was told so
		deadline           time.Duration // from then on; 0: none
		reason             error         // of the refusal
		wait               time.Duration // until the call begins, or may come back
		rejected, waitedBy string        // events
	}{
		{"within MaxWait", 60 * s, 10 * s, 60 * s, 0, 0, nil, 10 * s, "", "pause"},
		{"to the moment", 60 * s, 10 * s, 6 * s, 4 * s, 0, nil, 6 * s, "", "pause"},
		{"beyond MaxWait", 60 * s, 10 * s, 6*s - 1, 4 * s, 0, middleware.ErrRateLimited, 6 * s, "rate_limited", ""},
		{"without MaxWait", 60 * s, 10 * s, 0, 10*s - 1, 0, middleware.ErrRateLimited, 1, "rate_limited", ""},
		{"when it is over", 60 * s, 10 * s, 0, 10 * s, 0, nil, 0, "", ""},
		{"long over", 60 * s, 10 * s, 0, time.Hour, 0, nil, 0, "", ""},
		{"at most MaxPause", 3 * s, 10 * s, 60 * s, s, 0, nil, 2 * s, "", "pause"},
		{"deadline after it", 60 * s, 10 * s, 60 * s, 0, 11 * s, nil, 10 * s, "", "pause"},
		{"deadline before its end", 60 * s, 10 * s, 60 * s, 0, 9 * s, middleware.ErrDeadline, 10 * s, "deadline_too_short", ""},
		{"no pause", 0, 10 * s, 60 * s, 0, 0, nil, 0, "", ""},
		{"no time to wait", 60 * s, 0, 60 * s, 0, 0, nil, 0, "", ""},
		{"the longest", math.MaxInt64, math.MaxInt64, 60 * s, 0, 0, middleware.ErrRateLimited, math.MaxInt64 - 5*s, "rate_limited", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				chain := middleware.NewChain("x", &seen, policies.NewRateLimit(policies.RateLimitConfig{MaxWait: row.maxWait, MaxPause: row.maxPause}))
				_ = chain.Do(t.Context(), func(ctx context.Context) error { time.Sleep(5 * s); return throttled(row.after)(ctx) })
				time.Sleep(row.come)
				ctx := t.Context()
				if row.deadline > 0 {
					with, cancel := context.WithTimeout(ctx, row.deadline)
					defer cancel()
					ctx = with
				}
				begin, wait := time.Now(), time.Duration(-1)
				err := chain.Do(ctx, func(context.Context) error { wait = time.Since(begin); return nil })
				if row.reason == nil && (err != nil || wait != row.wait) {
					t.Errorf("got %v, begun after %v, want %v", err, wait, row.wait)
				}
				if row.reason != nil {
					if r := rejection(t, err); r.Reason != row.reason || r.RetryAfter != row.wait || wait >= 0 || time.Since(begin) != 0 {
						t.Errorf("got %+v after %v, want %v at once, and to come back after %v", r, time.Since(begin), row.reason, row.wait)
					}
				}
				for kind, reason := range map[middleware.Kind]string{middleware.Rejected: row.rejected, middleware.Waited: row.waitedBy} {
					e := seen.of(kind)
					if reason == "" && len(e) != 0 || reason != "" && (len(e) != 1 || e[0].Reason != reason || e[0].Wait != row.wait || e[0].Policy != "rate_limit") {
						t.Errorf("%v: events %+v, want one with reason %q", kind, e, reason)
					}
				}
			})
		})
	}
}

// Only the verdict Throttled with a time to wait begins a pause.
func TestWhatBeginsAPause(t *testing.T) {
	judged := func(v middleware.Verdict) func(context.Context) error {
		return func(context.Context) error { return middleware.Judged(errBroken, v) }
	}
	for _, row := range []struct {
		name string
		op   func(context.Context) error
		want time.Duration
	}{
		{"success", succeed, 0},
		{"failure", fail, 0},
		{"failure with a time to wait", judged(middleware.Verdict{Class: middleware.Failure, After: time.Second}), 0},
		{"ignored with a time to wait", judged(middleware.Verdict{Class: middleware.Ignored, After: time.Second}), 0},
		{"throttled without a time to wait", judged(middleware.Verdict{Class: middleware.Throttled}), 0},
		{"throttled", judged(middleware.Verdict{Class: middleware.Throttled, After: time.Second}), time.Second},
		{"throttled, must not be repeated", judged(middleware.Verdict{Class: middleware.Throttled, After: 2 * time.Second, Reason: "x"}), 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			chain := middleware.NewChain("x", policies.NewRateLimit(policies.RateLimitConfig{MaxWait: time.Hour, MaxPause: time.Hour}))
			_ = chain.Do(t.Context(), row.op)
			begin := time.Now()
			if err := chain.Do(t.Context(), succeed); err != nil || time.Since(begin) != row.want {
				t.Errorf("%s: %v after %v, want %v", row.name, err, time.Since(begin), row.want)
			}
		})
	}
}

// Several pauses last until the latest end of them.
func TestAPauseIsNeverShortened(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		ends, afters [2]time.Duration // of two calls that run at the same time
		want         [2]time.Duration // when calls begin that come after the first end and after the second
	}{
		{[2]time.Duration{0, 1 * s}, [2]time.Duration{10 * s, 2 * s}, [2]time.Duration{10 * s, 10 * s}},
		{[2]time.Duration{0, 1 * s}, [2]time.Duration{10 * s, 20 * s}, [2]time.Duration{21 * s, 21 * s}},
		{[2]time.Duration{0, 1 * s}, [2]time.Duration{10 * s, 9 * s}, [2]time.Duration{10 * s, 10 * s}},
		{[2]time.Duration{0, 9 * s}, [2]time.Duration{10 * s, 5 * s}, [2]time.Duration{14 * s, 14 * s}},
		{[2]time.Duration{0, 12 * s}, [2]time.Duration{10 * s, 5 * s}, [2]time.Duration{10 * s, 17 * s}},
	} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain := middleware.NewChain("x", policies.NewRateLimit(policies.RateLimitConfig{MaxWait: time.Minute, MaxPause: time.Minute}))
				for i := range 2 {
					go func() {
						_ = chain.Do(t.Context(), func(ctx context.Context) error { time.Sleep(s + row.ends[i]); return throttled(row.afters[i])(ctx) })
					}()
				}
				time.Sleep(s)
				got := begins(t, chain, []time.Duration{row.ends[0] + 1, row.ends[1] + 1})
				if !slices.Equal(got, row.want[:]) {
					t.Errorf("got %v, want %v", got, row.want)
				}
			})
		})
	}
}

// begins has calls come at the given times and returns when they began, or -1 for those
// that were refused.
func begins(t *testing.T, chain *middleware.Chain, come []time.Duration) []time.Duration {
	t.Helper()
	begin := time.Now()
	at := make([]time.Duration, len(come))
	var wg sync.WaitGroup
	for i, d := range come {
		at[i] = -1
		wg.Go(func() {
			time.Sleep(d)
			_ = chain.Do(t.Context(), func(context.Context) error { at[i] = time.Since(begin); return nil })
		})
	}
	wg.Wait()
	return at
}

// After a pause the rate is what it always is, and so is the order; who cannot have a
// turn in time hears that at once.
func TestTheRateHoldsAfterAPause(t *testing.T) {
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 2, MaxWait: 1300 * ms, MaxPause: time.Minute}))
		_ = chain.Do(t.Context(), throttled(1000*ms))
		got := begins(t, chain, []time.Duration{1 * ms, 2 * ms, 3 * ms, 4 * ms, 5 * ms, 6 * ms, 7 * ms, 1500 * ms})
		want := []time.Duration{1000 * ms, 1000 * ms, 1100 * ms, 1200 * ms, 1300 * ms, -1, -1, 1500 * ms}
		if !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

// Calls that have a turn already when a pause begins are held too. They get new turns
// after it, within their MaxWait.
func TestAPauseHoldsTheCallsThatWait(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		maxWait      time.Duration
		want         []time.Duration
		waited, full int // events
	}{
		// The turns were at 100, 200, 300 and 400 ms, and the pause is from 150 to 1250 ms.
		{3000 * ms, []time.Duration{100 * ms, 1250 * ms, 1350 * ms, 1450 * ms}, 4, 0},
		{1350 * ms, []time.Duration{100 * ms, 1250 * ms, 1350 * ms, -1}, 3, 1},
		{1249 * ms, []time.Duration{100 * ms, -1, -1, -1}, 1, 3},
	} {
		t.Run(fmt.Sprint(row.maxWait), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				chain := middleware.NewChain("x", &seen, policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 1, MaxWait: row.maxWait, MaxPause: time.Minute}))
				var wg sync.WaitGroup
				wg.Go(func() {
					_ = chain.Do(t.Context(), func(ctx context.Context) error { time.Sleep(150 * ms); return throttled(1100 * ms)(ctx) })
				})
				synctest.Wait()
				got := begins(t, chain, []time.Duration{0, 1, 2, 3})
				wg.Wait()
				if !slices.Equal(got, row.want) {
					t.Errorf("got  %v\nwant %v", got, row.want)
				}
				if e := seen.of(middleware.Waited); len(e) != row.waited || e[0].Reason != "rate" || len(e) > 1 && e[1].Reason != "pause" {
					t.Errorf("events of waits: %+v", e)
				}
				for i, e := range seen.of(middleware.Waited) {
					if want := row.want[i] - time.Duration(i); e.Wait != want {
						t.Errorf("wait %d is %v, want %v", i, e.Wait, want)
					}
				}
				if e := seen.of(middleware.Rejected); len(e) != row.full || len(e) > 0 && e[0].Reason != "rate_limited" {
					t.Errorf("events of refusals: %+v", e)
				}
			})
		})
	}
}

// A call that is cancelled during a pause gives its turn after it back.
func TestACancelledWaitForTheEndOfAPauseGivesItsTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Minute, MaxPause: time.Minute}))
		_ = chain.Do(t.Context(), throttled(10*time.Second))
		begin := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		err := chain.Do(ctx, succeed)
		if r := rejection(t, err); !errors.Is(err, middleware.ErrCanceled) || !errors.Is(err, context.Canceled) || r.Policy != "rate_limit" || time.Since(begin) != 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		got := begins(t, chain, []time.Duration{0, 1, 2, 3})
		for i, at := range got { // they came 3 seconds after the pause began
			if want := 7*time.Second + time.Duration(i)*time.Second; at != want {
				t.Errorf("call %d began after %v, want %v", i, at, want)
			}
		}
	})
}

// A Retry outside that waits as long as it was told to passes, although no call may wait.
func TestARetryPassesAfterThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x",
			policies.NewRetry(policies.RetryConfig{Attempts: 2, MaxAfter: time.Hour, Jitter: -1}),
			policies.NewRateLimit(policies.RateLimitConfig{MaxPause: time.Hour}))
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			err := chain.Do(t.Context(), func(ctx context.Context) error {
				if middleware.Attempt(ctx) == 1 {
					return throttled(10 * time.Second)(ctx)
				}
				return nil
			})
			if err != nil || time.Since(begin) != 10*time.Second {
				t.Errorf("got %v after %v, want success after 10s", err, time.Since(begin))
			}
		})
		time.Sleep(time.Second)
		if r := rejection(t, chain.Do(t.Context(), succeed)); r.Reason != middleware.ErrRateLimited || r.RetryAfter != 9*time.Second {
			t.Errorf("another call meanwhile: %+v", r)
		}
		wg.Wait()
	})
}

// A pause of one key does not disturb the others.
func TestAPauseIsOfOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.RateLimit {
			return policies.NewRateLimit(policies.RateLimitConfig{MaxPause: time.Hour})
		}))
		_ = chain.Do(to(t, "a"), throttled(time.Minute))
		for range 2 {
			if err := chain.Do(to(t, "a"), succeed); !errors.Is(err, middleware.ErrRateLimited) {
				t.Errorf("a: %v", err)
			}
			if err := chain.Do(to(t, "b"), succeed); err != nil {
				t.Errorf("b: %v", err)
			}
		}
		time.Sleep(time.Minute)
		if err := chain.Do(to(t, "a"), succeed); err != nil {
			t.Errorf("a, after the pause: %v", err)
		}
	})
}

// In random histories no call begins in a pause, none begins beyond the rate, and none
// waits longer than it may.
func TestAPauseAndTheRateHoldAtOnce(t *testing.T) {
	const rate, burst, maxWait = 20, 3, 2 * time.Second
	began, refused, paused := 0, 0, 0
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 3))
			var seen recorder
			chain := middleware.NewChain("x", &seen, policies.NewRateLimit(policies.RateLimitConfig{Rate: rate, Burst: burst, MaxWait: maxWait, MaxPause: time.Second}))
			random := func(limit time.Duration) time.Duration { return time.Duration(dice.Int64N(int64(limit))) }
			var mu sync.Mutex
			var calls []time.Time
			var pauses [][2]time.Time
			var wg sync.WaitGroup
			for range 200 {
				come, hold, after, patience := random(10*time.Second), random(200*time.Millisecond), time.Duration(0), 10*maxWait
				if dice.IntN(20) == 0 {
					after = random(1500 * time.Millisecond)
				}
				if dice.IntN(5) == 0 {
					patience = random(maxWait)
				}
				wg.Go(func() {
					time.Sleep(come)
					came := time.Now()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					defer time.AfterFunc(patience, cancel).Stop()
					_ = chain.Do(ctx, func(ctx context.Context) error {
						now := time.Now()
						if now.Sub(came) > maxWait {
							t.Errorf("seed %d: a call waited for %v", seed, now.Sub(came))
						}
						mu.Lock()
						calls = append(calls, now)
						mu.Unlock()
						time.Sleep(hold)
						if after == 0 {
							return nil
						}
						now = time.Now()
						mu.Lock()
						pauses = append(pauses, [2]time.Time{now, now.Add(min(after, time.Second))})
						mu.Unlock()
						return throttled(after)(ctx)
					})
				})
			}
			wg.Wait()
			slices.SortFunc(calls, time.Time.Compare)
			for i, from := range calls {
				for _, p := range pauses {
					if from.After(p[0]) && from.Before(p[1]) {
						t.Errorf("seed %d: a call began %v before the end of a pause", seed, p[1].Sub(from))
					}
				}
				for j := i + burst; j < len(calls); j++ {
					if most := burst + rate*calls[j].Sub(from).Seconds(); float64(j-i+1) > most+1e-3 {
						t.Errorf("seed %d: %d calls began within %v", seed, j-i+1, calls[j].Sub(from))
					}
				}
			}
			began += len(calls)
			refused += len(seen.of(middleware.Rejected))
			for _, e := range seen.of(middleware.Waited) {
				if e.Reason == "pause" {
					paused++
				}
			}
		})
	}
	if began == 0 || refused == 0 || paused == 0 {
		t.Errorf("the histories are too dull: %d began, %d were refused, %d waited for the end of a pause", began, refused, paused)
	}
}
