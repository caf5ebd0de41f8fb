package policies

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// counters count the calls of one generation. They are never set back.
type counters struct {
	running   running
	successes atomic.Int64 // only when running has several cohorts, see succeeded
	failures  atomic.Int64
	slow      atomic.Int64
}

// manySuccesses is where the number of successes begins again at zero.
const manySuccesses = 1 << 40

func (c *counters) succeeded() int64 {
	if c.running.span.Load() == 0 {
		return c.running.succeeded()
	}
	return c.successes.Load() % manySuccesses
}

// A window knows which of the counted calls are the newest. Recording takes no lock.
type window interface {
	// record is called before the result is counted.
	record(now int64, failed, slow bool)
	tally(now int64) tally
}

// A tally is what a window holds. Other calls go on while it is summed up, or while a
// bucket begins. In a window of time they make no share of failures larger than it was,
// because calls are looked at last; and the share of slow calls by no more than the calls
// that are being counted just then, because a call is slow before it is counted, and a
// bucket looks at the slow ones last. In a window of calls it may be larger by the calls
// that turn the ring on meanwhile.
type tally struct{ calls, failures, slow int64 }

func newWindow(c *BreakerConfig, of *counters, now int64) window {
	switch {
	case !c.rates():
		return nil
	case c.WindowCalls > 0:
		return newCountWindow(c.WindowCalls)
	default:
		return newTimeWindow(int64(c.Window), int64(c.Buckets), of, now)
	}
}

// A timeWindow is a list of buckets, the newest first. A bucket holds what the counters
// were when it began: what has been counted since the oldest began is what the window
// holds. So a result costs the window nothing but a look at the time.
type timeWindow struct {
	of     *counters
	shape  atomic.Pointer[shape]
	newest atomic.Pointer[bucket]
}

// A shape is how long a bucket is, and all of them.
type shape struct{ period, length int64 }

func newShape(length, buckets int64) *shape {
	s := &shape{period: (length-1)/buckets + 1, length: math.MaxInt64}
	if s.period <= math.MaxInt64/buckets {
		s.length = s.period * buckets
	}
	return s
}

type bucket struct {
	begin          int64
	older          atomic.Pointer[bucket]
	successes      int64
	failures, slow uint32 // differences of these are right up to four billion
}

func newTimeWindow(length, buckets int64, of *counters, now int64) *timeWindow {
	w := &timeWindow{of: of}
	w.shape.Store(newShape(length, buckets))
	w.newest.Store(w.bucket(now))
	return w
}

// bucket returns a bucket that begins. The order in which it looks matters, see tally.
func (w *timeWindow) bucket(begin int64) *bucket {
	return &bucket{
		begin: begin, successes: w.of.succeeded(), failures: uint32(w.of.failures.Load()), slow: uint32(w.of.slow.Load()),
	}
}

func (w *timeWindow) record(now int64, _, _ bool) {
	period := w.shape.Load().period
	for b := w.newest.Load(); now-b.begin >= period; {
		b = w.advance(b, now, period)
	}
}

// advance puts the bucket of now before newest, unless somebody else has put one
// there, and returns the newest.
func (w *timeWindow) advance(newest *bucket, now, period int64) *bucket {
	length := w.shape.Load().length
	fresh := w.bucket(newest.before(now, period))
	fresh.older.Store(newest)
	if w.newest.CompareAndSwap(newest, fresh) {
		for b := fresh; b != nil; b = b.older.Load() {
			if older := b.older.Load(); older != nil && fresh.begin-older.begin >= length {
				b.older.Store(nil)
			}
		}
	}
	return w.newest.Load()
}

// before returns when the bucket of now begins, a whole number of periods after b.
func (b *bucket) before(now, period int64) int64 { return now - (now-b.begin)%period }

func (w *timeWindow) tally(now int64) tally {
	oldest, s := w.newest.Load(), w.shape.Load()
	begin := oldest.before(now, s.period)
	if begin-oldest.begin >= s.length {
		return tally{}
	}
	for b := oldest; b != nil && begin-b.begin < s.length; b = b.older.Load() {
		oldest = b
	}
	t := tally{slow: int64(uint32(w.of.slow.Load()) - oldest.slow)}
	t.failures = int64(uint32(w.of.failures.Load()) - oldest.failures)
	t.calls = t.failures + (w.of.succeeded()-oldest.successes)&(manySuccesses-1)
	t.slow = min(t.slow, t.calls)
	return t
}

// A countWindow is a ring with two bits for each of the newest calls.
type countWindow struct {
	size         uint64
	calls        atomic.Uint64
	failed, slow []atomic.Uint64
}

func newCountWindow(size int) *countWindow {
	words := (size + 63) / 64
	both := make([]atomic.Uint64, 2*words)
	return &countWindow{size: uint64(size), failed: both[:words], slow: both[words:]}
}

func (w *countWindow) record(_ int64, failed, slow bool) {
	i := (w.calls.Add(1) - 1) % w.size
	mark(w.failed, i, failed)
	mark(w.slow, i, slow)
}

func mark(words []atomic.Uint64, i uint64, set bool) {
	word, bit := &words[i/64], uint64(1)<<(i%64)
	switch {
	case set:
		word.Or(bit)
	case word.Load()&bit != 0:
		word.And(^bit)
	}
}

func (w *countWindow) tally(int64) tally {
	var t tally
	for i := range w.failed {
		t.failures += int64(bits.OnesCount64(w.failed[i].Load()))
		t.slow += int64(bits.OnesCount64(w.slow[i].Load()))
	}
	t.calls = int64(min(w.calls.Load(), w.size)) // last, see tally
	return t
}
