package policies

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A latency estimates a quantile of the durations of the newest calls: of the last one
// to two spans.
//
// It is a histogram whose buckets are a sixteenth of a power of two wide, so the
// estimate, the upper end of the bucket that the exact quantile (by nearest rank) is in,
// is above that, by a sixteenth of it at the most. Durations below a microsecond are one
// bucket, those above 73 minutes count as that long. There are two histograms, of 2 KiB
// each: one that is being filled, and the one before. The estimate is made anew when one
// more sixteenth of calls has come. Nothing takes a lock.
type latency struct {
	quantile float64
	least    int64 // calls until there is an estimate
	epoch    time.Time
	newest   atomic.Pointer[histogram]
}

const latencySpan = int64(30 * time.Second)

// The buckets between two powers of two, and which powers there are: 2^10 ns is about a
// microsecond, 2^42 ns about 73 minutes.
const (
	subBits     = 4
	lowestBits  = 10
	highestBits = 42
	durations   = 1 + (highestBits-lowestBits)<<subBits
)

// A histogram holds the durations of one span.
type histogram struct {
	begin    int64
	older    atomic.Pointer[histogram] // nil when it is too old
	before   int64                     // calls in older when this one began
	estimate atomic.Int64              // zero: not known
	total    atomic.Int64
	due      atomic.Int64 // the total at which the estimate is made anew
	counts   [durations]atomic.Uint32
}

func newLatency(quantile float64, least int) *latency {
	l := &latency{quantile: quantile, least: int64(least), epoch: time.Now()}
	l.newest.Store(&histogram{})
	return l
}

func (l *latency) now() int64 { return int64(time.Since(l.epoch)) }

// current returns the histogram of the span that now is in.
func (l *latency) current(now int64) *histogram {
	h := l.newest.Load()
	for now-h.begin >= latencySpan {
		fresh := &histogram{begin: now - (now-h.begin)%latencySpan}
		if fresh.begin-h.begin < 2*latencySpan {
			fresh.older.Store(h)
			fresh.before = h.total.Load()
			l.estimate(fresh)
		}
		if l.newest.CompareAndSwap(h, fresh) {
			h.older.Store(nil)
		}
		h = l.newest.Load()
	}
	return h
}

// observe counts a call that took d.
func (l *latency) observe(d time.Duration) {
	h := l.current(l.now())
	h.counts[durationBucket(d)].Add(1)
	n := h.total.Add(1)
	if due := h.due.Load(); n >= due && n+h.before >= l.least && h.due.CompareAndSwap(due, n+n/16+1) {
		l.estimate(h)
	}
}

// value returns the estimate, or zero while too few calls have been observed.
func (l *latency) value() time.Duration {
	return time.Duration(l.current(l.now()).estimate.Load())
}

// retuned returns an estimate of another quantile of the same calls. l observes no calls
// any more from then on.
func (l *latency) retuned(quantile float64, least int) *latency {
	to := &latency{quantile: quantile, least: int64(least), epoch: l.epoch}
	h := l.current(l.now())
	to.newest.Store(h)
	h.estimate.Store(0) // should there be too few calls now
	h.due.Store(0)
	to.estimate(h)
	return to
}

// estimate makes the estimate of h anew.
func (l *latency) estimate(h *histogram) {
	var counts [durations]uint64
	var total uint64
	older := h.older.Load()
	for i := range counts {
		counts[i] = uint64(h.counts[i].Load())
		if older != nil {
			counts[i] += uint64(older.counts[i].Load())
		}
		total += counts[i]
	}
	if total == 0 || total < uint64(l.least) {
		return
	}
	rank := uint64(math.Ceil(l.quantile * float64(total)))
	for i, n := range counts {
		if n >= rank {
			h.estimate.Store(int64(durationEnd(i)))
			return
		}
		rank -= n
	}
}

// with returns a latency that knows the same calls, and estimates another quantile from
// as many of them.
func (l *latency) with(quantile float64, least int) *latency {
	if quantile == l.quantile && int64(least) == l.least {
		return l
	}
	h := l.current(l.now())
	copied := &latency{quantile: quantile, least: int64(least), epoch: l.epoch}
	newest := h.copy()
	if older := h.older.Load(); older != nil {
		newest.older.Store(older.copy())
	}
	copied.newest.Store(newest)
	copied.estimate(newest)
	return copied
}

// copy returns a histogram of the same durations, without an estimate. Calls that are counted
// meanwhile may be missing.
func (h *histogram) copy() *histogram {
	c := &histogram{begin: h.begin, before: h.before}
	for i := range h.counts {
		n := h.counts[i].Load()
		c.counts[i].Store(n)
		c.total.Add(int64(n))
	}
	return c
}

// idle reports whether no call is known.
func (l *latency) idle() bool {
	h := l.current(l.now())
	return h.total.Load()+h.before == 0
}

// durationBucket returns the bucket that d is in.
func durationBucket(d time.Duration) int {
	n := bits.Len64(uint64(max(d, 0)))
	switch {
	case n <= lowestBits:
		return 0
	case n > highestBits:
		return durations - 1
	}
	sub := int(d>>(n-1-subBits)) & (1<<subBits - 1)
	return 1 + (n-1-lowestBits)<<subBits + sub
}

// atLeast returns what a duration whose bucket has that end is at least.
func atLeast(end time.Duration) time.Duration {
	if i := durationBucket(end - 1); i > 0 {
		return durationEnd(i - 1)
	}
	return 0
}

// durationEnd returns the end of a bucket: what is in it is shorter.
func durationEnd(i int) time.Duration {
	if i == 0 {
		return 1 << lowestBits
	}
	i--
	return time.Duration(1<<subBits+i&(1<<subBits-1)+1) << (i>>subBits + lowestBits - subBits)
}
