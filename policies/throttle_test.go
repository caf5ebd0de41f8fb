package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

var errOverloaded = errors.New("overloaded")

func overloaded(context.Context) error {
	return middleware.Judged(errOverloaded, middleware.Verdict{Class: middleware.Throttled, Reason: "throttled"})
}

func TestAThrottleConforms(t *testing.T) {
	for name, c := range map[string]policies.ThrottleConfig{
		"throttle": {}, "throttle of few calls": {MinCalls: 1, K: 1}, "throttle that observes": {MinCalls: 1, ObserveOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			middlewaretest.TestPolicy(t, func() middleware.Policy { return policies.NewThrottle(c) })
		})
	}
}

func TestThrottleSettings(t *testing.T) {
	type config = policies.ThrottleConfig
	for _, row := range []struct {
		config config
		want   string // empty: valid
	}{
		{config{}, ""},
		{config{K: 1, Window: 20 * time.Millisecond, MaxRejection: 0.999, MinCalls: 1}, ""},
		{config{K: 1e9, Window: math.MaxInt64, MaxRejection: 1e-9, MinCalls: math.MaxInt32}, ""},
		{config{K: 0.5}, "policies: ThrottleConfig.K is 0.5: it must be 1 or more, or 0 for the default"},
		{config{K: -1}, "policies: ThrottleConfig.K is -1: it must be 1 or more, or 0 for the default"},
		{config{K: math.NaN()}, "policies: ThrottleConfig.K is NaN: it must be 1 or more, or 0 for the default"},
		{config{K: math.Inf(1)}, "policies: ThrottleConfig.K is +Inf: it must be 1 or more, or 0 for the default"},
		{config{Window: -1}, "policies: ThrottleConfig.Window is -1ns: it must be at least 20ms, or 0 for the default"},
		{config{Window: 19 * time.Millisecond}, "policies: ThrottleConfig.Window is 19ms: it must be at least 20ms, or 0 for the default"},
		{config{MaxRejection: 1}, "policies: ThrottleConfig.MaxRejection is 1: it must be above 0 and below 1, or 0 for the default"},
		{config{MaxRejection: -0.5}, "policies: ThrottleConfig.MaxRejection is -0.5: it must be above 0 and below 1, or 0 for the default"},
		{config{MaxRejection: math.NaN()}, "policies: ThrottleConfig.MaxRejection is NaN: it must be above 0 and below 1, or 0 for the default"},
		{config{MinCalls: -1}, "policies: ThrottleConfig.MinCalls is -1: it must be between 1 and 2147483647, or 0 for the default"},
	} {
		text := func(err any) string {
			if err == nil {
				return ""
			}
			return fmt.Sprint(err)
		}
		err := row.config.Validate()
		if text(err) != row.want {
			t.Errorf("%+v: %v, want %q", row.config, err, row.want)
		}
		if setting, ok := errors.AsType[*policies.SettingError](err); err != nil && (!ok || setting.Config != "ThrottleConfig") {
			t.Errorf("%+v: %T", row.config, err)
		}
		func() {
			defer func() {
				if got := text(recover()); got != row.want {
					t.Errorf("%+v: NewThrottle panicked with %q", row.config, got)
				}
			}()
			policies.NewThrottle(row.config)
		}()
		if got := text(policies.NewThrottle(config{}).Apply(row.config)); got != row.want {
			t.Errorf("%+v: Apply returned %q", row.config, got)
		}
	}
}

// The share of the calls that are shed is max(0, (requests - K * accepts) / (requests + 1)).
func TestTheShareThatIsShed(t *testing.T) {
	for _, row := range []struct {
		config            policies.ThrottleConfig
		accepted, refused int
		want              float64
	}{
		{policies.ThrottleConfig{}, 0, 0, 0},
		{policies.ThrottleConfig{}, 0, 9, 0}, // too few
		{policies.ThrottleConfig{}, 0, 10, 0.9},
		{policies.ThrottleConfig{}, 50, 50, 0},
		{policies.ThrottleConfig{}, 49, 50, (99 - 98) / 100.},
		{policies.ThrottleConfig{}, 25, 75, 50 / 101.},
		{policies.ThrottleConfig{}, 4, 95, 0.9}, // 91 / 100
		{policies.ThrottleConfig{K: 1}, 25, 75, 75 / 101.},
		{policies.ThrottleConfig{K: 1.5}, 20, 80, 70 / 101.},
		{policies.ThrottleConfig{K: 4}, 20, 80, 20 / 101.},
		{policies.ThrottleConfig{MaxRejection: 0.25}, 25, 75, 0.25},
		{policies.ThrottleConfig{MaxRejection: 0.99}, 0, 49, 49 / 50.},
		{policies.ThrottleConfig{MinCalls: 1}, 0, 1, 0.5},
		{policies.ThrottleConfig{MinCalls: 200}, 25, 75, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			row.config.ObserveOnly = true // so that all calls are sent
			p := policies.NewThrottle(row.config)
			chain := middleware.NewChain("x", p)
			for range row.accepted {
				_ = chain.Do(t.Context(), succeed)
			}
			for i := range row.refused {
				_ = chain.Do(t.Context(), []func(context.Context) error{fail, overloaded}[i%2])
			}
			s := p.Status()
			if s.Requests != row.accepted+row.refused || s.Accepts != row.accepted || math.Abs(s.Rejection-row.want) > 1e-9 {
				t.Errorf("%+v: %+v, want a share of %v", row, s, row.want)
			}
			if s.Critical != s.Rejection || s.CriticalPlus != 0 && s.Rejection < row.config.MaxRejection {
				t.Errorf("%+v: all calls are critical, and of these are shed: %+v", row, s)
			}
		})
	}
}

// A load is calls at even times to a dependency that accepts a share of those that come.
type throttleLoad struct {
	chain   *middleware.Chain
	accepts float64
	sent    int
	carry   float64
	callers []middleware.Priority // in turn
}

// run makes 10 calls a second for d. It returns how many of each caller there were, and of
// them how many were shed.
func (l *throttleLoad) run(ctx context.Context, d time.Duration) (calls, shed map[middleware.Priority]int) {
	calls, shed = map[middleware.Priority]int{}, map[middleware.Priority]int{}
	if l.callers == nil {
		l.callers = []middleware.Priority{middleware.Critical}
	}
	for i := range int(d / (100 * time.Millisecond)) {
		p := l.callers[i%len(l.callers)]
		calls[p]++
		err := l.chain.Do(middleware.WithPriority(ctx, p), func(ctx context.Context) error {
			l.sent++
			if l.carry += l.accepts; l.carry >= 1 {
				l.carry--
				return nil
			}
			return overloaded(ctx)
		})
		if errors.Is(err, middleware.ErrThrottled) {
			shed[p]++
		}
		time.Sleep(100 * time.Millisecond)
	}
	return calls, shed
}

// A dependency that accepts a share of the calls that are sent gets fewer of them. With K
// calls sent for each that is accepted, nothing is shed as long as one in K is.
func TestADependencyThatRefusesGetsFewerCalls(t *testing.T) {
	for _, row := range []struct{ accepts, k, want float64 }{
		{1, 2, 0}, {0.9, 2, 0}, {0.5, 2, 0.01}, {0, 2, 0.9}, {0.5, 1.5, 0.9}, {0.7, 1.5, 0.01}, {0.4, 2, 0.9}, {0.4, 3, 0.01},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := policies.NewThrottle(policies.ThrottleConfig{K: row.k})
			l := &throttleLoad{chain: middleware.NewChain("x", p), accepts: row.accepts}
			l.run(t.Context(), 30*time.Minute)
			calls, shed := l.run(t.Context(), 10*time.Minute)
			got := float64(shed[middleware.Critical]) / float64(calls[middleware.Critical])
			if math.Abs(got-row.want) > 0.02 {
				t.Errorf("%+v: %v of the calls were shed", row, got)
			}
			if now := p.Status().Rejection; math.Abs(got-now) > 0.02 {
				t.Errorf("%+v: %v of the calls were shed, and the share is %v", row, got, now)
			}
		})
	}
}

// A dependency with a capacity gets K times as many calls as it accepts.
func TestADependencyGetsKTimesWhatItAccepts(t *testing.T) {
	for _, row := range []struct{ capacity, k, want float64 }{ // calls a second, of 10
		{10, 2, 0}, {5, 2, 0}, {2.5, 2, 0.5}, {1, 2, 0.8}, {2, 3, 0.4}, {2, 1.25, 0.75}, {0.1, 2, 0.9},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := policies.NewThrottle(policies.ThrottleConfig{K: row.k})
			chain := middleware.NewChain("x", p)
			const burst = 10
			tokens, last := 0.0, time.Now()
			var calls, shed float64
			for range 20_000 {
				err := chain.Do(t.Context(), func(ctx context.Context) error {
					tokens = min(burst, tokens+row.capacity*time.Since(last).Seconds())
					last = time.Now()
					if tokens < 1-1e-6 {
						return overloaded(ctx)
					}
					tokens--
					return nil
				})
				if calls++; errors.Is(err, middleware.ErrThrottled) {
					shed++
				}
				if calls == 10_000 { // it has settled
					shed = 0
				}
				time.Sleep(100 * time.Millisecond)
			}
			if got := shed / 10_000; math.Abs(got-row.want) > 0.05 {
				t.Errorf("%+v: %v of the calls were shed; %+v", row, got, p.Status())
			}
		})
	}
}

// The calls of the lowest priority are shed first: those of the next one only when
// MaxRejection of the lower are shed and that is not enough.
func TestTheLowestPriorityIsShedFirst(t *testing.T) {
	all := []middleware.Priority{middleware.CriticalPlus, middleware.Sheddable, middleware.Critical, middleware.SheddablePlus}
	for _, row := range []struct {
		name    string
		share   float64 // of all calls that is to be shed: what is not accepted, with K = 1
		callers []middleware.Priority
		want    []float64 // lowest first
	}{
		{"few", 0.1, all, []float64{0.4, 0, 0, 0}},
		{"more than the first", 0.35, all, []float64{0.9, 0.5, 0, 0}},
		{"more than two", 0.6, all, []float64{0.9, 0.9, 0.6, 0}},
		{"nearly all", 0.8, all, []float64{0.9, 0.9, 0.9, 0.5}},
		{"all", 1, all, []float64{0.9, 0.9, 0.9, 0.9}},
		{"only critical ones", 0.3, all[2:3], []float64{0, 0, 0.3, 0}},
		{"no sheddable plus", 0.5, all[:3], []float64{0.9, 0, 0.6, 0}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := policies.NewThrottle(policies.ThrottleConfig{K: 1})
				chain := middleware.NewChain("x", p)
				l := &throttleLoad{chain: chain, callers: row.callers, accepts: 1 - row.share}
				if err := p.Apply(policies.ThrottleConfig{K: 1, ObserveOnly: true}); err != nil {
					t.Fatal(err)
				}
				l.run(t.Context(), 4*time.Minute) // it knows what is refused
				if err := p.Apply(policies.ThrottleConfig{K: 1}); err != nil {
					t.Fatal(err)
				}
				l.accepts = 1 // of what is sent from now on nothing is refused, so the share stays for a while
				if row.share == 1 {
					l.accepts = 0
				}
				calls, shed := l.run(t.Context(), 20*time.Second)
				last := 1.0
				for i, priority := range []middleware.Priority{middleware.Sheddable, middleware.SheddablePlus, middleware.Critical, middleware.CriticalPlus} {
					if calls[priority] == 0 {
						continue
					}
					got := float64(shed[priority]) / float64(calls[priority])
					if math.Abs(got-row.want[i]) > 0.08 {
						t.Errorf("of the %v calls %v were shed, want about %v; %+v", priority, got, row.want[i], p.Status())
					}
					if got > last+0.05 {
						t.Errorf("of the %v calls %v were shed, more than of those of a lower priority", priority, got)
					}
					last = got
				}
			})
		})
	}
}

// A burst of calls at the beginning sheds nothing.
func TestABurstAtTheBeginningShedsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewThrottle(policies.ThrottleConfig{})
		chain := middleware.NewChain("x", p)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := chain.Do(t.Context(), lasting(2*time.Second, nil)); err != nil {
					t.Errorf("call %d: %v; %+v", i, err, p.Status())
				}
			})
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if s := p.Status(); s.Requests != 1000 || s.Accepts != 0 || s.Rejection != 0 {
			t.Errorf("while they are under way: %+v", s)
		}
		wg.Wait()
		if s := p.Status(); s.Requests != 1000 || s.Accepts != 1000 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// A call that is under way counts like those that are over.
func TestACallUnderWayCountsLikeThoseThatAreOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewThrottle(policies.ThrottleConfig{ObserveOnly: true})
		chain := middleware.NewChain("x", p)
		for i := range 20 {
			_ = chain.Do(t.Context(), []func(context.Context) error{fail, fail, fail, succeed}[i%4])
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _ = chain.Do(t.Context(), lasting(time.Second, nil)) })
		}
		synctest.Wait()
		if s := p.Status(); s.Requests != 40 || s.Accepts != 5 || math.Abs(s.Rejection-(40-2*10)/41.) > 1e-9 {
			t.Errorf("a quarter was accepted, and 20 are under way: %+v", s)
		}
		wg.Wait()
	})
}

// A call that is Ignored is taken back: it counts as never made.
func TestACallThatIsIgnoredIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewThrottle(policies.ThrottleConfig{MinCalls: 1})
		inner := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
		chain := middleware.NewChain("x", p, inner)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := chain.Do(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 50 {
			if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrBulkheadFull) {
				t.Error(err)
			}
		}
		if s := p.Status(); s.Requests != 1 {
			t.Errorf("calls that a policy further in refused count: %+v", s)
		}
		time.Sleep(30 * time.Second) // another bucket
		if err := chain.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrBulkheadFull) {
			t.Error(err)
		}
		cancel()
		wg.Wait()
		if s := p.Status(); s != (policies.ThrottleStatus{}) {
			t.Errorf("a call that was given up counts: %+v", s)
		}
		_ = chain.Do(t.Context(), succeed)
		time.Sleep(110 * time.Second) // the bucket in which the first call began has left
		if s := p.Status(); s.Requests != 1 || s.Accepts != 1 {
			t.Errorf("one call was accepted: %+v", s)
		}
	})
}

// A call that panics is none that was accepted, nor is one that calls runtime.Goexit.
func TestACallThatPanicsIsNotAccepted(t *testing.T) {
	p := policies.NewThrottle(policies.ThrottleConfig{})
	chain := middleware.NewChain("x", p)
	for range 20 {
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("recovered %v", got)
				}
			}()
			if err := chain.Do(t.Context(), func(context.Context) error { panic("boom") }); !errors.Is(err, middleware.ErrThrottled) {
				t.Errorf("it returned %v", err)
			}
			panic("boom") // it was shed
		}()
		var wg sync.WaitGroup
		wg.Go(func() { _ = chain.Do(t.Context(), func(context.Context) error { runtime.Goexit(); return nil }) })
		wg.Wait()
	}
	if s := p.Status(); s.Requests != 40 || s.Accepts != 0 || s.Rejection != 0.9 {
		t.Errorf("%+v", s)
	}
}

func TestACallThatIsShed(t *testing.T) {
	for _, observeOnly := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var seen recorder
			p := policies.NewThrottle(policies.ThrottleConfig{Name: "shed", ObserveOnly: observeOnly})
			chain := middleware.NewChain("billing", &seen, p)
			ran, shed := 0, 0
			for range 1000 {
				err := chain.Do(t.Context(), func(context.Context) error { ran++; return errBroken })
				if err == errBroken {
					continue
				}
				shed++
				r := rejection(t, err)
				if want := (middleware.Rejection{Chain: "billing", Policy: "shed", Reason: middleware.ErrThrottled}); *r != want || r.Timeout() {
					t.Fatalf("got %+v", r)
				}
			}
			kind := middleware.Rejected
			if observeOnly {
				kind = middleware.WouldReject
				if shed != 0 || ran != 1000 {
					t.Errorf("%d calls ran and %d were shed", ran, shed)
				}
			} else if ran+shed != 1000 || shed < 850 || shed > 900 {
				t.Errorf("%d calls ran and %d were shed", ran, shed)
			}
			events := seen.of(kind)
			if n := len(events); observeOnly && (n < 850 || n > 900) || !observeOnly && n != shed || len(seen.events) != n {
				t.Errorf("%d events of %d", n, len(seen.events))
			}
			for _, e := range events {
				if e.Chain != "billing" || e.Policy != "shed" || e.Reason != "client_throttled" || e.Wait != 0 || e.Err != nil {
					t.Fatalf("event %+v", e)
				}
			}
		})
	}
}

// What passes is how the Throttle learns that the dependency is well again.
func TestAThrottleRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewThrottle(policies.ThrottleConfig{Window: time.Minute})
		l := &throttleLoad{chain: middleware.NewChain("x", p)}
		_, shed := l.run(t.Context(), 5*time.Minute)
		if n := shed[middleware.Critical]; n < 2600 || n > 2700 || p.Status().Rejection != 0.9 {
			t.Errorf("%d of 3000 calls were shed in the outage; %+v", n, p.Status())
		}
		l.accepts = 1
		for elapsed := time.Second; ; elapsed += time.Second {
			if l.run(t.Context(), time.Second); p.Status().Rejection == 0 {
				// With a tenth of the calls accepted, and K = 2, the share falls to 0.8 in a
				// window, while more pass, and more.
				if elapsed < 30*time.Second || elapsed > 3*time.Minute {
					t.Errorf("nothing is shed any more after %v", elapsed)
				}
				break
			}
			if elapsed > time.Hour {
				t.Fatalf("an hour after the outage: %+v", p.Status())
			}
		}
		if _, shed := l.run(t.Context(), 10*time.Minute); len(shed) != 0 {
			t.Errorf("calls were shed although all are accepted: %v", shed)
		}
	})
}

// A call counts for as long as the Window reaches back.
func TestAThrottleForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewThrottle(policies.ThrottleConfig{})
		chain := middleware.NewChain("x", p)
		for range 100 {
			_ = chain.Do(t.Context(), fail)
		}
		time.Sleep(policies.DefaultThrottleWindow - policies.DefaultThrottleWindow/20 - 1)
		if s := p.Status(); s.Rejection != 0.9 {
			t.Errorf("within the window: %+v", s)
		}
		time.Sleep(policies.DefaultThrottleWindow/20 + 1)
		if s := p.Status(); s != (policies.ThrottleStatus{}) {
			t.Errorf("after the window: %+v", s)
		}
		if err := chain.Do(t.Context(), succeed); err != nil {
			t.Error(err)
		}
	})
}

// With fewer calls than MinCalls in the window nothing is shed.
func TestACallerOfFewCallsIsNotThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewThrottle(policies.ThrottleConfig{})
		chain := middleware.NewChain("x", p)
		for range 200 { // at most 9 of them in two minutes
			if err := chain.Do(t.Context(), fail); err != errBroken {
				t.Fatal(err)
			}
			time.Sleep(14 * time.Second)
		}
	})
}

// Calls that were shed are over, so a caller of whose calls few are sent stays throttled.
func TestACallThatWasShedIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewThrottle(policies.ThrottleConfig{}))
		shed := 0
		for range 1000 { // 40 of them in two minutes, of which 4 are sent
			if err := chain.Do(t.Context(), fail); errors.Is(err, middleware.ErrThrottled) {
				shed++
			}
			time.Sleep(3 * time.Second)
		}
		if shed < 850 {
			t.Errorf("%d of 1000 calls were shed", shed)
		}
	})
}

// A call whose observer panics before it is sent counts as never made.
func TestAnObserverOfAThrottleThatPanics(t *testing.T) {
	p := policies.NewThrottle(policies.ThrottleConfig{MinCalls: 1, ObserveOnly: true})
	chain := middleware.NewChain("x", middleware.ObserverFunc(func(context.Context, middleware.Event) { panic("observer") }), p)
	panics := 0
	for range 100 {
		func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			_ = chain.Do(t.Context(), fail)
		}()
	}
	if s := p.Status(); panics == 0 || s.Requests != 100-panics {
		t.Errorf("%d observers panicked: %+v", panics, s)
	}
}

// A streamed result is accepted when it begins.
func TestAThrottleAndAStream(t *testing.T) {
	p := policies.NewThrottle(policies.ThrottleConfig{})
	closed := 0
	_, end, err := middleware.Stream(t.Context(), middleware.NewChain("x", p), func(context.Context) (int, error) { return 7, nil }, func(int) { closed++ })
	if s := p.Status(); err != nil || s.Requests != 1 || s.Accepts != 1 {
		t.Errorf("%v; %+v", err, s)
	}
	if end(); closed != 0 {
		t.Error("the result of the caller was discarded")
	}
}

func TestApplyKeepsWhatAThrottleHasCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.NewThrottle(policies.ThrottleConfig{Name: "first"})
		l := &throttleLoad{chain: middleware.NewChain("x", p), accepts: 0.5}
		l.run(t.Context(), 10*time.Second)
		before := p.Status()
		if err := p.Apply(policies.ThrottleConfig{Name: "second", K: 1, Window: time.Hour, MaxRejection: 0.3, MinCalls: 5}); err != nil {
			t.Fatal(err)
		}
		if s := p.Status(); s.Requests != before.Requests || s.Accepts != before.Accepts || before.Rejection > 0.02 || s.Rejection != 0.3 {
			t.Errorf("%+v became %+v", before, s)
		}
		got := reportsOf(p)
		if len(got) != 1 || !strings.HasPrefix(got[0], "throttle/first K=1 Window=1h MaxRejection=0.3 MinCalls=5 requests:100 accepts:") {
			t.Errorf("reports %v", got)
		}
		if err := p.Apply(policies.ThrottleConfig{K: 0.1}); err == nil || !slices.Equal(reportsOf(p), got) {
			t.Errorf("settings that are not valid: %v, %v", err, reportsOf(p))
		}
		time.Sleep(50 * time.Minute)
		if s := p.Status(); s.Requests != 100 {
			t.Errorf("within the longer window: %+v", s)
		}
		if err := p.Apply(policies.ThrottleConfig{Window: time.Second}); err != nil {
			t.Fatal(err)
		}
		if s := p.Status(); s != (policies.ThrottleStatus{}) {
			t.Errorf("a shorter window holds %+v", s)
		}
	})
}

func TestAThrottleReports(t *testing.T) {
	p := policies.NewThrottle(policies.ThrottleConfig{})
	want := "throttle/throttle K=2 Window=2m MaxRejection=0.9 MinCalls=10 requests:0 accepts:0 rejection:0" +
		" rejection_sheddable:0 rejection_sheddable_plus:0 rejection_critical:0 rejection_critical_plus:0"
	for range 2 {
		if got := reportsOf(p); len(got) != 1 || got[0] != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	chain := middleware.NewChain("x", p)
	for range 5 {
		_ = chain.Do(middleware.WithPriority(t.Context(), middleware.Sheddable), fail)
		_ = chain.Do(t.Context(), succeed)
		_ = chain.Do(t.Context(), fail)
	}
	// 15 calls, 5 accepts: 5 of 16 are to be shed, and a third of the calls is sheddable.
	if got := reportsOf(p); !strings.HasSuffix(got[0], "requests:15 accepts:5 rejection:0.3125 rejection_sheddable:0.9 rejection_sheddable_plus:0.9 rejection_critical:0.01875 rejection_critical_plus:0") {
		t.Errorf("got %v", got)
	}
	if got := reportsOf(policies.NewThrottle(policies.ThrottleConfig{ObserveOnly: true})); !strings.Contains(got[0], "MinCalls=10 ObserveOnly=on requests") {
		t.Errorf("got %v", got)
	}
}

// Many calls at once are all counted, whatever else goes on.
func TestManyCallsOfAThrottleAtOnce(t *testing.T) {
	p := policies.NewThrottle(policies.ThrottleConfig{Window: 24 * time.Hour, ObserveOnly: true})
	chain := middleware.NewChain("x", p)
	ignored := middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Ignored})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 2000 {
				ctx := middleware.WithPriority(t.Context(), middleware.Priority(n%4)+middleware.Sheddable)
				_ = chain.Do(ctx, func(context.Context) error { return []error{nil, errBroken, ignored}[(i+n)%3] })
				if n%100 == 0 {
					_ = p.Apply(policies.ThrottleConfig{Window: 24*time.Hour + time.Duration(n), ObserveOnly: true})
					_ = reportsOf(p)
				}
			}
		})
	}
	wg.Wait()
	if s := p.Status(); s.Requests < 10_660 || s.Requests > 10_672 || s.Accepts < 5330 || s.Accepts > 5336 {
		t.Errorf("of 16,000 calls a third each was accepted, refused and ignored: %+v", s)
	}
}
