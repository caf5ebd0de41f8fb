package policies_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestABudgetBoundsRetries(t *testing.T) {
	for _, row := range []struct {
		name   string
		config policies.BudgetConfig
		calls  int
		want   int // further attempts, of two for each call
	}{
		{"off", policies.BudgetConfig{Ratio: -1}, 100, 200},
		{"off, whatever the floor is", policies.BudgetConfig{Ratio: -1, MinPerSecond: -1}, 100, 200},
		{"no floor", policies.BudgetConfig{Ratio: 0.25, MinPerSecond: -1}, 100, 25},
		{"no floor and the default ratio", policies.BudgetConfig{MinPerSecond: -1}, 100, 20},
		{"a ratio that floats cannot hold", policies.BudgetConfig{Ratio: 0.29, MinPerSecond: -1}, 100, 29},
		{"few calls have the floor", policies.BudgetConfig{Ratio: 0.25, MinPerSecond: 2, Window: 5 * time.Second}, 30, 10},
		{"many have the ratio", policies.BudgetConfig{Ratio: 0.25, MinPerSecond: 2, Window: 5 * time.Second}, 80, 20},
		{"a floor below one", policies.BudgetConfig{Ratio: 0.001, MinPerSecond: 0.3}, 10, 3},
		{"less than one is none", policies.BudgetConfig{Ratio: 0.09, MinPerSecond: -1}, 10, 0},
		{"the defaults", policies.BudgetConfig{}, 200, 100},
		{"more than one for each call", policies.BudgetConfig{Ratio: 1.5, MinPerSecond: -1}, 20, 30},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for name, engine := range map[string]policies.RetryEngine{"loop": nil, "engine": loop{}} {
					budget := policies.NewBudget(row.config)
					var seen recorder
					chain := middleware.NewChain("x", &seen, policies.NewRetry(policies.RetryConfig{Delay: 1, Jitter: -1, Budget: budget, Engine: engine}))
					runs, refused := 0, 0
					for range row.calls {
						err := chain.Do(t.Context(), func(context.Context) error { runs++; return errBroken })
						if errors.Is(err, middleware.ErrBudgetExhausted) {
							refused++
						}
						if !errors.Is(err, errBroken) {
							t.Fatalf("got %v, want the last error", err)
						}
					}
					if got := runs - row.calls; got != row.want {
						t.Errorf("%s: %d further attempts for %d calls, want %d", name, got, row.calls, row.want)
					}
					stopped := 0
					for _, e := range seen.of(middleware.RetryStopped) {
						if e.Reason == "budget" {
							stopped++
						}
					}
					if stopped != refused || (refused == 0) != (row.want == 2*row.calls) {
						t.Errorf("%s: %d events for %d calls that the budget ended", name, stopped, refused)
					}
					if s := budget.Status(); row.config.Ratio < 0 && (s != policies.BudgetStatus{Left: math.MaxInt}) ||
						row.config.Ratio >= 0 && (s != policies.BudgetStatus{Calls: row.calls, Extra: row.want}) {
						t.Errorf("%s: the status is %+v", name, s)
					}
				}
			})
		})
	}
}

// A loop is a RetryEngine.
type loop struct{}

func (loop) Run(ctx context.Context, attempt func(context.Context) (time.Duration, bool)) error {
	for {
		wait, again := attempt(ctx)
		if !again {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestTheWindowOfABudgetReachesBackAsLongAsItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, offset := range []time.Duration{0, 1, 350 * time.Millisecond, 999 * time.Millisecond} {
			budget := policies.NewBudget(policies.BudgetConfig{Ratio: 0.001, MinPerSecond: 0.1})
			chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 1, Jitter: -1, Budget: budget}))
			refused := func() bool { return errors.Is(chain.Do(t.Context(), fail), middleware.ErrBudgetExhausted) }
			time.Sleep(offset)
			if refused() {
				t.Fatal("the first attempt was refused")
			}
			time.Sleep(policies.DefaultBudgetWindow - time.Millisecond)
			if !refused() {
				t.Errorf("offset %v: two attempts in less than the window", offset)
			}
			time.Sleep(policies.DefaultBudgetWindow/10 + time.Millisecond)
			if refused() {
				t.Errorf("offset %v: the attempt still counts after a tenth more than the window", offset)
			}
		}
	})
}

func TestARetryThatTheBudgetStopsSaysWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
		var seen recorder
		none := policies.NewBudget(policies.BudgetConfig{Ratio: 0.1, MinPerSecond: -1})
		chain := middleware.NewChain("x", &seen, outer, policies.NewRetry(policies.RetryConfig{Jitter: -1, Budget: none}))
		begin := time.Now()
		got, end, err := middleware.Stream(t.Context(), chain,
			func(context.Context) (string, error) { return "response", errBroken }, func(string) { t.Error("discarded") })
		defer end()
		if time.Since(begin) != 0 {
			t.Error("it waited")
		}
		r := rejection(t, err)
		if got != "response" || !errors.Is(err, errBroken) || r.Reason != middleware.ErrBudgetExhausted || r.Policy != "retry" || r.Timeout() {
			t.Errorf("got %q, %+v, want the last error with its result", got, r)
		}
		if want := "x: retry: the budget for further attempts is spent, retry after 100ms; last error: broken"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		if e := seen.of(middleware.RetryStopped); len(e) != 1 || e[0].Reason != "budget" || e[0].Attempt != 1 || e[0].Wait != 100*time.Millisecond {
			t.Errorf("events %+v", e)
		}
		if outer.State() != policies.Open {
			t.Error("a breaker further out did not count the failure")
		}
	})
}

// The budget is asked last: nothing is taken for an attempt that is not made.
func TestNothingIsTakenForAnAttemptThatIsNotMade(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(context.Context, *middleware.Chain)
	}{
		{"a success", func(ctx context.Context, c *middleware.Chain) { _ = c.Do(ctx, succeed) }},
		{"an error that is not to be repeated", func(ctx context.Context, c *middleware.Chain) {
			_ = c.Do(ctx, func(context.Context) error { return judged(middleware.Verdict{Class: middleware.Failure}) })
		}},
		{"a deadline that is too short", func(ctx context.Context, c *middleware.Chain) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = c.Do(ctx, fail)
		}},
		{"a wait that is too long", func(ctx context.Context, c *middleware.Chain) {
			_ = c.Do(ctx, func(context.Context) error {
				return judged(middleware.Verdict{Class: middleware.Throttled, Retry: true, After: time.Hour})
			})
		}},
		{"a caller that has gone", func(ctx context.Context, c *middleware.Chain) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_ = c.Do(ctx, func(context.Context) error { return judged(middleware.Verdict{Class: middleware.Failure, Retry: true}) })
		}},
		{"a caller that goes during the wait", func(ctx context.Context, c *middleware.Chain) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(30*time.Second, cancel) // many buckets later
			_ = c.Do(ctx, fail)
		}},
		{"a caller that goes during the wait of its first attempts", func(ctx context.Context, c *middleware.Chain) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Millisecond, cancel)
			_ = c.Do(ctx, fail)
		}},
	} {
		for name, engine := range map[string]policies.RetryEngine{"loop": nil, "engine": loop{}} {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					budget := policies.NewBudget(policies.BudgetConfig{})
					row.do(t.Context(), middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{
						Delay: time.Minute, MaxDelay: time.Minute, Jitter: -1, Budget: budget, Engine: engine,
					})))
					if s := budget.Status(); s.Extra != 0 {
						t.Errorf("%+v, want nothing taken", s)
					}
				})
			})
		}
	}
	// What was taken for an attempt that was made stays, though the wait for the next one ends.
	synctest.Test(t, func(t *testing.T) {
		budget := policies.NewBudget(policies.BudgetConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		_ = middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1, Budget: budget})).Do(ctx, fail)
		if s := budget.Status(); s.Extra != 1 {
			t.Errorf("%+v, want the attempt that was made", s)
		}
	})
}

// A sloppy engine says that the context has ended although it did not wait.
type sloppy struct{}

func (sloppy) Run(ctx context.Context, attempt func(context.Context) (time.Duration, bool)) error {
	_ = loop{}.Run(ctx, attempt)
	return ctx.Err()
}

func TestAnAttemptThatWasMadeIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := policies.NewBudget(policies.BudgetConfig{})
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Budget: budget, Engine: sloppy{}}))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_ = chain.Do(ctx, func(ctx context.Context) error {
			if middleware.Attempt(ctx) == 3 {
				cancel()
			}
			return errBroken
		})
		if s := budget.Status(); s.Extra != 2 {
			t.Errorf("%+v, want two attempts", s)
		}
	})
}

// Each call of a client that makes few counts in the bucket in which it began, although
// nobody asks for a further attempt meanwhile.
func TestTheCallsOfAQuietClientCountInTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := policies.NewBudget(policies.BudgetConfig{})
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Budget: budget}))
		for range 40 {
			time.Sleep(time.Second)
			_ = chain.Do(t.Context(), succeed)
		}
		if s := budget.Status(); s.Calls != 11 {
			t.Errorf("%+v, want the calls of eleven seconds", s)
		}
		time.Sleep(time.Hour)
		_ = chain.Do(t.Context(), succeed)
		if s := budget.Status(); s.Calls != 1 {
			t.Errorf("%+v, want the call that has just begun", s)
		}
	})
}

func TestACallCountsOnce(t *testing.T) {
	always := func(context.Context) bool { return true }
	for _, row := range []struct {
		name   string
		chains func(*policies.Budget) []*middleware.Chain
	}{
		{"retry", func(b *policies.Budget) []*middleware.Chain {
			return []*middleware.Chain{middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Budget: b}))}
		}},
		{"hedge", func(b *policies.Budget) []*middleware.Chain {
			return []*middleware.Chain{middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 1, Budget: b}))}
		}},
		{"a hedge in a retry", func(b *policies.Budget) []*middleware.Chain {
			return []*middleware.Chain{middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Budget: b}),
				policies.NewHedge(policies.HedgeConfig{Delay: 1, When: always, Budget: b}))}
		}},
		{"a retry in a hedge", func(b *policies.Budget) []*middleware.Chain {
			return []*middleware.Chain{middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always, Budget: b}),
				policies.NewRetry(policies.RetryConfig{Budget: b}))}
		}},
		{"a hedge in a retry with another budget", func(b *policies.Budget) []*middleware.Chain {
			return []*middleware.Chain{middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}),
				policies.NewHedge(policies.HedgeConfig{Delay: 1, When: always, Budget: b}))}
		}},
		{"a retry in a retry with another budget, which others share", func(b *policies.Budget) []*middleware.Chain {
			policies.NewRetry(policies.RetryConfig{Budget: b})
			return []*middleware.Chain{middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}), policies.NewRetry(policies.RetryConfig{Budget: b}))}
		}},
		{"two hedges around a retry with another budget", func(b *policies.Budget) []*middleware.Chain {
			return []*middleware.Chain{middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 1, Budget: b}),
				policies.NewRetry(policies.RetryConfig{}), policies.NewHedge(policies.HedgeConfig{Delay: 1, Budget: b}))}
		}},
		{"one retry in several chains, first in some", func(b *policies.Budget) []*middleware.Chain {
			shared := policies.NewRetry(policies.RetryConfig{Budget: b})
			return []*middleware.Chain{
				middleware.NewChain("x", shared),
				middleware.NewChain("y", policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always, Budget: b}), shared),
				middleware.NewChain("z", shared, policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always, Budget: b})),
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				budget := policies.NewBudget(policies.BudgetConfig{Ratio: 1000, Window: time.Hour})
				chains := row.chains(budget)
				for range 5 {
					for _, c := range chains {
						_ = c.Do(t.Context(), fail)
						_ = c.Do(t.Context(), succeed)
					}
				}
				if s := budget.Status(); s.Calls != 10*len(chains) {
					t.Errorf("%+v, want %d calls", s, 10*len(chains))
				}
			})
		})
	}
}

func TestAKeyStaysWhileItsOwnBudgetHoldsAnything(t *testing.T) {
	const window, idle = time.Hour, time.Minute
	shared := func() *policies.Budget { return policies.NewBudget(policies.BudgetConfig{Window: window}) }
	for _, row := range []struct {
		name  string
		make  func() func(string) middleware.Policy
		stays bool
	}{
		{"retry", func() func(string) middleware.Policy {
			return func(string) middleware.Policy { return policies.NewRetry(policies.RetryConfig{Budget: shared()}) }
		}, true},
		{"hedge", func() func(string) middleware.Policy {
			return func(string) middleware.Policy {
				return policies.NewHedge(policies.HedgeConfig{Delay: time.Second, Budget: shared()})
			}
		}, true},
		{"off", func() func(string) middleware.Policy {
			return func(string) middleware.Policy {
				return policies.NewRetry(policies.RetryConfig{Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})})
			}
		}, false},
		{"one budget for all", func() func(string) middleware.Policy {
			budget := shared()
			return func(string) middleware.Policy { return policies.NewRetry(policies.RetryConfig{Budget: budget}) }
		}, false},
		{"a short window", func() func(string) middleware.Policy {
			return func(string) middleware.Policy { return policies.NewRetry(policies.RetryConfig{}) }
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keyed := policies.NewKeyed(policies.KeyedConfig{Idle: idle}, row.make())
				chain := middleware.NewChain("x", keyed)
				_ = chain.Do(to(t, "a"), succeed)
				for _, key := range []string{"b", "c", "d"} {
					time.Sleep(idle)
					_ = chain.Do(to(t, key), succeed)
				}
				stays := false
				for key := range keyed.All() {
					stays = stays || key == "a"
				}
				if stays != row.stays {
					t.Errorf("the key stays: %t, want %t", stays, row.stays)
				}
			})
		})
	}
}

func TestABudgetAllocatesNothing(t *testing.T) {
	budget := policies.NewBudget(policies.BudgetConfig{})
	retry := policies.NewRetry(policies.RetryConfig{Budget: budget})
	chain := middleware.NewChain("x", retry, policies.NewHedge(policies.HedgeConfig{Budget: budget}))
	if n := testing.AllocsPerRun(10_000, func() { _ = chain.Do(t.Context(), succeed) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if retry.Budget() != budget || budget.Status().Calls < 10_000 {
		t.Errorf("%+v", budget.Status())
	}
	idempotent := middleware.WithOperation(t.Context(), middleware.Operation{Idempotent: true})
	quick := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{MinCalls: 1 << 30}))
	if n := testing.AllocsPerRun(10_000, func() { _ = quick.Do(idempotent, succeed) }); n != 0 {
		t.Errorf("a hedge that does not know its delay: %v allocations, want none", n)
	}
}

func TestABudgetOfItsOwnHasTheDefaults(t *testing.T) {
	for _, p := range []interface{ Budget() *policies.Budget }{
		policies.NewRetry(policies.RetryConfig{}), policies.NewHedge(policies.HedgeConfig{}),
	} {
		if s := p.Budget().Status(); !slices.Equal([]int{s.Calls, s.Extra, s.Left}, []int{0, 0, 100}) {
			t.Errorf("%T: %+v", p, s)
		}
	}
}
