package policies

import (
	"context"
	"sync"
)

// A Flight lets calls of the same key at the same time share one run, so that what many
// want at once is fetched once. The zero Flight is ready. It must not be copied after its
// first use.
//
// Of the calls of a key the first one leads: it runs its function on its own goroutine and
// with its own context, and the others wait for what it returns, the error as well as the
// value, which they must not change. One that waits leaves alone when its own
// context ends, with the error of that. When the leader's context has ended and its run failed, or
// when it panicked or called runtime.Goexit, that is its own affair: one of those that wait
// takes over and runs its own function.
//
// Who waits makes no call: where the functions go through a chain, its policies, metrics and
// traces know of the leader's alone.
//
// The calls share nothing further: who comes when a run is over begins a new one. A
// Flight starts no goroutine.
type Flight[K comparable, V any] struct {
	mu   sync.Mutex
	runs map[K]*flightRun[V]
}

// A flightRun is what one leader does for all. What the others get is set before over is closed.
type flightRun[V any] struct {
	over   chan struct{} // nil unless somebody waits; the lock is for that
	shared bool          // the others get what follows; otherwise one of them takes over
	value  V
	err    error
}

// Do returns what fn returns, or what that of another call of the key does which runs
// already. It returns the error of ctx if that has ended before fn could run. fn must not
// call Do with its own key: it would wait for itself.
func (f *Flight[K, V]) Do(ctx context.Context, key K, fn func(ctx context.Context) (V, error)) (V, error) {
	for {
		if err := ctx.Err(); err != nil {
			var zero V
			return zero, err
		}
		run, leads := f.enter(key)
		if leads {
			return f.lead(ctx, key, run, fn)
		}
		select {
		case <-run.over:
			if run.shared {
				return run.value, run.err
			}
		case <-ctx.Done():
		}
	}
}

// enter returns the run of the key, and whether the caller leads it.
func (f *Flight[K, V]) enter(key K) (run *flightRun[V], leads bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if run = f.runs[key]; run != nil {
		if run.over == nil {
			run.over = make(chan struct{})
		}
		return run, false
	}
	run = new(flightRun[V])
	if key != key { //nolint:gocritic // a NaN is no key: nobody would find it again
		return run, true
	}
	if f.runs == nil {
		f.runs = make(map[K]*flightRun[V])
	}
	f.runs[key] = run
	return run, true
}

func (f *Flight[K, V]) lead(ctx context.Context, key K, run *flightRun[V], fn func(ctx context.Context) (V, error)) (V, error) {
	defer f.leave(key, run)
	value, err := fn(ctx)
	run.value, run.err = value, err
	run.shared = err == nil || ctx.Err() == nil
	return value, err
}

// leave ends a run. Who comes now begins another one.
func (f *Flight[K, V]) leave(key K, run *flightRun[V]) {
	f.mu.Lock()
	delete(f.runs, key)
	f.mu.Unlock()
	if run.over != nil { // nobody else comes
		close(run.over)
	}
}
