package policies

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const ms = float64(time.Millisecond)

// What the sources say that one window does, in figures.
func TestAlgorithmsFollowTheirFormulas(t *testing.T) {
	learned := func(long float64) *gradient { return &gradient{tolerance: 1.5, long: long, windows: gradientWarmup} }
	for _, row := range []struct {
		name  string
		a     algorithm
		limit float64
		s     sample
		want  float64
		usual float64 // afterwards
	}{
		{"gradient, first", &gradient{tolerance: 1.5}, 16, sample{rtt: 100 * ms, inFlight: 16}, 16.8, 100 * ms},
		{"gradient, as usual", learned(100 * ms), 16, sample{rtt: 100 * ms, inFlight: 8}, 16.8, 100 * ms},
		{"gradient, tolerated", learned(100 * ms), 16, sample{rtt: 150 * ms, inFlight: 16}, 16.8, 100*ms + 50*ms*2/601},
		{"gradient, slow", learned(100 * ms), 16, sample{rtt: 200 * ms, inFlight: 16}, 0.8*16 + 0.2*(0.75*16+4), 100 * ms},
		{"gradient, very slow", learned(100 * ms), 16, sample{rtt: 900 * ms, inFlight: 16}, 0.8*16 + 0.2*(0.5*16+4), 100 * ms},
		{"gradient, not used", learned(100 * ms), 16, sample{rtt: 900 * ms, inFlight: 7}, 16, 100*ms + 800*ms*2/601},
		{"gradient, much quicker and not used", learned(601 * ms), 16, sample{rtt: 100 * ms, inFlight: 1}, 16, (601 - 501*2.0/601) * ms * 0.9},
		{"gradient, much quicker", learned(601 * ms), 16, sample{rtt: 100 * ms, inFlight: 16}, 16, (601 - 501*2.0/601) * ms},
		{"vegas, first", &vegas{}, 20, sample{rtt: 100 * ms, inFlight: 20}, 20, 100 * ms},
		{"vegas, quicker than ever", &vegas{least: 100 * ms}, 20, sample{rtt: 99 * ms, inFlight: 20}, 20, 99 * ms},
		{"vegas, nobody waits", &vegas{least: 100 * ms}, 20, sample{rtt: 100 * ms, inFlight: 10}, 26, 100 * ms},
		{"vegas, one waits", &vegas{least: 100 * ms}, 20, sample{rtt: 105 * ms, inFlight: 20}, 26, 100 * ms},
		{"vegas, two wait", &vegas{least: 100 * ms}, 20, sample{rtt: 110 * ms, inFlight: 20}, 21, 100 * ms},
		{"vegas, three wait", &vegas{least: 100 * ms}, 20, sample{rtt: 115 * ms, inFlight: 20}, 20, 100 * ms},
		{"vegas, six wait", &vegas{least: 100 * ms}, 20, sample{rtt: 142 * ms, inFlight: 20}, 20, 100 * ms},
		{"vegas, seven wait", &vegas{least: 100 * ms}, 20, sample{rtt: 150 * ms, inFlight: 20}, 19, 100 * ms},
		{"vegas, not used", &vegas{least: 100 * ms}, 20, sample{rtt: 100 * ms, inFlight: 9}, 20, 100 * ms},
		{"vegas, larger, nobody waits", &vegas{least: 100 * ms}, 200, sample{rtt: 100 * ms, inFlight: 200}, 212, 100 * ms},
		{"vegas, larger, many wait", &vegas{least: 100 * ms}, 200, sample{rtt: 200 * ms, inFlight: 200}, 198, 100 * ms},
		{"aimd, used", aimd{}, 20, sample{rtt: 100 * ms, inFlight: 10}, 21, 0},
		{"aimd, not used", aimd{}, 20, sample{rtt: 100 * ms, inFlight: 9}, 20, 0},
	} {
		got := row.a.next(row.limit, row.s)
		if math.Abs(got-row.want) > 1e-9 || math.Abs(row.a.usual()-row.usual) > 1 {
			t.Errorf("%s: the limit is %v and usual %v, want %v and %v", row.name, got, row.a.usual(), row.want, row.usual)
		}
	}
}

func settledLimit(a LimitAlgorithm) *finder {
	f := newFinder(AdaptiveLimitConfig{Algorithm: a, Initial: 100}.complete())
	f.after(sample{rtt: 100 * ms, inFlight: 1})
	return f
}

// A probe comes when usual is in doubt, lowers the limit to its square root until what is
// measured began after that, and is rarer when it has found what was known.
func TestAProbe(t *testing.T) {
	f := settledLimit(Gradient)
	slow := sample{rtt: 160 * ms, inFlight: 100}
	windows := func() (n int) {
		for n = 1; f.after(slow) != "probe"; n++ {
			if n > 1000 {
				t.Fatal("there is no probe")
			}
			f.limit = 100
		}
		return n
	}
	for i, row := range []struct {
		finds float64
		next  int // windows until the next probe
	}{{100 * ms, 20}, {105 * ms, 40}, {100 * ms, 80}, {100 * ms, 80}, {115 * ms, 10}, {100 * ms, 10}, {100 * ms, 20}} {
		if i == 0 {
			if n := windows(); n != 10 {
				t.Errorf("the first probe came after %d windows", n)
			}
		}
		before, low := f.before, math.Floor(math.Sqrt(f.before))
		if f.limit != low {
			t.Errorf("%d: the limit is %v in a probe of %v, want %v", i, f.limit, before, low)
		}
		if reason := f.after(slow); reason != "" || f.limit != low {
			t.Errorf("%d: calls of before the probe: %q, the limit is %v", i, reason, f.limit)
		}
		if reason := f.after(sample{rtt: row.finds, inFlight: int(low)}); reason != "probe" || f.limit != before || f.usual() != row.finds {
			t.Errorf("%d: after the probe: %q, the limit is %v and usual %v", i, reason, f.limit, f.usual())
		}
		f.limit = 100
		slow.rtt = 1.6 * row.finds
		if n := windows(); n != row.next {
			t.Errorf("%d: the next probe came after %d windows, want %d", i, n, row.next)
		}
	}
}

// A window as usual ends the doubts, a probe that no call of before ends is given up, and
// one in which calls are dropped
// or settings applied too.
func TestAProbeThatDoesNotCome(t *testing.T) {
	slow, usual := sample{rtt: 160 * ms, inFlight: 100}, sample{rtt: 100 * ms, inFlight: 100}
	f := settledLimit(Gradient)
	for i := range 100 {
		s := slow
		if i%10 == 9 {
			s = usual
		}
		if f.limit = 100; f.after(s) == "probe" {
			t.Fatalf("a probe in window %d", i)
		}
	}
	probing := func() *finder {
		f := settledLimit(Gradient)
		for f.after(slow) != "probe" {
			f.limit = 100
		}
		return f
	}
	f = probing()
	before := f.before
	for range maxProbing - 1 {
		if reason := f.after(slow); reason != "" {
			t.Fatalf("got %q", reason)
		}
	}
	if reason := f.after(slow); reason != "probe" || f.limit != before || f.usual() != 100*ms {
		t.Errorf("given up: %q, the limit is %v and usual %v", reason, f.limit, f.usual())
	}
	f = probing()
	before = f.before
	if reason := f.after(sample{dropped: true}); reason != "drop" || f.limit != before*0.9 || f.before != 0 {
		t.Errorf("dropped: %q, the limit is %v", reason, f.limit)
	}
	f = probing()
	before = f.before
	if f.apply(AdaptiveLimitConfig{}.complete()); f.limit != before || f.before != 0 {
		t.Errorf("settings were applied: the limit is %v, want %v", f.limit, before)
	}
	f = newFinder(AdaptiveLimitConfig{Initial: 1}.complete())
	for range 100 {
		f.limit = 1
		if f.after(sample{rtt: 100 * ms, inFlight: 1}); f.before != 0 {
			t.Fatal("a limit of 1 cannot be lowered")
		}
	}
}

// Dropped calls multiply the limit by Decrease, but lower it by one at the least.
func TestADropLowersTheLimit(t *testing.T) {
	for _, a := range []LimitAlgorithm{Gradient, Vegas, AIMD} {
		f := newFinder(AdaptiveLimitConfig{Algorithm: a, Initial: 30, Min: 2, Decrease: 0.5}.complete())
		for _, want := range []float64{15, 7.5, 3.75, 2, 2} {
			if reason := f.after(sample{inFlight: 1, dropped: true}); reason != "drop" || f.limit != want {
				t.Errorf("%v: %q, the limit is %v, want %v", a, reason, f.limit, want)
			}
		}
		f = newFinder(AdaptiveLimitConfig{Algorithm: a, Initial: 5}.complete())
		if f.after(sample{dropped: true}); f.limit != 4 {
			t.Errorf("%v: the limit is %v, want 4", a, f.limit)
		}
		if reason := f.after(sample{inFlight: 5}); reason != "" || f.limit != 4 {
			t.Errorf("%v: without a success: %q, the limit is %v", a, reason, f.limit)
		}
	}
}

// Whatever calls are like, the limit is a number within its bounds, outside of probes.
func FuzzALimitStaysWithinItsBounds(f *testing.F) {
	for a := range uint8(3) {
		f.Add(a, uint64(1), uint8(1), uint8(20))
		f.Add(a, uint64(2), uint8(19), uint8(0))
	}
	f.Fuzz(func(t *testing.T, a uint8, seed uint64, least, span uint8) {
		low := int(least) + 1
		c := AdaptiveLimitConfig{Algorithm: LimitAlgorithm(a % 3), Min: low, Max: low + int(span)}.complete()
		find, dice := newFinder(c), rand.New(rand.NewPCG(seed, 1))
		for range 300 {
			s := sample{inFlight: dice.IntN(600), dropped: dice.IntN(9) == 0}
			if dice.IntN(9) > 0 {
				s.rtt = math.Exp(dice.Float64() * 43) // up to 150 years
			}
			if dice.IntN(3) == 0 {
				s = sample{rtt: 1e9, inFlight: 600} // steady, for a probe
			}
			find.after(s)
			l := find.limit
			if find.before > 0 {
				if l < 1 || l >= find.before {
					t.Fatalf("the limit is %v in a probe of %v", l, find.before)
				}
				l = find.before
			}
			if !(l >= float64(low) && l <= float64(low+int(span))) || math.IsNaN(find.usual()) {
				t.Fatalf("%v: after %+v the limit is %v and usual %v", c.Algorithm, s, l, find.usual())
			}
			if dice.IntN(50) == 0 {
				c.Algorithm = LimitAlgorithm(dice.IntN(3))
				c.Tolerance = 0
				c = c.complete()
				find.apply(c)
			}
		}
	})
}
