package benchmarks

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A call runs an operation that succeeds or fails at once.
type call func(ctx context.Context, fails bool) error

var errBroken = errors.New("broken")

// The operation, for libraries that hand it a context and for others.

func succeed(context.Context) error { return nil }
func fail(context.Context) error    { return errBroken }

func succeedAlone() error { return nil }
func failAlone() error    { return errBroken }

// repeat makes calls as long as there are more. It returns how many of them had
// not the outcome that the workload has when the breaker does what it should.
func repeat(ctx context.Context, c call, w workload, more func() bool) (wrong int64) {
	left := w.failEvery
	for more() {
		left--
		fails := left == 0
		if fails {
			left = w.failEvery
		}
		if !w.expects(c(ctx, fails), fails) {
			wrong++
		}
	}
	return wrong
}

// expects reports whether the outcome of a call is one that the work has.
func (w workload) expects(err error, fails bool) bool {
	switch w.mode {
	case opened:
		return err != nil && err != errBroken
	case shedding:
		return err != nil
	default:
		return fails && err == errBroken || !fails && err == nil
	}
}

// measure makes calls from GOMAXPROCS goroutines, and fails if one of them had
// not the outcome that it should have.
func measure(b *testing.B, c call, w workload) {
	open(b, c, w)
	ctx, goroutines := b.Context(), runtime.NumGoroutine()
	var wrong atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) { wrong.Add(repeat(ctx, c, w, pb.Next)) })
	b.StopTimer()
	if n := wrong.Load(); n > 0 {
		b.Errorf("%d of %d calls had another outcome than the work has", n, b.N)
	}
	settle(b, goroutines)
}

// open makes calls that fail until one is rejected, if that is what the work is.
// A breaker may open some time after the failure that made it do so.
func open(tb testing.TB, c call, w workload) {
	for range 10_000 {
		if w.mode != opened || c(tb.Context(), true) != errBroken {
			return
		}
		time.Sleep(time.Millisecond)
	}
	tb.Fatal("the breaker does not open")
}

// settle waits until what a library left to other goroutines is done, so that it
// does not slow the next benchmark.
func settle(tb testing.TB, goroutines int) {
	for range 10_000 {
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		time.Sleep(time.Millisecond)
	}
	tb.Error("the calls have ended but not their goroutines")
}
