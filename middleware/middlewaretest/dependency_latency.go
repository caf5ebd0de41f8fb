package middlewaretest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// A Latency draws how long something takes. Any function will do; it must not use another
// source of random numbers, nor keep a state between scenarios.
type Latency func(*rand.Rand) time.Duration

// Fixed takes d each time.
func Fixed(d time.Duration) Latency { return func(*rand.Rand) time.Duration { return d } }

// Uniform takes anything between least and most, all of it equally often.
func Uniform(least, most time.Duration) Latency {
	return func(r *rand.Rand) time.Duration { return least + time.Duration(r.Float64()*float64(most-least)) }
}

// Exponential takes mean on average, and often less: the service times of an M/M/c queue.
func Exponential(mean time.Duration) Latency {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
}

// LogNormal takes less than median half of the time, and more than p99 once in a hundred
// times: about what answers over a network do.
func LogNormal(median, p99 time.Duration) Latency {
	const z = 2.3263478740408408 // the 99th percentile of the normal distribution
	mu, sigma := math.Log(float64(median)), math.Log(float64(p99)/float64(median))/z
	return func(r *rand.Rand) time.Duration { return time.Duration(math.Exp(mu + sigma*r.NormFloat64())) }
}

// A Percentile is one row of a table: Percent of all are done Within that time.
type Percentile struct {
	Percent float64
	Within  time.Duration
}

// Percentiles takes what a table says, as one of measurements: between two rows, which must be
// in order, times are interpolated on a logarithmic scale. Nothing is quicker than the first
// row, and what is beyond the last one takes as long as that. It panics if the
// table is empty, not in order, or has percents outside of 0 to 100.
func Percentiles(table ...Percentile) Latency {
	if len(table) == 0 {
		panic("middlewaretest: Percentiles needs a row")
	}
	last := Percentile{}
	for _, row := range table {
		if !(row.Percent >= last.Percent && row.Percent <= 100) || row.Within < last.Within || row.Within <= 0 {
			panic(fmt.Sprintf("middlewaretest: the row %v of Percentiles is out of order or range", row))
		}
		last = row
	}
	return func(r *rand.Rand) time.Duration {
		percent, below := 100*r.Float64(), table[0]
		if percent < below.Percent {
			return below.Within
		}
		for _, row := range table[1:] {
			if percent < row.Percent {
				part := (percent - below.Percent) / (row.Percent - below.Percent)
				return time.Duration(float64(below.Within) * math.Pow(float64(row.Within)/float64(below.Within), part))
			}
			below = row
		}
		return below.Within
	}
}

// Mixed takes what rare does for that share of the draws, from 0 to 1, and what usual does
// otherwise: one server in a hundred that is slow, a collection of garbage.
func Mixed(share float64, rare, usual Latency) Latency {
	return func(r *rand.Rand) time.Duration {
		if r.Float64() < share {
			return rare(r)
		}
		return usual(r)
	}
}

// draw returns what l takes, times slow. Nil takes no time.
func (l Latency) draw(r *rand.Rand, slow float64) time.Duration {
	if l == nil {
		return 0
	}
	return time.Duration(min(slow*float64(max(0, l(r))), math.MaxInt64/4))
}
