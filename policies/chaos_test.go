package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// verdicts keeps the verdict that comes out of the policies behind it.
type verdicts struct{ last middleware.Verdict }

func (v *verdicts) Execute(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	v.last = middleware.VerdictOf(err)
	return err
}

// What a Chaos does is judged as if the dependency had done it, and told.
func TestChaosIsJudgedAsTheDependencyIs(t *testing.T) {
	const s = time.Second
	own := errors.New("own")
	failure := middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "chaos"}
	timedOut := middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "timeout"}
	cancelled := middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}
	slow := func(ctx context.Context) error {
		select {
		case <-time.After(5 * s):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, row := range []struct {
		name    string
		config  policies.ChaosConfig
		cancel  time.Duration // of the caller; 0: none
		limit   time.Duration // of a Timeout around it; 0: none
		want    error
		verdict middleware.Verdict
		took    time.Duration
		runs    int
		told    string
	}{
		{"nothing", policies.ChaosConfig{}, 0, 0, nil, middleware.Verdict{}, 5 * s, 1, ""},
		{"an error", policies.ChaosConfig{ErrorRate: 1}, 0, 0, policies.ErrChaos, failure, 0, 0, "injected 1 error"},
		{"one's own error", policies.ChaosConfig{ErrorRate: 1, Err: own}, 0, 0, own,
			middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "error"}, 0, 0, "injected 1 error"},
		{"one's own verdict", policies.ChaosConfig{ErrorRate: 1, Err: middleware.Judged(own, middleware.Verdict{Class: middleware.Throttled, Reason: "status_429"})},
			0, 0, own, middleware.Verdict{Class: middleware.Throttled, Reason: "status_429"}, 0, 0, "injected 1 error"},
		{"latency", policies.ChaosConfig{LatencyRate: 1, Latency: s}, 0, 0, nil, middleware.Verdict{}, 6 * s, 1, "injected 1 1s latency"},
		{"latency, then an error", policies.ChaosConfig{LatencyRate: 1, Latency: s, ErrorRate: 1}, 0, 0, policies.ErrChaos, failure, s, 0,
			"injected 1 1s latency, injected 1 error"},
		{"latency, cancelled", policies.ChaosConfig{LatencyRate: 1, Latency: 3 * s}, s, 0, context.Canceled, cancelled, s, 0, "injected 1 3s latency"},
		{"latency, out of time", policies.ChaosConfig{LatencyRate: 1, Latency: 3 * s}, 0, s, middleware.ErrTimeout, timedOut, s, 0, "injected 1 3s latency"},
		{"hang, cancelled", policies.ChaosConfig{HangRate: 1}, 2 * s, 0, context.Canceled, cancelled, 2 * s, 0, "injected 1 hang"},
		{"hang, out of time", policies.ChaosConfig{HangRate: 1}, 0, s, middleware.ErrTimeout, timedOut, s, 0, "injected 1 hang"},
		{"cut", policies.ChaosConfig{CutRate: 1, CutAfter: s}, 0, 0, policies.ErrChaos, failure, s, 1, "injected 1 1s cut"},
		{"cut at once", policies.ChaosConfig{CutRate: 1}, 0, 0, policies.ErrChaos, failure, 0, 1, "injected 1 cut"},
		{"cut too late", policies.ChaosConfig{CutRate: 1, CutAfter: 6 * s}, 0, 0, nil, middleware.Verdict{}, 5 * s, 1, ""},
		{"cancelled before the cut", policies.ChaosConfig{CutRate: 1, CutAfter: 2 * s}, s, 0, context.Canceled, cancelled, s, 1, ""},
		{"cut before the time is up", policies.ChaosConfig{CutRate: 1, CutAfter: s}, 0, 2 * s, policies.ErrChaos, failure, s, 1, "injected 1 1s cut"},
		{"out of time before the cut", policies.ChaosConfig{CutRate: 1, CutAfter: 2 * s}, 0, s, middleware.ErrTimeout, timedOut, s, 1, ""},
		{"an outcome", policies.ChaosConfig{OutcomeRate: 1, Outcome: func(_ context.Context, err error) error {
			return middleware.Judged(own, middleware.Verdict{Class: middleware.Throttled})
		}}, 0, 0, own, middleware.Verdict{Class: middleware.Throttled}, 5 * s, 1, "injected 1 outcome"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				var judged verdicts
				row.config.Enabled = true
				chaos := policies.NewChaos(row.config)
				inner := middleware.NewChain("", &judged, chaos)
				if row.limit > 0 {
					inner = middleware.NewChain("", &judged, policies.NewTimeout(policies.TimeoutConfig{Limit: row.limit}), chaos)
				}
				chain := middleware.NewChain("x", &seen, inner)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if row.cancel > 0 {
					time.AfterFunc(row.cancel, cancel)
				}
				begin, runs := time.Now(), 0
				err := chain.Do(ctx, func(ctx context.Context) error { runs++; return slow(ctx) })
				if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
					t.Errorf("got %v, want %v", err, row.want)
				}
				if row.want != context.Canceled && errors.Is(err, context.Canceled) {
					t.Errorf("%v claims that the caller cancelled", err)
				}
				if judged.last != row.verdict || time.Since(begin) != row.took || runs != row.runs {
					t.Errorf("verdict %+v after %v and %d runs, want %+v after %v and %d", judged.last, time.Since(begin), runs, row.verdict, row.took, row.runs)
				}
				seen.events = slices.DeleteFunc(seen.events, func(e middleware.Event) bool { return e.Kind != middleware.Injected })
				if got := told(&seen); got != row.told {
					t.Errorf("told %q, want %q", got, row.told)
				}
				n := 0.0
				if row.told != "" {
					n = float64(strings.Count(row.told, "injected"))
				}
				if got := readingOf(chaos, "injected"); got != n {
					t.Errorf("counted %v, want %v", got, n)
				}
			})
		})
	}
}

// Outcome gets the error of the call and has the last word.
func TestAnOutcomeIsChanged(t *testing.T) {
	var got []error
	chaos := policies.NewChaos(policies.ChaosConfig{Enabled: true, OutcomeRate: 1, Outcome: func(_ context.Context, err error) error {
		got = append(got, middleware.Unjudged(err))
		if err == nil {
			return errBroken
		}
		return nil
	}})
	chain := middleware.NewChain("x", chaos)
	n, err := middleware.Call(t.Context(), chain, func(context.Context) (int, error) { return 1, nil })
	if n != 0 || err != errBroken {
		t.Errorf("a success became %d, %v", n, err)
	}
	n, err = middleware.Call(t.Context(), chain, func(context.Context) (int, error) { return 2, errBroken })
	if n != 0 || err != nil {
		t.Errorf("a failure became %d, %v", n, err)
	}
	if !slices.Equal(got, []error{nil, errBroken}) {
		t.Errorf("it got %v", got)
	}
}

// The context of a streamed result ends in the middle of it, with a cause that tells it from
// the caller's cancellation.
func TestAResultIsCutWhileItIsRead(t *testing.T) {
	for _, row := range []struct {
		name string
		read time.Duration
		cut  bool
	}{{"in the middle", 5 * time.Second, true}, {"after its end", time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			var seen recorder
			chain := middleware.NewChain("x", &seen, policies.NewChaos(policies.ChaosConfig{Enabled: true, CutRate: 1, CutAfter: 3 * time.Second}))
			begin := time.Now()
			inner, end, err := middleware.Stream(t.Context(), chain, func(ctx context.Context) (context.Context, error) {
				time.Sleep(time.Second)
				return ctx, nil
			}, nil)
			if err != nil || inner.Err() != nil {
				t.Fatalf("got %v, the context says %v", err, inner.Err())
			}
			select {
			case <-inner.Done():
				if cause := context.Cause(inner); !row.cut || !errors.Is(cause, policies.ErrChaos) || time.Since(begin) != 3*time.Second {
					t.Errorf("%s: ended after %v because of %v", row.name, time.Since(begin), cause)
				}
			case <-time.After(row.read):
				if row.cut {
					t.Errorf("%s: it goes on", row.name)
				}
			}
			end()
			if got := len(seen.of(middleware.Injected)); got == 1 != row.cut {
				t.Errorf("%s: %d events", row.name, got)
			}
			time.Sleep(time.Minute) // no timer is left that would tell of it
			if got := len(seen.of(middleware.Injected)); got == 1 != row.cut {
				t.Errorf("%s: %d events afterwards", row.name, got)
			}
		})
	}
}

// What happened to a call, as one letter.
func fate(ctx context.Context, chain *middleware.Chain) string {
	begin := time.Now()
	ran := false
	err := chain.Do(ctx, func(ctx context.Context) error {
		ran = true
		time.Sleep(ms)
		return ctx.Err()
	})
	var word string
	switch r, rejected := errors.AsType[*middleware.Rejection](err); {
	case rejected && !ran && r.Policy == "timeout":
		word = "h" // it hangs
	case errors.Is(err, policies.ErrChaos) && ran:
		word = "c"
	case errors.Is(err, policies.ErrChaos):
		word = "e"
	case err == errBroken:
		word = "o"
	case err == nil:
		word = "."
	default:
		word = fmt.Sprint("?", err)
	}
	if d := time.Since(begin); d%time.Minute >= time.Second && d%time.Minute < 10*time.Second {
		word = strings.ToUpper(word) + "'"
	}
	return word
}

func everything(seed uint64) policies.ChaosConfig {
	return policies.ChaosConfig{
		Enabled: true, Seed: seed, LatencyRate: 0.25, Latency: time.Second, ErrorRate: 0.1, HangRate: 0.2, CutRate: 0.3, OutcomeRate: 0.15,
		Outcome: func(context.Context, error) error { return errBroken },
	}
}

// Of two runs with the same seed the first calls meet the same, the second ones, and so on,
// whatever their results.
func TestASeedMakesTheChoiceTheSame(t *testing.T) {
	run := func(seed uint64, calls int) (all string) {
		synctest.Test(t, func(t *testing.T) {
			chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Minute}), policies.NewChaos(everything(seed)))
			for range calls {
				all += fate(t.Context(), chain)
			}
		})
		return all
	}
	first := run(42, 300)
	for range 3 {
		if again := run(42, 300); again != first {
			t.Fatalf("the same seed gives\n%s\nand\n%s", first, again)
		}
	}
	if strings.Contains(first, "?") || !strings.HasPrefix(first, run(42, 100)) {
		t.Errorf("got %s", first)
	}
	if run(43, 300) == first {
		t.Error("another seed makes no difference")
	}
	if by, chance := run(0, 300), run(0, 300); by == chance {
		t.Error("without a seed the choice is the same each time")
	}
}

// Each disturbance has its share of the calls.
func TestEachDisturbanceHasItsShareOfTheCalls(t *testing.T) {
	const calls = 20_000
	for _, seed := range []uint64{1, 2, math.MaxUint64} {
		synctest.Test(t, func(t *testing.T) {
			count := make(map[string]float64)
			o := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
				if e.Kind == middleware.Injected {
					count[e.Reason]++
				}
			})
			config := everything(seed)
			chain := middleware.NewChain("x", o, policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Minute}), policies.NewChaos(config))
			for range calls {
				_ = fate(t.Context(), chain)
			}
			for reason, rate := range map[string]float64{
				"latency": config.LatencyRate, "error": config.ErrorRate, "hang": config.HangRate, "cut": config.CutRate, "outcome": config.OutcomeRate,
			} {
				// Four standard deviations: the seeds are fixed, so this does not depend on luck.
				if got, most := count[reason]/calls, 4*math.Sqrt(rate*(1-rate)/calls); math.Abs(got-rate) > most {
					t.Errorf("seed %d: the share of %s is %.4f, want %.4f ± %.4f", seed, reason, got, rate, most)
				}
			}
		})
	}
}

// Calls that may not be disturbed are not, and are not among those that the seed counts.
func TestCallsThatMayNotBeDisturbedAreNot(t *testing.T) {
	type key struct{}
	when := func(ctx context.Context) bool { return ctx.Value(key{}) != nil }
	synctest.Test(t, func(t *testing.T) {
		may := context.WithValue(t.Context(), key{}, true)
		fates := func(disturb bool) (all string) {
			config := everything(7)
			config.When = when
			chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Minute}), policies.NewChaos(config))
			for range 100 {
				if disturb {
					if f := fate(t.Context(), chain); f != "." {
						t.Errorf("disturbed: %s", f)
					}
				}
				all += fate(may, chain)
			}
			return all
		}
		if fates(false) != fates(true) {
			t.Error("calls that may not be disturbed change what happens to the others")
		}
	})
}

// A Chaos ends by itself after For, and disturbs when it is armed and no longer.
func TestAChaosIsArmedForAWhile(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name  string
		limit time.Duration
		steps func(*policies.Chaos) // after five seconds
		want  [4]bool               // at the beginning, after five seconds, after ten, and a day
	}{
		{"for ever", 0, nil, [4]bool{true, true, true, true}},
		{"for ten seconds", 10 * s, nil, [4]bool{true, true, false, false}},
		{"disarmed", 0, (*policies.Chaos).Disarm, [4]bool{true, false, false, false}},
		{"disarmed before its end", 10 * s, (*policies.Chaos).Disarm, [4]bool{true, false, false, false}},
		{"armed again", 4 * s, func(c *policies.Chaos) { c.Arm(6 * s) }, [4]bool{true, true, true, false}},
		{"armed for less", time.Hour, func(c *policies.Chaos) { c.Arm(s) }, [4]bool{true, true, false, false}},
		{"armed for ever", 10 * s, func(c *policies.Chaos) { c.Arm(0) }, [4]bool{true, true, true, true}},
		{"armed for longer than there is time", 10 * s, func(c *policies.Chaos) { c.Arm(math.MaxInt64) }, [4]bool{true, true, true, true}},
		{"other settings", 10 * s, func(c *policies.Chaos) {
			if err := c.Apply(policies.ChaosConfig{Enabled: true, ErrorRate: 1, For: time.Hour}); err != nil {
				panic(err)
			}
		}, [4]bool{true, true, false, false}},
		{"other settings when it is over", 4 * s, func(c *policies.Chaos) {
			if err := c.Apply(policies.ChaosConfig{Enabled: true, ErrorRate: 1}); err != nil {
				panic(err)
			}
		}, [4]bool{true, false, false, false}},
	} {
		synctest.Test(t, func(t *testing.T) {
			chaos := policies.NewChaos(policies.ChaosConfig{Enabled: true, ErrorRate: 1, For: row.limit})
			chain := middleware.NewChain("x", chaos)
			var got [4]bool
			for i, wait := range []time.Duration{0, 5 * s, 5 * s, 24 * time.Hour} {
				time.Sleep(wait)
				if i == 1 && row.steps != nil {
					row.steps(chaos)
				}
				got[i] = chain.Do(t.Context(), succeed) != nil
				if chaos.Armed() != got[i] || readingOf(chaos, "armed") == 1 != got[i] {
					t.Errorf("%s: at step %d it disturbs: %t, armed: %t", row.name, i, got[i], chaos.Armed())
				}
			}
			if got != row.want {
				t.Errorf("%s: disturbed %v, want %v", row.name, got, row.want)
			}
		})
	}
}

// The settings of a Chaos change without the choice beginning anew.
func TestAChaosGoesOnCountingWhenItsSettingsChange(t *testing.T) {
	run := func(apply bool) (all string) {
		chaos := policies.NewChaos(policies.ChaosConfig{Enabled: true, Seed: 5, ErrorRate: 0.5})
		chain := middleware.NewChain("x", chaos)
		for i := range 200 {
			if apply && i == 100 {
				if err := chaos.Apply(policies.ChaosConfig{Enabled: true, ErrorRate: 0.5}); err != nil {
					t.Error(err)
				}
			}
			if chain.Do(t.Context(), succeed) != nil {
				all += "e"
			} else {
				all += "."
			}
		}
		return all
	}
	if a, b := run(false), run(true); a != b {
		t.Errorf("\n%s\n%s", a, b)
	}
}

// The retries and the breaker of a chain meet a Chaos as they would a dependency.
func TestPoliciesMeetAChaosAsTheyWouldADependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3})
		chaos := policies.NewChaos(policies.ChaosConfig{Enabled: true, ErrorRate: 1, For: time.Second})
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: ms}), breaker, chaos)
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, policies.ErrChaos) || breaker.State() != policies.Open {
			t.Errorf("got %v, the breaker is %v", err, breaker.State())
		}
		time.Sleep(time.Minute)
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Errorf("when it is over: %v", err)
		}
	})
}

func TestAChaosIsSafeForConcurrentUse(t *testing.T) {
	config := everything(0)
	config.Latency, config.HangRate = 1, 0
	chaos := policies.NewChaos(config)
	chain := middleware.NewChain("x", chaos)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				_, end, _ := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) { return 1, ctx.Err() }, nil)
				end()
				switch i % 50 {
				case 10:
					chaos.Disarm()
				case 20:
					chaos.Arm(time.Duration(1 + rand.IntN(1000)))
				case 30:
					chaos.Arm(0)
				case 40:
					_ = chaos.Apply(config)
				}
			}
		})
	}
	wg.Wait()
}

// A panic of the operation, or its runtime.Goexit, leaves no timer that would tell of a cut.
func TestACallThatDoesNotReturnIsNotCutAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewChaos(policies.ChaosConfig{Enabled: true, CutRate: 1, CutAfter: time.Second}))
		func() {
			defer func() { _ = recover() }()
			_ = chain.Do(t.Context(), func(context.Context) error { panic("now") })
		}()
		time.Sleep(time.Minute)
		if n := len(seen.of(middleware.Injected)); n != 0 {
			t.Errorf("%d events", n)
		}
	})
}
