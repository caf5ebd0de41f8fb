package benchmarks

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// maxAdded is what the chain of four policies may allocate for each request, above the
// bare transport.
const maxAdded = 10

// BenchmarkHTTP is a GET that succeeds, on the loopback interface and over a transport
// that answers at once. Of a library it reports what it adds to the bare transport:
// the two take turns, so that what slows the machine slows both. Libraries do not, so
// compare them by +%, which is in terms of the bare requests between their own. It is
// measured with one processor, on which client and server then take turns too.
func BenchmarkHTTP(b *testing.B) {
	loopback := newEcho(b)
	for _, work := range []struct {
		name string
		stack
		url string // empty for the transport that answers at once
	}{
		{"timeout retry breaker rate limit, loopback", fullStack, loopback},
		{"timeout retry breaker rate limit, no connection", fullStack, ""},
		{"retry, loopback", retryStack, loopback},
		{"retry, no connection", retryStack, ""},
		{"no-op tracer, no connection", noopStack, ""},
		{"tracer that samples nothing, no connection", unsampledStack, ""},
	} {
		for _, l := range transportLibraries {
			if l.name == "bare" || l.wrap(instant{}, work.stack) == nil {
				continue
			}
			runOnOne(b, work.name+"/"+l.name, func(b *testing.B) {
				bare, url, requests := newBase(b, work.url)
				reportAdded(b, bare, l.wrap(bare, work.stack), url, requests)
			})
		}
	}
	// What is not zero here is the error of the measurement.
	runOnOne(b, "control: nothing, loopback/bare", func(b *testing.B) {
		bare, url, requests := newBase(b, loopback)
		reportAdded(b, bare, bare, url, requests)
	})
	runOnOne(b, "control: nothing, no connection/bare", func(b *testing.B) {
		bare, url, requests := newBase(b, "")
		reportAdded(b, bare, bare, url, requests)
	})
	runOnOne(b, "the same four, tracing off, no connection/tidegate", func(b *testing.B) {
		bare, url, requests := newBase(b, "")
		reportAdded(b, bare, observed(bare, nil, fourPolicies()...), url, requests)
	})
	runOnOne(b, "the same four, tracer that samples nothing, no connection/tidegate", func(b *testing.B) {
		bare, url, requests := newBase(b, "")
		reportAdded(b, bare, observed(bare, unsampled(), fourPolicies()...), url, requests)
	})
}

// The chain of four policies allocates no more than it is held to.
func TestAddedAllocations(t *testing.T) {
	for _, row := range []struct{ name, url string }{{"no connection", ""}, {"loopback", newEcho(t)}} {
		t.Run(row.name, func(t *testing.T) {
			bare, url, _ := newBase(t, row.url)
			allocs := func(rt http.RoundTripper) float64 {
				req := get(t, url)
				return testing.AllocsPerRun(1000, func() {
					if _, err := exchange(rt, req); err != nil {
						t.Fatal(err)
					}
				})
			}
			added := allocs(tidegateTransport(bare, fullStack)) - allocs(bare)
			t.Logf("%v allocations", added)
			if added > maxAdded {
				t.Errorf("%v allocations above the bare transport, want at most %d", added, maxAdded)
			}
		})
	}
}

// No turn is disturbed by the collector.
func TestComparisonsKeepTheCollectorOut(t *testing.T) {
	var kept []byte
	before := unforced()
	compare(func() { kept = make([]byte, 1<<20) }, func() { kept = make([]byte, 2<<20) }, 10)
	runtime.KeepAlive(kept)
	if n := unforced() - before; n > 0 {
		t.Errorf("%d collections that nobody asked for", n)
	}
}

func unforced() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumGC - m.NumForcedGC
}

// newEcho starts a server that answers with a small body, and returns its URL.
func newEcho(tb testing.TB) string {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(smallBody))
	}))
	tb.Cleanup(server.Close)
	return server.URL
}

// newBase returns a bare transport, where to send requests, and how many of them
// make a turn. Without a URL it is the one that answers at once.
func newBase(tb testing.TB, url string) (bare http.RoundTripper, to string, requests int) {
	tb.Helper()
	if url == "" {
		return instant{}, "http://example.com/", 500
	}
	base := new(http.Transport)
	tb.Cleanup(base.CloseIdleConnections)
	return base, url, 50
}

// reportAdded reports what wrapped costs above bare, and if they are the same, what
// that costs.
func reportAdded(b *testing.B, bare, wrapped http.RoundTripper, url string, requests int) {
	b.Helper()
	var c comparison
	send := func(rt http.RoundTripper) func() {
		req := get(b, url)
		return func() {
			if status, err := exchange(rt, req); err != nil || status != http.StatusOK {
				b.Fatal(status, err)
			}
		}
	}
	for b.Loop() {
		c = compare(send(bare), send(wrapped), requests)
	}
	b.ReportMetric(0, "ns/op") // of both: not printed
	if wrapped == bare {
		b.ReportMetric(c.bare, "ns")
	}
	b.ReportMetric(c.added, "+ns")
	b.ReportMetric(c.allocs, "+allocs")
	b.ReportMetric(c.bytes, "+B")
	b.ReportMetric(100*c.added/c.bare, "+%")
}

// A comparison is what something costs, and what something else costs more: the
// nanoseconds, allocations and bytes of one run.
type comparison struct{ bare, added, allocs, bytes float64 }

// compare lets the two take turns, in random order and many runs at a time. It returns
// the mean of the middle half of the turns: others were disturbed.
//
// The collector runs before each turn and in none. Left alone it runs after so many
// allocations, which is in step with the turns: all of its work would be counted for
// one of the two, and that is more than what is to be measured. What a library leaves
// to the collector are the bytes.
func compare(bare, wrapped func(), runs int) comparison {
	const turns = 24
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	run := func(do func()) float64 {
		runtime.GC()
		start := time.Now()
		for range runs {
			do()
		}
		return float64(time.Since(start).Nanoseconds()) / float64(runs)
	}
	run(bare) // dials, fills pools
	run(wrapped)
	costs, more := make([]float64, turns), make([]float64, turns)
	for i := range turns {
		var other float64
		if rand.IntN(2) == 0 {
			costs[i], other = run(bare), run(wrapped)
		} else {
			other, costs[i] = run(wrapped), run(bare)
		}
		more[i] = other - costs[i]
	}
	allocated := func(do func()) (allocs, bytes float64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 * runs {
			do()
		}
		runtime.ReadMemStats(&after)
		n := float64(10 * runs)
		return float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n
	}
	allocs, bytes := allocated(bare)
	moreAllocs, moreBytes := allocated(wrapped)
	return comparison{middle(costs), middle(more), moreAllocs - allocs, moreBytes - bytes}
}

func middle(numbers []float64) float64 {
	slices.Sort(numbers)
	half := numbers[len(numbers)/4 : len(numbers)-len(numbers)/4]
	var sum float64
	for _, n := range half {
		sum += n
	}
	return sum / float64(len(half))
}
