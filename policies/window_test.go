package policies

import (
	"sync"
	"testing"
)

// A seen call is what a plain model of a window remembers of a call.
type seen struct {
	at           int64
	failed, slow bool
}

// A recorded window is a window with the counters of its calls.
type recorded struct {
	window
	counters *counters
}

func newRecorded(length, buckets, origin int64) *recorded {
	c := new(counters)
	c.running.start(1, origin)
	return &recorded{newTimeWindow(length, buckets, c, origin), c}
}

func (r *recorded) record(now int64, failed, slow bool) {
	r.window.record(now, failed, slow)
	if failed {
		r.counters.failures.Add(1)
	} else {
		r.counters.successes.Add(1)
	}
	if slow {
		r.counters.slow.Add(1)
	}
}

// FuzzWindow drives a window and a list of all calls with the same operations: the
// window must always hold what the list says.
func FuzzWindow(f *testing.F) {
	f.Add(uint16(100), uint8(10), false, []byte{0, 1, 2, 3, 200, 1, 255, 0})
	f.Add(uint16(7), uint8(3), true, []byte{3, 3, 3, 3, 0, 0, 0, 0, 0, 1, 2, 3})
	f.Add(uint16(1), uint8(1), false, []byte{4, 1, 8, 1, 12, 1})
	f.Add(uint16(64), uint8(64), true, []byte{1, 2, 1, 2})
	f.Add(uint16(1000), uint8(255), false, []byte{252, 252, 252, 1, 252, 2})
	f.Fuzz(func(t *testing.T, length uint16, buckets uint8, byCount bool, operations []byte) {
		operations = operations[:min(len(operations), 300)] // the list is slow
		size, n := int64(length)+1, int64(buckets)+1
		const origin = 17
		now, calls := int64(origin), []seen(nil)
		w := newRecorded(size, n, origin)
		if byCount {
			w.window = newCountWindow(int(size))
		}
		period := (size + n - 1) / n
		for i, op := range operations {
			now += int64(op >> 2) // the rest of the byte is time
			call := seen{at: now, failed: op&1 != 0, slow: op&2 != 0}
			calls = append(calls, call)
			w.record(now, call.failed, call.slow)

			now += int64(op) * int64(i%3) // and some more before one looks
			var want tally
			for j, c := range calls {
				if byCount && int64(len(calls)-j) > size || !byCount && (now-origin)/period-(c.at-origin)/period >= n {
					continue
				}
				want.calls++
				if c.failed {
					want.failures++
				}
				if c.slow {
					want.slow++
				}
			}
			if got := w.tally(now); got != want {
				t.Fatalf("size %d, %d buckets, by count %v, after %d operations: %+v, want %+v", size, n, byCount, i+1, got, want)
			}
		}
	})
}

// Each call is counted once, whoever else records and moves the window on.
func TestWindowsCountEachCallOnceFromManyGoroutines(t *testing.T) {
	const goroutines, each = 8, 5000
	for name, w := range map[string]window{
		"time":  newRecorded(1000*goroutines*each, 1000, 0),
		"count": newCountWindow(goroutines * each),
	} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					for i := range each {
						w.record(int64(i*goroutines+g), i%2 == 0, i%5 == 0)
					}
				})
			}
			wg.Wait()
			want := tally{calls: goroutines * each, failures: goroutines * each / 2, slow: goroutines * each / 5}
			if got := w.tally(goroutines * each); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// However the ring of a count window is overtaken, its bits and its size agree.
func TestACountWindowNeverHoldsMoreThanItsSize(t *testing.T) {
	w := newCountWindow(3)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 5000 {
				w.record(0, g%2 == 0, g%3 == 0)
				if got := w.tally(0); got.calls > 3 || got.failures > 3 || got.slow > 3 {
					t.Errorf("%+v in a window of 3", got)
				}
			}
		})
	}
	wg.Wait()
	for range 3 {
		w.record(0, false, false)
	}
	if got := w.tally(0); got != (tally{calls: 3}) {
		t.Errorf("%+v after three good calls", got)
	}
}

func TestATimeWindowKeepsNoMoreBucketsThanItHas(t *testing.T) {
	r := newRecorded(100, 10, 0)
	w := r.window.(*timeWindow)
	for now := int64(0); now < 10_000; now += 7 {
		r.record(now, false, false)
		n := 0
		for b := w.newest.Load(); b != nil; b = b.older.Load() {
			n++
		}
		if n > 10 {
			t.Fatalf("%d buckets at %d", n, now)
		}
	}
}

// FuzzRunning drives the calls in flight and a list of them with the same
// operations.
func FuzzRunning(f *testing.F) {
	f.Add(uint16(80), []byte{0, 0, 40, 1, 2, 200, 3, 1})
	f.Add(uint16(0), []byte{0, 0, 1, 3, 1})
	f.Fuzz(func(t *testing.T, slow uint16, operations []byte) {
		operations = operations[:min(len(operations), 300)] // the list is slow
		type call struct {
			began  int64
			cohort *cohort
		}
		var r running
		r.start(int64(slow), 0)
		now, calls, succeeded := int64(0), []call(nil), int64(0)
		for _, op := range operations {
			now += int64(op >> 2)
			switch {
			case op&1 == 0:
				calls = append(calls, call{now, r.enter(now)})
			case len(calls) > 0:
				i := int(op>>2) % len(calls)
				r.leave(calls[i].cohort, op&2 != 0)
				calls = append(calls[:i:i], calls[i+1:]...)
				if op&2 != 0 {
					succeeded++
				}
			}
			if got := r.count(); got != int64(len(calls)) {
				t.Fatalf("%d in flight, want %d", got, len(calls))
			}
			if slow == 0 {
				if got := r.succeeded(); got != succeeded {
					t.Fatalf("%d succeeded, want %d", got, succeeded)
				}
				continue
			}
			// A call is slow for certain one span after it has become so, and never before.
			var atMost, atLeast int64
			for _, c := range calls {
				if now-c.began > int64(slow) {
					atMost++
				}
				if now-c.began >= int64(slow)+r.span.Load() {
					atLeast++
				}
			}
			if got := r.begunBefore(now - int64(slow)); got > atMost || got < atLeast {
				t.Fatalf("%d slow calls, want between %d and %d", got, atLeast, atMost)
			}
		}
	})
}

// A call that comes while its cohort is unlinked is counted all the same.
func TestNoCallInFlightIsLost(t *testing.T) {
	var r running
	r.start(8, 0)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				c := r.enter(int64(i))
				if n := r.count(); n < 1 || n > 8 {
					t.Errorf("goroutine %d: %d in flight, want between 1 and 8", g, n)
					return
				}
				r.leave(c, true)
			}
		})
	}
	wg.Wait()
	if n := r.count(); n != 0 {
		t.Errorf("%d in flight at the end", n)
	}
}

// The counter of successes may run over; the calls in flight are still right.
func TestSuccessesWithoutEndDoNotDisturbTheCallsInFlight(t *testing.T) {
	var r running
	r.start(0, 0)
	r.first.word.Store(^uint64(0) - oneSucceeded + 1) // one short of the end
	for range 3 {
		a, b := r.enter(0), r.enter(0)
		if n := r.count(); n != 2 {
			t.Errorf("%d in flight, want 2", n)
		}
		r.leave(a, true)
		r.leave(b, false)
	}
	r.first.word.Store(unlinked)
	if c := r.enter(0); c != &r.first || r.count() != 1 {
		t.Errorf("a call did not enter, %d in flight", r.count())
	}
}

func TestOnlyCohortsWithCallsInFlightAreKept(t *testing.T) {
	var r running
	r.start(8, 0)
	stays := r.enter(0)
	for now := range int64(1000) {
		r.leave(r.enter(now), true)
		n := 0
		for c := r.newest.Load(); c != nil; c = c.older.Load() {
			n++
		}
		if n > 3 { // the newest, the one before it, and the one that stays
			t.Fatalf("%d cohorts at %d", n, now)
		}
	}
	if r.count() != 1 || r.begunBefore(1000) != 1 {
		t.Errorf("%d calls in flight", r.count())
	}
	r.leave(stays, true)
}

// Whoever sums a window up while others record sees no larger share of failures or of
// slow calls than there was at any time.
func TestASumDuringRecordingIsNoLargerThanTheTruth(t *testing.T) {
	for name, w := range map[string]window{"time": newRecorded(1<<40, 10, 0), "count": newCountWindow(1 << 16)} {
		t.Run(name, func(t *testing.T) {
			w.record(0, false, false)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 5000 {
						w.record(0, true, true)
					}
				})
			}
			for range 20_000 {
				if n := w.tally(0); n.failures >= n.calls || n.slow >= n.calls {
					t.Errorf("%+v, and one call was good", n)
					break
				}
			}
			wg.Wait()
		})
	}
}

// A bucket that begins while a slow call is being counted holds no more slow calls than
// calls.
func TestSlowCallsAreNeverMoreThanCalls(t *testing.T) {
	r := newRecorded(10, 10, 0)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				now := int64(i/4*4 + g)
				r.window.record(now, false, true)
				r.counters.slow.Add(1)
				r.counters.successes.Add(1)
				if n := r.tally(now); n.slow > n.calls || n.calls < 0 || n.slow < 0 {
					t.Errorf("%+v", n)
					return
				}
			}
		})
	}
	wg.Wait()
}
