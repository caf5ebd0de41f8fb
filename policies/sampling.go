package policies

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A sampling sums up the calls of a window. Counting a call takes no lock; the counters only
// grow, and what they were when the window began is taken off at its end.
type sampling struct {
	calls, drops, took atomic.Int64 // took, in nanoseconds, is of those that were not dropped
	inFlight           atomic.Int64 // the most
	due                atomic.Int64 // when the window may end
	least              atomic.Int64 // what calls must be for that

	// What the counters were at the beginning. The lock of the limit is held.
	callsBefore, dropsBefore, tookBefore int64
}

// tolerableDrops is the share of the calls that may be dropped before it means anything:
// BBRLossThresh of draft-cardwell-iccrg-bbr-congestion-control-02. Without it a single
// timeout in a thousand calls would count as much as all of them.
const tolerableDrops = 0.02

// add counts a call that succeeded.
func (s *sampling) add(took int64, inFlight int64) {
	s.took.Add(max(took, 1))
	s.count(inFlight)
}

// drop counts a call that was dropped.
func (s *sampling) drop(inFlight int64) {
	s.drops.Add(1)
	s.count(inFlight)
}

func (s *sampling) count(inFlight int64) {
	for {
		most := s.inFlight.Load()
		if inFlight <= most || s.inFlight.CompareAndSwap(most, inFlight) {
			break
		}
	}
	s.calls.Add(1)
}

// ready reports whether the window may end.
func (s *sampling) ready(now int64) bool {
	return now >= s.due.Load() && s.calls.Load() >= s.least.Load()
}

// end ends the window and begins another one. The lock is held.
func (s *sampling) end() sample {
	calls, drops, took := s.calls.Load(), s.drops.Load(), s.took.Load()
	n, d := calls-s.callsBefore, drops-s.dropsBefore
	w := sample{inFlight: int(s.inFlight.Swap(0)), dropped: float64(d) > tolerableDrops*float64(n)}
	if n > d {
		w.rtt = float64(took-s.tookBefore) / float64(n-d)
	}
	s.callsBefore, s.dropsBefore, s.tookBefore = calls, drops, took
	return w
}

// begin says when the window that has begun may end. The lock is held.
func (s *sampling) begin(due int64, calls int) {
	s.due.Store(due)
	s.least.Store(s.callsBefore + int64(calls))
}

// dropped reports whether a failed call says that the dependency is overloaded, in the sense
// of the Limiter.Listener of Netflix concurrency-limits: refused by a limit of its own, or
// not done in time. Any other failure is no sample there, since what fails is often quick.
func dropped(err error, v middleware.Verdict) bool {
	switch v.Class {
	case middleware.Throttled:
		return true
	case middleware.Failure:
		return v.Reason == "timeout" || v.After > 0 || errors.Is(err, middleware.ErrTimeout)
	default:
		return false
	}
}

// longest is how long a window is at the most, in windows as they are set.
const longest = 10

// windowLength is how long a window is when calls take rtt, as in WindowedLimit.java of
// Netflix concurrency-limits: twice as long as a call.
func windowLength(set time.Duration, rtt float64) int64 {
	return int64(min(max(float64(set), 2*rtt), longest*float64(set)))
}
