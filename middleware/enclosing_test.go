package middleware_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// A fence has a part outside and a part inside.
type fence struct {
	name   string
	inside *gate
	log    *[]string
}

type gate struct {
	name string
	log  *[]string
}

func newFence(name string, log *[]string) *fence {
	return &fence{name, &gate{name, log}, log}
}

func (f *fence) Execute(ctx context.Context, next middleware.Next) error {
	*f.log = append(*f.log, f.name)
	return next.Do(ctx)
}

func (f *fence) Innermost() middleware.Policy {
	if f.inside == nil {
		return nil
	}
	return f.inside
}

func (g *gate) Execute(ctx context.Context, next middleware.Next) error {
	*g.log = append(*g.log, "in "+g.name)
	return next.Do(ctx)
}

func TestTheSecondPartOfAnEnclosingPolicyStandsInnermost(t *testing.T) {
	var log []string
	say := func(name string) middleware.Policy {
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			log = append(log, name)
			return next.Do(ctx)
		})
	}
	a, b, hollow := newFence("a", &log), newFence("b", &log), newFence("hollow", &log)
	hollow.inside = nil
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		want  string
	}{
		{"one", middleware.NewChain("x", a, say("p"), say("q")), "a, p, q, in a"},
		{"in the middle", middleware.NewChain("x", say("p"), a, say("q")), "p, a, q, in a"},
		{"two, the first one outermost", middleware.NewChain("x", a, b, say("p")), "a, b, p, in a, in b"},
		{"none inside", middleware.NewChain("x", hollow, say("p")), "hollow, p"},
		{"in a chain that is part of this one", middleware.NewChain("x", middleware.NewChain("y", a, say("p")), say("q")), "a, p, q, in a"},
		{"in two of them", middleware.NewChain("x", a, middleware.NewChain("y", a, say("p")), say("q")), "a" + ", a, p, q, in a"},
	} {
		t.Run(row.name, func(t *testing.T) {
			log = nil
			err := row.chain.Do(t.Context(), func(context.Context) error { return nil })
			if got := strings.Join(log, ", "); err != nil || got != row.want {
				t.Errorf("got %q, %v, want %q", got, err, row.want)
			}
		})
	}
}

// A meter reports as many parts as it is told.
type meter []middleware.Report

func (m meter) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (m meter) Reports(yield func(middleware.Report) bool) {
	for _, r := range m {
		if !yield(r) {
			return
		}
	}
}

func TestReportsOfAChain(t *testing.T) {
	pass := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) })
	chain := middleware.NewChain("x", meter{{Name: "a"}}, pass, meter{{Name: "b"}, {Name: "b", Key: "eu"}}, meter{{Name: "c"}})
	for most, want := range []string{"", "a", "a b", "a b b/eu", "a b b/eu c", "a b b/eu c"} {
		var got []string
		for r := range chain.Reports {
			if len(got) == most {
				break
			}
			name := r.Name
			if r.Key != "" {
				name += "/" + r.Key
			}
			got = append(got, name)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("the first %d are %q, want %q", most, text, want)
		}
	}
	var none *middleware.Chain
	if got := slices.Collect(none.Reports); len(got) != 0 {
		t.Errorf("a nil chain reports %v", got)
	}
}
