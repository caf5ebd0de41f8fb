package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// until is an operation that lasts until the channel is closed, whatever its context says.
func until(end <-chan struct{}) func(context.Context) error {
	return func(context.Context) error { <-end; return nil }
}

func leasesExpired(b *policies.Bulkhead) (n float64) {
	n = -1
	b.Reports(func(r middleware.Report) bool {
		for _, v := range r.Readings {
			if v.Name == "leases_expired" {
				n = v.Value
			}
		}
		return true
	})
	return n
}

// When a lease is over, the place is given to who needs one, in whatever way; a late end of
// the call gives nothing back. Nobody's need, nothing happens.
func TestAPlaceIsHeldForItsLeaseOnly(t *testing.T) {
	for _, c := range []policies.BulkheadConfig{
		{MaxConcurrent: 1, Lease: time.Minute},
		{MaxConcurrent: 1, Lease: time.Minute, UntilResult: true},
	} {
		for name, need := range map[string]func(*policies.Bulkhead, *middleware.Chain) error{
			"a call": func(_ *policies.Bulkhead, chain *middleware.Chain) error {
				return chain.Do(t.Context(), lasting(time.Second, nil))
			},
			"Acquire": func(b *policies.Bulkhead, _ *middleware.Chain) error {
				lease, err := b.Acquire(t.Context())
				if err == nil {
					time.Sleep(time.Second)
				}
				lease.Release()
				return err
			},
			"TryAcquire": func(b *policies.Bulkhead, _ *middleware.Chain) error {
				lease, ok := b.TryAcquire()
				if !ok {
					return middleware.ErrBulkheadFull
				}
				time.Sleep(time.Second)
				lease.Release()
				return nil
			},
		} {
			t.Run(fmt.Sprint(name, " ", c.UntilResult), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen recorder
					b := policies.NewBulkhead(c)
					chain := middleware.NewChain("x", &seen, b)
					end := make(chan struct{})
					hangs := make(chan error, 1)
					go func() { hangs <- chain.Do(t.Context(), until(end)) }()
					time.Sleep(time.Minute - 1)
					if err := need(b, chain); !errors.Is(err, middleware.ErrBulkheadFull) {
						t.Errorf("before the end of the lease: %v", err)
					}
					time.Sleep(time.Hour)
					expect(t, b, "when nobody needs a place", 1, 0)
					needed := make(chan error, 1)
					go func() { needed <- need(b, chain) }()
					synctest.Wait()
					expect(t, b, "when somebody does", 1, 0)
					close(end)
					if err := <-hangs; err != nil {
						t.Error(err)
					}
					expect(t, b, "when the call has ended", 1, 0)
					if err := <-needed; err != nil {
						t.Error(err)
					}
					expect(t, b, "at the end", 0, 0)
					e := seen.of(middleware.LeaseExpired)
					if len(e) != 1 || e[0].Wait != time.Hour+time.Minute-1 || e[0].Policy != "bulkhead" || e[0].Chain != "x" {
						t.Errorf("events %+v", e)
					}
					if n := leasesExpired(b); n != 1 {
						t.Errorf("the reading is %v", n)
					}
				})
			})
		}
	}
}

// Those that wait get the place at the very end of the lease, one after the other.
func TestThoseThatWaitGetThePlaceWhenTheLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 3, MaxWait: time.Hour, Lease: 10 * time.Second})
		chain := middleware.NewChain("x", &seen, b)
		end := make(chan struct{})
		begin := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		var order []string
		for i := range 4 {
			all.Go(func() {
				err := chain.Do(t.Context(), func(context.Context) error {
					mu.Lock()
					order = append(order, fmt.Sprint(i, " ", time.Since(begin)))
					mu.Unlock()
					<-end
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		expect(t, b, "after a minute", 1, 0)
		mu.Lock()
		if got := fmt.Sprint(order); got != "[0 0s 1 10s 2 20s 3 30s]" {
			t.Errorf("they began %v", got)
		}
		mu.Unlock()
		close(end)
		all.Wait()
		expect(t, b, "at the end", 0, 0)
		if e := seen.of(middleware.LeaseExpired); len(e) != 3 || e[2].Wait != 10*time.Second {
			t.Errorf("events %+v", e)
		}
	})
}

// A result that nobody closes keeps its place for the lease.
func TestAResultThatNobodyCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, Lease: time.Minute})
		chain := middleware.NewChain("x", b)
		one := func(context.Context) (int, error) { return 1, nil }
		_, first, _ := middleware.Stream(t.Context(), chain, one, nil)
		time.Sleep(time.Minute)
		_, second, err := middleware.Stream(t.Context(), chain, one, nil)
		if err != nil {
			t.Fatal(err)
		}
		first()
		expect(t, b, "when the first is closed late", 1, 0)
		second()
		expect(t, b, "when the second is closed", 0, 0)
	})
}

// Acquire waits as a call does and gets its errors; Release gives the place back once, from
// any goroutine.
func TestAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 1, MaxWait: time.Minute})
		middleware.NewChain("x", &seen, b)
		middleware.NewChain("nobody sees", b)
		first, err := b.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, ok := b.TryAcquire()
		if _, more := b.TryAcquire(); !ok || more {
			t.Fatal("there are two places")
		}
		expect(t, b, "with two", 2, 0)
		go func() { _, _ = b.Acquire(t.Context()) }()
		synctest.Wait()
		_, err = b.Acquire(t.Context())
		if r := rejection(t, err); r.Reason != middleware.ErrBulkheadFull || r.Chain != "x" || r.Policy != "bulkhead" {
			t.Errorf("got %+v", r)
		}
		time.Sleep(time.Second)
		var all sync.WaitGroup
		for range 5 {
			all.Go(first.Release)
		}
		all.Wait()
		expect(t, b, "when it was released five times", 2, 0)
		if e := seen.of(middleware.Waited); len(e) != 1 || e[0].Wait != time.Second {
			t.Errorf("events %+v", e)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = b.Acquire(ctx)
		if r := rejection(t, err); err != error(r) || !errors.Is(err, middleware.ErrCanceled) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v (%T)", err, err)
		}
		second.Release()
		second.Release()
		(*policies.Lease)(nil).Release()
		expect(t, b, "at the end", 1, 0)
	})
}

// However places are taken, held for too long and given back, at the end all are free.
func TestLeasesUnderFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 4, MaxQueue: 8, MaxWait: time.Second, Lease: time.Second})
		var expired, ran atomic.Int64
		chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.LeaseExpired {
				expired.Add(1)
			}
			if s := b.Status(); s.Running > 4 || s.Waiting > 8 {
				t.Errorf("%+v", s)
			}
		}), b)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				dice := rand.New(rand.NewPCG(uint64(i), 1))
				for range 200 {
					hold := time.Duration(dice.Int64N(int64(2 * time.Second)))
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(dice.Int64N(int64(3*time.Second))))
					switch dice.IntN(4) {
					case 0:
						if lease, err := b.Acquire(ctx); err == nil {
							time.Sleep(hold)
							lease.Release()
						}
					case 1:
						if lease, ok := b.TryAcquire(); ok {
							time.Sleep(hold)
							lease.Release()
						}
					case 2:
						var one sync.WaitGroup
						one.Go(func() {
							_ = chain.Do(ctx, func(context.Context) error { time.Sleep(hold); runtime.Goexit(); return nil })
						})
						one.Wait()
					default:
						_, end, _ := middleware.Stream(ctx, chain, func(context.Context) (int, error) { ran.Add(1); return 1, nil }, nil)
						time.Sleep(hold)
						end()
					}
					cancel()
				}
			})
		}
		all.Wait()
		expect(t, b, "at the end", 0, 0)
		if n := leasesExpired(b); expired.Load() == 0 || n != float64(expired.Load()) || ran.Load() == 0 {
			t.Errorf("%d leases expired, the reading is %v, %d results", expired.Load(), n, ran.Load())
		}
	})
}

// An observer that panics when a lease has ended takes nobody's place with it.
func TestAPanicOfAnObserverOfALease(t *testing.T) {
	for _, queue := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			b := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: queue, MaxWait: time.Duration(queue) * time.Minute, Lease: time.Second})
			chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
				if e.Kind == middleware.LeaseExpired {
					panic("observer")
				}
			}), b)
			lease, _ := b.TryAcquire()
			if queue == 0 { // else the call waits for the end of the lease
				time.Sleep(time.Second)
			}
			func() {
				defer func() { _ = recover() }()
				_ = chain.Do(t.Context(), succeed)
				t.Error("no panic")
			}()
			expect(t, b, "after the panic", 0, 0)
			lease.Release()
			expect(t, b, "at the end", 0, 0)
		})
	}
}
