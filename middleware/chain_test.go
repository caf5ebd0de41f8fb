package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pointerPolicy is a policy whose nil pointer must not be called.
type pointerPolicy struct{ calls int }

func (p *pointerPolicy) Execute(ctx context.Context, next middleware.Next) error {
	p.calls++
	return next.Do(ctx)
}

func TestNewChainSkipsNilPolicies(t *testing.T) {
	var none *pointerPolicy
	var noFunc middleware.PolicyFunc
	var noChain *middleware.Chain
	one := new(pointerPolicy)
	chain := middleware.NewChain("x", nil, none, noFunc, noChain, middleware.Judge(nil), one)
	if got := chain.Policies(); len(got) != 1 || got[0] != middleware.Policy(one) {
		t.Errorf("policies are %v, want the one that is not nil", got)
	}
	if err := chain.Do(t.Context(), func(context.Context) error { return nil }); err != nil || one.calls != 1 {
		t.Errorf("got %v after %d calls of the policy", err, one.calls)
	}
}

func TestNestedChainsAreFlattened(t *testing.T) {
	a, b, c, d := new(pointerPolicy), new(pointerPolicy), new(pointerPolicy), new(pointerPolicy)
	inner := middleware.NewChain("inner", b, middleware.NewChain("innermost", c))
	got := middleware.NewChain("outer", a, inner, d).Policies()
	if want := []middleware.Policy{a, b, c, d}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A chain behind a policy of one's own cannot be flattened, and works all the same.
func TestChainIsAPolicy(t *testing.T) {
	count := new(pointerPolicy)
	inner := middleware.NewChain("inner", count)
	wrapped := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return inner.Execute(ctx, next) })
	want := errors.New("own")
	chain := middleware.NewChain("outer", wrapped)
	got, err := middleware.Call(t.Context(), chain, func(context.Context) (int, error) { return 7, want })
	if got != 7 || err != want || count.calls != 1 {
		t.Errorf("got %d, %v after %d calls, want what the operation returned", got, err, count.calls)
	}
}

func TestEmptyChainRunsTheOperation(t *testing.T) {
	for name, chain := range map[string]*middleware.Chain{"empty": middleware.NewChain("x"), "nil": nil} {
		t.Run(name, func(t *testing.T) {
			want := errors.New("own")
			if err := chain.Do(t.Context(), func(context.Context) error { return want }); err != want {
				t.Errorf("Do: got %v", err)
			}
			if got, err := middleware.Call(t.Context(), chain, func(context.Context) (int, error) { return 1, nil }); got != 1 || err != nil {
				t.Errorf("Call: got %v, %v", got, err)
			}
			if chain.Policies() != nil || chain.Observed() {
				t.Error("an empty chain has policies or observers")
			}
		})
	}
}

func TestNilOperationIsAnError(t *testing.T) {
	chain := middleware.NewChain("x")
	if err := chain.Do(t.Context(), nil); err == nil {
		t.Error("Do: no error")
	}
	if _, err := middleware.Call[int](t.Context(), chain, nil); err == nil {
		t.Error("Call: no error")
	}
	if _, end, err := middleware.Stream[int](t.Context(), chain, nil, nil); err == nil || end == nil {
		t.Error("Stream: no error, or no end")
	}
}

// times runs the rest of the chain n times, one after another.
func times(n int) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		var err error
		for range n {
			err = next.Do(ctx)
		}
		return err
	})
}

// atOnce runs the rest of the chain n times at once and returns when all are done,
// with nil if one succeeded.
func atOnce(n int) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { errs[i] = next.Do(ctx) })
		}
		wg.Wait()
		if slices.Contains(errs, nil) {
			return nil
		}
		return errs[0]
	})
}

// A ledger makes numbered results and notes which of them are open.
type ledger struct {
	mu        sync.Mutex
	made      int
	discarded []int
}

func (l *ledger) make(err func(n int) error) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.made++
		return l.made, err(l.made)
	}
}

func (l *ledger) discard(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.discarded = append(l.discarded, n)
}

func succeed(int) error { return nil }

func failBefore(n int) func(int) error {
	return func(i int) error {
		if i < n {
			return middleware.Judged(fmt.Errorf("failure %d", i), middleware.Verdict{Class: middleware.Failure, Retry: true})
		}
		return nil
	}
}

func TestTheCallerGetsExactlyOneResult(t *testing.T) {
	for _, row := range []struct {
		name      string
		policy    middleware.Policy
		op        func(int) error
		want      int // 0: any
		wantErr   string
		discarded int
	}{
		{"once", times(1), succeed, 1, "", 0},
		{"a later run replaces an earlier one", times(3), succeed, 3, "", 2},
		{"failures before a success", times(3), failBefore(3), 3, "", 2},
		{"failures only: what came with the error", times(3), failBefore(9), 3, "failure 3", 2},
		{"of concurrent runs the first", atOnce(8), succeed, 0, "", 7},
		{"of concurrent runs the one that succeeds", atOnce(8), failBefore(8), 8, "", 7},
		{"repeated concurrent runs", middleware.NewChain("", times(2), atOnce(4)), succeed, 0, "", 7},
		{"a policy that refuses", middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
			return next.Reject(middleware.Rejection{Policy: "p", Reason: middleware.ErrOpen})
		}), succeed, 0, "x: p: circuit breaker is open", 0},
		{"a policy that refuses after a success", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			_ = next.Do(ctx)
			return next.Reject(middleware.Rejection{Policy: "p", Reason: middleware.ErrOpen})
		}), succeed, 0, "x: p: circuit breaker is open", 1},
		{"a policy that answers in its own way", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			_ = next.Do(ctx)
			return nil
		}), failBefore(9), 0, "", 1},
		{"a rejection that wraps the last error carries its result", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			return next.Reject(middleware.Rejection{Policy: "p", Reason: middleware.ErrDeadline, Err: next.Do(ctx)})
		}), failBefore(9), 1, "x: p: the deadline leaves too little time; last error: failure 1", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var l ledger
			chain := middleware.NewChain("x", row.policy)
			got, end, err := middleware.Stream(t.Context(), chain, l.make(row.op), l.discard)
			end()
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != row.wantErr {
				t.Errorf("error %q, want %q", text, row.wantErr)
			}
			if row.want != 0 && got != row.want {
				t.Errorf("result %d, want %d", got, row.want)
			}
			if slices.Contains(l.discarded, got) || len(l.discarded) != row.discarded {
				t.Errorf("delivered %d, discarded %v, want %d discarded", got, l.discarded, row.discarded)
			}
		})
	}
}

// A policy that forgets Discard still has one failed result open at a time.
func TestARunThatStartsDiscardsWhatFailedBefore(t *testing.T) {
	var open []int
	made := 0
	_, end, _ := middleware.Stream(t.Context(), middleware.NewChain("x", times(3)), func(context.Context) (int, error) {
		made++
		if len(open) > 0 {
			t.Errorf("run %d begins while the results %v are open", made, open)
		}
		open = append(open, made)
		return made, errors.New("failed")
	}, func(n int) { open = slices.DeleteFunc(open, func(m int) bool { return m == n }) })
	end()
}

// A run that ends after the call has returned hands its result to discard.
func TestALateLosersResultIsDiscarded(t *testing.T) {
	for _, row := range []struct {
		name string
		late error
	}{{"a success", nil}, {"a failure", errors.New("late")}} {
		t.Run(row.name, func(t *testing.T) {
			begun, hold, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			careless := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				go func() {
					defer close(done)
					_ = next.Do(middleware.WithAttempt(ctx, 2))
				}()
				return next.Do(ctx)
			})
			var l ledger
			got, end, err := middleware.Stream(t.Context(), middleware.NewChain("x", careless), func(ctx context.Context) (int, error) {
				if middleware.Attempt(ctx) == 2 {
					close(begun)
					<-hold
					return 2, row.late
				}
				<-begun
				return 1, nil
			}, l.discard)
			close(hold)
			<-done
			end()
			if got != 1 || err != nil {
				t.Errorf("got %d, %v", got, err)
			}
			if !slices.Equal(l.discarded, []int{2}) {
				t.Errorf("discarded %v, want the late result", l.discarded)
			}
		})
	}
}

// A run that begins after the winner and outlives the call is a late loser too.
func TestARunThatOutlivesTheCallIsDiscarded(t *testing.T) {
	begun, hold, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	careless := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		go func() {
			defer close(done)
			_ = next.Do(middleware.WithAttempt(ctx, 2))
		}()
		<-begun
		return err
	})
	var l ledger
	got, end, err := middleware.Stream(t.Context(), middleware.NewChain("x", careless), func(ctx context.Context) (int, error) {
		if middleware.Attempt(ctx) == 2 {
			close(begun)
			<-hold
			return 2, nil
		}
		return 1, nil
	}, l.discard)
	close(hold)
	<-done
	end()
	if got != 1 || err != nil || !slices.Equal(l.discarded, []int{2}) {
		t.Errorf("got %d, %v, discarded %v, want 1 and the late result discarded", got, err, l.discarded)
	}
}

// A run that begins when the call has returned does not reach the operation.
func TestARunAfterTheCallIsRefused(t *testing.T) {
	var kept middleware.Next
	keeper := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		kept = next
		return next.Do(ctx)
	})
	runs := 0
	_, _ = middleware.Call(t.Context(), middleware.NewChain("x", keeper), func(context.Context) (int, error) { runs++; return runs, nil })
	if err := kept.Do(t.Context()); !errors.Is(err, middleware.ErrSuperseded) || runs != 1 {
		t.Errorf("got %v after %d runs", err, runs)
	}
}

func TestConcurrentLoserIsToldSo(t *testing.T) {
	both := make(chan struct{}, 2)
	var mu sync.Mutex
	var lost []error
	hedge := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := next.Do(ctx); err != nil {
					mu.Lock()
					lost = append(lost, err)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return nil
	})
	var gate sync.WaitGroup
	gate.Add(2)
	_, err := middleware.Call(t.Context(), middleware.NewChain("x", hedge), func(context.Context) (int, error) {
		both <- struct{}{}
		gate.Done()
		gate.Wait()
		return 1, nil
	})
	if err != nil || len(lost) != 1 || !errors.Is(lost[0], middleware.ErrSuperseded) {
		t.Fatalf("got %v, losers %v, want one that was superseded", err, lost)
	}
	if v := middleware.VerdictOf(lost[0]); v.Class != middleware.Success || v.Retry {
		t.Errorf("the loser's verdict is %+v, want a success", v)
	}
}

// holder holds something by DoThen and notes its release.
func holder(name string, log *[]string) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.DoThen(ctx, func() { *log = append(*log, name) })
	})
}

func TestDoThenReleasesWhenTheWorkIsOver(t *testing.T) {
	own := errors.New("own")
	var log []string
	retry := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		if err != nil {
			log = append(log, "failed")
			middleware.Discard(err)
			log = append(log, "again")
			err = next.Do(ctx)
		}
		return err
	})
	chain := middleware.NewChain("x", holder("outer", &log), retry, holder("middle", &log), holder("inner", &log))
	failOnce := func() func(context.Context) error {
		n := 0
		return func(context.Context) error {
			n++
			if n == 1 {
				return own
			}
			return nil
		}
	}
	for _, row := range []struct {
		name string
		run  func()
		want []string
	}{
		{"a plain operation, at return", func() {
			_ = chain.Do(t.Context(), func(context.Context) error { log = append(log, "done"); return nil })
		}, []string{"done", "inner", "middle", "outer"}},
		{"a plain operation, each attempt its own", func() {
			_ = chain.Do(t.Context(), failOnce())
		}, []string{"inner", "middle", "failed", "again", "inner", "middle", "outer"}},
		{"a stream, at its end", func() {
			_, end, _ := middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { return 1, nil }, nil)
			log = append(log, "returned")
			end()
			end()
		}, []string{"returned", "inner", "middle", "outer"}},
		{"a stream, the failed attempt when it is discarded", func() {
			op := failOnce()
			_, end, _ := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) { return 1, op(ctx) }, func(int) { log = append(log, "discard") })
			log = append(log, "returned")
			end()
		}, []string{"failed", "discard", "inner", "middle", "again", "returned", "inner", "middle", "outer"}},
		{"a failed stream, whose result is handed over with its error", func() {
			_, end, err := middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { return 1, own }, nil)
			log = append(log, "returned "+err.Error())
			end()
		}, []string{"failed", "inner", "middle", "again", "returned own", "inner", "middle", "outer"}},
		{"a panic", func() {
			defer func() { log = append(log, fmt.Sprint(recover())) }()
			_, _, _ = middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { panic("boom") }, nil)
		}, []string{"inner", "middle", "outer", "boom"}},
		{"Goexit", func() {
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _, _ = middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }, nil)
			})
			wg.Wait()
		}, []string{"inner", "middle", "outer"}},
		{"a panic of a plain operation", func() {
			defer func() { log = append(log, fmt.Sprint(recover())) }()
			_ = chain.Do(t.Context(), func(context.Context) error { panic("boom") })
		}, []string{"inner", "middle", "outer", "boom"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			log = nil
			row.run()
			if !slices.Equal(log, row.want) {
				t.Errorf("\ngot  %q\nwant %q", log, row.want)
			}
		})
	}
}

// ExecuteThen holds around the policy that it is given what DoThen would hold inside it.
func TestExecuteThenReleasesWhenThePolicyIsOver(t *testing.T) {
	own := errors.New("own")
	var log []string
	inside := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		defer func() { log = append(log, "inside") }()
		return next.Do(ctx)
	})
	chain := middleware.NewChain("x", holder("outer", &log), middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.ExecuteThen(ctx, inside, func() { log = append(log, "released") })
	}), holder("inner", &log))
	for _, row := range []struct {
		name string
		op   func() error
	}{
		{"success", func() error { return nil }},
		{"failure", func() error { return own }},
		{"panic", func() error { panic("boom") }},
		{"Goexit", func() error { runtime.Goexit(); return nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			log = nil
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { _ = recover() }()
				_ = chain.Do(t.Context(), func(context.Context) error { return row.op() })
			})
			wg.Wait()
			if want := []string{"inner", "inside", "released", "outer"}; !slices.Equal(log, want) {
				t.Errorf("plain: got %q, want %q", log, want)
			}
			log = nil
			end := func() {}
			wg.Go(func() {
				defer func() { _ = recover() }()
				_, end, _ = middleware.Stream(t.Context(), chain, func(context.Context) (int, error) { return 1, row.op() }, nil)
				log = append(log, "returned")
			})
			wg.Wait()
			end()
			want := []string{"inside", "returned", "inner", "released", "outer"}
			if !slices.Contains(log, "returned") { // there is no result to read
				want = []string{"inner", "inside", "released", "outer"}
			}
			if !slices.Equal(log, want) {
				t.Errorf("streamed: got %q, want %q", log, want)
			}
		})
	}
}

// A policy that panics after a run had succeeded leaves no result open.
func TestAPanickingPolicyDiscardsTheResult(t *testing.T) {
	var l ledger
	var log []string
	chain := middleware.NewChain("x", holder("outer", &log), middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		_ = next.Do(ctx)
		panic("policy")
	}), holder("inner", &log))
	func() {
		defer func() { _ = recover() }()
		_, _, _ = middleware.Stream(t.Context(), chain, l.make(succeed), l.discard)
	}()
	if !slices.Equal(l.discarded, []int{1}) || !slices.Contains(log, "inner") || !slices.Contains(log, "outer") {
		t.Errorf("discarded %v, released %v", l.discarded, log)
	}
}

func TestTheCallerGetsTheOperationsOwnError(t *testing.T) {
	own := errors.New("own")
	wrapped := fmt.Errorf("wrapped: %w", middleware.Judged(own, middleware.Verdict{Class: middleware.Throttled}))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	pass := middleware.PolicyFunc(pass)
	for _, row := range []struct {
		name string
		ctx  context.Context
		err  error
		want error
	}{
		{"plain", t.Context(), own, own},
		{"judged", t.Context(), middleware.Judged(own, middleware.Verdict{}), own},
		{"judged twice", t.Context(), middleware.Judged(middleware.Judged(own, middleware.Verdict{}), middleware.Verdict{Retry: true}), own},
		{"judged and wrapped", t.Context(), wrapped, wrapped},
		{"of an ended context", cancelled, own, own},
	} {
		t.Run(row.name, func(t *testing.T) {
			chain := middleware.NewChain("x", pass, pass)
			if err := chain.Do(row.ctx, func(context.Context) error { return row.err }); err != row.want {
				t.Errorf("Do: got %#v, want %#v", err, row.want)
			}
			n, err := middleware.Call(row.ctx, chain, func(context.Context) (int, error) { return 3, row.err })
			if err != row.want || n != 3 {
				t.Errorf("Call: got %d, %#v, want 3, %#v", n, err, row.want)
			}
		})
	}
}

func TestOperationTravelsInTheContext(t *testing.T) {
	want := middleware.Operation{Name: "PutObject", Key: "bucket"}
	if got := middleware.OperationOf(middleware.WithOperation(t.Context(), want)); got != want {
		t.Errorf("got %+v", got)
	}
	if got := middleware.OperationOf(t.Context()); got != (middleware.Operation{}) {
		t.Errorf("got %+v", got)
	}
}

func TestObserversReceiveTheEventsOfTheChain(t *testing.T) {
	var got []middleware.Event
	observer := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) { got = append(got, e) })
	own := errors.New("own")
	noisy := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: "noisy", Err: err})
		return err
	})
	chain := middleware.NewChain("x", observer, noisy)
	if !chain.Observed() {
		t.Error("the chain says that it is not observed")
	}
	verdict := middleware.Verdict{Class: middleware.Throttled, Reason: "slow_down"}
	_ = chain.Do(t.Context(), func(context.Context) error { return middleware.Judged(own, verdict) })
	chain.Emit(t.Context(), middleware.Event{Kind: middleware.Transition, Time: time.Unix(1, 0)})
	if len(got) != 2 {
		t.Fatalf("got %d events, want 2", len(got))
	}
	if e := got[0]; e.Chain != "x" || e.Policy != "noisy" || e.Err != own || e.Verdict != verdict || e.Time.IsZero() {
		t.Errorf("got %+v, want the chain's name, the bare error, its verdict and the time filled in", e)
	}
	if e := got[1]; e.Chain != "x" || !e.Time.Equal(time.Unix(1, 0)) {
		t.Errorf("got %+v, want the given time kept", e)
	}
}

// A countingObserver is an observer that can be compared.
type countingObserver struct{ policies, events int }

func (o *countingObserver) Execute(ctx context.Context, next middleware.Next) error {
	o.policies++
	return next.Do(ctx)
}
func (o *countingObserver) Observe(context.Context, middleware.Event) { o.events++ }

func TestAnObserverInTwoNestedChainsCountsOnce(t *testing.T) {
	o, p := new(countingObserver), new(pointerPolicy)
	chain := middleware.NewChain("outer", o, p, middleware.NewChain("inner", o, p), middleware.ObserverFunc(func(context.Context, middleware.Event) {}))
	_ = chain.Do(t.Context(), func(context.Context) error { return nil })
	chain.Emit(t.Context(), middleware.Event{})
	if o.policies != 1 || o.events != 1 {
		t.Errorf("it ran %d times and heard %d events, want once each", o.policies, o.events)
	}
	if p.calls != 2 {
		t.Errorf("a policy that is there twice ran %d times", p.calls)
	}
}

// attached notes the chains that it became part of.
type attached struct {
	pointerPolicy
	chains []*middleware.Chain
}

func (a *attached) Attach(c *middleware.Chain) { a.chains = append(a.chains, c) }

func TestNewChainAttachesPolicies(t *testing.T) {
	a := new(attached)
	first := middleware.NewChain("first", a)
	second := middleware.NewChain("second", first)
	if !reflect.DeepEqual(a.chains, []*middleware.Chain{first, second}) {
		t.Errorf("attached to %v", a.chains)
	}
}

// A run that begins its operation only after one beside it has won, because a policy
// further in held it back, does not take the result away: the policy that began both may
// have cancelled its context. A run that is not beside the other takes its place.
func TestARunBesideTheWinnerNeverReplacesIt(t *testing.T) {
	held := middleware.CancelFunc(func() {})
	twice := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		first := next.DoUntil(ctx, held)
		if second := next.DoUntil(ctx, held); second != nil {
			if !errors.Is(second, middleware.ErrSuperseded) || middleware.VerdictOf(second).Class != middleware.Ignored {
				t.Errorf("the run that came too late got %v, %+v", second, middleware.VerdictOf(second))
			}
		}
		return first
	})
	for beside, want := range map[bool]int{true: 1, false: 2} {
		var policy middleware.Policy = twice
		if beside {
			policy = middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Beside(ctx, twice) })
		}
		runs := 0
		value, end, err := middleware.Stream(t.Context(), middleware.NewChain("x", policy), func(context.Context) (int, error) {
			runs++
			return runs, nil
		}, nil)
		end()
		if value != want || runs != want || err != nil {
			t.Errorf("beside is %t: got %d, %v after %d runs, want %d", beside, value, err, runs, want)
		}
	}
}

// Nor does it discard what came with the error of the other, while a run that follows does.
func TestARunDiscardsNothingOfThoseBesideIt(t *testing.T) {
	own := errors.New("own")
	held := middleware.CancelFunc(func() {})
	twice := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		first := next.DoUntil(ctx, held)
		middleware.Keep(first)
		_ = next.DoUntil(ctx, held)
		return first
	})
	for beside, want := range map[bool]int{true: 1, false: 0} {
		var policy middleware.Policy = twice
		if beside {
			policy = middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Beside(ctx, twice) })
		}
		runs := 0
		value, end, err := middleware.Stream(t.Context(), middleware.NewChain("x", policy), func(context.Context) (int, error) {
			runs++
			return runs, own
		}, nil)
		end()
		if value != want || err != own {
			t.Errorf("beside is %t: got %d, %v, want %d", beside, value, err, want)
		}
	}
}

// Keep gives back what is held for a result, once, and leaves the result and its context.
func TestKeepGivesBackWhatIsHeld(t *testing.T) {
	var log []string
	keep := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		middleware.Keep(err)
		middleware.Keep(err)
		log = append(log, "kept")
		return err
	})
	own := errors.New("own")
	for _, discards := range []bool{false, true} {
		log = nil
		policies := []middleware.Policy{keep, holding(logged{"x", &log})}
		if discards {
			policies = append([]middleware.Policy{middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				err := next.Do(ctx)
				middleware.Discard(err)
				return err
			})}, policies...)
		}
		var s middleware.Streamed[int]
		value, err := s.Do(t.Context(), middleware.NewChain("x", policies...), &opening{log: &log, fail: 1})
		s.Release()
		log = append(log, "read")
		s.Close()
		want := []string{"release x", "kept", "read", "cancel x"}
		if discards {
			want = []string{"release x", "kept", "discard 1", "cancel x", "read"}
		}
		if err == nil || err.Error() != "failed" || value == 0 != discards || !slices.Equal(log, want) {
			t.Errorf("discards is %t: got %d, %v\ngot  %q\nwant %q", discards, value, err, log, want)
		}
	}
	middleware.Keep(own) // nothing came with it
}
