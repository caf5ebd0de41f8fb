package benchmarks

import (
	"context"
	"runtime"
	"strings"
	"testing"
)

// A row is a library at some work.
type row struct {
	name     string // of the work and of the library
	call     call
	workload workload

	allocs float64 // of Tidegate, in a call: no more
}

// measureRows measures each row.
func measureRows(b *testing.B, rows []row) {
	b.Helper()
	for _, r := range rows {
		b.Run(r.name, func(b *testing.B) { measure(b, r.call, r.workload) })
	}
}

// checkRows sees that every library does what the work is, and that Tidegate allocates no
// more for it than it is held to.
func checkRows(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			open(t, r.call, r.workload)
			left := 500
			if n := repeat(t.Context(), r.call, r.workload, func() bool { left--; return left >= 0 }); n > 0 {
				t.Errorf("%d of 500 calls had another outcome than the work has", n)
			}
			if !strings.HasSuffix(r.name, "/tidegate") {
				return
			}
			fails := r.workload.failEvery == 1
			if n := testing.AllocsPerRun(1000, func() { _ = r.call(t.Context(), fails) }); n > r.allocs {
				t.Errorf("%v allocations, want at most %v", n, r.allocs)
			}
		})
	}
}

// occupy makes a call that lasts as long as the benchmark or test, and returns when it runs.
func occupy(tb testing.TB, do func(op func() error) error) {
	tb.Helper()
	begun, end, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		over <- do(func() error { close(begun); <-end; return nil })
	}()
	<-begun
	tb.Cleanup(func() {
		close(end)
		if err := <-over; err != nil {
			tb.Error(err)
		}
	})
}

// An operation that lets others run, for what becomes of calls at the same time.

func yields(context.Context) error { runtime.Gosched(); return nil }
func yieldsAlone() error           { runtime.Gosched(); return nil }
