package policies

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// An asked is a call as a plain list has it.
type asked struct {
	of         int
	began, end time.Duration
	class      middleware.Class
	over       bool
}

// A window holds the calls that began in it, and those that ended in it, whatever happens at
// which time; a call that was taken back is in none.
func FuzzDemand(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint16(20*(seed+1)), uint16(300))
	}
	f.Fuzz(func(t *testing.T, seed uint64, window, steps uint16) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			p := NewThrottle(ThrottleConfig{Window: time.Duration(max(20, window)) * time.Millisecond, ObserveOnly: true})
			d, span := &p.demand, p.settings.Load().span
			var all []asked
			for range steps % 1000 {
				now := time.Duration(p.now())
				switch open := random.IntN(len(all) + 1); {
				case open == len(all) || random.IntN(3) == 0:
					of := random.IntN(priorities)
					d.begin(int64(now), span, of)
					all = append(all, asked{of: of, began: now})
				case !all[open].over:
					c := &all[open]
					c.over, c.end, c.class = true, now, middleware.Class(random.IntN(4))
					d.end(int64(c.began), c.of, c.class)
				}
				time.Sleep(time.Duration(random.IntN(int(p.settings.Load().Window) / (1 + random.IntN(20)))))
				got := d.tally(p.now(), span)
				begin := time.Duration(d.oldest.Load().begin)
				if reach := time.Duration(p.now()) - begin; int64(reach) >= span.length {
					t.Fatalf("the window of %v reaches back %v", p.settings.Load().Window, reach)
				}
				for _, c := range all {
					if age := int64(time.Duration(p.now()) - c.began); c.began < begin && age < span.length-span.period {
						t.Fatalf("the window of %v has lost what is %v old", p.settings.Load().Window, time.Duration(age))
					}
				}
				if want := listed(all, begin); got != want {
					t.Fatalf("the window from %v holds %+v, want %+v", begin, got, want)
				}
			}
		})
	})
}

func listed(all []asked, begin time.Duration) (want demandTally) {
	for _, c := range all {
		if c.began >= begin && (!c.over || c.class != middleware.Ignored) {
			want.of[c.of]++
			want.requests++
		}
		if !c.over || c.end < begin {
			continue
		}
		switch c.class {
		case middleware.Success:
			want.accepts++
		case middleware.Failure, middleware.Throttled:
			want.refused++
		default:
		}
	}
	return want
}

// The shares of the priorities come to the share of all calls, as far as MaxRejection
// allows; no priority is shed more than a lower one, and one only when MaxRejection of all
// lower ones is.
func TestTheSharesOfThePriorities(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		s := newThrottling(ThrottleConfig{MaxRejection: 0.01 + 0.98*random.Float64()})
		var seen demandTally
		for i := range seen.of {
			if random.IntN(3) > 0 {
				seen.of[i] = random.Int64N(1 + random.Int64N(1000))
			}
			seen.requests += seen.of[i]
		}
		share := s.MaxRejection * random.Float64()
		of := s.shares(seen, share)
		sum, last := 0.0, s.MaxRejection
		for i, n := range seen.of {
			if of[i] < 0 || of[i] > last {
				t.Fatalf("%v of %v: the shares are %v", share, seen.of, of)
			}
			if i > 0 && of[i] > 0 && of[i-1] < s.MaxRejection {
				t.Fatalf("%v of %v: a priority is shed before a lower one is: %v", share, seen.of, of)
			}
			last = of[i]
			sum += of[i] * float64(n) / float64(max(1, seen.requests))
		}
		if seen.requests > 0 && math.Abs(sum-share) > 1e-9 {
			t.Fatalf("%v of %v: the shares %v come to %v", share, seen.of, of, sum)
		}
	}
}

// Nothing is shed as long as nothing is known of what was sent.
func TestNothingIsShedOfWhichNothingIsKnown(t *testing.T) {
	s := newThrottling(ThrottleConfig{})
	for _, seen := range []demandTally{{}, {requests: 100}, {requests: 100, shed: 100}, {requests: 100, shed: 50}} {
		if share := s.share(seen); share != 0 {
			t.Errorf("%+v: %v", seen, share)
		}
	}
}

// Calls that were shed count, also when none of the window was refused by the dependency.
func TestCallsThatWereShedCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewThrottle(ThrottleConfig{})
		chain := middleware.NewChain("x", p)
		for i := range 100 {
			p.demand.begin(0, p.settings.Load().span, 2)
			if i < 90 {
				p.demand.shed.Add(1)
			} else {
				p.demand.end(0, 2, middleware.Success)
			}
		}
		shed := 0
		for range 10 {
			if chain.Do(t.Context(), func(context.Context) error { return nil }) != nil {
				shed++
			}
		}
		if shed < 7 || shed > 8 {
			t.Errorf("of 10 calls %d were shed, the share is %v", shed, p.Status().Rejection)
		}
	})
}

// Decisions are spread evenly: of any number in a row the share is that of all, but for a few.
func TestDecisionsAreSpreadEvenly(t *testing.T) {
	for _, share := range []float64{0.01, 0.1, 1 / 3., 0.5, 0.618, 0.9, 0.99} {
		for _, from := range []uint64{0, 17, 1 << 40, math.MaxUint64 - 500} {
			n := 0.0
			for i := range uint64(5000) {
				if evenly(from+i) < share {
					n++
				}
				if off := n - share*float64(i+1); math.Abs(off) > 4 {
					t.Fatalf("of %d decisions from %d %v are below %v: %v off", i+1, from, n, share, off)
				}
			}
		}
	}
}

// A Throttle is like a new one when its window is empty.
func TestAnIdleThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewThrottle(ThrottleConfig{Window: time.Second})
		chain := middleware.NewChain("x", p)
		for i, op := range []func(context.Context) error{
			func(context.Context) error { return nil },
			func(context.Context) error { return fmt.Errorf("broken") },
		} {
			if !p.idle() {
				t.Errorf("call %d: not idle although nothing was counted", i)
			}
			_ = chain.Do(t.Context(), op)
			if p.idle() {
				t.Errorf("call %d: idle although it counts", i)
			}
			time.Sleep(time.Second)
		}
	})
}

// Old buckets are given up.
func TestADemandHasABoundedNumberOfBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewThrottle(ThrottleConfig{Window: time.Second})
		chain := middleware.NewChain("x", p)
		for range 10_000 {
			_ = chain.Do(t.Context(), func(context.Context) error { return nil })
			time.Sleep(7 * time.Millisecond)
		}
		n := 0
		for b := p.demand.newest.Load(); b != nil; b = b.older.Load() {
			n++
		}
		if n != demandBuckets {
			t.Errorf("%d buckets, want %d", n, demandBuckets)
		}
	})
}
