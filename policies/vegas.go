package policies

import "math"

// A vegas estimates how many calls wait inside the dependency. It is TCP Vegas (Brakmo and
// Peterson, IEEE JSAC 13(8), 1995) as in Netflix concurrency-limits (VegasLimit.java):
//
//	queue = limit * (1 - least/rtt), rounded up
//
// rtt is the average of the last window, least the smallest of those averages. With l =
// log10(limit), rounded down and at least 1, the limit grows by 6*l while the queue is at
// most l, and by l while it is below 3*l; it falls by l when the queue is above 6*l. A
// window in which less than half of the limit was used changes nothing. For a dependency
// that serves C calls at the same time, the limit settles between C + 3*l and C + 6*l.
//
// concurrency-limits subtracts l when calls were dropped; here it is Decrease as for the
// others. Its probe takes for the smallest time what calls take just then, even if they
// wait; ours lowers the limit for it (see finder).
type vegas struct {
	least float64 // nanoseconds; 0: not known
}

func (v *vegas) next(limit float64, s sample) float64 {
	if v.least == 0 || s.rtt < v.least {
		v.least = s.rtt
		return limit
	}
	if !s.busy(limit) {
		return limit
	}
	l := step(limit)
	switch queue := v.queue(limit, s.rtt); {
	case queue <= l:
		return limit + 6*l
	case queue < 3*l:
		return limit + l
	case queue > 6*l:
		return limit - l
	default:
		return limit
	}
}

func (v *vegas) queue(limit, rtt float64) float64 { return math.Ceil(limit * (1 - v.least/rtt)) }

func step(limit float64) float64 { return max(math.Floor(math.Log10(limit)), 1) }

// doubtful reports whether calls wait inside the dependency all the time, if the smallest
// time is right. That is so at the limit which is looked for too.
func (v *vegas) doubtful(limit float64, s sample) bool {
	return s.busy(limit) && v.queue(limit, s.rtt) >= 3*step(limit)
}

func (v *vegas) usual() float64 { return v.least }

func (v *vegas) rebase(rtt float64) { v.least = rtt }
