package policies

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

func nothing(context.Context) error { return nil }

// A call that does not have to wait takes no lock, nor does one that is refused because
// the queue is full, nor one that has ended already.
func TestABulkheadTakesNoLock(t *testing.T) {
	b := NewBulkhead(BulkheadConfig{MaxConcurrent: 1})
	chain := middleware.NewChain("x", b)
	b.mu.Lock()
	defer b.mu.Unlock()
	err := chain.Do(t.Context(), func(context.Context) error { return chain.Do(t.Context(), nothing) })
	if !errors.Is(err, middleware.ErrBulkheadFull) || b.Status().Running != 0 || !b.idle() {
		t.Errorf("got %v, and then %+v", err, b.Status())
	}

	b = NewBulkhead(BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1})
	chain = middleware.NewChain("x", b)
	b.mu.Lock()
	defer b.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = chain.Do(t.Context(), func(context.Context) error { return chain.Do(ctx, nothing) })
	if !errors.Is(err, middleware.ErrCanceled) || !b.idle() {
		t.Errorf("got %v, and then %+v", err, b.Status())
	}
}

// An AdaptiveLimit takes none either, before the end of a window.
func TestAnAdaptiveLimitTakesNoLock(t *testing.T) {
	for _, until := range []bool{false, true} {
		l := NewAdaptiveLimit(AdaptiveLimitConfig{Initial: 1, Window: time.Hour, UntilResult: until})
		chain := middleware.NewChain("x", l)
		l.mu.Lock()
		for range 20 {
			err := chain.Do(t.Context(), func(context.Context) error { return chain.Do(t.Context(), nothing) })
			if !errors.Is(err, middleware.ErrConcurrencyLimited) || l.Status().Limit != 1 || !l.idle() {
				t.Errorf("got %v, and then %+v", err, l.Status())
			}
		}
		l.Reports(func(middleware.Report) bool { return true })
		l.mu.Unlock()
	}
}

// What has changed by the time that a call has the lock counts: it takes a place that has
// become free, and is refused when the queue has become full.
func TestThingsChangeBeforeACallHasTheLock(t *testing.T) {
	for _, row := range []struct {
		name           string
		state          uint64 // when the call has the lock
		want           error
		running, after uint64 // the state meanwhile and after
	}{
		{"a place", 0, nil, 1, 0},
		{"no place in the queue", 1 + oneWaiter, middleware.ErrBulkheadFull, 0, 1 + oneWaiter},
	} {
		b := NewBulkhead(BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1})
		b.state.Store(row.state)
		chain := middleware.NewChain("x", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			if placed, err := b.wait(ctx, caller{next: next}); !placed {
				return err
			}
			return next.DoThen(ctx, b.release)
		}))
		err := chain.Do(t.Context(), func(context.Context) error {
			if s := b.state.Load(); s != row.running {
				t.Errorf("%s: the state is %#x meanwhile", row.name, s)
			}
			return nil
		})
		if !errors.Is(err, row.want) || b.state.Load() != row.after {
			t.Errorf("%s: got %v, and the state is %#x", row.name, err, b.state.Load())
		}
	}
}

// Where somebody waits nobody else enters, although a place is free for the moment in which it
// is handed over.
func TestNobodyEntersWhereSomebodyWaits(t *testing.T) {
	b := NewBulkhead(BulkheadConfig{MaxConcurrent: 5, MaxQueue: 1})
	for _, state := range []uint64{oneWaiter, oneWaiter + 4, 3*oneWaiter + 1} {
		b.state.Store(state)
		if seen, entered := b.enter(b.rules.Load()); entered || seen != state {
			t.Errorf("state %#x: entered %v", state, entered)
		}
	}
}

// handOver gives the place of the call that runs to the first that waits, with the lock
// held, and returns that call.
func handOver(b *Bulkhead) *waiter {
	w := b.queue.first
	b.queue.remove(w)
	b.state.Add(^(oneWaiter - 1))
	close(w.ready)
	return w
}

// A call that has ended when it gets a place gives it back, whichever of the two it sees
// first; one whose time is up just then has it.
func TestAPlaceThatComesAtTheLastMoment(t *testing.T) {
	for range 20 { // select chooses by chance
		synctest.Test(t, func(t *testing.T) {
			b := NewBulkhead(BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1, MaxWait: time.Second})
			chain := middleware.NewChain("x", b)
			wait := func(ctx context.Context) <-chan error {
				b.state.Add(1) // somebody runs
				end := make(chan error, 1)
				go func() { end <- chain.Do(ctx, nothing) }()
				synctest.Wait()
				return end
			}

			ctx, cancel := context.WithCancel(t.Context())
			end := wait(ctx)
			b.mu.Lock()
			cancel()
			handOver(b)
			b.mu.Unlock()
			if err := <-end; !errors.Is(err, middleware.ErrCanceled) {
				t.Errorf("cancelled: got %v", err)
			}
			if !b.idle() {
				t.Errorf("cancelled: %+v", b.Status())
			}

			end = wait(t.Context())
			b.mu.Lock()
			time.Sleep(time.Second)
			handOver(b)
			b.mu.Unlock()
			if err := <-end; err != nil {
				t.Errorf("time up: got %v", err)
			}
			if !b.idle() {
				t.Errorf("time up: %+v", b.Status())
			}

			// A place is given back although those that waited for it have gone while
			// leave was on its way to the lock.
			ctx, cancel = context.WithCancel(t.Context())
			end = wait(ctx)
			cancel()
			left := make(chan struct{})
			b.mu.Lock()
			go func() { b.leave(); close(left) }()
			b.mu.Unlock()
			<-end
			<-left
			if !b.idle() {
				t.Errorf("nobody waits any longer: %+v", b.Status())
			}
		})
	}
}
