package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func fallingBack(inner ...middleware.Policy) *middleware.Chain {
	return middleware.NewChain("x", append([]middleware.Policy{policies.NewFallback(policies.FallbackConfig{})}, inner...)...)
}

func giving[V any](value V, err error) func(context.Context) (V, error) {
	return func(context.Context) (V, error) { return value, err }
}

func TestValidateNamesTheSettingOfAStale(t *testing.T) {
	for _, row := range []struct {
		config policies.StaleConfig
		want   string
	}{
		{policies.StaleConfig{}, ""},
		{policies.StaleConfig{MaxKeys: 1, MaxAge: 1, SingleFlight: true}, ""},
		{policies.StaleConfig{MaxKeys: -1, MaxAge: -1},
			"policies: StaleConfig.MaxKeys is -1: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: StaleConfig.MaxAge is -1ns: it must be a positive duration, or 0 for the default"},
	} {
		err := row.config.Validate()
		if got := fmt.Sprint(err); err == nil && row.want != "" || err != nil && got != row.want {
			t.Errorf("%+v: got %v, want %q", row.config, err, row.want)
		}
		var setting *policies.SettingError
		if err != nil && !errors.As(err, &setting) {
			t.Errorf("%T is no *SettingError", err)
		}
		func() {
			defer func() {
				if got := recover(); (got == nil) != (row.want == "") {
					t.Errorf("%+v: NewStale panics with %v", row.config, got)
				}
			}()
			policies.NewStale[string, int](row.config)
		}()
	}
}

// A step is one call of a Stale some time after the step before.
type staleStep struct {
	after time.Duration
	key   string
	value int
	err   error
	want  string
}

// If the call fails, it returns the last good value of the key instead. When there is none
// that is young enough, it returns the error of the call.
func TestAStaleHandsOutTheLastGoodValue(t *testing.T) {
	notFound := middleware.Judged(errors.New("no such object"), middleware.Verdict{Class: middleware.Success})
	throttled := middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Throttled})
	ignored := middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Ignored})
	for _, row := range []struct {
		name   string
		config policies.StaleConfig
		steps  []staleStep
	}{
		{"nothing is there", policies.StaleConfig{}, []staleStep{{0, "a", 1, errBroken, "1 broken"}}},
		{"the last one", policies.StaleConfig{}, []staleStep{
			{0, "a", 1, nil, "1"}, {1, "a", 2, nil, "2"}, {time.Minute, "a", 3, errBroken, "2 of 1m0s ago, broken"}, {0, "a", 4, throttled, "2 of 1m0s ago, broken"},
			{1, "a", 5, nil, "5"}, {time.Second, "a", 6, errBroken, "5 of 1s ago, broken"},
		}},
		{"of the key", policies.StaleConfig{}, []staleStep{{0, "a", 1, nil, "1"}, {0, "b", 2, errBroken, "2 broken"}}},
		{"as old as it may be", policies.StaleConfig{}, []staleStep{{0, "a", 1, nil, "1"}, {policies.DefaultStaleAge, "a", 2, errBroken, "1 of 1h0m0s ago, broken"}}},
		{"too old", policies.StaleConfig{MaxAge: time.Second}, []staleStep{{0, "a", 1, nil, "1"}, {time.Second + 1, "a", 2, errBroken, "2 broken"}}},
		{"handing it out makes it no younger", policies.StaleConfig{MaxAge: 2 * time.Second}, []staleStep{
			{0, "a", 1, nil, "1"}, {2 * time.Second, "a", 2, errBroken, "1 of 2s ago, broken"}, {1, "a", 2, errBroken, "2 broken"},
		}},
		{"an answer that there is none", policies.StaleConfig{}, []staleStep{{0, "a", 1, nil, "1"}, {0, "a", 2, notFound, "2 no such object"}, {0, "a", 3, errBroken, "3 broken"}}},
		{"an error that is none of the dependency's", policies.StaleConfig{}, []staleStep{{0, "a", 1, nil, "1"}, {0, "a", 2, ignored, "2 broken"}, {0, "a", 3, errBroken, "1 of 0s ago, broken"}}},
		{"as many as there may be", policies.StaleConfig{MaxKeys: 2}, []staleStep{
			{0, "a", 1, nil, "1"}, {0, "b", 2, nil, "2"}, {0, "a", 0, errBroken, "1 of 0s ago, broken"}, {0, "c", 3, nil, "3"}, // b goes
			{0, "a", 0, errBroken, "1 of 0s ago, broken"}, {0, "b", 0, errBroken, "0 broken"}, {0, "c", 0, errBroken, "3 of 0s ago, broken"},
			{0, "a", 4, nil, "4"}, {0, "d", 5, nil, "5"}, // c goes
			{0, "c", 0, errBroken, "0 broken"}, {0, "a", 0, errBroken, "4 of 0s ago, broken"},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, row.config.SingleFlight = range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					stale := policies.NewStale[string, int](row.config)
					chain := fallingBack()
					for i, step := range row.steps {
						time.Sleep(step.after)
						got, err := stale.Call(t.Context(), chain, step.key, giving(step.value, step.err))
						text := fmt.Sprint(got.Value)
						switch {
						case err != nil:
							text += " " + err.Error()
						case got.Stale:
							text += fmt.Sprintf(" of %v ago, %v", time.Since(got.Time), got.Cause)
						case got.Cause != nil || !got.Time.Equal(time.Now()):
							t.Errorf("step %d: %+v", i, got)
						}
						if text != step.want || err != nil && got.Stale {
							t.Errorf("step %d: got %q, want %q", i, text, step.want)
						}
					}
				})
			}
		})
	}
}

// An answer that there is none is one, whether the operation or a policy of the chain judges
// so, and whatever policies are around it.
func TestAStaleForgetsWhatIsGone(t *testing.T) {
	errGone := errors.New("gone")
	judge := func(as middleware.Class) middleware.Policy {
		return middleware.Judge(func(err error) middleware.Verdict {
			if errors.Is(err, errGone) {
				return middleware.Verdict{Class: as}
			}
			return middleware.Verdict{Class: middleware.Failure}
		})
	}
	retry := policies.NewRetry(policies.RetryConfig{})
	all := policies.NewFallback(policies.FallbackConfig{When: func(error) bool { return true }})
	judged := middleware.Judged(errGone, middleware.Verdict{})
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		err   error
		want  int // copies
	}{
		{"the operation judges", fallingBack(), judged, 0},
		{"the operation judges, and all falls back", middleware.NewChain("x", all), judged, 0},
		{"the chain judges", fallingBack(judge(middleware.Success)), errGone, 0},
		{"the chain judges, with a retry", fallingBack(retry, judge(middleware.Success)), errGone, 0},
		{"the chain judges it ignored", fallingBack(judge(middleware.Ignored)), errGone, 1},
		{"the chain judges it a failure", fallingBack(judge(middleware.Failure)), errGone, 1},
		{"nobody judges", fallingBack(), errGone, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			stale := policies.NewStale[string, int](policies.StaleConfig{})
			_, _ = stale.Call(t.Context(), row.chain, "a", giving(1, nil))
			got, err := stale.Call(t.Context(), row.chain, "a", giving(2, row.err))
			if row.want == 0 && (!errors.Is(err, errGone) || got.Stale || got.Value != 2) || stale.Len() != row.want {
				t.Errorf("got %+v, %v, and %d copies", got, err, stale.Len())
			}
			got, err = stale.Call(t.Context(), row.chain, "a", giving(3, errBroken))
			if (err == nil) != (row.want == 1) || got.Stale != (row.want == 1) {
				t.Errorf("in the next outage: got %+v, %v", got, err)
			}
		})
	}
}

// A Stale never has more copies than MaxKeys, and of those used most recently it has all.
func TestAStaleKeepsWhatWasUsedMostRecently(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		most := 1 + random.IntN(6)
		stale := policies.NewStale[int, int](policies.StaleConfig{MaxKeys: most})
		chain := fallingBack()
		var model []int // keys, the one used most recently first
		values := map[int]int{}
		for step := range 500 {
			key := random.IntN(9)
			at := slices.Index(model, key)
			switch random.IntN(5) {
			case 0, 1:
				_, _ = stale.Call(t.Context(), chain, key, giving(step, nil))
				values[key] = step
				if at < 0 && len(model) == most {
					model = model[:most-1]
				}
			case 2, 3:
				got, err := stale.Call(t.Context(), chain, key, giving(-1, errBroken))
				if (err == nil) != (at >= 0) || at >= 0 && got.Value != values[key] {
					t.Fatalf("seed %d, step %d: got %+v, %v for %d of %v", seed, step, got, err, key, model)
				}
				if at < 0 {
					continue
				}
			default:
				stale.Forget(key)
				if at >= 0 {
					model = slices.Delete(model, at, at+1)
				}
				continue
			}
			if at >= 0 {
				model = slices.Delete(model, at, at+1)
			}
			model = slices.Insert(model, 0, key)
			if stale.Len() != len(model) {
				t.Fatalf("seed %d, step %d: %d copies, want %d", seed, step, stale.Len(), len(model))
			}
		}
	}
}

// A chain without a Fallback is an error, before anything has been tried.
func TestAStaleNeedsAFallback(t *testing.T) {
	stale := policies.NewStale[string, int](policies.StaleConfig{})
	chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}))
	if _, err := stale.Call(t.Context(), chain, "a", func(context.Context) (int, error) { t.Error("it ran"); return 1, nil }); err == nil {
		t.Error("no error")
	}
	if _, err := stale.Call(t.Context(), fallingBack(), "a", nil); err == nil {
		t.Error("no operation, and no error")
	}
}

// What a policy answers is no value of the dependency's.
func TestAStaleKeepsValuesOfTheDependencyAlone(t *testing.T) {
	stale := policies.NewStale[string, int](policies.StaleConfig{})
	answers := middleware.PolicyFunc(func(context.Context, middleware.Next) error { return nil })
	if got, err := stale.Call(t.Context(), fallingBack(answers), "a", giving(1, nil)); got != (policies.Copy[int]{}) || err != nil || stale.Len() != 0 {
		t.Errorf("got %+v, %v, and %d copies", got, err, stale.Len())
	}
	nan := policies.NewStale[float64, int](policies.StaleConfig{})
	if _, err := nan.Call(t.Context(), fallingBack(), math.NaN(), giving(1, nil)); err != nil || nan.Len() != 0 {
		t.Errorf("%v, and %d copies of what nobody finds again", err, nan.Len())
	}
}

// A copy that is handed out is not kept again: it may have been forgotten meanwhile.
func TestAStaleForgetsForGood(t *testing.T) {
	stale := policies.NewStale[string, int](policies.StaleConfig{})
	chain := middleware.NewChain("x", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		defer stale.Forget("a")
		return next.Do(ctx)
	}), fallingBack())
	_, _ = stale.Call(t.Context(), fallingBack(), "a", giving(1, nil))
	if got, err := stale.Call(t.Context(), chain, "a", giving(0, errBroken)); got.Value != 1 || err != nil || stale.Len() != 0 {
		t.Errorf("got %+v, %v, and %d copies", got, err, stale.Len())
	}
}

// An older value does not take the place of a newer one.
func TestAStaleKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stale := policies.NewStale[string, int](policies.StaleConfig{})
		late := fallingBack(middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			err := next.Do(ctx)
			time.Sleep(time.Minute)
			return err
		}))
		go func() { _, _ = stale.Call(t.Context(), late, "a", giving(1, nil)) }()
		time.Sleep(time.Second)
		_, _ = stale.Call(t.Context(), fallingBack(), "a", giving(2, nil))
		time.Sleep(time.Hour - time.Second)
		if got, err := stale.Call(t.Context(), fallingBack(), "a", giving(0, errBroken)); got.Value != 2 || err != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// With SingleFlight calls of the same key at the same time share one call through the chain;
// without it each makes its own.
func TestAStaleAgainstAStampede(t *testing.T) {
	for _, shares := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			stale := policies.NewStale[string, int](policies.StaleConfig{SingleFlight: shares})
			bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 100})
			chain := fallingBack(bulkhead, policies.NewHedge(policies.HedgeConfig{Delay: time.Minute, When: always}))
			var runs, staleOnes atomic.Int64
			for range 20 {
				go func() {
					got, err := stale.Call(t.Context(), chain, "a", func(ctx context.Context) (int, error) {
						runs.Add(1)
						if middleware.Attempt(ctx) == 1 {
							<-ctx.Done() // hedged
							return 0, ctx.Err()
						}
						return 7, nil
					})
					if got.Value != 7 || err != nil {
						t.Errorf("got %+v, %v", got, err)
					}
					if got.Stale {
						staleOnes.Add(1)
					}
				}()
			}
			synctest.Wait()
			if n := bulkhead.Status().Running; n != 1 && shares || n != 20 && !shares {
				t.Errorf("sharing %v: %d calls have a place", shares, n)
			}
			time.Sleep(10 * time.Minute)
			if n := runs.Load(); n != 2 && shares || n != 40 && !shares {
				t.Errorf("sharing %v: %d runs", shares, n)
			}
			if n := staleOnes.Load(); n != 0 {
				t.Errorf("%d copies", n)
			}
		})
	}
}

// During an outage those that share a call share the copy and its cause.
func TestAStaleSharesTheCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		stale := policies.NewStale[string, int](policies.StaleConfig{SingleFlight: true})
		chain := middleware.NewChain("x", &seen, policies.NewFallback(policies.FallbackConfig{}))
		_, _ = stale.Call(t.Context(), chain, "a", giving(7, nil))
		var copies atomic.Int64
		for range 20 {
			go func() {
				got, err := stale.Call(t.Context(), chain, "a", func(context.Context) (int, error) { time.Sleep(time.Minute); return 0, errBroken })
				if err == nil && got.Value == 7 && got.Stale && got.Cause == errBroken {
					copies.Add(1)
				}
			}()
		}
		time.Sleep(time.Hour)
		if n := copies.Load(); n != 20 || len(seen.of(middleware.FallbackUsed)) != 1 {
			t.Errorf("%d copies, and %d fallbacks", n, len(seen.of(middleware.FallbackUsed)))
		}
	})
}

// The status counts each call, those that share another one too.
func TestTheStatusOfAStale(t *testing.T) {
	for _, shares := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var seen recorder
			stale := policies.NewStale[string, int](policies.StaleConfig{SingleFlight: shares})
			chain := middleware.NewChain("x", &seen, policies.NewFallback(policies.FallbackConfig{}))
			expect := func(when string, want policies.StaleStatus) {
				t.Helper()
				if got := stale.Status(); got != want {
					t.Errorf("sharing %v, %s: got %+v, want %+v", shares, when, got, want)
				}
			}
			expect("at first", policies.StaleStatus{})
			_, _ = stale.Call(t.Context(), chain, "a", giving(1, nil))
			_, _ = stale.Call(t.Context(), chain, "b", giving(1, nil))
			_, _ = stale.Call(t.Context(), chain, "c", giving(1, errBroken))
			expect("with two copies", policies.StaleStatus{Copies: 2, Calls: 3})
			for range 5 {
				go func() {
					_, _ = stale.Call(t.Context(), chain, "a", func(context.Context) (int, error) { time.Sleep(time.Second); return 0, errBroken })
				}()
			}
			synctest.Wait()
			expect("while five are made", policies.StaleStatus{Copies: 2, Calls: 8})
			time.Sleep(time.Minute)
			expect("when all have got a copy", policies.StaleStatus{Copies: 2, Calls: 8, Stale: 5})
			if n := len(seen.of(middleware.FallbackUsed)); n != 5 && !shares || n != 1 && shares {
				t.Errorf("sharing %v: %d alternatives", shares, n)
			}
			stale.Forget("a")
			_, _ = stale.Call(t.Context(), chain, "a", nil)
			expect("without an operation", policies.StaleStatus{Copies: 1, Calls: 8, Stale: 5})
		})
	}
}

func TestAStaleAtOnce(t *testing.T) {
	for _, shares := range []bool{false, true} {
		stale := policies.NewStale[int, int](policies.StaleConfig{MaxKeys: 3, SingleFlight: shares})
		chain := fallingBack()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for n := range 300 {
					key := (i + n) % 5
					var err error
					if n%3 == 0 {
						err = errBroken
					}
					got, err := stale.Call(t.Context(), chain, key, giving(key, err))
					if err == nil && got.Value != key || stale.Len() > 3 {
						t.Errorf("got %+v of key %d, and %d copies", got, key, stale.Len())
					}
					if n%50 == 0 {
						stale.Forget(key)
					}
				}
			})
		}
		wg.Wait()
	}
}
