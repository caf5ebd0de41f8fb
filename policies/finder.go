package policies

import "math"

// A sample is what the calls of one window were like.
type sample struct {
	rtt      float64 // how long those took that succeeded, on average, in nanoseconds; 0: none did
	inFlight int     // the most of them at the same time, as seen by each when it began
	dropped  bool    // so many were dropped that the limit must fall
}

// busy reports whether the limit was used by half at the least. If not, that calls are
// quick says nothing about a larger one.
func (s sample) busy(limit float64) bool { return float64(s.inFlight) >= limit/2 }

// An algorithm finds a limit from window to window. It sees no window in which calls were
// dropped.
type algorithm interface {
	// next returns the limit after a window in which calls succeeded.
	next(limit float64, s sample) float64
	// doubtful reports whether calls seem to wait inside the dependency, under a load that
	// uses the limit, or what is usual seems to be wrong.
	doubtful(limit float64, s sample) bool
	// usual is how long calls take that do not wait, in nanoseconds; 0: not known.
	usual() float64
	// rebase says how long that is.
	rebase(rtt float64)
}

// A finder has an algorithm find the limit, within bounds. It adds what is common to the
// algorithms: what follows when calls are dropped, and probes.
//
// An algorithm cannot tell calls that wait inside the dependency from those that take longer
// for good. When that has been in doubt for some windows in a row, the limit is lowered to
// its square root, even below Min, as GradientLimit.java of Netflix concurrency-limits
// does, until one window consists of calls that began after that. What these take is the usual
// from then on, and the limit is what it was before. A probe that finds what was known
// doubles the time to the next one.
type finder struct {
	algorithm
	limit    float64
	min, max float64
	decrease float64

	doubts   int     // windows in a row that were doubtful
	patience int     // how many of them there are before a probe
	before   float64 // the limit before the probe; 0: there is none
	probing  int     // windows that the probe has lasted
}

const (
	minPatience = 10
	maxPatience = 80
	maxProbing  = 10  // windows; then calls of before the probe do not end
	sameUsual   = 0.1 // how much what is usual differs when it is the same
)

// newFinder returns a finder for settings that are complete.
func newFinder(c AdaptiveLimitConfig) *finder {
	f := &finder{limit: float64(c.Initial), patience: minPatience}
	f.apply(c)
	return f
}

// apply makes other settings hold. With the same algorithm, what that has learned stays.
func (f *finder) apply(c AdaptiveLimitConfig) {
	switch c.Algorithm {
	case Vegas:
		if _, same := f.algorithm.(*vegas); !same {
			f.algorithm = &vegas{}
		}
	case AIMD:
		f.algorithm = aimd{}
	default:
		if g, same := f.algorithm.(*gradient); same {
			g.tolerance = c.Tolerance
		} else {
			f.algorithm = &gradient{tolerance: c.Tolerance}
		}
	}
	f.min, f.max, f.decrease = float64(c.Min), float64(c.Max), c.Decrease
	if f.before > 0 {
		f.limit = f.before
	}
	f.before, f.doubts = 0, 0
	f.limit = f.bounded(f.limit)
}

func (f *finder) bounded(limit float64) float64 { return min(max(limit, f.min), f.max) }

// after changes the limit after a window, and says why.
func (f *finder) after(s sample) (reason string) {
	was := f.limit
	if f.before > 0 {
		return f.probed(s)
	}
	if s.dropped {
		f.drop(was)
		return "drop"
	}
	if s.rtt == 0 {
		return ""
	}
	f.limit = f.bounded(f.next(was, s))
	switch {
	case !f.doubtful(was, s):
		f.doubts = 0
	case f.doubts+1 < f.patience:
		f.doubts++
	default:
		if f.probe() {
			return "probe"
		}
	}
	if f.limit < was {
		return "latency"
	}
	return "growth"
}

// drop lowers the limit from what it was, by one at the least.
func (f *finder) drop(was float64) {
	f.limit = f.bounded(min(was*f.decrease, was-1))
	f.doubts = 0
}

// probe lowers the limit for a probe, unless it cannot be lowered.
func (f *finder) probe() bool {
	f.doubts = 0
	low := math.Floor(math.Sqrt(f.limit))
	if low >= f.limit {
		return false
	}
	f.before, f.limit, f.probing = f.limit, low, 0
	return true
}

// probed changes the limit after a window of a probe.
func (f *finder) probed(s sample) (reason string) {
	before := f.before
	if s.dropped {
		f.before = 0
		f.drop(before)
		return "drop"
	}
	f.probing++
	fresh := float64(s.inFlight) <= f.limit
	if !fresh && f.probing < maxProbing {
		return ""
	}
	if fresh && s.rtt > 0 {
		if was := f.usual(); math.Abs(s.rtt-was) > sameUsual*was {
			f.patience = minPatience
		} else {
			f.patience = min(2*f.patience, maxPatience)
		}
		f.rebase(s.rtt)
	}
	f.before, f.limit = 0, before
	return "probe"
}
