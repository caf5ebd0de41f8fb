package policies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

const ms = time.Millisecond

func always(context.Context) bool { return true }

// An outcome is what a run does: after a time, unless its context ends before, it
// returns a value and an error.
type outcome struct {
	after time.Duration
	err   error
	deaf  bool // to its context
}

// A stage runs the outcomes as the attempts of one streamed call, and remembers what
// became of their values.
type stage struct {
	outcomes []outcome

	mu        sync.Mutex
	began     []time.Duration
	attempts  []int
	contexts  []context.Context
	discarded []int
	start     time.Time
}

func newStage(outcomes ...outcome) *stage { return &stage{outcomes: outcomes, start: time.Now()} }

// run returns the number of the run as its value.
func (s *stage) run(ctx context.Context) (int, error) {
	s.mu.Lock()
	n := len(s.began)
	s.began = append(s.began, time.Since(s.start))
	s.attempts = append(s.attempts, middleware.Attempt(ctx))
	s.contexts = append(s.contexts, ctx)
	s.mu.Unlock()
	if n >= len(s.outcomes) {
		return n + 1, fmt.Errorf("run %d was not to be", n+1)
	}
	o := s.outcomes[n]
	if o.deaf {
		time.Sleep(o.after)
		return n + 1, o.err
	}
	select {
	case <-time.After(o.after):
		return n + 1, o.err
	case <-ctx.Done():
		return n + 1, ctx.Err()
	}
}

func (s *stage) discard(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discarded = append(s.discarded, n)
}

// sum returns the discarded results in order, once the runs have ended.
func (s *stage) sum() []int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.discarded)
	return s.discarded
}

// told returns the events in short.
func told(seen *recorder) string {
	seen.mu.Lock()
	defer seen.mu.Unlock()
	var all []string
	for _, e := range seen.events {
		word := fmt.Sprintf("%s %d", e.Kind, e.Attempt)
		if e.Wait != 0 {
			word += " " + e.Wait.String()
		}
		if e.Reason != "" {
			word += " " + e.Reason
		}
		all = append(all, word)
	}
	return strings.Join(all, ", ")
}

func TestHedge(t *testing.T) {
	other := errors.New("another")
	missing := middleware.Judged(errors.New("missing"), middleware.Verdict{Reason: "not_found"})
	busy := judged(middleware.Verdict{Class: middleware.Throttled, Retry: true})
	wait := judged(middleware.Verdict{Class: middleware.Failure, Retry: true, After: time.Second})
	refused := &middleware.Rejection{Chain: "elsewhere", Reason: middleware.ErrOpen}
	ignored := middleware.Judged(other, middleware.Verdict{Class: middleware.Ignored})
	for _, row := range []struct {
		name   string
		config policies.HedgeConfig
		runs   []outcome
		value  int // the number of the run
		err    error
		took   time.Duration
		began  []time.Duration
		events string
	}{
		{"quicker than the delay", policies.HedgeConfig{}, []outcome{{after: 9 * ms}}, 1, nil, 9 * ms, []time.Duration{0}, ""},
		{"the first wins", policies.HedgeConfig{}, []outcome{{after: 15 * ms}, {after: 10 * ms}}, 1, nil, 15 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"the hedge wins", policies.HedgeConfig{}, []outcome{{after: time.Hour}, {after: 5 * ms}}, 2, nil, 15 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms, hedge_won 2"},
		{"one hedge by default", policies.HedgeConfig{}, []outcome{{after: time.Hour}, {after: time.Minute}}, 2, nil, time.Minute + 10*ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms, hedge_won 2"},
		{"the third wins", policies.HedgeConfig{MaxHedges: 2}, []outcome{{after: time.Hour}, {after: time.Hour}, {after: ms}, {}}, 3, nil, 21 * ms,
			[]time.Duration{0, 10 * ms, 20 * ms}, "hedge_started 2 10ms, hedge_started 3 20ms, hedge_won 3"},
		{"the second of three wins", policies.HedgeConfig{MaxHedges: 2}, []outcome{{after: time.Hour}, {after: 15 * ms}, {after: time.Hour}}, 2, nil, 25 * ms,
			[]time.Duration{0, 10 * ms, 20 * ms}, "hedge_started 2 10ms, hedge_started 3 20ms, hedge_won 2"},
		{"a success with an error wins", policies.HedgeConfig{}, []outcome{{after: time.Hour}, {after: ms, err: missing}}, 2, missing, 11 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms, hedge_won 2"},
		{"a success with an error of the first wins", policies.HedgeConfig{}, []outcome{{after: 12 * ms, err: missing}, {after: time.Hour}}, 1, missing, 12 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"a failure before the delay is returned at once", policies.HedgeConfig{}, []outcome{{after: 9 * ms, err: errBroken}}, 1, errBroken, 9 * ms,
			[]time.Duration{0}, ""},
		{"a failure of the first waits for the hedge", policies.HedgeConfig{}, []outcome{{after: 15 * ms, err: errBroken}, {after: 20 * ms}}, 2, nil, 30 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms, hedge_won 2"},
		{"a failure of the hedge waits for the first", policies.HedgeConfig{}, []outcome{{after: 30 * ms}, {after: ms, err: errBroken}}, 1, nil, 30 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"all fail, the hedge last", policies.HedgeConfig{}, []outcome{{after: 15 * ms, err: errBroken}, {after: 20 * ms, err: other}}, 2, other, 30 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"all fail, the first last", policies.HedgeConfig{}, []outcome{{after: 35 * ms, err: errBroken}, {after: 20 * ms, err: other}}, 1, errBroken, 35 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"a failure goes before a rejection", policies.HedgeConfig{}, []outcome{{after: 15 * ms, err: errBroken}, {after: 20 * ms, err: refused}}, 1, errBroken, 30 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"a failure goes before a rejection that came first", policies.HedgeConfig{}, []outcome{{after: 15 * ms, err: refused}, {after: 20 * ms, err: errBroken}}, 2, errBroken, 30 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"a failure goes before what says nothing", policies.HedgeConfig{}, []outcome{{after: 15 * ms, err: errBroken}, {after: 20 * ms, err: ignored}}, 1, errBroken, 30 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"of several failures the last", policies.HedgeConfig{MaxHedges: 3},
			[]outcome{{after: 35 * ms, err: errBroken}, {after: 26 * ms, err: ignored}, {after: 17 * ms, err: other}, {after: 8 * ms, err: refused}}, 3, other, 38 * ms,
			[]time.Duration{0, 10 * ms, 20 * ms, 30 * ms}, "hedge_started 2 10ms, hedge_started 3 20ms, hedge_started 4 30ms"},
		{"a failure leaves the others their turn", policies.HedgeConfig{MaxHedges: 2},
			[]outcome{{after: 15 * ms, err: errBroken}, {after: time.Hour}, {after: ms}}, 3, nil, 21 * ms,
			[]time.Duration{0, 10 * ms, 20 * ms}, "hedge_started 2 10ms, hedge_started 3 20ms, hedge_won 3"},
		{"no other begins when nothing runs", policies.HedgeConfig{MaxHedges: 2}, []outcome{{after: 15 * ms, err: errBroken}, {after: 6 * ms, err: other}}, 2, other, 16 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"no other begins when the dependency asks for fewer calls", policies.HedgeConfig{MaxHedges: 2},
			[]outcome{{after: 50 * ms}, {after: ms, err: busy}}, 1, nil, 50 * ms, []time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"no other begins when the dependency asks for a wait", policies.HedgeConfig{MaxHedges: 2},
			[]outcome{{after: 50 * ms}, {after: ms, err: wait}}, 1, nil, 50 * ms, []time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
		{"the budget refuses, once", policies.HedgeConfig{MaxHedges: 3, Budget: spent()}, []outcome{{after: 50 * ms}}, 1, nil, 50 * ms,
			[]time.Duration{0}, "hedge_refused 2 10ms budget"},
		{"the budget refuses, and the call fails", policies.HedgeConfig{Budget: spent()}, []outcome{{after: 50 * ms, err: errBroken}}, 1, errBroken, 50 * ms,
			[]time.Duration{0}, "hedge_refused 2 10ms budget"},
		{"not idempotent", policies.HedgeConfig{When: func(context.Context) bool { return false }}, []outcome{{after: 50 * ms}}, 1, nil, 50 * ms, []time.Duration{0}, ""},
		{"by default what the operation says, which is no", policies.HedgeConfig{When: operation}, []outcome{{after: 50 * ms}}, 1, nil, 50 * ms, []time.Duration{0}, ""},
		{"a deaf first run keeps the caller", policies.HedgeConfig{}, []outcome{{after: 50 * ms, deaf: true}, {after: ms}}, 2, nil, 50 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms, hedge_won 2"},
		{"a deaf hedge does not", policies.HedgeConfig{}, []outcome{{after: 12 * ms}, {after: 50 * ms, deaf: true}}, 1, nil, 12 * ms,
			[]time.Duration{0, 10 * ms}, "hedge_started 2 10ms"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := row.config
				config.Delay = 10 * ms
				if config.When == nil {
					config.When = always
				}
				var seen recorder
				s := newStage(row.runs...)
				chain := middleware.NewChain("x", &seen, policies.NewHedge(config))
				value, end, err := middleware.Stream(t.Context(), chain, s.run, s.discard)
				took := time.Since(s.start)
				if value != row.value || err != middleware.Unjudged(row.err) || took != row.took {
					t.Errorf("got the value of run %d, %v, after %v, want %d, %v, %v", value, err, took, row.value, row.err, row.took)
				}
				if got := told(&seen); got != row.events {
					t.Errorf("events %q, want %q", got, row.events)
				}
				synctest.Wait()
				if winner := s.contexts[row.value-1]; winner.Err() != nil {
					t.Errorf("the context of the result ended before it: %v", context.Cause(winner))
				}
				for i, ctx := range s.contexts {
					if row.err == nil && i != row.value-1 && ctx.Err() == nil {
						t.Errorf("run %d, which lost, was not cancelled", i+1)
					}
					if s.attempts[i] != i+1 {
						t.Errorf("run %d is attempt %d", i+1, s.attempts[i])
					}
				}
				end()
				for i, ctx := range s.contexts {
					if strings.HasPrefix(row.name, "not idem") || strings.HasPrefix(row.name, "by default") {
						continue // the context of the caller
					}
					if ctx.Err() == nil {
						t.Errorf("the context of run %d did not end", i+1)
					}
				}
				if !slices.Equal(s.began, row.began) {
					t.Errorf("the runs began after %v, want %v", s.began, row.began)
				}
				time.Sleep(time.Minute) // for a deaf one
				var lost []int
				for i := range row.began {
					if i != row.value-1 {
						lost = append(lost, i+1)
					}
				}
				if got := s.sum(); !slices.Equal(got, lost) {
					t.Errorf("the results %v were discarded, want %v", got, lost)
				}
			})
		})
	}
}

// spent returns a budget without a single further attempt.
func spent() *policies.Budget {
	return policies.NewBudget(policies.BudgetConfig{Ratio: 0.001, MinPerSecond: -1})
}

func operation(ctx context.Context) bool { return middleware.OperationOf(ctx).Idempotent }

func TestOnlyIdempotentOperationsAreHedged(t *testing.T) {
	for _, idempotent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var runs atomic.Int64
			chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: ms}))
			ctx := middleware.WithOperation(t.Context(), middleware.Operation{Idempotent: idempotent})
			_ = chain.Do(ctx, func(ctx context.Context) error {
				runs.Add(1)
				time.Sleep(10 * ms)
				return nil
			})
			synctest.Wait()
			time.Sleep(time.Minute)
			if want := map[bool]int64{true: 2, false: 1}[idempotent]; runs.Load() != want {
				t.Errorf("idempotent is %t: %d runs, want %d", idempotent, runs.Load(), want)
			}
		})
	}
}

func TestALoserKnowsWhyItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(outcome{after: time.Hour}, outcome{after: ms}, outcome{after: time.Hour})
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: ms, MaxHedges: 2, When: always}))
		_, end, _ := middleware.Stream(t.Context(), chain, s.run, s.discard)
		end()
		for i, ctx := range s.contexts {
			if cause := context.Cause(ctx); (cause == middleware.ErrSuperseded) != (i != 1) || !errors.Is(ctx.Err(), context.Canceled) {
				t.Errorf("run %d ended with %v, because of %v", i+1, ctx.Err(), cause)
			}
		}
	})
}

// A hedge counts on from the attempt that it belongs to.
func TestAttemptsGoOnInsideARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		s := newStage(outcome{after: 20 * ms, err: errBroken}, outcome{after: 20 * ms, err: errBroken}, outcome{after: time.Hour}, outcome{after: ms})
		budget := policies.NewBudget(policies.BudgetConfig{Ratio: 1000})
		chain := middleware.NewChain("x", &seen, policies.NewRetry(policies.RetryConfig{Jitter: -1, Budget: budget}),
			policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always, Budget: budget}))
		value, end, err := middleware.Stream(t.Context(), chain, s.run, s.discard)
		defer end()
		if value != 4 || err != nil || !slices.Equal(s.attempts, []int{1, 2, 2, 3}) {
			t.Errorf("got %d, %v from the attempts %v", value, err, s.attempts)
		}
		if got := s.sum(); !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("the results %v were discarded", got)
		}
		want := "hedge_started 2 10ms, retry_scheduled 1 100ms backoff, hedge_started 3 10ms, hedge_won 3"
		if got := told(&seen); got != want {
			t.Errorf("events %q, want %q", got, want)
		}
		if status := budget.Status(); status.Calls != 1 || status.Extra != 3 {
			t.Errorf("%+v, want one call, two hedges and a retry", status)
		}
	})
}

func TestABudgetBoundsHedges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := policies.NewBudget(policies.BudgetConfig{Ratio: 0.1, MinPerSecond: -1, Window: time.Hour})
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewHedge(policies.HedgeConfig{Delay: ms, When: always, Budget: budget}))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 10 {
					_ = chain.Do(t.Context(), func(ctx context.Context) error {
						if middleware.Attempt(ctx) > 1 {
							return nil
						}
						select {
						case <-time.After(10 * ms):
						case <-ctx.Done():
						}
						return ctx.Err()
					})
				}
			})
		}
		wg.Wait()
		started, refused, won := len(seen.of(middleware.HedgeStarted)), len(seen.of(middleware.HedgeRefused)), len(seen.of(middleware.HedgeWon))
		if s := budget.Status(); s.Calls != 500 || s.Extra != started || started < 5 || started > 50 || started+refused != 500 || won != started {
			t.Errorf("%+v with %d hedges, %d won and %d refused", s, started, won, refused)
		}
	})
}

func TestTheDelayFollowsTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hedge := policies.NewHedge(policies.HedgeConfig{Quantile: 0.9, MinCalls: 20, When: always})
		var seen recorder
		chain := middleware.NewChain("x", &seen, hedge)
		call := func(d time.Duration, err error) {
			_ = chain.Do(t.Context(), func(ctx context.Context) error {
				if middleware.Attempt(ctx) > 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				time.Sleep(d)
				return err
			})
		}
		about := func(what string, want time.Duration) {
			t.Helper()
			if got := hedge.Delay(); got < want || got > want+want/16 {
				t.Errorf("%s: the delay is %v, want about %v", what, got, want)
			}
		}
		for range 19 {
			call(10*ms, nil)
		}
		for range 50 {
			call(ms, errBroken) // failures say nothing about how long a success takes
		}
		call(time.Hour/360, errBroken)
		about("too few", 0)
		if e := told(&seen); e != "" {
			t.Errorf("events %s before the delay is known", e)
		}
		call(10*ms, judged(middleware.Verdict{Reason: "not_found"}))
		about("enough", 10*ms)
		call(15*ms, nil)
		if e := seen.of(middleware.HedgeStarted); len(e) != 1 || e[0].Wait != hedge.Delay() {
			t.Errorf("events %+v, want a hedge after the delay, which is %v", e, hedge.Delay())
		}
		for range 100 {
			call(50*ms, nil)
		}
		about("all are slower", 50*ms)
		time.Sleep(30 * time.Second)
		for range 2000 {
			call(2*ms, nil)
		}
		about("most are quicker", 2*ms)
		time.Sleep(time.Minute)
		about("nobody calls", 0)
	})
}

// The duration of a call that a hedge won is that of the call, so that hedges do not make
// the delay shorter and shorter.
func TestHedgesDoNotShortenTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hedge := policies.NewHedge(policies.HedgeConfig{MinCalls: 20, When: always, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})})
		var seen recorder
		chain := middleware.NewChain("x", &seen, hedge)
		var calls int
		for range 2000 {
			calls++
			slow := calls%25 == 0 // 4 %
			_ = chain.Do(t.Context(), func(ctx context.Context) error {
				d := 10 * ms
				if slow && middleware.Attempt(ctx) == 1 {
					d = time.Second
				}
				select {
				case <-time.After(d):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		if d := hedge.Delay(); d < 10*ms || d > 11*ms {
			t.Errorf("the delay is %v, want about 10ms", d)
		}
		if n := len(seen.of(middleware.HedgeWon)); n < 70 || n > 80 {
			t.Errorf("%d hedges won, want one for each slow call", n)
		}
	})
}

func TestALoserIsNoFailureForABreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 2, MaxProbes: 2, Timeout: time.Second})
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: ms, When: always}), breaker,
			policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute}))
		slow := func(ctx context.Context) error {
			if middleware.Attempt(ctx) == 1 {
				return hang(ctx)
			}
			return nil
		}
		if err := chain.Do(t.Context(), slow); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := breaker.Status(); s.State != policies.Closed || s.Counts.Failures != 0 || s.Counts.Ignored != 1 || s.Counts.Successes != 1 || s.InFlight != 0 {
			t.Errorf("%+v, want one success, and one that counts as nothing", s)
		}
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		for _, probe := range []func(context.Context) error{slow, succeed} { // the first takes both places, and the loser gives one back
			if err := chain.Do(t.Context(), probe); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if s := breaker.Status(); s.State != policies.Closed {
			t.Errorf("%+v, want it closed by two probes", s)
		}
	})
}

func TestAPanicOfTheFirstRunReachesTheCaller(t *testing.T) {
	for _, after := range []time.Duration{0, 15 * ms} {
		synctest.Test(t, func(t *testing.T) {
			var hedged func() error
			chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}))
			func() {
				defer func() {
					if got := recover(); got != "first" {
						t.Errorf("recovered %v", got)
					}
				}()
				_ = chain.Do(t.Context(), func(ctx context.Context) error {
					if middleware.Attempt(ctx) > 1 {
						hedged = ctx.Err
						return hang(ctx)
					}
					time.Sleep(after)
					panic("first")
				})
			}()
			synctest.Wait()
			if (after > 0) != (hedged != nil) || hedged != nil && hedged() == nil {
				t.Errorf("after %v: the hedge was not cancelled, or there was one", after)
			}
		})
	}
}

func TestAPanicOfAHedgeReachesTheCallerWithItsValue(t *testing.T) {
	value := &struct{ int }{1}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var others []context.Context
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, MaxHedges: 2, When: always}))
		begin := time.Now()
		func() {
			defer func() {
				if got := recover(); got != any(value) {
					t.Errorf("recovered %v, want the value of the panic", got)
				}
			}()
			_ = chain.Do(t.Context(), func(ctx context.Context) error {
				if middleware.Attempt(ctx) == 3 {
					panic(value)
				}
				mu.Lock()
				others = append(others, ctx)
				mu.Unlock()
				return hang(ctx)
			})
			t.Error("the call went on")
		}()
		synctest.Wait()
		if d := time.Since(begin); d != 20*ms || len(others) != 2 || others[0].Err() == nil || others[1].Err() == nil {
			t.Errorf("after %v, the others ended: %v", d, others)
		}
	})
	// One that has lost panics when nobody waits for it.
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}))
		var late atomic.Bool
		err := chain.Do(t.Context(), func(ctx context.Context) error {
			if middleware.Attempt(ctx) == 1 {
				time.Sleep(15 * ms)
				return nil
			}
			<-ctx.Done()
			time.Sleep(time.Second)
			late.Store(true)
			panic(value)
		})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err != nil || !late.Load() {
			t.Errorf("got %v; the hedge ended: %t", err, late.Load())
		}
	})
}

func TestAPanicOfALoserDoesNotTakeTheResultAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, MaxHedges: 2, When: always}))
		value, err := middleware.Call(t.Context(), chain, func(ctx context.Context) (int, error) {
			switch middleware.Attempt(ctx) {
			case 1: // keeps the caller until all others have ended
				time.Sleep(time.Second)
				return 1, nil
			case 2:
				time.Sleep(15 * ms)
				return 2, nil
			default:
				<-ctx.Done()
				panic("lost")
			}
		})
		if value != 2 || err != nil {
			t.Errorf("got %d, %v", value, err)
		}
	})
}

// The run whose result it is may come back later than one that it was quicker than.
func TestARunThatWasTooLateDoesNotWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			err := next.Do(ctx)
			if middleware.Attempt(ctx) == 1 {
				time.Sleep(time.Second)
			}
			return err
		})
		s := newStage(outcome{after: 12 * ms}, outcome{after: 5 * ms})
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}), late)
		value, end, err := middleware.Stream(t.Context(), chain, s.run, s.discard)
		defer end()
		if value != 1 || err != nil || s.contexts[0].Err() != nil || len(seen.of(middleware.HedgeWon)) != 0 {
			t.Errorf("got %d, %v, with the context %v", value, err, s.contexts[0].Err())
		}
		if got := s.sum(); !slices.Equal(got, []int{2}) {
			t.Errorf("the results %v were discarded", got)
		}
	})
}

// A result that was read to its end may still need its context, until it is closed.
func TestTheContextOfTheWinnerLivesUntilItsResultIsClosed(t *testing.T) {
	for _, runs := range [][]outcome{{{after: ms}}, {{after: 12 * ms}, {after: time.Hour}}, {{after: time.Hour}, {after: ms}}} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(runs...)
			var call middleware.Streamed[int]
			value, err := call.Do(t.Context(), middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always})), runner{s})
			if err != nil {
				t.Fatal(err)
			}
			ctx := s.contexts[value-1]
			call.Release()
			if ctx.Err() != nil {
				t.Error("the context ended with the reading")
			}
			call.Close()
			if ctx.Err() == nil {
				t.Error("the context did not end when the result was closed")
			}
		})
	}
}

type runner struct{ *stage }

func (s runner) Run(ctx context.Context) (int, error) { return s.run(ctx) }
func (s runner) Discard(n int)                        { s.discard(n) }

func TestAGoexitEndsTheCaller(t *testing.T) {
	for attempt := 1; attempt <= 2; attempt++ {
		synctest.Test(t, func(t *testing.T) {
			chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}))
			var ended, went atomic.Int64
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = chain.Do(t.Context(), func(ctx context.Context) error {
					if middleware.Attempt(ctx) == attempt {
						time.Sleep(20 * ms)
						runtime.Goexit()
					}
					<-ctx.Done()
					ended.Add(1)
					return ctx.Err()
				})
				went.Add(1)
			})
			wg.Wait()
			synctest.Wait()
			if ended.Load() != 1 || went.Load() != 0 {
				t.Errorf("attempt %d: %d other runs were cancelled, and the caller went on %d times", attempt, ended.Load(), went.Load())
			}
		})
	}
}

// An observer that panics while a hedge begins does so where the caller waits, and takes
// nothing from the budget.
func TestAPanicOfAnObserverReachesTheCaller(t *testing.T) {
	for _, kind := range []middleware.Kind{middleware.HedgeStarted, middleware.HedgeRefused, middleware.HedgeWon} {
		synctest.Test(t, func(t *testing.T) {
			budget := policies.NewBudget(policies.BudgetConfig{})
			if kind == middleware.HedgeRefused {
				budget = spent()
			}
			chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
				if e.Kind == kind {
					panic(kind)
				}
			}), policies.NewHedge(policies.HedgeConfig{Delay: ms, When: always, Budget: budget}))
			defer func() {
				if got := recover(); got != kind {
					t.Errorf("recovered %v, want %v", got, kind)
				}
				synctest.Wait()
				if n := budget.Status().Extra; (n == 1) != (kind == middleware.HedgeWon) {
					t.Errorf("%v: %d attempts taken", kind, n)
				}
			}()
			_ = chain.Do(t.Context(), func(ctx context.Context) error {
				if middleware.Attempt(ctx) > 1 {
					return nil
				}
				return hang(ctx)
			})
			t.Error("the call went on")
		})
	}
}

// A call whose first run ends while a hedge is about to begin waits until it is known
// whether it does. It does not begin, and gives back what it took from the budget.
func TestNothingBeginsAfterTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := policies.NewBudget(policies.BudgetConfig{})
		chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.HedgeStarted {
				time.Sleep(time.Second) // longer than the rest of the first run
			}
		}), policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always, Budget: budget}))
		s := newStage(outcome{after: 15 * ms})
		value, end, err := middleware.Stream(t.Context(), chain, s.run, s.discard)
		end()
		if d := time.Since(s.start); value != 1 || err != nil || d != time.Second+10*ms || len(s.began) != 1 {
			t.Errorf("got %d, %v after %v and %d runs", value, err, d, len(s.began))
		}
		if status := budget.Status(); status.Extra != 0 {
			t.Errorf("%+v, want nothing taken", status)
		}
	})
}

// What policies further out hold for a call they release once, when the last run is over.
func TestWhatIsHeldIsReleasedOnce(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var released atomic.Int64
			outer := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				return next.DoThen(ctx, func() { released.Add(1) })
			})
			chain := middleware.NewChain("x", outer, policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, When: always}))
			s := newStage(outcome{after: 15 * ms}, outcome{after: time.Second, deaf: deaf})
			_, end, _ := middleware.Stream(t.Context(), chain, s.run, s.discard)
			synctest.Wait()
			if released.Load() != 0 {
				t.Error("released before the end of the result")
			}
			end()
			if deaf && released.Load() != 0 {
				t.Error("released although a run goes on")
			}
			time.Sleep(time.Minute)
			if released.Load() != 1 {
				t.Errorf("released %d times", released.Load())
			}
		})
	}
}

func TestTheCallersCancellationEndsAllRuns(t *testing.T) {
	for _, first := range []outcome{{after: time.Hour}, {after: 15 * ms, err: errBroken}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*ms, cancel)
			s := newStage(first, outcome{after: time.Hour}, outcome{after: time.Hour})
			chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{Delay: 10 * ms, MaxHedges: 2, When: always}))
			_, end, err := middleware.Stream(ctx, chain, s.run, s.discard)
			end()
			want := first.err // it says more than the cancellation
			if want == nil {
				want = context.Canceled
			}
			if d := time.Since(s.start); !errors.Is(err, want) || d != 50*ms || len(s.began) != 3 {
				t.Errorf("got %v after %v and %d runs", err, d, len(s.began))
			}
		})
	}
}

// The conformance suite, in chains that really hedge.
func TestHedgesConform(t *testing.T) {
	// slow holds the first run back, or the others.
	slow := func(first, others time.Duration) middleware.Policy {
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			d := others
			if middleware.Attempt(ctx) == 1 {
				d = first
			}
			select {
			case <-time.After(d):
				return next.Do(ctx)
			case <-ctx.Done():
				return next.Reject(middleware.Rejection{Policy: "slow", Reason: middleware.ErrCanceled, Err: ctx.Err()})
			}
		})
	}
	for _, row := range []struct {
		name          string
		first, others time.Duration
	}{{"the first wins", 2 * ms, time.Second}, {"the hedge wins", time.Second, ms / 2}, {"both at once", 2 * ms, ms}} {
		for _, hedges := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", row.name, hedges), func(t *testing.T) {
				middlewaretest.TestPolicy(t, func() middleware.Policy {
					return middleware.NewChain("",
						policies.NewHedge(policies.HedgeConfig{Delay: ms, MaxHedges: hedges, When: always, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})}),
						slow(row.first, row.others))
				})
			})
		}
	}
}

// Runs that succeed, fail and lose at the same time, many times: for the race detector.
func TestHedgesUnderFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int64
		chain := middleware.NewChain("x", policies.NewHedge(policies.HedgeConfig{
			Delay: ms, MaxHedges: 3, When: always, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
		}), policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1 << 30}))
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for n := range 100 {
					_, end, err := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) {
						time.Sleep(time.Duration((i+n)%4) * ms)
						open.Add(1)
						if (n+middleware.Attempt(ctx))%3 == 0 {
							return 1, errBroken
						}
						return 1, nil
					}, func(int) { open.Add(-1) })
					if err == nil || errors.Is(err, errBroken) {
						open.Add(-1)
					} else {
						t.Errorf("got %v", err)
					}
					end()
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if open.Load() != 0 {
			t.Errorf("%d results were neither delivered nor discarded", open.Load())
		}
	})
}
