package policies_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// unbounded returns a Retry whose budget is off, so that nothing else ends the attempts.
func unbounded(name string, attempts, nested int) *policies.Retry {
	return policies.NewRetry(policies.RetryConfig{
		Name: name, Attempts: attempts, NestedAttempts: nested, Delay: time.Millisecond, Jitter: -1,
		Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
	})
}

// What is part of the second or a later attempt of a retry is itself repeated no more than
// NestedAttempts says, so that layers of retries do not multiply.
func TestLayersOfRetriesDoNotMultiply(t *testing.T) {
	type op = func(context.Context) error
	in := func(o middleware.Observer, retries ...*policies.Retry) func(op) op { // each in a chain of its own
		return func(do op) op {
			for _, r := range slices.Backward(retries) {
				chain, inner := middleware.NewChain(r.Name(), o.(middleware.Policy), r), do
				do = func(ctx context.Context) error { return chain.Do(ctx, inner) }
			}
			return do
		}
	}
	together := func(o middleware.Observer, retries ...*policies.Retry) func(op) op {
		all := []middleware.Policy{o.(middleware.Policy)}
		for _, r := range retries {
			all = append(all, r)
		}
		chain := middleware.NewChain("x", all...)
		return func(do op) op { return func(ctx context.Context) error { return chain.Do(ctx, do) } }
	}
	// Another process gets the number of the attempt as text and begins with a new context.
	processes := func(o middleware.Observer, retries ...*policies.Retry) func(op) op {
		return func(do op) op {
			for _, r := range slices.Backward(retries) {
				chain, inner := middleware.NewChain(r.Name(), o.(middleware.Policy), r), do
				do = func(ctx context.Context) error {
					return chain.Do(ctx, func(ctx context.Context) error {
						n, _ := middleware.OuterAttempt(ctx)
						header := strconv.Itoa(n)
						there := context.Background()
						if n, err := strconv.Atoi(header); err == nil && n > 1 {
							there = middleware.WithOuterAttempt(there, n)
						}
						return inner(there)
					})
				}
			}
			return do
		}
	}
	for _, row := range []struct {
		name     string
		layers   []int // attempts
		nested   int
		fail     int // so many calls
		want     int // calls
		stopped  []string
		attempts []int // of the outer retry, in NestedRetry
	}{
		{"two layers", []int{3, 3}, 0, 99, 5, []string{"exhausted", "nested", "nested", "exhausted"}, []int{2, 3}},
		{"three layers", []int{3, 3, 3}, 0, 99, 7, []string{
			"exhausted", "nested", "nested", "exhausted", // in the first attempt of the outermost one
			"nested", "nested", "nested", "nested", "exhausted",
		}, []int{2, 3, 2, 2, 3, 3}},
		{"two and two, nested two", []int{2, 2}, 2, 99, 4, []string{"exhausted", "exhausted", "exhausted"}, nil},
		{"nested two of three", []int{3, 3}, 2, 99, 7, []string{"exhausted", "nested", "nested", "exhausted"}, []int{2, 3}},
		{"an inner one that repeats nothing", []int{3, 1}, 0, 99, 3, []string{"exhausted", "exhausted", "exhausted", "exhausted"}, nil},
		{"an outer one that repeats nothing", []int{1, 3}, 0, 99, 3, []string{"exhausted", "exhausted"}, nil},
		{"success in the first attempt of the outer one", []int{3, 3}, 0, 2, 3, nil, nil},
		{"success in the second", []int{3, 3}, 0, 3, 4, []string{"exhausted"}, nil},
	} {
		for how, compose := range map[string]func(middleware.Observer, ...*policies.Retry) func(op) op{
			"one chain": together, "chains": in, "processes": processes,
		} {
			t.Run(row.name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen recorder
					var retries []*policies.Retry
					for i, n := range row.layers {
						retries = append(retries, unbounded(fmt.Sprint("layer ", i), n, min(n, row.nested)))
					}
					calls := 0
					err := compose(&seen, retries...)(func(context.Context) error {
						if calls++; calls <= row.fail {
							return errBroken
						}
						return nil
					})(t.Context())
					if calls != row.want || (err == nil) != (row.fail < row.want) || err != nil && err != errBroken {
						t.Errorf("%d calls and %v, want %d", calls, err, row.want)
					}
					var stopped []string
					for _, e := range seen.of(middleware.RetryStopped) {
						stopped = append(stopped, e.Reason)
					}
					if !slices.Equal(stopped, row.stopped) {
						t.Errorf("stopped: %v, want %v", stopped, row.stopped)
					}
					var attempts []int
					for _, e := range seen.of(middleware.NestedRetry) {
						attempts = append(attempts, e.Attempt)
						want := "context"
						if how == "processes" {
							want = "header"
						}
						if e.Reason != want || e.Err != errBroken || e.Policy == "layer 0" {
							t.Errorf("event %+v, want the reason %s", e, want)
						}
					}
					if !slices.Equal(attempts, row.attempts) {
						t.Errorf("nested in the attempts %v, want %v", attempts, row.attempts)
					}
				})
			})
		}
	}
}

// An engine is held to it as the loop is.
func TestAnEngineRepeatsNoMoreInsideOfARepeatedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := policies.NewRetry(policies.RetryConfig{Engine: loop{}})
		calls := 0
		_ = middleware.NewChain("x", unbounded("outer", 3, 0), inner).Do(t.Context(), func(context.Context) error { calls++; return errBroken })
		if calls != 5 {
			t.Errorf("%d calls, want 5", calls)
		}
	})
}

// The guard says nothing where it stops nothing.
func TestANestedRetryThatStopsForAnotherReasonSaysThat(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	judged := func(v middleware.Verdict) error { return middleware.Judged(errBroken, v) }
	for _, row := range []struct {
		name string
		ctx  context.Context
		err  error
		want string // empty: nobody is told of one attempt that fails so
	}{
		{"not to be repeated", t.Context(), judged(middleware.Verdict{Class: middleware.Failure}), "not_retryable"},
		{"too long a wait", t.Context(), judged(middleware.Verdict{Class: middleware.Throttled, Retry: true, After: time.Hour}), "retry_after"},
		{"a caller that has gone", cancelled, judged(middleware.Verdict{Class: middleware.Failure, Retry: true}), "canceled"},
		{"a success", t.Context(), nil, ""},
		{"the guard", t.Context(), errBroken, "nested"},
	} {
		var seen recorder
		ctx := middleware.WithOuterAttempt(row.ctx, 2)
		_ = middleware.NewChain("x", &seen, policies.NewRetry(policies.RetryConfig{})).Do(ctx, func(context.Context) error { return row.err })
		got := ""
		for _, e := range seen.of(middleware.RetryStopped) {
			got += e.Reason
		}
		if nested := len(seen.of(middleware.NestedRetry)); got != row.want || (nested > 0) != (row.want == "nested") {
			t.Errorf("%s: stopped because of %q, %d events of the guard, want %q", row.name, got, nested, row.want)
		}
	}
}

// A hedge is no repeated attempt, nor is what it runs beside: a retry in it makes its attempts.
func TestARetryInAHedgeMakesItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always})
		var mu sync.Mutex
		runs := make(map[bool]int) // of the first run of the hedge or not
		type key struct{}
		mark := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			return next.Do(context.WithValue(ctx, key{}, middleware.Attempt(ctx) == 1))
		})
		err := middleware.NewChain("x", hedge, mark, unbounded("retry", 3, 0)).Do(t.Context(), func(ctx context.Context) error {
			mu.Lock()
			runs[ctx.Value(key{}).(bool)]++
			mu.Unlock()
			time.Sleep(time.Minute)
			return errBroken
		})
		if runs[true] != 3 || runs[false] != 3 || !errors.Is(err, errBroken) {
			t.Errorf("%v runs, %v, want three of each", runs, err)
		}
	})
}

// A Hedge in a second attempt of its own chain goes on counting, in another chain it
// begins anew.
func TestAHedgeNumbersTheAttemptsOfItsOwnCall(t *testing.T) {
	slowly := func(seen *[]int) func(context.Context) error {
		var mu sync.Mutex
		return func(ctx context.Context) error {
			mu.Lock()
			*seen = append(*seen, middleware.Attempt(ctx))
			mu.Unlock()
			time.Sleep(1500 * time.Millisecond)
			return errBroken
		}
	}
	for _, row := range []struct {
		name string
		do   func(ctx context.Context, outer, inner middleware.Policy, op func(context.Context) error) error
		want []int
	}{
		{"in one chain", func(ctx context.Context, outer, inner middleware.Policy, op func(context.Context) error) error {
			return middleware.NewChain("x", outer, inner).Do(ctx, op)
		}, []int{1, 2, 2, 3}},
		{"in two", func(ctx context.Context, outer, inner middleware.Policy, op func(context.Context) error) error {
			return middleware.NewChain("x", outer).Do(ctx, func(ctx context.Context) error {
				return middleware.NewChain("y", inner).Do(ctx, op)
			})
		}, []int{1, 2, 1, 2}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var seen []int
			_ = row.do(t.Context(), unbounded("retry", 2, 0), policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always}), slowly(&seen))
			if !slices.Equal(seen, row.want) {
				t.Errorf("%s: the attempts %v, want %v", row.name, seen, row.want)
			}
		})
	}
}

// A call that an operation makes through another chain counts for that chain's budget,
// whichever attempt of the operation it is part of.
func TestCallsInARepeatedAttemptCountForTheirOwnBudget(t *testing.T) {
	for _, newInner := range []func(*policies.Budget) middleware.Policy{
		func(b *policies.Budget) middleware.Policy {
			return policies.NewRetry(policies.RetryConfig{Attempts: 1, Budget: b})
		},
		func(b *policies.Budget) middleware.Policy {
			return policies.NewHedge(policies.HedgeConfig{Delay: time.Hour, Budget: b})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			shared := policies.NewBudget(policies.BudgetConfig{})
			policies.NewRetry(policies.RetryConfig{Budget: shared}) // another user
			inner := middleware.NewChain("y", newInner(shared))
			_ = middleware.NewChain("x", unbounded("outer", 3, 0)).Do(t.Context(), func(ctx context.Context) error { return inner.Do(ctx, fail) })
			if s := shared.Status(); s.Calls != 3 {
				t.Errorf("%+v, want three calls", s)
			}
		})
	}
}

// The first attempt does not look around: a success costs the guard nothing, and the caller
// of a second attempt pays for its context alone.
func TestTheNestedGuardCostsASuccessNothing(t *testing.T) {
	chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}))
	looks := &lookCounter{Context: t.Context()}
	if n := testing.AllocsPerRun(1000, func() { _ = chain.Do(looks, succeed) }); n != 0 || looks.n != 0 {
		t.Errorf("%v allocations and %d looks into the context, want none", n, looks.n)
	}
}

type lookCounter struct {
	context.Context
	n int
}

func (c *lookCounter) Value(key any) any { c.n++; return c.Context.Value(key) }
