package middlewaretest

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A moment is late by less than a grain, and belongs to one call and one of its attempts alone.
func TestMomentsBelongToOneCall(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10000 {
		n, at := r.IntN(1<<20), time.Duration(r.Int64N(int64(time.Hour)))
		c, serial := &call{number: n}, r.IntN(shares)
		m := c.moment(at, serial)
		if m < at || m >= at+grain {
			t.Fatalf("the moment of %v is %v, want less than %v later", at, m, grain)
		}
		if again := c.moment(m+time.Duration(r.IntN(9))*grain, serial); (again-m)%grain != 0 || c.moment(m, serial) != m {
			t.Fatalf("a multiple of the grain after the moment %v is %v", m, again)
		}
		other, third := &call{number: n + 1 + r.IntN(int(grain)/shares-1)}, r.IntN(shares)
		if other.moment(at, third) == m || c.moment(at, (serial+1)%shares) == m {
			t.Fatalf("the calls %d and %d, or two attempts, share the moment %v", n, other.number, m)
		}
	}
}

// After as many calls as come, that many have come.
func TestLoadAfter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		l := Load{Rate: 1 + 100*r.Float64()}
		for range r.IntN(5) {
			from := time.Duration(r.Int64N(int64(time.Minute)))
			l.Surges = append(l.Surges, Surge{From: from, Until: from + 1 + time.Duration(r.Int64N(int64(time.Minute))), Times: float64(r.IntN(3))})
		}
		at, calls := time.Duration(r.Int64N(int64(time.Minute))), 1000*r.Float64()
		until, ok := l.after(at, calls)
		if !ok {
			t.Fatalf("%+v never has %v calls after %v", l, calls, at)
		}
		came := 0.0
		for from, all := at, append(edges(l.windows(), at), until); from < until; all = all[1:] {
			to := min(all[0], until)
			came += l.rate(from) * (to - from).Seconds()
			from = to
		}
		if math.Abs(came-calls) > 1e-3 {
			t.Fatalf("%+v: from %v until %v %v calls have come, want %v", l, at, until, came, calls)
		}
	}
	if at, ok := (&Load{Rate: 1, Surges: []Surge{{Until: time.Hour}, {From: time.Hour, Until: math.MaxInt64, Times: 0}}}).after(0, 1); ok {
		t.Errorf("a load that has stopped has a call at %v", at)
	}
}
