package policies

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Calls count as dropped when the dependency refused them, or was not done in time.
func TestWhichCallsAreDropped(t *testing.T) {
	broken := errors.New("broken")
	for _, row := range []struct {
		name string
		err  error
		v    middleware.Verdict
		want bool
	}{
		{"success", nil, middleware.Verdict{}, false},
		{"not found", broken, middleware.Verdict{Class: middleware.Success}, false},
		{"throttled", broken, middleware.Verdict{Class: middleware.Throttled}, true},
		{"failed", broken, middleware.Verdict{Class: middleware.Failure, Reason: "error"}, false},
		{"failed, come back later", broken, middleware.Verdict{Class: middleware.Failure, After: time.Second}, true},
		{"failed, in time it was not", broken, middleware.Verdict{Class: middleware.Failure, Reason: "timeout"}, true},
		{"a timeout", &middleware.Rejection{Reason: middleware.ErrTimeout}, middleware.Verdict{Class: middleware.Failure}, true},
		{"the caller gave up", broken, middleware.Verdict{Class: middleware.Ignored, Reason: "timeout"}, false},
	} {
		if got := dropped(row.err, row.v); got != row.want {
			t.Errorf("%s: got %v", row.name, got)
		}
	}
}

// More than 2 % of dropped calls are too many.
func TestTolerableDrops(t *testing.T) {
	for _, row := range []struct {
		calls, drops int
		want         bool
	}{{10, 0, false}, {10, 1, true}, {49, 1, true}, {50, 1, false}, {1000, 20, false}, {1000, 21, true}, {10, 10, true}} {
		var s sampling
		for i := range row.calls {
			if i < row.drops {
				s.drop(1)
			} else {
				s.add(100, 1)
			}
		}
		w := s.end()
		if w.dropped != row.want || (w.rtt == 100) != (row.drops < row.calls) {
			t.Errorf("%d of %d: %+v", row.drops, row.calls, w)
		}
	}
}

// A window holds what has been counted since the one before, whoever counts.
func TestWindowsHoldWhatWasCounted(t *testing.T) {
	var s sampling
	s.begin(1000, 400)
	for i := range 3 {
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				for n := range 100 {
					if s.add(int64(50*(i+1)), int64(g*100+n)); n == 0 {
						s.ready(1000)
					}
				}
			})
		}
		all.Wait()
		if !s.ready(1000) || s.ready(999) {
			t.Error("the window may end at 1000")
		}
		if w := s.end(); w != (sample{rtt: float64(50 * (i + 1)), inFlight: 399}) {
			t.Errorf("%d: %+v", i, w)
		}
		if s.begin(1000, 400); s.ready(math.MaxInt64) {
			t.Error("an empty window may not end")
		}
	}
}

// A window is as long as two calls, within bounds.
func TestTheLengthOfAWindow(t *testing.T) {
	for rtt, want := range map[float64]time.Duration{
		0: time.Second, 400 * ms: time.Second, 600 * ms: 1200 * time.Millisecond, 4000 * ms: 8 * time.Second, 1e6 * ms: 10 * time.Second,
	} {
		if got := windowLength(time.Second, rtt); got != int64(want) {
			t.Errorf("%v: got %v", rtt, time.Duration(got))
		}
	}
}
