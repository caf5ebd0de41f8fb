package policies_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

var errRefused = errors.New("refused")

// A dependency serves capacity calls at the same time, each in service. When there are
// more, all take longer in proportion, or those beyond are refused.
type dependency struct {
	capacity atomic.Int64
	service  atomic.Int64 // nanoseconds
	refuses  bool
	down     atomic.Bool // calls take until time is up
	inFlight atomic.Int64
	most     atomic.Int64 // in flight, ever
}

func newDependency(capacity int64, service time.Duration) *dependency {
	d := &dependency{}
	d.capacity.Store(capacity)
	d.service.Store(int64(service))
	return d
}

func (d *dependency) serve(context.Context) error {
	n := d.inFlight.Add(1)
	defer d.inFlight.Add(-1)
	if n > d.most.Load() {
		d.most.Store(n)
	}
	service, capacity := time.Duration(d.service.Load()), d.capacity.Load()
	switch {
	case d.down.Load():
		time.Sleep(time.Second)
		return middleware.Judged(errRefused, middleware.Verdict{Class: middleware.Failure, Reason: "timeout"})
	case d.refuses && n > capacity:
		time.Sleep(service / 10)
		return middleware.Judged(errRefused, middleware.Verdict{Class: middleware.Throttled})
	}
	time.Sleep(service * time.Duration(max(n, capacity)) / time.Duration(capacity))
	return nil
}

// A load is a number of clients that call one after the other, as long as it lasts.
type load struct {
	t       *testing.T
	chain   *middleware.Chain
	limit   *policies.AdaptiveLimit
	to      *dependency
	clients atomic.Int64
	over    atomic.Bool
	all     sync.WaitGroup
	events  recorder
}

// simulate runs clients against a dependency in a bubble.
func simulate(t *testing.T, c policies.AdaptiveLimitConfig, d *dependency, clients int, steps func(l *load)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &load{t: t, limit: policies.NewAdaptiveLimit(c), to: d}
		l.chain = middleware.NewChain("x", &l.events, l.limit)
		l.clients.Store(int64(clients))
		for i := range 60 {
			l.all.Go(func() { l.client(int64(i)) })
		}
		steps(l)
		l.over.Store(true)
		l.all.Wait()
		if s := l.limit.Status(); s.Running != 0 || s.Waiting != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

func (l *load) client(i int64) {
	time.Sleep(time.Duration(i) * time.Millisecond)
	for !l.over.Load() {
		if i >= l.clients.Load() {
			time.Sleep(time.Second)
			continue
		}
		if err := l.chain.Do(l.t.Context(), l.to.serve); errors.Is(err, middleware.ErrConcurrencyLimited) {
			time.Sleep(2 * time.Second)
		}
	}
}

// between checks that the limit stays in a band for a while, but for a share of the time.
func (l *load) between(when string, low, high int, during time.Duration) {
	l.t.Helper()
	var least, most, outside, n int
	least = 1 << 30
	for end := time.Now().Add(during); time.Now().Before(end); n++ {
		time.Sleep(500 * time.Millisecond)
		s := l.limit.Status()
		least, most = min(least, s.Limit), max(most, s.Limit)
		if s.Limit < low || s.Limit > high {
			outside++
		}
	}
	l.t.Logf("%s: the limit was between %d and %d, base %v", when, least, most, l.limit.Status().Base)
	if outside*20 > n {
		l.t.Errorf("%s: the limit was outside of %d to %d for %d of %d looks: %d to %d", when, low, high, outside, n, least, most)
	}
}

// An algorithm and what it promises for a dependency that serves so many calls at the same
// time: the limit stays in the band.
var adaptive = []struct {
	name    string
	config  policies.AdaptiveLimitConfig
	refuses bool
	band    func(capacity float64) (low, high float64)
}{
	{
		"gradient", policies.AdaptiveLimitConfig{}, false,
		func(c float64) (low, high float64) { return 1.5 * c, 2.2*c + 1 },
	},
	{
		"vegas", policies.AdaptiveLimitConfig{Algorithm: policies.Vegas}, false,
		func(c float64) (low, high float64) { return c + 2, c + 7 },
	},
	{
		"aimd, slow calls", policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, SlowCall: 300 * time.Millisecond}, false,
		func(c float64) (low, high float64) { return 1.5*c*0.9 - 2, 1.5*c + 2 },
	},
	{
		"aimd, refusals", policies.AdaptiveLimitConfig{Algorithm: policies.AIMD}, true,
		func(c float64) (low, high float64) { return c*0.9 - 2, c + 2 },
	},
	{
		"gradient, refusals", policies.AdaptiveLimitConfig{}, true,
		func(c float64) (low, high float64) { return c*0.9 - 2, c + 3 },
	},
}

// An AdaptiveLimit keeps a dependency near what it can do: where its algorithm says, from
// below and from above, when that becomes less and when it becomes more, and for hours.
func TestAnAdaptiveLimitFindsWhatADependencyCanDo(t *testing.T) {
	for _, row := range adaptive {
		t.Run(row.name, func(t *testing.T) {
			d := newDependency(10, 200*time.Millisecond)
			d.refuses = row.refuses
			simulate(t, row.config, d, 60, func(l *load) {
				expect := func(when string, capacity int64, settles time.Duration) {
					t.Helper()
					d.capacity.Store(capacity)
					low, high := row.band(float64(capacity))
					time.Sleep(settles)
					l.between(when, int(low), int(high+1), time.Minute)
				}
				expect("at first", 10, 2*time.Minute)
				expect("less", 5, 2*time.Minute)
				expect("more", 20, 3*time.Minute)
				expect("back", 10, 3*time.Minute)
				expect("later", 10, 10*time.Minute)
			})
		})
	}
}

// It grows only when at least half of it was used.
func TestAnAdaptiveLimitThatIsNotUsedDoesNotGrow(t *testing.T) {
	for _, row := range adaptive {
		t.Run(row.name, func(t *testing.T) {
			c := row.config
			c.Initial = 20
			simulate(t, c, newDependency(1000, 200*time.Millisecond), 9, func(l *load) {
				l.between("9 calls", 20, 20, 5*time.Minute)
				l.clients.Store(30)
				time.Sleep(5 * time.Minute)
				if n := l.limit.Status().Limit; n <= 20 || n > 67 {
					t.Errorf("with 30 calls: the limit is %d, want it to grow, up to about twice what is used", n)
				}
			})
		})
	}
}

func TestAnAdaptiveLimitStaysWithinItsBounds(t *testing.T) {
	for _, row := range adaptive {
		t.Run(row.name, func(t *testing.T) {
			c := row.config
			c.Initial, c.Min, c.Max = 8, 7, 12
			d := newDependency(1000, 200*time.Millisecond)
			d.refuses = row.refuses
			simulate(t, c, d, 60, func(l *load) {
				time.Sleep(2 * time.Minute)
				l.between("much capacity", 12, 12, time.Minute)
				if d.most.Load() > 12 {
					t.Errorf("%d calls at the same time", d.most.Load())
				}
				d.capacity.Store(1)
				time.Sleep(5 * time.Minute)
				l.between("little", 7, 7, time.Minute)
				for _, e := range l.events.of(middleware.LimitChanged) {
					if to, _ := strconv.Atoi(e.To); e.Reason != "probe" && to < 7 || to > 12 {
						t.Errorf("the limit became %d", to)
					}
				}
			})
		})
	}
}

// After an outage, in which calls are not done in time, the limit comes back.
func TestAnAdaptiveLimitRecoversFromAnOutage(t *testing.T) {
	for _, row := range adaptive {
		t.Run(row.name, func(t *testing.T) {
			d := newDependency(10, 200*time.Millisecond)
			d.refuses = row.refuses
			simulate(t, row.config, d, 60, func(l *load) {
				time.Sleep(3 * time.Minute)
				d.down.Store(true)
				time.Sleep(5 * time.Minute)
				if n := l.limit.Status().Limit; n > 2 {
					t.Errorf("in the outage: the limit is %d", n)
				}
				d.down.Store(false)
				time.Sleep(3 * time.Minute)
				low, high := row.band(10)
				l.between("after the outage", int(low), int(high+1), 2*time.Minute)
			})
		})
	}
}

// When calls take longer for good, and not because they wait, the limit comes back too.
func TestAnAdaptiveLimitLearnsThatCallsTakeLonger(t *testing.T) {
	for _, row := range adaptive[:2] {
		t.Run(row.name, func(t *testing.T) {
			d := newDependency(10, 200*time.Millisecond)
			simulate(t, row.config, d, 60, func(l *load) {
				time.Sleep(10 * time.Minute)
				d.service.Store(int64(800 * time.Millisecond))
				time.Sleep(10 * time.Minute)
				low, high := row.band(10)
				l.between("slower", int(low), int(high+1), 2*time.Minute)
				d.service.Store(int64(50 * time.Millisecond))
				time.Sleep(10 * time.Minute)
				l.between("quicker", int(low), int(high+1), 2*time.Minute)
			})
		})
	}
}

// With a queue all calls are made, in turn, and the limit is the same.
func TestAnAdaptiveLimitWithAQueue(t *testing.T) {
	c := policies.AdaptiveLimitConfig{Algorithm: policies.Vegas, MaxQueue: 100, MaxWait: time.Minute}
	simulate(t, c, newDependency(10, 200*time.Millisecond), 60, func(l *load) {
		time.Sleep(3 * time.Minute)
		l.between("with a queue", 12, 17, 2*time.Minute)
		if s := l.limit.Status(); s.Running+s.Waiting != 60 || s.Running > s.Limit {
			t.Errorf("got %+v, want 60 in all", s)
		}
		if n := len(l.events.of(middleware.Rejected)); n != 0 {
			t.Errorf("%d were refused", n)
		}
		if e := l.events.of(middleware.Waited); len(e) == 0 || e[0].Reason != "adaptive_limit" {
			t.Errorf("%d waited", len(e))
		}
	})
}

// The events of a limit follow each other: each begins where the one before ended, and the
// last is the limit.
func TestTheEventsOfALimitFollowEachOther(t *testing.T) {
	reasons := map[string]bool{}
	for _, row := range adaptive {
		d := newDependency(10, 200*time.Millisecond)
		d.refuses = row.refuses
		simulate(t, row.config, d, 60, func(l *load) {
			time.Sleep(5 * time.Minute)
			at := "20"
			for _, e := range l.events.of(middleware.LimitChanged) {
				if e.From != at || e.To == at || e.Policy != "adaptive_limit" || e.Chain != "x" {
					t.Errorf("%s: after %s came %+v", row.name, at, e)
				}
				from, _ := strconv.Atoi(e.From)
				to, _ := strconv.Atoi(e.To)
				if grows := e.Reason == "growth"; e.Reason != "probe" && grows != (to > from) {
					t.Errorf("%s: from %d to %d because of %s", row.name, from, to, e.Reason)
				}
				reasons[e.Reason] = true
				at = e.To
			}
			if now := strconv.Itoa(l.limit.Status().Limit); now != at {
				t.Errorf("%s: the limit is %s, the last event said %s", row.name, now, at)
			}
		})
	}
	if got := slices.Sorted(maps.Keys(reasons)); !slices.Equal(got, []string{"drop", "growth", "latency", "probe"}) {
		t.Errorf("the reasons were %v", got)
	}
}
