package policies

import "math"

// A gradient compares how long calls take with a long average of that. It is Gradient2 of
// Netflix concurrency-limits (Gradient2Limit.java, with the queue of GradientLimit.java):
//
//	gradient = tolerance * long / short, between 0.5 and 1
//	limit    = 0.8 * limit + 0.2 * (limit * gradient + sqrt(limit))
//
// short is the average of the last window, long that of about 600 windows. When long is more
// than twice as long as short it is cut by a tenth each time. A window in which less than
// half of the limit was used does not change the limit.
//
// Gradient2 goes on averaging while calls wait inside the dependency, so that under a load
// that stays too high their time becomes the usual one and the limit creeps up, by about
// the Tolerance each five minutes; and it cuts long under a load too, when calls may have
// become quicker and wait nevertheless. Here such windows are left out, the limit does not
// grow in the latter, and a probe tells how long calls take (see finder). The limit settles where
//
//	short = tolerance * long / (1 - 1/sqrt(limit))
//
// which is, for a dependency that serves C calls at the same time, C from 5 on, between 1.5
// and 2.2 times C with the default tolerance: 19 for a C of 10, 84 for one of 50.
type gradient struct {
	tolerance float64
	long      float64 // nanoseconds; 0: not known
	windows   float64 // that long is the average of
}

// Of Gradient2Limit.java: smoothing, longWindow, and the windows in which the average of
// ExpAvgMeasurement.java is a plain one.
const (
	gradientSmoothing = 0.2
	gradientWindows   = 600
	gradientWarmup    = 10
)

func (g *gradient) next(limit float64, s sample) float64 {
	busy := s.busy(limit)
	if g.long == 0 || !busy || s.rtt <= g.tolerance*g.long {
		g.learn(s.rtt)
	}
	if !busy {
		if g.long > 2*s.rtt {
			g.long *= 0.9
		}
		return limit
	}
	if s.rtt < g.long/2 {
		return limit // what is usual is wrong
	}
	by := min(max(g.tolerance*g.long/s.rtt, 0.5), 1)
	return (1-gradientSmoothing)*limit + gradientSmoothing*(by*limit+math.Sqrt(limit))
}

func (g *gradient) learn(rtt float64) {
	part := 2.0 / (gradientWindows + 1)
	if g.windows < gradientWarmup {
		g.windows++
		part = 1 / g.windows
	}
	g.long += part * (rtt - g.long)
}

// doubtful reports whether calls take so much longer than usual that they seem to wait, by
// half of what is tolerated, or less than half as long.
func (g *gradient) doubtful(limit float64, s sample) bool {
	return s.busy(limit) && (s.rtt > g.long*(1+g.tolerance)/2 || s.rtt < g.long/2)
}

func (g *gradient) usual() float64 { return g.long }

func (g *gradient) rebase(rtt float64) { g.long, g.windows = rtt, gradientWarmup }
