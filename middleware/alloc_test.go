package middleware_test

import (
	"context"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

func pass(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func TestDoAllocatesNothing(t *testing.T) {
	p := middleware.PolicyFunc(pass)
	chain := middleware.NewChain("x", p, p, p, p)
	op := func(context.Context) error { return nil }
	if n := testing.AllocsPerRun(1000, func() { _ = chain.Do(t.Context(), op) }); n != 0 {
		t.Errorf("Do with four policies: %v allocations, want 0", n)
	}
}

func TestCallAllocatesAtMostTwice(t *testing.T) {
	p := middleware.PolicyFunc(pass)
	chain := middleware.NewChain("x", p, p, p, p)
	op := func(context.Context) (int, error) { return 42, nil }
	n := testing.AllocsPerRun(1000, func() { _, _ = middleware.Call(t.Context(), chain, op) })
	if n > 2 {
		t.Errorf("Call with four policies: %v allocations, want at most 2", n)
	}
	t.Logf("Call: %v allocations", n)
}
