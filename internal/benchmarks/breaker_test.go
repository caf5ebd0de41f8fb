package benchmarks

import (
	"testing"
	"time"
)

// A mode is what makes a breaker open.
type mode int

const (
	consecutive mode = iota // failures in a row
	counted                 // the rate of failures among the last calls
	rolling                 // the rate of failures in a window of buckets
	slow                    // the rate of failures and that of slow calls in such a window
	opened                  // the first failure, and it stays open
	shedding                // never: calls that fail are shed, but not all
)

// Settings that all breakers have in common.
const (
	window      = 10 * time.Second
	buckets     = 10
	windowCalls = 100
	failureRate = 0.5
	slowCall    = time.Second
	stayOpen    = time.Hour
)

// never is a threshold that no run reaches.
const never = 1 << 30

// A workload is work that breakers are compared at.
type workload struct {
	name string
	mode mode

	// threshold is how many failures in a row open a consecutive breaker. Others
	// open at failureRate, when that many calls have been counted.
	threshold int

	failEvery int // the how manyth call of a goroutine fails; 0 for none

	window time.Duration // 0 for the common one
}

var workloads = []workload{
	{"closed success consecutive", consecutive, 5, 0, 0},
	{"closed success last 100 calls", counted, windowCalls, 0, 0},
	{"closed success rolling window", rolling, 100, 0, 0},
	{"closed success rolling window slow calls", slow, 100, 0, 0},
	{"closed failure consecutive", consecutive, never, 1, 0},
	{"closed failure rolling window", rolling, never, 1, 0},
	{"mixed 10% failures rolling window", rolling, 100, 10, 0},
	{"open", opened, 1, 0, 0},
}

// BenchmarkBreaker is a breaker alone. No other library knows slow calls:
// gobreaker does that work without them.
func BenchmarkBreaker(b *testing.B) {
	for _, w := range workloads {
		for _, l := range libraries {
			if l.breaker(w) == nil {
				continue
			}
			b.Run(w.name+"/"+l.name, func(b *testing.B) { measure(b, l.breaker(w), w) })
		}
	}
}

// Every library does what the work is.
func TestBreakers(t *testing.T) {
	for _, w := range workloads {
		for _, l := range libraries {
			c := l.breaker(w)
			if c == nil {
				continue
			}
			t.Run(w.name+"/"+l.name, func(t *testing.T) {
				open(t, c, w)
				left := 500
				if n := repeat(t.Context(), c, w, func() bool { left--; return left >= 0 }); n > 0 {
					t.Errorf("%d of 500 calls had another outcome than the work has", n)
				}
			})
		}
	}
}
