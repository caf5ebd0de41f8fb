package middlewaretest_test

import (
	"math"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
)

// Calls come independently of each other, a Poisson process: of their number in each second, the
// variance is the mean. Evenly means that each second has as many.
func TestLoadIsPoissonOrEven(t *testing.T) {
	for even, want := range map[bool]float64{false: 1, true: 0} {
		r := middlewaretest.Scenario{Duration: time.Hour, Load: middlewaretest.Load{Rate: 20, Even: even}}.Run(t, bare)
		var squares float64
		for _, s := range r.Timeline(time.Second) {
			squares += (float64(s.Calls) - 20) * (float64(s.Calls) - 20)
		}
		if got := squares / 3600 / 20; math.Abs(got-want) > 0.1 {
			t.Errorf("even %v: the variance is %.3f of the mean, want %v", even, got, want)
		}
		if !near(r.Rate(), 20, 0.02) {
			t.Errorf("even %v: %.2f calls in a second, want 20", even, r.Rate())
		}
	}
}

// A surge multiplies the rate; where two overlap, both do.
func TestLoadSurges(t *testing.T) {
	load := middlewaretest.Load{Rate: 100, Surges: []middlewaretest.Surge{
		{From: 10 * time.Second, Until: 20 * time.Second, Times: 3},
		{From: 15 * time.Second, Until: 25 * time.Second, Times: 0.5},
		{From: 30 * time.Second, Until: 40 * time.Second, Times: 0},
	}}
	for _, even := range []bool{false, true} {
		load.Even = even
		r := middlewaretest.Scenario{Load: load}.Run(t, bare)
		for _, row := range []struct {
			from, until int // seconds
			rate        float64
		}{{0, 10, 100}, {10, 15, 300}, {15, 20, 150}, {20, 25, 50}, {25, 30, 100}, {30, 40, 0}, {40, 60, 100}} {
			s := r.Between(time.Duration(row.from)*time.Second, time.Duration(row.until)*time.Second)
			tolerance := 4 * math.Sqrt(row.rate/float64(row.until-row.from))
			if even {
				tolerance = 1
			}
			if math.Abs(s.Rate()-row.rate) > tolerance {
				t.Errorf("even %v: %.1f calls in a second from %d s until %d s, want %v", even, s.Rate(), row.from, row.until, row.rate)
			}
		}
	}
}

// A client makes one call at a time, and pauses before each.
func TestLoadClientsMakeOneCallAtATime(t *testing.T) {
	r := middlewaretest.Scenario{
		Load:       middlewaretest.Load{Clients: 3, Think: middlewaretest.Fixed(time.Second)},
		Dependency: middlewaretest.Dependency{Latency: middlewaretest.Fixed(500 * time.Millisecond)},
	}.Run(t, bare)
	if r.Calls != 3*39 && r.Calls != 3*40 || r.Peak != 3 { // at 1, 2.5, 4, ... s
		t.Errorf("%d calls, %d at the same time, want 3 * 40 and 3", r.Calls, r.Peak)
	}
	if first := r.Between(0, 999*time.Millisecond); first.Calls != 0 {
		t.Errorf("%d calls came before the first pause was over", first.Calls)
	}
}

// A load that stops for good comes to its end.
func TestLoadThatStops(t *testing.T) {
	r := middlewaretest.Scenario{Load: middlewaretest.Load{Rate: 10, Even: true, Surges: []middlewaretest.Surge{{From: 5050 * time.Millisecond, Until: time.Hour}}}}.Run(t, bare)
	if r.Calls != 50 {
		t.Errorf("%d calls, want 50", r.Calls)
	}
}
