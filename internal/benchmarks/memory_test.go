package benchmarks

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// BenchmarkMemory is what breakers occupy that do nothing, after a call in each
// bucket of their window, or after a single call. It does not depend on the number of
// processors, and is measured with one of them.
func BenchmarkMemory(b *testing.B) {
	if runtime.GOMAXPROCS(0) > 1 {
		return
	}
	for _, work := range []struct {
		name  string
		calls int
	}{{"idle breaker, 10 buckets in use", buckets}, {"idle breaker, 10 buckets, 1 in use", 1}} {
		const n = 10_000
		idle := workload{mode: rolling, threshold: 100, window: time.Second}
		b.Run(work.name+"/tidegate", func(b *testing.B) {
			bytes := heap(b, func() any {
				breakers := make([]*policies.Breaker, n)
				for i := range breakers {
					breakers[i] = newTidegate(idle)
				}
				inEachBucket(work.calls, func() {
					for _, breaker := range breakers {
						check(b, middleware.NewChain("x", breaker).Do(b.Context(), succeed))
					}
				})
				return breakers
			})
			b.ReportMetric(bytes/n, "B/breaker")
		})
		b.Run(work.name+"/gobreaker", func(b *testing.B) {
			bytes := heap(b, func() any {
				breakers := make([]*gobreaker.CircuitBreaker[struct{}], n)
				for i := range breakers {
					breakers[i] = newGobreaker(idle)
				}
				inEachBucket(work.calls, func() {
					for _, breaker := range breakers {
						_, err := breaker.Execute(gobreakerSuccess)
						check(b, err)
					}
				})
				return breakers
			})
			b.ReportMetric(bytes/n, "B/breaker")
		})
	}
	const n = 100_000
	b.Run("100000 keyed breakers/tidegate", func(b *testing.B) {
		bytes := heap(b, func() any {
			chain := middleware.NewChain("x", newKeyed(n))
			for i := range n {
				check(b, chain.Do(context.WithValue(b.Context(), keyOfCall{}, strconv.Itoa(i)), succeed))
			}
			return chain
		})
		b.ReportMetric(bytes/n, "B/key")
		b.ReportMetric(bytes/(1<<20), "MiB")
	})
}

// inEachBucket calls do in so many buckets of the window, one after the other.
func inEachBucket(n int, do func()) {
	for i := range n {
		if i > 0 {
			time.Sleep(time.Second / buckets)
		}
		do()
	}
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// heap returns by how many bytes the heap grows through what is made, on average.
func heap(b *testing.B, produce func() any) float64 {
	b.Helper()
	var bytes int64
	for b.Loop() {
		before := heapInUse()
		product := produce()
		bytes += heapInUse() - before
		runtime.KeepAlive(product)
	}
	b.ReportMetric(0, "ns/op") // most of it is the collector's: not printed
	return float64(bytes) / float64(b.N)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // frees what the first one found to be garbage
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
