package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// When there are more places, calls that wait get them at once; when there are fewer, those
// that run go on, and no other begins until they are fewer than that.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 10, MaxWait: time.Hour})
		chain := middleware.NewChain("x", b)
		ends := make(chan struct{})
		for range 8 {
			go func() { _ = chain.Do(t.Context(), func(context.Context) error { <-ends; return nil }) }()
		}
		for _, step := range []struct {
			size, ends       int
			running, waiting int
		}{
			{2, 0, 2, 6}, {5, 0, 5, 3}, {3, 0, 5, 3}, {3, 1, 4, 3}, {3, 1, 3, 3}, {3, 1, 3, 2}, {4, 0, 4, 1}, {1, 3, 1, 1}, {math.MaxInt, 0, 2, 0}, {-5, 0, 2, 0},
		} {
			synctest.Wait()
			b.Resize(step.size)
			for range step.ends {
				ends <- struct{}{}
				synctest.Wait()
			}
			expect(t, b, fmt.Sprintf("%+v", step), step.running, step.waiting)
			if s, want := b.Status(), min(max(step.size, 1), math.MaxInt32); s.MaxConcurrent != want || s.MaxQueue != 10 {
				t.Errorf("%+v: %+v", step, s)
			}
		}
		if got, want := reportsOf(b)[0], "bulkhead/bulkhead running=2 waiting=0 MaxConcurrent=1 MaxQueue=10 MaxWait=1h UntilResult=off Order=fifo Lease=off limit:1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		close(ends)
		expect(t, b, "at the end", 0, 0)
	})
}

// Apply changes all settings but the name, keeps those that run and wait, and nothing when a
// setting is wrong.
func TestABulkheadAppliesSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{Name: "disk", MaxConcurrent: 1, MaxQueue: 5, MaxWait: time.Hour})
		chain := middleware.NewChain("x", b)
		var order []int
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				_ = chain.Do(t.Context(), func(context.Context) error { order = append(order, i); time.Sleep(time.Second); return nil })
			})
			synctest.Wait()
		}
		before := reportsOf(b)[0]
		err := b.Apply(policies.BulkheadConfig{MaxConcurrent: -1})
		if _, ok := errors.AsType[*policies.SettingError](err); !ok || reportsOf(b)[0] != before {
			t.Errorf("got %v, and then %s", err, reportsOf(b)[0])
		}
		if err := b.Apply(policies.BulkheadConfig{Name: "tape", MaxConcurrent: 1, MaxQueue: 2, MaxWait: time.Second, Order: policies.LIFO, Lease: time.Minute}); err != nil {
			t.Error(err)
		}
		if got, want := reportsOf(b)[0], "bulkhead/disk running=1 waiting=4 MaxConcurrent=1 MaxQueue=2 MaxWait=1s UntilResult=off Order=lifo Lease=1m limit:1 leases_expired:0"; got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrBulkheadFull) {
			t.Errorf("more wait than may: %v", err)
		}
		all.Wait()
		if !slices.Equal(order, []int{0, 4, 3, 2, 1}) {
			t.Errorf("the order was %v", order)
		}
	})
}

// When MaxConcurrent has changed, by Resize or Apply, the observers of the chain hear of it.
func TestABulkheadTellsOfItsLimit(t *testing.T) {
	var seen recorder
	b := policies.NewBulkhead(policies.BulkheadConfig{Name: "disk", MaxConcurrent: 2})
	b.Resize(4) // part of no chain yet
	var heard []string
	look := middleware.ObserverFunc(func(context.Context, middleware.Event) { // which needs the lock
		b.TryAcquire()
		heard = append(heard, fmt.Sprint(b.Status().MaxConcurrent, b.Status().Running))
	})
	middleware.NewChain("x", &seen, look, b)
	middleware.NewChain("y", b) // without an observer
	b.Resize(8)
	b.Resize(8)
	b.Resize(-1)
	_ = b.Apply(policies.BulkheadConfig{MaxConcurrent: 3})
	_ = b.Apply(policies.BulkheadConfig{MaxConcurrent: 3, MaxQueue: 5})
	_ = b.Apply(policies.BulkheadConfig{MaxConcurrent: -1})
	_ = b.Apply(policies.BulkheadConfig{})
	var got []string
	for _, e := range seen.events {
		got = append(got, fmt.Sprint(e.Kind, " ", e.Chain, "/", e.Policy, " from ", e.From, " to ", e.To, " ", e.Reason))
	}
	if want := []string{
		"limit_changed x/disk from 4 to 8 resized", "limit_changed x/disk from 8 to 1 resized",
		"limit_changed x/disk from 1 to 3 resized", "limit_changed x/disk from 3 to 25 resized",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := []string{"8 1", "1 1", "3 2", "25 3"}; !slices.Equal(heard, want) {
		t.Errorf("at the events: %q, want %q", heard, want)
	}
	if got, want := reportsOf(b)[0], "limit:25"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end with %q", got, want)
	}
}

// With LIFO the call that came last is served first, and one that has waited for MaxWait is
// refused all the same.
func TestTheNewestCallIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 10, MaxWait: 4 * time.Second, Order: policies.LIFO})
		chain := middleware.NewChain("x", b)
		var order []int
		var refused atomic.Int64
		var all sync.WaitGroup
		for i := range 8 { // one each half second, and each takes a second
			all.Go(func() {
				err := chain.Do(t.Context(), func(context.Context) error { order = append(order, i); time.Sleep(time.Second); return nil })
				if errors.Is(err, middleware.ErrBulkheadFull) {
					refused.Add(1)
				}
			})
			synctest.Wait()
			time.Sleep(time.Second/2 + time.Duration(1-min(i, 1))*time.Millisecond) // never when a place becomes free
		}
		all.Wait()
		if want := []int{0, 1, 3, 5, 7, 6, 4}; !slices.Equal(order, want) || refused.Load() != 1 {
			t.Errorf("the order was %v, and %d were refused", order, refused.Load())
		}
	})
}

// A bulkhead that only observes refuses nothing and holds nothing back, and counts as
// running those only that it would not refuse.
func TestABulkheadThatObserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 3, MaxWait: time.Hour, ObserveOnly: true})
		chain := middleware.NewChain("x", &seen, b)
		begin := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := chain.Do(t.Context(), lasting(time.Second, nil)); err != nil || time.Since(begin) != time.Second {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
			})
		}
		synctest.Wait()
		expect(t, b, "with ten calls", 5, 0)
		lease, ok := b.TryAcquire()
		another, err := b.Acquire(t.Context())
		if !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		lease.Release()
		another.Release()
		expect(t, b, "with ten calls still", 5, 0)
		all.Wait()
		expect(t, b, "at the end", 0, 0)
		if e := seen.of(middleware.WouldReject); len(e) != 7 || e[0].Reason != "bulkhead_full" || len(seen.events) != 7 {
			t.Errorf("%d events: %+v", len(seen.events), seen.events)
		}
		_ = b.Apply(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 3, MaxWait: time.Hour})
		for range 3 {
			all.Go(func() { _ = chain.Do(t.Context(), lasting(time.Second, nil)) })
		}
		expect(t, b, "when it does more than observe", 1, 2)
		_ = b.Apply(policies.BulkheadConfig{MaxConcurrent: 1, ObserveOnly: true})
		expect(t, b, "when it only observes again", 3, 0)
		all.Wait()
	})
}

// Whatever is applied while calls come and go, nobody is lost and all places are free in the
// end; when the size has settled, no more than that run.
func TestABulkheadThatChangesUnderFire(t *testing.T) {
	b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 3, MaxQueue: 50, MaxWait: time.Hour})
	chain := middleware.NewChain("x", b)
	var inside, most, ran atomic.Int64
	round := func() {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				dice := rand.New(rand.NewPCG(uint64(i), 1))
				for range 200 {
					ctx, cancel := context.WithCancel(t.Context())
					if dice.IntN(4) == 0 {
						go cancel()
					}
					_ = chain.Do(ctx, func(context.Context) error {
						most.Store(max(most.Load(), inside.Add(1)))
						ran.Add(1)
						inside.Add(-1)
						return nil
					})
					cancel()
				}
			})
		}
		all.Wait()
	}
	stop := make(chan struct{})
	var changes sync.WaitGroup
	for i := range 2 {
		changes.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(i), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				b.Resize(1 + dice.IntN(5))
				_ = b.Apply(policies.BulkheadConfig{
					MaxConcurrent: 1 + dice.IntN(5), MaxQueue: 1 + dice.IntN(50), MaxWait: time.Hour, Order: policies.QueueOrder(dice.IntN(2)),
					Lease: time.Duration(dice.IntN(2)) * time.Hour, UntilResult: dice.IntN(2) == 0, ObserveOnly: dice.IntN(10) == 0,
				})
			}
		})
	}
	round()
	close(stop)
	changes.Wait()
	if s := b.Status(); s.Running != 0 || s.Waiting != 0 {
		t.Errorf("at the end: %+v", s)
	}
	_ = b.Apply(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 50, MaxWait: time.Hour})
	most.Store(0)
	round()
	if s := b.Status(); s.Running != 0 || s.Waiting != 0 || most.Load() > 2 || ran.Load() == 0 {
		t.Errorf("%+v, %d at the same time, %d ran", s, most.Load(), ran.Load())
	}
}
