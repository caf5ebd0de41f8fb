package policies

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// priorities is how many there are.
const priorities = int(middleware.CriticalPlus-middleware.Sheddable) + 1

// demandBuckets is how many buckets make the window of a demand.
const demandBuckets = 20

// A demand is what was asked of a dependency in a window of time, and what it said to
// that. Its counters are never set back. A bucket holds what they were when it began: what
// has been counted since the oldest one began is what the window holds. Nothing takes a
// lock.
type demand struct {
	of      [priorities]atomic.Int64 // calls of each priority, lowest first
	shed    atomic.Int64             // of them, those that were not sent
	accepts atomic.Int64             // those that were accepted
	refused atomic.Int64             // and those that were not

	newest, oldest atomic.Pointer[demandBucket] // of the window
}

// A demandBucket has the counters of a demand as they were when it began.
type demandBucket struct {
	begin int64
	older atomic.Pointer[demandBucket]

	of                     [priorities]atomic.Int64 // a call that is taken back is so here, too
	shed, accepts, refused int64
}

// A windowSpan is how long a window is, and each of its buckets.
type windowSpan struct{ length, period int64 }

func spanOf(window time.Duration) windowSpan {
	s := windowSpan{length: math.MaxInt64, period: int64(window-1)/demandBuckets + 1}
	if s.period <= math.MaxInt64/demandBuckets {
		s.length = s.period * demandBuckets
	}
	return s
}

// A demandTally is what the window of a demand holds. No lock makes it a moment's picture,
// but what is missing in it are calls that are counted just then.
type demandTally struct {
	of                               [priorities]int64
	requests, shed, accepts, refused int64
}

func (d *demand) start() {
	b := new(demandBucket)
	d.newest.Store(b)
	d.oldest.Store(b)
}

// bucket returns a bucket that begins. It looks at the accepts before the calls, as tally
// does, so that what is counted just then makes no larger share of the calls that were refused.
func (d *demand) bucket(begin int64) *demandBucket {
	b := &demandBucket{begin: begin}
	b.shed, b.accepts, b.refused = d.shed.Load(), d.accepts.Load(), d.refused.Load()
	for i := range b.of {
		b.of[i].Store(d.of[i].Load())
	}
	return b
}

// advance begins the bucket that now is in, unless it has begun.
func (d *demand) advance(now int64, span windowSpan) {
	for b := d.newest.Load(); now-b.begin >= span.period; b = d.newest.Load() {
		fresh := d.bucket(now - (now-b.begin)%span.period)
		fresh.older.Store(b)
		if d.newest.CompareAndSwap(b, fresh) {
			d.cut(fresh, span)
		}
	}
}

// cut takes the buckets out of the window that are too old.
func (d *demand) cut(newest *demandBucket, span windowSpan) {
	oldest := newest
	for b := newest; b != nil && newest.begin-b.begin < span.length; b = b.older.Load() {
		oldest = b
	}
	oldest.older.Store(nil)
	for {
		known := d.oldest.Load()
		if known.begin >= oldest.begin || d.oldest.CompareAndSwap(known, oldest) {
			return
		}
	}
}

// begin counts a call of the given priority.
func (d *demand) begin(now int64, span windowSpan, of int) {
	d.advance(now, span)
	d.of[of].Add(1)
}

// end counts how a call ended that began then and was sent.
func (d *demand) end(began int64, of int, class middleware.Class) {
	switch class {
	case middleware.Success:
		d.accepts.Add(1)
	case middleware.Failure, middleware.Throttled:
		d.refused.Add(1)
	default:
		d.takeBack(began, of)
	}
}

// takeBack takes a call back as if it had never begun.
func (d *demand) takeBack(began int64, of int) {
	for b := d.newest.Load(); b != nil && b.begin > began; b = b.older.Load() {
		b.of[of].Add(-1)
	}
	d.of[of].Add(-1)
}

// welcome reports whether no call of the window was refused, there or here. It is for most
// of the calls, which so need no tally.
func (d *demand) welcome() bool {
	b := d.oldest.Load()
	return d.refused.Load() == b.refused && d.shed.Load() == b.shed
}

// tally returns what the window holds.
func (d *demand) tally(now int64, span windowSpan) demandTally {
	d.advance(now, span)
	b := d.oldest.Load()
	t := demandTally{
		shed:    max(0, d.shed.Load()-b.shed),
		accepts: max(0, d.accepts.Load()-b.accepts),
		refused: max(0, d.refused.Load()-b.refused),
	}
	for i := range t.of {
		t.of[i] = max(0, d.of[i].Load()-b.of[i].Load())
		t.requests += t.of[i]
	}
	return t
}
