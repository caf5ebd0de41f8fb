//go:build real && unix

package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// core downloads as the Client does, with minio-go's Core, which needs no goroutine for it.
func (s realServer) core(t testing.TB, name, address string) contestant {
	t.Helper()
	raw := s.raw(t, address)
	return contestant{name, raw.PutObject, func(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
		body, _, _, err := minio.Core{Client: raw}.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		return body, err
	}}
}

// BenchmarkRealScale moves 10,000 objects of 4 KiB, and several times one of 1 GiB, with
// each contestant, in blocks that alternate, forwards and backwards, so that what else
// the machine does meets all of them. With -short it moves less. In the root:
//
//	make bench-real
//
// The metrics are medians of blocks:
//   - X/bare: the throughput of X as a multiple of that of bare in the same round. The
//     contestant "again" is bare once more, so again/bare says how much is noise;
//   - X-cpu/bare: the same of the processor time of this process, which has no server in it;
//   - X-MB/s, X-op/s: throughput, in objects for the small ones;
//   - X-allocs/op: allocations for an object, of everything in this process;
//   - X-heap-MiB: the peak of the heap in use, with garbage, sampled;
//   - X-live-MiB: what is held at the most, see liveHeap, in a pass of its own.
func BenchmarkRealScale(b *testing.B) {
	type blocks struct {
		load
		rounds int
	}
	rows := []blocks{
		{load{"10000 objects of 4 KiB", 100, 4 << 10, 8}, 100},
		{load{"1 GiB", 1, 1 << 30, 1}, 6},
	}
	if testing.Short() {
		rows = []blocks{
			{load{"1000 objects of 4 KiB", 100, 4 << 10, 8}, 10},
			{load{"64 MiB", 1, 64 * mib, 1}, 6},
		}
	}
	for _, s := range realServers {
		b.Run(s.program, func(b *testing.B) {
			address := s.serve(b)
			// Both ours and again have bare for a neighbour.
			ours, bare, again := s.ours(b, "ours", address), s.bare(b, "bare", address), s.bare(b, "again", address)
			contestants := map[string][]contestant{
				"put": {ours, bare, again},
				"get": {s.core(b, "core", address), ours, bare, again},
			}
			for _, row := range rows {
				for _, d := range directions {
					b.Run(row.name+"/"+d.name, func(b *testing.B) {
						row.race(b, d, row.rounds, contestants[d.name])
					})
				}
			}
		})
	}
}

// A result is what one contestant needed for a block.
type result struct {
	seconds, cpu, heap, allocs float64 // heap: the peak in use, bytes
}

func (l load) race(b *testing.B, d direction, rounds int, contestants []contestant) {
	for _, c := range contestants { // opens the connections
		if err := errors.Join(l.upload(b.Context(), c, c.name, nil), l.download(b.Context(), c, c.name, nil)); err != nil {
			b.Fatal(err)
		}
	}
	prefix := func(c contestant, round int) string {
		if l.objects == 1 { // it is large
			return c.name
		}
		if d.name == "get" {
			return fmt.Sprintf("all-%d", round)
		}
		return fmt.Sprintf("%s-%d", c.name, round)
	}
	if d.name == "get" && l.objects > 1 {
		for round := range rounds {
			if err := l.upload(b.Context(), contestants[0], prefix(contestants[0], round), nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	results, order := map[string][]result{}, slices.Clone(contestants)
	for b.Loop() {
		for round := range rounds {
			for _, c := range order {
				results[c.name] = append(results[c.name], l.measure(b, d, c, prefix(c, round)))
			}
			slices.Reverse(order)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, c := range contestants {
		own, bare := results[c.name], results["bare"]
		median := func(unit string, of func(result) float64) {
			values := make([]float64, len(own))
			for i, r := range own {
				values[i] = of(r)
			}
			b.ReportMetric(quantile(0.5, values), c.name+unit)
		}
		if l.objects > 1 {
			median("-op/s", func(r result) float64 { return float64(l.objects) / r.seconds })
		} else {
			median("-MB/s", func(r result) float64 { return float64(l.size) / 1e6 / r.seconds })
		}
		median("-heap-MiB", func(r result) float64 { return r.heap / mib })
		median("-allocs/op", func(r result) float64 { return r.allocs / float64(l.objects) })
		b.ReportMetric(float64(l.memory(b, d, c))/mib, c.name+"-live-MiB")
		if c.name == "bare" {
			continue
		}
		ratio := func(unit string, of func(own, bare result) float64) {
			values := make([]float64, len(own))
			for i := range own {
				values[i] = of(own[i], bare[i])
			}
			b.ReportMetric(quantile(0.5, values), c.name+unit)
			b.Logf("%s%s: %.3f, half of the rounds between %.3f and %.3f", c.name, unit,
				quantile(0.5, values), quantile(0.25, values), quantile(0.75, values))
		}
		ratio("/bare", func(own, bare result) float64 { return bare.seconds / own.seconds })
		ratio("-cpu/bare", func(own, bare result) float64 { return own.cpu / bare.cpu })
	}
}

// quantile returns the value that a share q of the values is below. It sorts them.
func quantile(q float64, values []float64) float64 {
	slices.Sort(values)
	at := q * float64(len(values)-1)
	low := int(at)
	high := min(low+1, len(values)-1)
	return values[low] + (at-float64(low))*(values[high]-values[low])
}

func (l load) measure(b *testing.B, d direction, c contestant, prefix string) result {
	b.Helper()
	runtime.GC() // nobody pays for the garbage of another
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	peak, cpu, began := watchHeap(), processorTime(), time.Now()
	err := d.move(l, b.Context(), c, prefix, nil)
	r := result{seconds: time.Since(began).Seconds(), cpu: (processorTime() - cpu).Seconds(), heap: float64(peak())}
	if err != nil {
		b.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	r.allocs = float64(after.Mallocs - before.Mallocs)
	return r
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watchHeap samples the heap in use until peak is called, which returns the most that
// it was.
func watchHeap() (peak func() int64) {
	var most int64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, readMetrics("/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes"))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() int64 {
		close(done)
		<-ended
		return most
	}
}
