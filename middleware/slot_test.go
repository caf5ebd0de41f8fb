package middleware_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// A named policy writes its name when a call passes it.
type named struct {
	name     string
	attached atomic.Int32
}

type trail struct{}

func (n *named) Execute(ctx context.Context, next middleware.Next) error {
	if t, ok := ctx.Value(trail{}).(*[]string); ok {
		*t = append(*t, n.name)
	}
	return next.Do(ctx)
}

func (n *named) Attach(*middleware.Chain) { n.attached.Add(1) }

func namesOf(policies []middleware.Policy) string {
	var names []string
	for _, p := range policies {
		if n, ok := p.(*named); ok {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, " ")
}

// passed returns the names of the policies that a call passes.
func passed(t *testing.T, c *middleware.Chain) string {
	t.Helper()
	var names []string
	ran := false
	err := c.Do(context.WithValue(context.Background(), trail{}, &names), func(context.Context) error {
		ran = true
		return nil
	})
	if err != nil || !ran {
		t.Errorf("the call returned %v, it ran: %v", err, ran)
	}
	return strings.Join(names, " ")
}

func TestThePoliciesInASlotStandWhereItDoes(t *testing.T) {
	slot := new(middleware.Slot)
	a, b, x, y := &named{name: "a"}, &named{name: "b"}, &named{name: "x"}, &named{name: "y"}
	c := middleware.NewChain("slotted", a, slot, b)
	outer := middleware.NewChain("outer", x, c, y)
	for _, row := range []struct {
		inside []middleware.Policy
		want   string
	}{
		{nil, "a b"},
		{[]middleware.Policy{x, nil, y}, "a x y b"},
		{[]middleware.Policy{middleware.NewChain("", y, x)}, "a y x b"},
		{[]middleware.Policy{new(middleware.Slot), x}, "a x b"},
		{nil, "a b"},
	} {
		slot.Set(row.inside...)
		if got := passed(t, c); got != row.want {
			t.Errorf("a call passes %q, want %q", got, row.want)
		}
		if got := namesOf(c.Policies()); got != row.want {
			t.Errorf("the policies are %q, want %q", got, row.want)
		}
		if got, want := passed(t, outer), "x "+row.want+" y"; got != want {
			t.Errorf("in another chain a call passes %q, want %q", got, want)
		}
		if got := namesOf(slot.Policies()); "a "+got+" b" != row.want && (got != "" || row.want != "a b") {
			t.Errorf("in the slot are %q, want those between of %q", got, row.want)
		}
	}
}

func TestACallPassesThePoliciesThatWereThereWhenItCame(t *testing.T) {
	slot := new(middleware.Slot)
	x, y := &named{name: "x"}, &named{name: "y"}
	c := middleware.NewChain("slotted", slot)
	again := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if err := next.Do(ctx); err != nil {
			return err
		}
		slot.Set(y)
		return next.Do(ctx)
	})
	slot.Set(again, x)
	if got := passed(t, c); got != "x x" {
		t.Errorf("the call passed %q, want x twice", got)
	}
	if got := passed(t, c); got != "y" {
		t.Errorf("the next call passed %q", got)
	}
}

func TestAttachersInASlotAreToldOfEachChain(t *testing.T) {
	slot, early, late := new(middleware.Slot), &named{}, &named{}
	slot.Set(early)
	c := middleware.NewChain("one", slot)
	if n := early.attached.Load(); n != 1 {
		t.Errorf("a policy in the slot was told of a new chain %d times", n)
	}
	d := middleware.NewChain("two", slot)
	slot.Set(early, late)
	if n, m := early.attached.Load(), late.attached.Load(); n != 4 || m != 2 {
		t.Errorf("of two chains they were told %d and %d times, want 4 and 2", n, m)
	}
	runtime.KeepAlive(c)
	runtime.KeepAlive(d)
}

func TestTheSecondPartOfAnEnclosingPolicyStandsLastInItsSlot(t *testing.T) {
	slot, end := new(middleware.Slot), &named{name: "end"}
	c := middleware.NewChain("slotted", slot, end)
	slot.Set(enclosing{named: &named{name: "outer"}, inner: &named{name: "inner"}}, &named{name: "x"})
	if got := passed(t, c); got != "outer x inner end" {
		t.Errorf("a call passes %q", got)
	}
}

type enclosing struct {
	*named
	inner *named
}

func (e enclosing) Innermost() middleware.Policy { return e.inner }

type substituting struct{ *named }

func (substituting) Substitutes() bool { return true }

func TestAChainSubstitutesIfAPolicyInASlotDoes(t *testing.T) {
	slot := new(middleware.Slot)
	c := middleware.NewChain("slotted", slot)
	outer := middleware.NewChain("outer", &named{}, c)
	for _, row := range []struct {
		inside []middleware.Policy
		want   bool
	}{
		{nil, false},
		{[]middleware.Policy{&named{}}, false},
		{[]middleware.Policy{&named{}, substituting{&named{}}}, true},
		{nil, false},
	} {
		slot.Set(row.inside...)
		if got, in := c.Substitutes(), outer.Substitutes(); got != row.want || in != row.want {
			t.Errorf("with %d policies in the slot: %v, and in another chain %v, want %v", len(row.inside), got, in, row.want)
		}
	}
}

func TestTheRevisionCountsWhatASlotIsSetTo(t *testing.T) {
	slot := new(middleware.Slot)
	slot.Set(&named{})
	c, other := middleware.NewChain("slotted", slot, new(middleware.Slot)), middleware.NewChain("other", &named{})
	before := c.Revision()
	slot.Set()
	slot.Set(&named{})
	if got := c.Revision(); got != before+2 {
		t.Errorf("it was %d, and after two changes it is %d", before, got)
	}
	if got := other.Revision(); got != 0 {
		t.Errorf("that of a chain without a slot is %d", got)
	}
}

func TestASlotLetsAChainGo(t *testing.T) {
	slot := new(middleware.Slot)
	gone := make(chan struct{})
	func() {
		c := middleware.NewChain("gone", slot)
		runtime.AddCleanup(c, func(struct{}) { close(gone) }, struct{}{})
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			slot.Set(&named{})
			return
		default:
			runtime.Gosched()
		}
	}
	t.Error("the slot keeps a chain that nobody has")
}

func TestASlotCostsACallNoAllocation(t *testing.T) {
	slot := new(middleware.Slot)
	slot.Set(middleware.PolicyFunc(pass))
	c := middleware.NewChain("slotted", middleware.PolicyFunc(pass), slot)
	ctx, op := context.Background(), func(context.Context) error { return nil }
	if n := testing.AllocsPerRun(100, func() { _ = c.Do(ctx, op) }); n != 0 {
		t.Errorf("a call allocates %v times", n)
	}
}

func TestASlotIsSetWhileCallsRun(t *testing.T) {
	slot := new(middleware.Slot)
	c := middleware.NewChain("slotted", slot, &named{name: "end"})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if got := passed(t, c); !slices.Contains([]string{"end", "x end", "x y end"}, got) {
					t.Errorf("a call passed %q", got)
				}
				_ = middleware.NewChain("another", slot)
			}
		})
	}
	x, y := &named{name: "x"}, &named{name: "y"}
	for range 500 {
		slot.Set()
		slot.Set(x)
		slot.Set(x, y)
	}
	wg.Wait()
}
