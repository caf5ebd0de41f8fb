package middleware_test

import (
	"cmp"
	"context"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// told returns what Propagate tells of ctx.
func told(ctx context.Context) map[string]string {
	all := map[string]string{}
	middleware.Propagate(ctx, func(name, value string) { all[name] = value })
	return all
}

// outer returns the attempt of another process that ctx belongs to.
func outer(ctx context.Context, t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(told(ctx)[middleware.AttemptHeader], "1"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsTold(t *testing.T) {
	type header = map[string]string
	second := func(ctx context.Context) context.Context { return middleware.WithAttempt(ctx, 2) }
	for name, row := range map[string]struct {
		ctx  func(context.Context) context.Context
		want header
	}{
		"nothing":   {func(ctx context.Context) context.Context { return ctx }, header{}},
		"sheddable": {func(ctx context.Context) context.Context { return middleware.WithPriority(ctx, middleware.Sheddable) }, header{middleware.PriorityHeader: "sheddable"}},
		"sheddable plus": {func(ctx context.Context) context.Context {
			return middleware.WithPriority(ctx, middleware.SheddablePlus)
		}, header{middleware.PriorityHeader: "sheddable_plus"}},
		"critical, as nobody says": {func(ctx context.Context) context.Context { return middleware.WithPriority(ctx, middleware.Critical) }, header{}},
		"critical plus": {func(ctx context.Context) context.Context {
			return middleware.WithPriority(ctx, middleware.CriticalPlus)
		}, header{middleware.PriorityHeader: "critical_plus"}},
		"the first attempt":       {func(ctx context.Context) context.Context { return middleware.WithAttempt(ctx, 1) }, header{}},
		"the second":              {second, header{middleware.AttemptHeader: "2"}},
		"one of another process":  {func(ctx context.Context) context.Context { return middleware.WithOuterAttempt(ctx, 3) }, header{middleware.AttemptHeader: "3"}},
		"the second in the third": {func(ctx context.Context) context.Context { return middleware.WithOuterAttempt(second(ctx), 3) }, header{middleware.AttemptHeader: "3"}},
		"a large number":          {func(ctx context.Context) context.Context { return middleware.WithAttempt(ctx, 1e6) }, header{middleware.AttemptHeader: "100"}},
		"a priority and an attempt": {func(ctx context.Context) context.Context {
			return middleware.WithPriority(second(ctx), middleware.Sheddable)
		}, header{middleware.PriorityHeader: "sheddable", middleware.AttemptHeader: "2"}},
		"a priority that is too high": {func(ctx context.Context) context.Context { return middleware.WithPriority(ctx, 99) }, header{middleware.PriorityHeader: "critical_plus"}},
	} {
		if got := told(row.ctx(t.Context())); !maps.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

func TestWhatIsBelieved(t *testing.T) {
	for _, row := range []struct {
		priority, attempt string
		wantPriority      middleware.Priority
		wantAttempt       int
	}{
		{"", "", middleware.Critical, 1},
		{"sheddable", "2", middleware.Sheddable, 2},
		{"sheddable_plus", "3", middleware.SheddablePlus, 3},
		{"critical", "99", middleware.Critical, 99},
		{"critical_plus", "100", middleware.CriticalPlus, 100},
		{"Sheddable", "101", middleware.Critical, 100},
		{"sheddable ", "9223372036854775808000", middleware.Critical, 100},
		{"sheddable,critical", " 2", middleware.Critical, 1},
		{"unknown", "2 ", middleware.Critical, 1},
		{"-2", "-2", middleware.Critical, 1},
		{"\x00", "+2", middleware.Critical, 1},
		{"sheddable\x00", "02", middleware.Critical, 1},
		{"SHEDDABLE", "2.0", middleware.Critical, 1},
		{"0", "0x2", middleware.Critical, 1},
		{"critical-plus", "٢", middleware.Critical, 1},
		{"sheddable_", "0", middleware.Critical, 1},
		{"_", "1", middleware.Critical, 1},
	} {
		ctx := middleware.WithPropagated(t.Context(), func(name string) string {
			return map[string]string{middleware.PriorityHeader: row.priority, middleware.AttemptHeader: row.attempt}[name]
		})
		if p, n := middleware.PriorityOf(ctx), outer(ctx, t); p != row.wantPriority || n != row.wantAttempt {
			t.Errorf("%q, %q: %v and attempt %d, want %v and %d", row.priority, row.attempt, p, n, row.wantPriority, row.wantAttempt)
		}
		if middleware.Attempt(ctx) != 1 {
			t.Errorf("%q: the attempt of another process counts as one of this", row.attempt)
		}
	}
}

// What is malformed changes nothing: not even what a process outside of it said.
func TestWhatIsMalformedChangesNothing(t *testing.T) {
	ctx := middleware.WithOuterAttempt(middleware.WithPriority(t.Context(), middleware.SheddablePlus), 4)
	if got := middleware.WithPropagated(ctx, func(string) string { return "?" }); got != ctx {
		t.Errorf("the context has changed: %v", told(got))
	}
}

func TestToTellNothingAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	header := map[string][]string{}
	if n := testing.AllocsPerRun(1000, func() {
		middleware.Propagate(ctx, func(name, value string) { header[name] = []string{value} })
		if got := middleware.WithPropagated(ctx, func(string) string { return "" }); got != ctx {
			t.Error("the context has changed")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// What is believed is told on as it came, within its bounds.
func FuzzPropagation(f *testing.F) {
	for _, seed := range [][2]string{{"sheddable", "2"}, {"critical_plus", "100"}, {"", ""}, {"x", "-1"}, {"sheddable_plus", "18446744073709551618"}, {"critical", "007"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, priority, attempt string) {
		ctx := middleware.WithPropagated(t.Context(), func(name string) string {
			return map[string]string{middleware.PriorityHeader: priority, middleware.AttemptHeader: attempt}[name]
		})
		p, n := middleware.PriorityOf(ctx), outer(ctx, t)
		if p != middleware.Critical && p.String() != priority {
			t.Errorf("%q became %v", priority, p)
		}
		digits := attempt != "" && attempt[0] != '0' && strings.Trim(attempt, "0123456789") == ""
		exact, err := strconv.Atoi(attempt)
		switch {
		case !digits && n != 1:
			t.Errorf("%q became attempt %d", attempt, n)
		case digits && err != nil && n != 100, digits && err == nil && n != min(exact, 100):
			t.Errorf("%q became attempt %d", attempt, n)
		}
		all := told(ctx)
		again := middleware.WithPropagated(t.Context(), func(name string) string { return all[name] })
		if middleware.PriorityOf(again) != p || outer(again, t) != n {
			t.Errorf("%v and attempt %d were told as %v", p, n, all)
		}
	})
}
