package middleware_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestAttemptIsOneUntilSet(t *testing.T) {
	if n := middleware.Attempt(t.Context()); n != 1 {
		t.Errorf("got %d", n)
	}
	if n := middleware.Attempt(middleware.WithAttempt(t.Context(), 3)); n != 3 {
		t.Errorf("got %d", n)
	}
}

// The attempts of a call with an operation of its own are numbered by what repeats that call.
func TestACallWithAnOperationHasItsOwnAttempts(t *testing.T) {
	outer := middleware.WithAttempt(t.Context(), 3)
	ctx := middleware.WithOperation(outer, middleware.Operation{Name: "x"})
	if n := middleware.Attempt(ctx); n != 1 {
		t.Errorf("a new call is attempt %d", n)
	}
	if n := middleware.Attempt(middleware.WithAttempt(ctx, 2)); n != 2 {
		t.Errorf("its second attempt is numbered %d", n)
	}
	type key struct{}
	if v := middleware.WithOperation(context.WithValue(outer, key{}, "v"), middleware.Operation{}).Value(key{}); v != "v" {
		t.Errorf("another value is %v", v)
	}
}

func TestOuterAttemptIsTheInnermostOneThatWasRepeated(t *testing.T) {
	type step = func(context.Context) context.Context
	numbered := func(n int) step {
		return func(ctx context.Context) context.Context { return middleware.WithAttempt(ctx, n) }
	}
	elsewhere := func(n int) step {
		return func(ctx context.Context) context.Context { return middleware.WithOuterAttempt(ctx, n) }
	}
	retried := func(n int) step {
		return func(ctx context.Context) context.Context { return inside(ctx, middleware.Next.WithAttempt, n) }
	}
	hedged := func(n int) step {
		return func(ctx context.Context) context.Context { return inside(ctx, middleware.Next.WithHedge, n) }
	}
	operation := func(ctx context.Context) context.Context {
		return middleware.WithOperation(ctx, middleware.Operation{Name: "x"})
	}
	for _, row := range []struct {
		name      string
		steps     []step
		want      int
		elsewhere bool
		attempt   int
	}{
		{"none", nil, 1, false, 1},
		{"a first attempt", []step{numbered(1)}, 1, false, 1},
		{"a second attempt", []step{numbered(2)}, 2, false, 2},
		{"of a policy", []step{retried(4)}, 4, false, 4},
		{"of a policy, the first", []step{retried(1)}, 1, false, 1},
		{"a hedge", []step{hedged(2)}, 1, false, 2},
		{"a hedge in a second attempt", []step{retried(2), hedged(5)}, 2, false, 5},
		{"a call in a second attempt", []step{retried(2), operation}, 2, false, 1},
		{"a first attempt in a second", []step{numbered(2), numbered(1)}, 2, false, 1},
		{"the innermost", []step{retried(5), retried(2)}, 2, false, 2},
		{"another process", []step{elsewhere(3)}, 3, true, 1},
		{"another process, a call", []step{elsewhere(3), operation}, 3, true, 1},
		{"another process, then here", []step{elsewhere(3), retried(2)}, 2, false, 2},
		{"the first of another process", []step{elsewhere(1)}, 1, false, 1},
		{"nonsense of another process", []step{elsewhere(-7)}, 1, false, 1},
		{"none from here on", []step{retried(2), elsewhere(1)}, 1, false, 2},
	} {
		ctx := t.Context()
		for _, s := range row.steps {
			ctx = s(ctx) //nolint:fatcontext // each row has a few
		}
		n, elsewhere := middleware.OuterAttempt(ctx)
		if n != row.want || elsewhere != row.elsewhere {
			t.Errorf("%s: %d, elsewhere: %t, want %d, %t", row.name, n, elsewhere, row.want, row.elsewhere)
		}
		if n := middleware.Attempt(ctx); n != row.attempt {
			t.Errorf("%s: Attempt is %d, want %d", row.name, n, row.attempt)
		}
	}
}

// inside returns what with makes of ctx in a policy.
func inside(ctx context.Context, with func(middleware.Next, context.Context, int) context.Context, n int) context.Context {
	got, _ := middleware.Call(ctx, middleware.NewChain("", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.Do(with(next, ctx, n))
	})), func(ctx context.Context) (context.Context, error) { return ctx, nil })
	return got
}

// A policy asks for the attempts of its own call: those that policies further out number,
// through chains in chains, but not those of a call that it is part of.
func TestNextKnowsTheAttemptsOfItsOwnCall(t *testing.T) {
	var seen []string
	note := func(name string) middleware.Policy {
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			seen = append(seen, fmt.Sprint(name, next.Attempt(ctx)))
			return next.Do(ctx)
		})
	}
	repeat := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.Do(next.WithAttempt(ctx, 2))
	})
	asks := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		seen = append(seen, fmt.Sprint("r", next.Attempt(ctx)))
		return next.Do(next.WithAttempt(ctx, 2))
	})
	numbers := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.Do(middleware.WithAttempt(ctx, 2))
	})
	hidden := func(policies ...middleware.Policy) middleware.Policy { // a chain that is not flattened
		c := middleware.NewChain("hidden", policies...)
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			return next.ExecuteThen(ctx, c, func() {})
		})
	}
	around := middleware.NewChain("around", note("c"), note("d"))
	encloses := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return around.Execute(next.WithAttempt(ctx, 2), next)
	})
	own := middleware.NewChain("x", note("a"), asks, note("b"))
	depth := 0
	for _, row := range []struct {
		name string
		do   func(ctx context.Context) error
		want []string
	}{
		{"further in", func(ctx context.Context) error { return own.Do(ctx, nothing) }, []string{"a1", "r1", "b2"}},
		{"in a chain in the chain", func(ctx context.Context) error {
			return middleware.NewChain("x", repeat, hidden(note("a"), hidden(note("b"))), note("c")).Do(ctx, nothing)
		}, []string{"a2", "b2", "c2"}},
		{"numbered in a chain in the chain", func(ctx context.Context) error {
			return middleware.NewChain("x", hidden(repeat, note("a")), note("b")).Do(ctx, nothing)
		}, []string{"a2", "b1"}},
		{"in a chain that the policy runs", func(ctx context.Context) error {
			return middleware.NewChain("x", note("a"), encloses, note("b")).Do(ctx, nothing)
		}, []string{"a1", "c2", "d2", "b2"}},
		{"in another chain", func(ctx context.Context) error {
			return middleware.NewChain("x", repeat).Do(ctx, func(ctx context.Context) error {
				return middleware.NewChain("y", note("a"), hidden(note("b"))).Do(ctx, nothing)
			})
		}, []string{"a1", "b1"}},
		{"in the same chain again", func(ctx context.Context) error {
			depth = 0
			return own.Do(ctx, func(ctx context.Context) error {
				if depth++; depth == 1 {
					return own.Do(ctx, nothing)
				}
				return nil
			})
		}, []string{"a1", "r1", "b2", "a1", "r1", "b2"}},
		{"by who is not known", func(ctx context.Context) error {
			return middleware.NewChain("x", numbers).Do(ctx, func(ctx context.Context) error {
				return middleware.NewChain("y", note("a")).Do(ctx, nothing)
			})
		}, []string{"a2"}},
		{"by who is not known, of another operation", func(ctx context.Context) error {
			return middleware.NewChain("x", numbers).Do(ctx, func(ctx context.Context) error {
				return middleware.NewChain("y", note("a")).Do(middleware.WithOperation(ctx, middleware.Operation{}), nothing)
			})
		}, []string{"a1"}},
	} {
		seen = nil
		if err := row.do(t.Context()); err != nil || !slices.Equal(seen, row.want) {
			t.Errorf("%s: %v, %v, want %v", row.name, err, seen, row.want)
		}
	}
}

func nothing(context.Context) error { return nil }
