package policies

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// The estimate is above the exact quantile, by a sixteenth of it at the most.
func TestTheEstimateIsAboveTheQuantileByASixteenthAtTheMost(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) time.Duration{
		"even":     func(r *rand.Rand) time.Duration { return time.Duration(1024 + r.IntN(1e9)) },
		"long":     func(r *rand.Rand) time.Duration { return time.Duration(1024 * math.Exp(20*r.Float64())) },
		"one":      func(*rand.Rand) time.Duration { return 7 * time.Millisecond },
		"two":      func(r *rand.Rand) time.Duration { return time.Duration(1+99*r.IntN(2)) * time.Millisecond },
		"edges":    func(r *rand.Rand) time.Duration { return 1<<(10+r.IntN(32)) - time.Duration(r.IntN(2)) + 1 },
		"sixteens": func(r *rand.Rand) time.Duration { return time.Duration(16+r.IntN(16)) << (7 + r.IntN(20)) },
	} {
		for _, quantile := range []float64{0.01, 0.5, 0.9, 0.95, 0.99, 0.9999} {
			for seed := range uint64(5) {
				t.Run(fmt.Sprintf("%s/%v/%d", name, quantile, seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						random := rand.New(rand.NewPCG(seed, 2))
						l := newLatency(quantile, 1)
						var all []time.Duration
						for range 1 + random.IntN(2000) {
							d := draw(random)
							all = append(all, d)
							l.observe(d)
							if random.IntN(1000) == 0 && time.Since(l.epoch) < time.Duration(latencySpan) { // two spans are observed
								time.Sleep(time.Duration(latencySpan))
							}
						}
						h := l.current(l.now())
						l.estimate(h)
						slices.Sort(all)
						exact := all[int(math.Ceil(quantile*float64(len(all))))-1]
						if got := l.value(); got <= exact || got > exact+exact/16+1 {
							t.Errorf("the estimate of %d durations is %d, want it above %d by a sixteenth at the most", len(all), got, exact)
						}
					})
				})
			}
		}
	}
}

func TestEveryDurationHasABucket(t *testing.T) {
	for i := 1; i < durations; i++ {
		begin, end := durationEnd(i-1), durationEnd(i)
		if begin >= end || durationBucket(begin) != i || durationBucket(end-1) != i {
			t.Errorf("bucket %d is from %d to %d, which are in %d and %d", i, begin, end, durationBucket(begin), durationBucket(end-1))
		}
	}
	for d, want := range map[time.Duration]int{
		math.MinInt64: 0, -1: 0, 0: 0, 1: 0, 1023: 0, 1024: 1,
		1<<42 - 1: durations - 1, 1 << 42: durations - 1, math.MaxInt64: durations - 1,
	} {
		if got := durationBucket(d); got != want {
			t.Errorf("%d is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestTheEstimateIsOfTheNewestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const span = time.Duration(latencySpan)
		l := newLatency(0.5, 10)
		observe := func(n int, d time.Duration) {
			for range n {
				l.observe(d)
			}
		}
		want := func(what string, d time.Duration) {
			t.Helper()
			if got := l.value(); d == 0 && got != 0 || d != 0 && durationBucket(got-1) != durationBucket(d) {
				t.Errorf("%s: the estimate is %v, want about %v", what, got, d)
			}
		}
		want("nothing", 0)
		observe(9, time.Second)
		want("one too few", 0)
		observe(1, time.Second)
		want("just enough", time.Second)
		time.Sleep(span)
		want("in the next span they still count", time.Second)
		observe(30, time.Minute)
		want("more of others", time.Minute)
		time.Sleep(span)
		observe(20, time.Second)
		want("the first are gone", time.Minute)
		time.Sleep(span)
		want("the others are gone too", time.Second)
		if l.idle() {
			t.Error("idle although calls are known")
		}
		time.Sleep(2*span - 1)
		want("all are gone", 0)
		if !l.idle() {
			t.Error("not idle although no call is known")
		}
		observe(20, time.Minute)
		want("a new beginning", time.Minute)
		time.Sleep(span)
		observe(5, time.Minute)
		time.Sleep(span)
		want("too few are left", 0)
	})
}

// The estimate is made anew when one more sixteenth of calls has come.
func TestTheEstimateFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLatency(0.5, 1)
		for range 1600 {
			l.observe(time.Millisecond)
		}
		for range 1600 + 1600/8 {
			l.observe(time.Second)
		}
		if got := l.value(); got < time.Second {
			t.Errorf("the estimate is %v although more than half of the calls take a second", got)
		}
	})
}

func TestTheEstimateIsKnownWithTheLastCallThatItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLatency(0.5, 1000)
		for n := range 1000 {
			if got := l.value(); got != 0 {
				t.Fatalf("the estimate is %v after %d calls", got, n)
			}
			l.observe(time.Millisecond)
		}
		if l.value() == 0 {
			t.Error("there is no estimate after 1000 calls")
		}
	})
}

// A Deadline is like a new one when it knows of no call any more.
func TestAnIdleDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewDeadline(DeadlineConfig{})
		before := p.idle()
		_ = middleware.NewChain("x", p).Do(t.Context(), func(context.Context) error { return nil })
		during := p.idle()
		time.Sleep(2 * time.Duration(latencySpan))
		if !before || during || !p.idle() {
			t.Errorf("idle before a call, after it, and a minute later: %t, %t, %t", before, during, p.idle())
		}
	})
}
