package policies

import "sync/atomic"

// running are the calls in flight. When the breaker looks for slow ones, they are
// kept apart by the span of time in which they began; otherwise they are all in
// one cohort. Entering and leaving takes no lock.
type running struct {
	span   atomic.Int64
	newest atomic.Pointer[cohort]
	first  cohort
}

// A cohort are calls that began before until. Its word holds how many of them are
// in flight and, when there is only one cohort, above that how many of them have
// succeeded, so that the end of a call is one addition. Of several cohorts the old
// empty ones are unlinked.
type cohort struct {
	until int64
	older atomic.Pointer[cohort]
	word  atomic.Uint64
}

const (
	oneRunning   = uint64(1)
	oneSucceeded = uint64(1) << 24
	unlinked     = uint64(1) << 63 // the list no longer has the cohort: do not enter it
)

// cohorts is how many spans a call passes until it is slow.
const cohorts = 8

// start makes the calls slow that take longer than slow, if that is not zero.
func (r *running) start(slow, now int64) {
	r.span.Store(cohortSpan(slow))
	r.first.until = r.next(now)
	r.newest.Store(&r.first)
}

// cohortSpan returns the span in which calls are kept together that are slow after that time.
func cohortSpan(slow int64) int64 {
	if slow == 0 {
		return 0
	}
	return (slow-1)/cohorts + 1
}

// respan makes the calls slow that take longer than slow, which is not zero and was not. Those
// in flight are still kept by the span that was.
func (r *running) respan(slow, now int64) {
	if span := cohortSpan(slow); span != r.span.Load() {
		r.span.Store(span)
		r.advance(r.newest.Load(), now)
	}
}

// next returns the end of the span that begins now.
func (r *running) next(now int64) int64 {
	span := r.span.Load()
	if span == 0 {
		return forever
	}
	return later(now, span)
}

// due reports whether the first call of a new span would enter now.
func (r *running) due(now int64) bool { return now >= r.newest.Load().until }

func (r *running) enter(now int64) *cohort {
	if c := r.newest.Load(); now < c.until && c.enter() {
		return c
	}
	return r.enterNext(now)
}

func (r *running) enterNext(now int64) *cohort {
	for {
		c := r.newest.Load()
		if now >= c.until {
			r.advance(c, now)
		} else if c.enter() {
			return c
		}
	}
}

func (r *running) advance(newest *cohort, now int64) {
	fresh := &cohort{until: r.next(now)}
	fresh.older.Store(newest)
	if !r.newest.CompareAndSwap(newest, fresh) {
		return
	}
	for c := fresh; c != nil; {
		older := c.older.Load()
		if older != nil && older.empty() {
			c.older.Store(older.older.Load())
			continue
		}
		c = older
	}
}

func (c *cohort) enter() bool { return c.word.Add(oneRunning)&unlinked == 0 || !c.left() }

// left takes back an entry into a cohort that is unlinked. One that is the only one
// never is, however high its word has counted.
//
//go:noinline
func (c *cohort) left() bool {
	if c.until == forever {
		return false
	}
	c.word.Add(^uint64(0))
	return true
}

// empty reports whether no call of the cohort is in flight, and sees to it that
// none will be.
func (c *cohort) empty() bool {
	w := c.word.Load()
	return w&unlinked != 0 || w&(oneSucceeded-1) == 0 && c.word.CompareAndSwap(w, w|unlinked)
}

func (r *running) leave(c *cohort, succeeded bool) {
	if succeeded && r.span.Load() == 0 {
		c.word.Add(oneSucceeded - oneRunning)
	} else {
		c.word.Add(^uint64(0))
	}
}

// count returns how many calls are in flight.
func (r *running) count() (n int64) {
	for c := r.newest.Load(); c != nil; c = c.older.Load() {
		n += int64(c.word.Load() & (oneSucceeded - 1))
	}
	return n
}

// succeeded returns how many calls have succeeded, when there is one cohort.
func (r *running) succeeded() int64 { return int64(r.newest.Load().word.Load() / oneSucceeded) }

// begunBefore returns how many calls in flight surely began before t.
func (r *running) begunBefore(t int64) (n int64) {
	for c := r.newest.Load(); c != nil; c = c.older.Load() {
		if c.until <= t {
			n += int64(c.word.Load() & (oneSucceeded - 1))
		}
	}
	return n
}

// later returns t + d, or a time that is as good as forever.
func later(t, d int64) int64 {
	if t >= forever-d {
		return forever - 1
	}
	return t + d
}
