package benchmarks

import (
	"runtime"
	"testing"
)

// runOnOne is b.Run with one processor, and once whatever -cpu and -count say. It sets
// the number itself: for a benchmark with b.Loop package testing takes the first of its
// numbers to be that of the benchmark before, and reports it as its own.
func runOnOne(b *testing.B, name string, f func(b *testing.B)) {
	b.Helper()
	done := false
	b.Run(name, func(b *testing.B) {
		if done {
			b.ReportMetric(0, "ns/op") // prints nothing; a skipped benchmark prints NaN
			return
		}
		done = true
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		f(b)
	})
}
