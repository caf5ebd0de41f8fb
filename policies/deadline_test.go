package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

func TestADeadlineConforms(t *testing.T) {
	for name, c := range map[string]policies.DeadlineConfig{
		"deadline": {}, "deadline of few calls": {MinCalls: 1}, "deadline that observes": {MinCalls: 1, ObserveOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			middlewaretest.TestPolicy(t, func() middleware.Policy { return policies.NewDeadline(c) })
		})
	}
}

func TestDeadlineSettings(t *testing.T) {
	type config = policies.DeadlineConfig
	for _, row := range []struct {
		config config
		want   string // empty: valid
	}{
		{config{}, ""},
		{config{Quantile: 0.999, MinCalls: math.MaxInt32}, ""},
		{config{Quantile: 1}, "policies: DeadlineConfig.Quantile is 1: it must be above 0 and below 1, or 0 for the default"},
		{config{Quantile: -0.5}, "policies: DeadlineConfig.Quantile is -0.5: it must be above 0 and below 1, or 0 for the default"},
		{config{Quantile: math.NaN()}, "policies: DeadlineConfig.Quantile is NaN: it must be above 0 and below 1, or 0 for the default"},
		{config{MinCalls: -1}, "policies: DeadlineConfig.MinCalls is -1: it must be between 1 and 2147483647, or 0 for the default"},
	} {
		text := func(err any) string {
			if err == nil {
				return ""
			}
			return fmt.Sprint(err)
		}
		err := row.config.Validate()
		if text(err) != row.want {
			t.Errorf("%+v: %v, want %q", row.config, err, row.want)
		}
		if setting, ok := errors.AsType[*policies.SettingError](err); err != nil && (!ok || setting.Config != "DeadlineConfig") {
			t.Errorf("%+v: %T", row.config, err)
		}
		func() {
			defer func() {
				if got := text(recover()); got != row.want {
					t.Errorf("%+v: NewDeadline panicked with %q", row.config, got)
				}
			}()
			policies.NewDeadline(row.config)
		}()
		if got := text(policies.NewDeadline(config{}).Apply(row.config)); got != row.want {
			t.Errorf("%+v: Apply returned %q", row.config, got)
		}
	}
}

// within calls the operation with so much time left.
func within(t *testing.T, chain *middleware.Chain, d time.Duration, op func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return chain.Do(ctx, op)
}

// working is an operation that takes so long, unless its context ends.
func working(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A call is refused that has less time left than calls usually take, one in ten of them is
// not, and none that has as much time or no deadline.
func TestACallWithTooLittleTimeIsRefused(t *testing.T) {
	for _, row := range []struct {
		quantile float64
		usual    time.Duration // of calls that take 1ms, 2ms and so on up to 100ms
	}{{0, 50 * time.Millisecond}, {0.9, 90 * time.Millisecond}, {0.01, time.Millisecond}, {0.99, 99 * time.Millisecond}} {
		t.Run(fmt.Sprint(row.quantile), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				p := policies.NewDeadline(policies.DeadlineConfig{Name: "late", Quantile: row.quantile})
				chain := middleware.NewChain("billing", &seen, p)
				for i := range 100 {
					if err := chain.Do(t.Context(), working(time.Duration(i+1)*time.Millisecond)); err != nil {
						t.Fatal(err)
					}
				}
				usual := p.Usual()
				if usual > row.usual || usual < row.usual-row.usual/16-1 {
					t.Fatalf("calls usually take %v, want a little less than %v", usual, row.usual)
				}
				if err := chain.Do(t.Context(), succeed); err != nil {
					t.Errorf("without a deadline: %v", err)
				}
				for range 100 {
					if err := within(t, chain, usual, fail); err != errBroken {
						t.Fatalf("with as much time: %v", err)
					}
				}
				passed := 0
				for range 1000 {
					err := within(t, chain, usual-1, fail)
					if err == errBroken {
						passed++
						continue
					}
					r := rejection(t, err)
					if want := (middleware.Rejection{Chain: "billing", Policy: "late", Reason: middleware.ErrDeadline}); *r != want || r.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("got %+v", r)
					}
				}
				if passed < 97 || passed > 103 {
					t.Errorf("%d of 1000 calls passed, want one in ten", passed)
				}
				events := seen.of(middleware.Rejected)
				if len(events) != 1000-passed || len(events) != len(seen.events) {
					t.Errorf("%d events for %d refusals", len(events), 1000-passed)
				}
				if e := events[0]; e.Chain != "billing" || e.Policy != "late" || e.Reason != "deadline_too_short" || e.Wait != 0 {
					t.Errorf("event %+v", e)
				}
			})
		})
	}
}

// A call that has no time at all is never let through, unless nothing is known.
func TestACallWithoutTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1}))
		if err := within(t, chain, -1, fail); err != errBroken {
			t.Errorf("nothing is known: %v", err)
		}
		_ = chain.Do(t.Context(), working(time.Second))
		for range 100 {
			if err := within(t, chain, 0, fail); !errors.Is(err, middleware.ErrDeadline) {
				t.Fatalf("calls take a second: %v", err)
			}
		}
	})
}

// When fewer than MinCalls are known none is refused.
func TestADeadlineThatKnowsTooLittleRefusesNothing(t *testing.T) {
	for want, c := range map[int]policies.DeadlineConfig{policies.DefaultDeadlineMinCalls: {}, 3: {MinCalls: 3}} {
		synctest.Test(t, func(t *testing.T) {
			p := policies.NewDeadline(c)
			chain := middleware.NewChain("x", p)
			for i := range want {
				if p.Usual() != 0 {
					t.Fatalf("after %d calls it takes %v for usual", i, p.Usual())
				}
				if err := within(t, chain, 1, fail); err != errBroken {
					t.Fatal(err)
				}
				_ = chain.Do(t.Context(), working(time.Second))
			}
			if err := within(t, chain, 1, fail); !errors.Is(err, middleware.ErrDeadline) {
				t.Errorf("after %d calls: %v", want, err)
			}
		})
	}
}

// What calls usually take is learned from those that succeed.
func TestFromWhichCallsADeadlineLearns(t *testing.T) {
	judged := func(class middleware.Class) func(context.Context) error {
		return func(ctx context.Context) error {
			_ = working(time.Second)(ctx)
			return middleware.Judged(errBroken, middleware.Verdict{Class: class})
		}
	}
	for _, row := range []struct {
		name   string
		before time.Duration // what calls take that are known
		within time.Duration // 0: no deadline
		op     func(context.Context) error
		learns bool
	}{
		{"a success", 0, 0, working(time.Second), true},
		{"a success with an error", 0, 0, judged(middleware.Success), true},
		{"a failure", 0, 0, judged(middleware.Failure), false},
		{"a refusal", 0, 0, judged(middleware.Throttled), false},
		{"a refusal further in", 0, 0, judged(middleware.Ignored), false},
		{"a success in time", 100 * time.Millisecond, 2 * time.Second, working(time.Second), true},
		{"a failure in time", 100 * time.Millisecond, 2 * time.Second, judged(middleware.Failure), false},
		{"a call that was cut", 100 * time.Millisecond, time.Second, working(time.Hour), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1})
				chain := middleware.NewChain("x", p)
				if row.before > 0 {
					_ = chain.Do(t.Context(), working(row.before))
				}
				before := p.Usual()
				for range 20 {
					if row.within > 0 {
						_ = within(t, chain, row.within, row.op)
					} else {
						_ = chain.Do(t.Context(), row.op)
					}
				}
				usual := p.Usual()
				if learned := usual > 900*time.Millisecond && usual <= time.Second; learned != row.learns || !learned && usual != before {
					t.Errorf("calls usually take %v, before it was %v", usual, before)
				}
			})
		})
	}
}

// It mends itself: a dependency that was slow and is quick again gets all its calls back,
// although each of them has less time than calls took.
func TestADeadlineMendsItself(t *testing.T) {
	for _, row := range []struct {
		name            string
		pause, from, to time.Duration
	}{
		{"busy", 10 * time.Millisecond, 5 * time.Second, 10 * time.Second}, // one in ten is more than there were
		{"quiet", time.Second, 20 * time.Second, time.Minute},              // the old calls are forgotten
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := policies.NewDeadline(policies.DeadlineConfig{})
				chain := middleware.NewChain("x", p)
				for range 60 {
					_ = chain.Do(t.Context(), working(500*time.Millisecond))
				}
				passed, last, begin := 0, time.Duration(0), time.Now()
				for time.Since(begin) < 3*time.Minute {
					switch err := within(t, chain, 100*time.Millisecond, working(time.Millisecond)); {
					case err == nil:
						passed++
					case errors.Is(err, middleware.ErrDeadline):
						last = time.Since(begin)
					default:
						t.Fatal(err)
					}
					time.Sleep(row.pause)
				}
				if last < row.from || last > row.to {
					t.Errorf("the last call was refused after %v", last)
				}
				if usual := p.Usual(); usual > time.Millisecond || usual < 900*time.Microsecond {
					t.Errorf("calls usually take %v", usual)
				}
			})
		})
	}
}

// A dependency that stays slow is asked by one in ten of the callers who are all in a hurry
// and otherwise left alone.
func TestADependencyThatStaysSlowIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewDeadline(policies.DeadlineConfig{})
		chain := middleware.NewChain("x", p)
		var calls, came int
		var wg sync.WaitGroup
		for i := range 12_000 { // ten minutes; every twentieth caller has time
			d := 100 * time.Millisecond
			if i%20 == 0 {
				d = time.Second
			}
			wg.Go(func() {
				calls++
				_ = within(t, chain, d, func(ctx context.Context) error { came++; return working(500 * time.Millisecond)(ctx) })
			})
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
		}
		wg.Wait()
		// One in twenty, one in ten of the others, and all until 20 of the former are known.
		if share := float64(came) / float64(calls); math.Abs(share-0.174) > 0.005 {
			t.Errorf("%v of the calls were sent, calls usually take %v", share, p.Usual())
		}
	})
}

func TestADeadlineThatObservesRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1, ObserveOnly: true}))
		_ = chain.Do(t.Context(), working(time.Second))
		for range 100 {
			if err := within(t, chain, time.Millisecond, fail); err != errBroken {
				t.Fatal(err)
			}
		}
		events := seen.of(middleware.WouldReject)
		if len(events) < 88 || len(events) > 92 || len(events) != len(seen.events) || events[0].Reason != "deadline_too_short" {
			t.Errorf("events %+v", events)
		}
	})
}

// A streamed result counts until it begins.
func TestADeadlineAndAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1})
		_, end, err := middleware.Stream(t.Context(), middleware.NewChain("x", p), func(ctx context.Context) (int, error) { return 7, working(time.Second)(ctx) }, nil)
		time.Sleep(10 * time.Second)
		end()
		if usual := p.Usual(); err != nil || usual < 900*time.Millisecond || usual > time.Second {
			t.Errorf("%v; calls usually take %v", err, usual)
		}
	})
}

func TestApplyKeepsWhatADeadlineKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewDeadline(policies.DeadlineConfig{Name: "first"})
		chain := middleware.NewChain("x", p)
		for i := range 100 {
			_ = chain.Do(t.Context(), working(time.Duration(i+1)*time.Millisecond))
		}
		got := reportsOf(p)
		if len(got) != 1 || !strings.HasPrefix(got[0], "deadline/first Quantile=0.5 MinCalls=20 usual:0.04") {
			t.Errorf("reports %v", got)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = chain.Do(t.Context(), working(10*time.Millisecond)) }) // begins before, ends after
		synctest.Wait()
		if err := p.Apply(policies.DeadlineConfig{Name: "second", Quantile: 0.9, MinCalls: 101}); err != nil {
			t.Fatal(err)
		}
		if usual := p.Usual(); usual != 0 {
			t.Errorf("with 100 calls, and 101 that must be known, calls usually take %v", usual)
		}
		wg.Wait()
		got = reportsOf(p)
		if len(got) != 1 || !strings.HasPrefix(got[0], "deadline/first Quantile=0.9 MinCalls=101 usual:0.08") {
			t.Errorf("reports %v", got)
		}
		if err := p.Apply(policies.DeadlineConfig{Quantile: 2}); err == nil || !slices.Equal(reportsOf(p), got) {
			t.Errorf("settings that are not valid: %v, %v", err, reportsOf(p))
		}
		if err := p.Apply(policies.DeadlineConfig{Quantile: 0.1, MinCalls: 1, ObserveOnly: true}); err != nil {
			t.Fatal(err)
		}
		got = reportsOf(p)
		if len(got) != 1 || !strings.HasPrefix(got[0], "deadline/first Quantile=0.1 MinCalls=1 ObserveOnly=on usual:0.009") {
			t.Errorf("reports %v", got)
		}
	})
}

// Many calls at once, whatever else goes on.
func TestManyCallsOfADeadlineAtOnce(t *testing.T) {
	p := policies.NewDeadline(policies.DeadlineConfig{MinCalls: 1})
	chain := middleware.NewChain("x", p)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 1000 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%100)*time.Microsecond)
				_ = chain.Do(ctx, succeed)
				_ = chain.Do(t.Context(), succeed)
				cancel()
				if n%100 == 0 {
					_ = p.Apply(policies.DeadlineConfig{MinCalls: 1 + n/100, Quantile: 0.1 + float64(n%7)/10})
					_ = reportsOf(p)
				}
			}
		})
	}
	wg.Wait()
}
