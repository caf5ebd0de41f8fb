package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// A standIn runs the alternative of whatever fails.
type standIn struct{}

func (standIn) Substitutes() bool { return true }

func (standIn) Execute(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	if err == nil {
		return nil
	}
	done, instead := next.Alternative(ctx, err)
	if !done && instead != err {
		return errors.New("not done, and not the cause")
	}
	return instead
}

// A doubtful policy could run an alternative and never does.
type doubtful struct{ standIn }

func (doubtful) Substitutes() bool { return false }

var (
	errDown  = errors.New("down")
	errEmpty = errors.New("the copy is empty")
)

// A taggedError cannot be compared.
type taggedError struct{ tags []string }

func (e taggedError) Error() string { return strings.Join(e.tags, " ") }

// What the alternative returns is the result of the call.
func TestTheAlternativeTakesThePlaceOfWhatFailed(t *testing.T) {
	refuses := middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
		return next.Reject(middleware.Rejection{Policy: "gate", Reason: middleware.ErrOpen})
	})
	fails := func(err error) func(error) (int, error) { return func(error) (int, error) { return 9, err } }
	for _, row := range []struct {
		name        string
		inner       middleware.Policy
		value       int // of the operation
		err         error
		alternative func(cause error) (int, error)
		want        int
		wantErr     string
		discarded   []int // of a stream
		runs        int   // of the alternative
	}{
		{"a success", nil, 1, nil, fails(nil), 1, "", nil, 0},
		{"a failure", nil, 1, errDown, func(error) (int, error) { return 2, nil }, 2, "", []int{1}, 1},
		{"a rejection", refuses, 1, nil, func(error) (int, error) { return 2, nil }, 2, "", nil, 1},
		{"both fail", nil, 1, errDown, fails(errEmpty), 1, "down; the alternative failed too: the copy is empty", []int{9}, 1},
		{"a rejection, and the alternative fails", refuses, 1, nil, fails(errEmpty), 0,
			"x: gate: circuit breaker is open; the alternative failed too: the copy is empty", []int{9}, 1},
		{"nothing to offer", nil, 1, errDown, func(cause error) (int, error) { return 9, cause }, 1, "down", []int{9}, 1},
		{"nothing to offer, in other words", nil, 1, errDown,
			func(cause error) (int, error) { return 9, fmt.Errorf("no copy: %w", cause) }, 1, "no copy: down", []int{9}, 1},
		{"errors that cannot be compared", nil, 1, taggedError{[]string{"a", "b"}}, fails(taggedError{[]string{"c"}}), 1,
			"a b; the alternative failed too: c", []int{9}, 1},
		{"a judged failure", nil, 1, middleware.Judged(errDown, middleware.Verdict{Class: middleware.Throttled}),
			func(cause error) (int, error) {
				return 9, middleware.Judged(cause, middleware.Verdict{Class: middleware.Success})
			}, 1, "down", []int{9}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			chain := middleware.NewChain("x", standIn{}, row.inner)
			runs := 0
			op := func(context.Context) (int, error) { return row.value, row.err }
			alternative := func(_ context.Context, cause error) (int, error) {
				runs++
				if row.inner == nil && fmt.Sprint(cause) != fmt.Sprint(middleware.Unjudged(row.err)) {
					t.Errorf("the cause is %v, want %v", cause, row.err)
				}
				return row.alternative(cause)
			}
			check := func(how string, got int, err error) {
				t.Helper()
				text := ""
				if err != nil {
					text = err.Error()
				}
				if got != row.want || text != row.wantErr || runs != row.runs {
					t.Errorf("%s: got %d, %q after %d alternatives, want %d, %q", how, got, text, runs, row.want, row.wantErr)
				}
				runs = 0
			}
			got, err := middleware.CallOr(t.Context(), chain, op, alternative)
			check("CallOr", got, err)

			var discarded []int
			got, end, err := middleware.StreamOr(t.Context(), chain, op, alternative, func(n int) { discarded = append(discarded, n) })
			end()
			check("StreamOr", got, err)
			if !slices.Equal(discarded, row.discarded) {
				t.Errorf("discarded are %v, want %v", discarded, row.discarded)
			}

			err = chain.DoOr(t.Context(), func(context.Context) error { return row.err }, func(ctx context.Context, cause error) error {
				_, err := alternative(ctx, cause)
				return err
			})
			check("DoOr", row.want, err)
		})
	}
}

// errors.Is and errors.As find what is in cause and what is in the alternative's error, in
// this order; for policies further out it has the verdict of cause.
func TestAnAlternativeThatFailsHidesNothing(t *testing.T) {
	var verdict middleware.Verdict
	outer := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		verdict = middleware.VerdictOf(err)
		return err
	})
	chain := middleware.NewChain("x", outer, standIn{})
	want := middleware.Verdict{Class: middleware.Throttled, Reason: "asked"}
	first := &middleware.Rejection{Policy: "first", Reason: middleware.ErrOpen}
	second := &middleware.Rejection{Policy: "second", Reason: middleware.ErrBulkheadFull}
	err := chain.DoOr(t.Context(),
		func(context.Context) error { return middleware.Judged(first, want) },
		func(context.Context, error) error { return middleware.Judged(second, middleware.Verdict{}) })
	if !errors.Is(err, first) || !errors.Is(err, second) || !errors.Is(err, middleware.ErrOpen) || !errors.Is(err, middleware.ErrBulkheadFull) {
		t.Errorf("got %v, want both", err)
	}
	if r, ok := errors.AsType[*middleware.Rejection](err); !ok || r != first {
		t.Errorf("errors.As finds %v, want the cause", r)
	}
	if verdict != want {
		t.Errorf("the verdict is %+v, want that of the cause", verdict)
	}
	if v := middleware.VerdictOf(err); v.Class != middleware.Ignored {
		t.Errorf("the caller's error has the verdict %+v, want that of any rejection", v)
	}
	for _, row := range []struct {
		cause error
		want  string
	}{{first, "circuit_open"}, {errDown, "alternative_failed"}} {
		err := chain.DoOr(t.Context(), func(context.Context) error { return row.cause }, func(context.Context, error) error { return second })
		if typed, ok := err.(interface{ ErrorType() string }); !ok || typed.ErrorType() != row.want {
			t.Errorf("%v: the type is not %q", err, row.want)
		}
	}
}

// JudgedOr returns the verdict that the policies of the chain have, and the error itself.
func TestTheVerdictOfACallWithAnAlternative(t *testing.T) {
	answer := middleware.Verdict{Class: middleware.Success, Reason: "not_found"}
	judge := middleware.Judge(func(error) middleware.Verdict { return answer })
	stays := wrapper(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) })
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		err   error // of the operation
		or    error // of the alternative
		want  middleware.Verdict
	}{
		{"a success", middleware.NewChain("x", standIn{}, judge), nil, nil, middleware.Verdict{}},
		{"judged by the chain", middleware.NewChain("x", stays, judge), errDown, nil, answer},
		{"judged by the operation", middleware.NewChain("x", stays), middleware.Judged(errDown, answer), nil, answer},
		{"judged by nobody", middleware.NewChain("x", stays), errDown, nil, middleware.VerdictOf(errDown)},
		{"with an alternative", middleware.NewChain("x", standIn{}, judge), errDown, nil, middleware.Verdict{}},
		{"whose alternative fails too", middleware.NewChain("x", standIn{}, judge), errDown, errEmpty, answer},
		{"nothing runs", middleware.NewChain("x", judge), errDown, nil, middleware.VerdictOf(errDown)},
	} {
		_, got, err := middleware.JudgedOr(t.Context(), row.chain,
			func(context.Context) (int, error) { return 1, row.err },
			func(context.Context, error) (int, error) { return 2, row.or })
		if got != row.want || err != nil && middleware.VerdictOf(err) != middleware.VerdictOf(errDown) {
			t.Errorf("%s: got %+v, %v, want %+v", row.name, got, err, row.want)
		}
	}
}

// CallOr runs nothing and returns an error if no policy of the chain is a Substituter.
func TestACallWithAnAlternativeNeedsAPolicyThatRunsIt(t *testing.T) {
	op := func(context.Context) (int, error) { t.Error("it ran"); return 0, nil }
	alternative := func(context.Context, error) (int, error) { t.Error("the alternative ran"); return 0, nil }
	const help = `middleware: no policy of chain "x" runs the alternative of a call: put policies.NewFallback before the others`
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		want  string
	}{
		{"no chain", nil, strings.Replace(help, "x", "", 1)},
		{"an empty one", middleware.NewChain("x"), help},
		{"others", middleware.NewChain("x", middleware.PolicyFunc(pass), doubtful{}), help},
	} {
		if row.chain.Substitutes() {
			t.Errorf("%s: it says that it could", row.name)
		}
		_, err := middleware.CallOr(t.Context(), row.chain, op, alternative)
		_, end, streamErr := middleware.StreamOr(t.Context(), row.chain, op, alternative, nil)
		end()
		doErr := row.chain.DoOr(t.Context(), fails(t), func(context.Context, error) error { t.Error("it ran"); return nil })
		for _, err := range []error{err, streamErr, doErr} {
			if err == nil || err.Error() != row.want {
				t.Errorf("%s: got %v, want %v", row.name, err, row.want)
			}
		}
	}
	nested := middleware.NewChain("x", middleware.NewChain("inner", standIn{}))
	if !nested.Substitutes() {
		t.Error("what is in a nested chain does not count")
	}
	_, err := middleware.CallOr[int](t.Context(), nested, nil, alternative)
	_, noAlternative := middleware.CallOr(t.Context(), nested, op, nil)
	_, end, streamErr := middleware.StreamOr(t.Context(), nested, op, nil, nil)
	end()
	for _, err := range []error{err, noAlternative, streamErr, nested.DoOr(t.Context(), fails(t), nil), nested.DoOr(t.Context(), nil, nil)} {
		if err == nil || !strings.HasSuffix(err.Error(), "is nil") {
			t.Errorf("got %v", err)
		}
	}
}

func fails(t *testing.T) func(context.Context) error {
	return func(context.Context) error { t.Error("it ran"); return nil }
}

// A call without an alternative has none, and one in a policy of one's own is found.
func TestAlternativesInNestedChains(t *testing.T) {
	chain := middleware.NewChain("x", standIn{})
	if err := chain.Do(t.Context(), func(context.Context) error { return errDown }); err != errDown {
		t.Errorf("Do: %v", err)
	}
	if n, err := middleware.Call(t.Context(), chain, func(context.Context) (int, error) { return 1, errDown }); n != 1 || err != errDown {
		t.Errorf("Call: %d, %v", n, err)
	}
	outer := middleware.NewChain("outer", wrapper(func(ctx context.Context, next middleware.Next) error { return chain.Execute(ctx, next) }))
	n, err := middleware.CallOr(t.Context(), outer, func(context.Context) (int, error) { return 1, errDown },
		func(context.Context, error) (int, error) { return 2, nil })
	if n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// done is false, and err is cause, if the call has no alternative or that has nothing to offer.
func TestWhetherAnAlternativeWasDone(t *testing.T) {
	var done bool
	chain := middleware.NewChain("x", wrapper(func(ctx context.Context, next middleware.Next) error {
		cause := next.Do(ctx)
		var err error
		if done, err = next.Alternative(ctx, cause); !done && err != cause {
			t.Errorf("got %v, want the cause", err)
		}
		return err
	}))
	op := func(context.Context) (int, error) { return 1, errDown }
	for _, row := range []struct {
		name        string
		alternative func(error) error
		want        bool
	}{
		{"it succeeds", func(error) error { return nil }, true},
		{"it fails", func(error) error { return errEmpty }, true},
		{"it fails because of the cause", func(cause error) error { return fmt.Errorf("no copy: %w", cause) }, true},
		{"it has nothing to offer", func(cause error) error { return cause }, false},
	} {
		_, _ = middleware.CallOr(t.Context(), chain, op, func(_ context.Context, cause error) (int, error) { return 2, row.alternative(cause) })
		if done != row.want {
			t.Errorf("%s, with a value: %v", row.name, done)
		}
		_ = chain.DoOr(t.Context(), fail, func(_ context.Context, cause error) error { return row.alternative(cause) })
		if done != row.want {
			t.Errorf("%s: %v", row.name, done)
		}
	}
	if _, _ = middleware.Call(t.Context(), chain, op); done {
		t.Error("a call without an alternative was done")
	}
	var s middleware.Streamed[int]
	if n, err := s.Do(t.Context(), chain, able{new(opening)}); n != 1 || err == nil || done {
		t.Errorf("one whose alternative was not asked for: %d, %v, %v", n, err, done)
	}
}

func fail(context.Context) error { return errDown }

// An able operation fails and has an alternative.
type able struct{ *opening }

func (able) Run(context.Context) (int, error)                { return 1, errDown }
func (able) Discard(int)                                     {}
func (able) Alternative(context.Context, error) (int, error) { return 2, nil }

// The result of an alternative in a nested chain holds what is outside of it there.
func TestAnAlternativeInANestedChainOfAStream(t *testing.T) {
	var log []string
	inner := middleware.NewChain("inner", holding(logged{"x", &log}), standIn{})
	chain := middleware.NewChain("outer", wrapper(func(ctx context.Context, next middleware.Next) error { return inner.Execute(ctx, next) }),
		middleware.PolicyFunc(pass))
	n, end, err := middleware.StreamOr(t.Context(), chain, func(context.Context) (int, error) { return 1, errDown },
		func(context.Context, error) (int, error) { return 2, nil }, nil)
	if n != 2 || err != nil || len(log) != 0 {
		t.Errorf("got %d, %v, and %q before the end", n, err, log)
	}
	if end(); !slices.Equal(log, []string{"release x", "cancel x"}) {
		t.Errorf("got %q", log)
	}
}

// A wrapper is a chain as a policy, which cannot be flattened.
type wrapper func(context.Context, middleware.Next) error

func (w wrapper) Execute(ctx context.Context, next middleware.Next) error { return w(ctx, next) }
func (w wrapper) Substitutes() bool                                       { return true }

// What policies hold is given back before the alternative runs, and the result that came
// with cause lives on until the alternative has succeeded.
func TestAnAlternativeOfAStream(t *testing.T) {
	var log []string
	note := func(format string, a ...any) { log = append(log, fmt.Sprintf(format, a...)) }
	chain := middleware.NewChain("x", holding(logged{"outer", &log}), standIn{}, holding(logged{"inner", &log}))
	for _, row := range []struct {
		name string
		err  error
		want []string
	}{
		{"succeeds", nil, []string{"run", "release inner", "alternative", "discard 1", "cancel inner", "returned 2 <nil>", "release outer", "cancel outer"}},
		{"fails", errEmpty, []string{
			"run", "release inner", "alternative", "discard 2", "release outer",
			"returned 1 down; the alternative failed too: the copy is empty", "cancel inner", "cancel outer",
		}},
	} {
		log = nil
		n, end, err := middleware.StreamOr(t.Context(), chain,
			func(context.Context) (int, error) { note("run"); return 1, errDown },
			func(context.Context, error) (int, error) { note("alternative"); return 2, row.err },
			func(n int) { note("discard %d", n) })
		note("returned %d %v", n, err)
		end()
		if !slices.Equal(log, row.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", row.name, log, row.want)
		}
	}
}

// A panic passes through, and so does Goexit. What failed before is given up.
func TestAnAlternativeThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var log []string
			var recovered any
			chain := middleware.NewChain("x", holding(logged{"outer", &log}), standIn{}, holding(logged{"inner", &log}))
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { recovered = recover() }()
				_, _, _ = middleware.StreamOr(t.Context(), chain,
					func(context.Context) (int, error) { return 1, errDown },
					func(context.Context, error) (int, error) { leave(); return 2, nil },
					func(n int) { log = append(log, fmt.Sprint("discard ", n)) })
			})
			wg.Wait()
			slices.Sort(log)
			if want := []string{"cancel inner", "cancel outer", "discard 1", "release inner", "release outer"}; !slices.Equal(log, want) {
				t.Errorf("got %q", log)
			}
			if name == "panic" && recovered != "boom" {
				t.Errorf("recovered %v", recovered)
			}
		})
	}
}

// Of alternatives that run at the same time one wins; every value is delivered or discarded, once.
func TestAlternativesAtOnce(t *testing.T) {
	for range 200 {
		var book ledger
		const n = 4
		chain := middleware.NewChain("x", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			_ = atOnce(n).Execute(ctx, next) // nil, or that others were first
			return nil
		}), standIn{})
		op := book.make(func(int) error { return errDown })
		got, end, err := middleware.StreamOr(t.Context(), chain, op,
			func(ctx context.Context, _ error) (int, error) { n, _ := op(ctx); return n, nil }, book.discard)
		end()
		book.mu.Lock()
		all := append(slices.Clone(book.discarded), got)
		slices.Sort(all)
		if err != nil || got == 0 || len(all) != 2*n || len(slices.Compact(all)) != 2*n {
			t.Fatalf("got %d, %v, discarded %v of %d", got, err, book.discarded, book.made)
		}
		book.mu.Unlock()
	}
}

// A policy that lets the alternative come too late gets no further than the core.
func TestAnAlternativeAfterTheCall(t *testing.T) {
	var late func() (bool, error)
	chain := middleware.NewChain("x", wrapper(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		late = func() (bool, error) { return next.Alternative(ctx, err) }
		return err
	}))
	_, err := middleware.CallOr(t.Context(), chain, func(context.Context) (int, error) { return 1, errDown },
		func(context.Context, error) (int, error) { t.Error("it ran"); return 2, nil })
	if err != errDown {
		t.Fatal(err)
	}
	if done, err := late(); !done || !errors.Is(err, middleware.ErrSuperseded) {
		t.Errorf("got %v, %v", done, err)
	}
}

// An alternative without a cause is one that replaces nothing.
func TestAnAlternativeWithoutACause(t *testing.T) {
	chain := middleware.NewChain("x", wrapper(func(ctx context.Context, next middleware.Next) error {
		_, err := next.Alternative(ctx, nil)
		return err
	}))
	for _, want := range []error{nil, errEmpty} {
		got, err := middleware.CallOr(t.Context(), chain, func(context.Context) (int, error) { t.Error("it ran"); return 1, nil },
			func(_ context.Context, cause error) (int, error) { return 2, errors.Join(want, cause) })
		if want == nil && (got != 2 || err != nil) || want != nil && err.Error() != want.Error() {
			t.Errorf("got %d, %v, want %v", got, err, want)
		}
	}
}

func TestAnAlternativeCostsLittle(t *testing.T) {
	chain := middleware.NewChain("x", standIn{})
	alternative := func(context.Context, error) (int, error) { return 2, nil }
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = middleware.CallOr(t.Context(), chain, func(context.Context) (int, error) { return 1, nil }, alternative)
	}); n > 1 {
		t.Errorf("CallOr: %v allocations, want 1", n)
	}
	op := func(context.Context) error { return nil }
	if n := testing.AllocsPerRun(1000, func() {
		_ = chain.DoOr(t.Context(), op, func(context.Context, error) error { return nil })
	}); n > 1 {
		t.Errorf("DoOr: %v allocations, want 1", n)
	}
}
