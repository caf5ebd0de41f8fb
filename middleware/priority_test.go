package middleware_test

import (
	"math"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

var priorities = []middleware.Priority{middleware.Sheddable, middleware.SheddablePlus, middleware.Critical, middleware.CriticalPlus}

func TestEveryPriorityHasAName(t *testing.T) {
	for _, p := range priorities {
		if got, ok := middleware.ParsePriority(p.String()); !ok || got != p {
			t.Errorf("%v became %v, %t", p, got, ok)
		}
		if got := middleware.PriorityOf(middleware.WithPriority(t.Context(), p)); got != p {
			t.Errorf("a context with %v has %v", p, got)
		}
	}
	for _, name := range []string{"", "unknown", "Critical", "sheddable-plus", "-1"} {
		if got, ok := middleware.ParsePriority(name); ok || got != middleware.Critical {
			t.Errorf("%q became %v, %t", name, got, ok)
		}
	}
	for _, p := range []middleware.Priority{middleware.Sheddable - 1, middleware.CriticalPlus + 1} {
		if p.String() != "unknown" {
			t.Errorf("%d is called %v", int8(p), p)
		}
	}
}

func TestAPriorityOutOfRangeCountsAsTheNearest(t *testing.T) {
	for p, want := range map[middleware.Priority]middleware.Priority{
		math.MinInt8: middleware.Sheddable, math.MaxInt8: middleware.CriticalPlus,
	} {
		if got := middleware.PriorityOf(middleware.WithPriority(t.Context(), p)); got != want {
			t.Errorf("%d counts as %v, want %v", int8(p), got, want)
		}
	}
}

func TestACallIsCriticalUnlessSomebodySaysOtherwise(t *testing.T) {
	if got := middleware.PriorityOf(t.Context()); got != middleware.Critical {
		t.Errorf("got %v", got)
	}
	outer := middleware.WithPriority(t.Context(), middleware.Sheddable)
	if got := middleware.PriorityOf(middleware.WithPriority(outer, middleware.Critical)); got != middleware.Critical {
		t.Errorf("the inner context says critical, got %v", got)
	}
}
