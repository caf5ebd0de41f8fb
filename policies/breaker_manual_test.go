package policies_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestStateNames(t *testing.T) {
	for s, want := range []string{
		"closed", "open", "half_open", "forced_open", "forced_closed", "disabled",
		"observed_closed", "observed_open", "observed_half_open", "unknown",
	} {
		if got := policies.State(s).String(); got != want {
			t.Errorf("state %d is %s, want %s", s, got, want)
		}
		if text, err := policies.State(s).MarshalText(); string(text) != want || err != nil {
			t.Errorf("as text %s, %v", text, err)
		}
	}
}

func TestByHand(t *testing.T) {
	type breaker = policies.Breaker
	for _, row := range []struct {
		name    string
		do      func(*breaker)
		state   policies.State
		refuses bool
		counts  bool // ten failures are counted
		share   float64
	}{
		{"ForceOpen", (*breaker).ForceOpen, policies.ForcedOpen, true, false, 0},
		{"ForceClose", (*breaker).ForceClose, policies.ForcedClosed, false, true, 1},
		{"Disable", (*breaker).Disable, policies.Disabled, false, false, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen recorder
			b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, FailureRate: 0.1, MinCalls: 1})
			chain := middleware.NewChain("x", &seen, b)
			_ = chain.Do(t.Context(), fail) // opens it
			row.do(b)
			row.do(b) // again: nothing new
			for range 10 {
				err := chain.Do(t.Context(), fail)
				if refused := errors.Is(err, middleware.ErrOpen); refused != row.refuses || !refused && err != errBroken {
					t.Fatalf("got %v", err)
				}
			}
			s := b.Status()
			if s.State != row.state || s.Last.To != row.state || s.Last.From != policies.Open || s.Share != row.share || !s.NextProbe.IsZero() || s.Opened.IsZero() != (row.state != policies.ForcedOpen) {
				t.Errorf("%+v", s)
			}
			if want := map[bool]int{true: 10}[row.counts]; s.Counts.Failures != want || s.Counts.ConsecutiveFailures != want {
				t.Errorf("%+v, want %d failures", s.Counts, want)
			}
			b.Release()
			b.Release()
			if s := b.Status(); s.State != policies.Closed || s.Counts.Failures != 0 || s.Last.Reason != "released" {
				t.Errorf("released: %+v", s)
			}
			row.do(b)
			b.Reset()
			if s := b.Status(); s.State != policies.Closed || s.Last.Reason != "reset" {
				t.Errorf("reset: %+v", s)
			}
			if n := len(seen.of(middleware.Transition)); n != 5 {
				t.Errorf("%d transitions, want 5: %+v", n, seen.of(middleware.Transition))
			}
		})
	}
}

// An observing breaker does all that it does, on the same counts, but rejects
// nothing.
func TestObserveOnlyRejectsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := policies.BreakerConfig{FailureThreshold: 2, SuccessThreshold: 1, Timeout: 10 * time.Second, RecoveryBackoff: 1, Ramp: 10 * time.Second}
		plain, shadow := policies.NewBreaker(c), policies.NewBreaker(c)
		var seen, shadowed recorder
		chain, silent := middleware.NewChain("x", &seen, plain), middleware.NewChain("x", &shadowed, shadow)
		shadow.ObserveOnly()
		shadow.ObserveOnly()
		if s := shadow.Status(); s.State != policies.ObservedClosed || s.Last.Reason != "observe_only" || s.Generation != 2 {
			t.Errorf("%+v", s)
		}
		for i := range 2000 {
			op, want := succeed, error(nil)
			if i%300 < 100 {
				op, want = fail, errBroken
			}
			err := chain.Do(t.Context(), op)
			if got := silent.Do(t.Context(), op); got != want {
				t.Fatalf("call %d: got %v, want %v", i, got, want)
			}
			a, b := plain.Status(), shadow.Status()
			if a.State+policies.ObservedClosed != b.State || a.Counts != b.Counts || a.NextProbe != b.NextProbe || b.Share != 1 {
				t.Fatalf("call %d: %v:\n%+v\n%+v", i, err, a, b)
			}
			time.Sleep(100 * time.Millisecond)
		}
		rejected, spared := seen.of(middleware.Rejected), shadowed.of(middleware.WouldReject)
		if len(rejected) != len(spared) || len(spared) < 100 || len(shadowed.of(middleware.Rejected)) != 0 {
			t.Fatalf("%d rejections, of which the other would do %d", len(rejected), len(spared))
		}
		for i := range rejected {
			if a, b := rejected[i], spared[i]; a.Reason != b.Reason || a.Wait != b.Wait || !a.Time.Equal(b.Time) {
				t.Errorf("%+v and %+v", a, b)
			}
		}
		moves, shadows := seen.of(middleware.Transition), shadowed.of(middleware.Transition)[1:]
		if len(moves) != len(shadows) || len(moves) < 6 {
			t.Fatalf("%d and %d transitions", len(moves), len(shadows))
		}
		for i := range moves {
			if a, b := moves[i], shadows[i]; b.From != "observed_"+a.From || b.To != "observed_"+a.To || a.Reason != b.Reason || a.Wait != b.Wait {
				t.Errorf("%+v and %+v", a, b)
			}
		}
	})
}

func TestObserveOnlyLastsUntilRelease(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	chain := middleware.NewChain("x", b)
	state := func(do string, want policies.State) {
		t.Helper()
		if b.State() != want {
			t.Errorf("after %s the breaker is %v, want %v", do, b.State(), want)
		}
	}
	b.ObserveOnly()
	_ = chain.Do(t.Context(), fail)
	state("a failure", policies.ObservedOpen)
	b.Reset()
	state("Reset", policies.ObservedClosed)
	b.ForceOpen()
	state("ForceOpen", policies.ForcedOpen)
	b.ObserveOnly()
	state("ObserveOnly", policies.ObservedClosed)
	b.ForceClose() // takes the place of the order before
	b.Reset()
	state("Reset", policies.Closed)
	b.ObserveOnly()
	state("ObserveOnly", policies.ObservedClosed)
	b.Release()
	state("Release", policies.Closed)
	b.Reset()
	state("Reset", policies.Closed)
	_ = chain.Do(t.Context(), fail)
	state("a failure", policies.Open)
	b.ObserveOnly()
	state("ObserveOnly", policies.ObservedClosed)
}

// All methods may be called by an observer that hears of the breaker.
func TestEveryMethodFromEveryEvent(t *testing.T) {
	for name, method := range map[string]func(*policies.Breaker){
		"ForceOpen": (*policies.Breaker).ForceOpen, "ForceClose": (*policies.Breaker).ForceClose,
		"Disable": (*policies.Breaker).Disable, "ObserveOnly": (*policies.Breaker).ObserveOnly,
		"Release": (*policies.Breaker).Release, "Reset": (*policies.Breaker).Reset,
		"Close": func(b *policies.Breaker) { _ = b.Close() }, "State": func(b *policies.Breaker) { b.State() },
		"Status": func(b *policies.Breaker) { b.Status() }, "Counts": func(b *policies.Breaker) { b.Counts() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := policies.NewBreaker(policies.BreakerConfig{
					FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, RecoveryTime: time.Minute, HealthCheck: fail, RecoveryBackoff: 1,
				})
				var kinds sync.Map
				var depth atomic.Int64
				var chain *middleware.Chain
				chain = middleware.NewChain("x", middleware.ObserverFunc(func(ctx context.Context, e middleware.Event) {
					kinds.Store(fmt.Sprint(e.Kind, " ", e.To), true)
					if depth.Add(1) < 50 {
						method(b)
						_ = chain.Do(ctx, fail)
					}
				}), b)
				for range 20 {
					_ = chain.Do(t.Context(), fail)
					_ = chain.Do(t.Context(), fail)
					time.Sleep(time.Minute)
					_ = chain.Do(t.Context(), succeed)
				}
				b.ForceOpen()
				b.Release()
				b.ObserveOnly()
				b.Release()
				_ = b.Close()
				n := 0
				kinds.Range(func(any, any) bool { n++; return true })
				if n < 3 {
					t.Errorf("only %d kinds of events came", n)
				}
			})
		})
	}
}

// An observer that blocks holds up the call that it was called in, and no other.
func TestAnObserverThatBlocksHoldsUpItsCallOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, RecoveryBackoff: 1})
		release := make(chan struct{})
		var seen recorder
		chain := middleware.NewChain("x", middleware.ObserverFunc(func(context.Context, middleware.Event) { <-release }), &seen, b)
		quiet := middleware.NewChain("quiet", b)
		go func() { _ = chain.Do(context.WithoutCancel(t.Context()), fail) }()
		synctest.Wait()
		for range 5 {
			if err := quiet.Do(t.Context(), succeed); !errors.Is(err, middleware.ErrOpen) {
				t.Fatalf("while it is open: %v", err)
			}
			time.Sleep(time.Second)
			if err := quiet.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
				t.Fatalf("a probe: %v, the breaker is %v", err, b.State())
			}
			_ = quiet.Do(t.Context(), fail)
		}
		close(release)
		synctest.Wait()
		if n := len(seen.of(middleware.Transition)); n != 1 { // the others belong to the chain without observers
			t.Errorf("%d transitions, want 1", n)
		}
	})
}

// What an observer does to the breaker comes after what it heard of, for all others.
func TestTransitionsMadeByAnObserverComeLater(t *testing.T) {
	var b *policies.Breaker
	var seen recorder
	chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.To == "open" {
			b.ForceOpen()
		}
	}), &seen, policies.NewRetry(policies.RetryConfig{}))
	b = policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	_ = middleware.NewChain("x", chain, b).Do(t.Context(), func(context.Context) error { return judged(middleware.Verdict{Class: middleware.Failure}) })
	var got []string
	for _, e := range seen.of(middleware.Transition) {
		got = append(got, e.To)
	}
	if fmt.Sprint(got) != "[open forced_open]" {
		t.Errorf("got %v", got)
	}
}

func TestResetOfAClosedBreakerIsNoTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		b, chain := opened(t, policies.BreakerConfig{}, &seen)
		b.Reset()
		before := b.Status()
		time.Sleep(time.Second)
		_ = chain.Do(t.Context(), as(middleware.Ignored))
		b.Reset()
		after := b.Status()
		if after.Counts != (policies.Counts{}) || after.Generation != before.Generation+1 {
			t.Errorf("counts go on: %+v", after)
		}
		if after.Last != before.Last || !after.Since.Equal(before.Since) {
			t.Errorf("before %+v\nafter  %+v", before, after)
		}
		if n := len(seen.of(middleware.Transition)); n != 2 {
			t.Errorf("%d transitions, want 2", n)
		}
	})
}

// A tracer is an observer that knows of traces.
type tracer struct {
	middleware.ObserverFunc
	id func(ctx context.Context) string
}

func (o tracer) TraceID(ctx context.Context) string { return o.id(ctx) }

type traceKey struct{}

func TestTheCauseOfATransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nothing := func(context.Context, middleware.Event) {}
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, SuccessThreshold: 1, Timeout: time.Second})
		chain := middleware.NewChain("x", middleware.ObserverFunc(nothing),
			tracer{nothing, func(context.Context) string { return "" }},
			tracer{nothing, func(ctx context.Context) string { return ctx.Value(traceKey{}).(string) }}, b)
		call := func(id string, err error) {
			_ = chain.Do(context.WithValue(t.Context(), traceKey{}, id), func(context.Context) error { return err })
		}
		last := func(want policies.Transition) {
			t.Helper()
			if want.Time = time.Now(); b.Status().Last != want {
				t.Errorf("got  %+v\nwant %+v", b.Status().Last, want)
			}
		}
		if b.Status().Last != (policies.Transition{}) || b.Status().Generation != 1 {
			t.Errorf("a new breaker: %+v", b.Status())
		}
		other := errors.New("other")
		call("one", errBroken)
		call("two", middleware.Judged(other, middleware.Verdict{Class: middleware.Failure}))
		last(policies.Transition{From: policies.Closed, To: policies.Open, Reason: "consecutive_failures", Err: other, TraceID: "two"})
		call("three", nil) // rejected
		time.Sleep(time.Second)
		finish := hold(t, middleware.NewChain("untraced", b), 1, judged(middleware.Verdict{Class: middleware.Ignored}))
		last(policies.Transition{From: policies.Open, To: policies.HalfOpen, Reason: "delay_elapsed"})
		finish()
		call("four", errBroken)
		last(policies.Transition{From: policies.HalfOpen, To: policies.Open, Reason: "probe_failed", Err: errBroken, TraceID: "four"})
		time.Sleep(time.Until(b.Status().NextProbe))
		call("five", nil)
		last(policies.Transition{From: policies.HalfOpen, To: policies.Closed, Reason: "probe_succeeded", TraceID: "five"})
		b.ForceOpen()
		last(policies.Transition{From: policies.Closed, To: policies.ForcedOpen, Reason: "forced"})
		if n := b.Status().Generation; n != 7 {
			t.Errorf("generation %d, want 7", n)
		}
	})
}

// A tracer that panics keeps the breaker from nothing.
func TestATracerThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, chain := opened(t, policies.BreakerConfig{SuccessThreshold: 1, Timeout: time.Second},
			tracer{func(context.Context, middleware.Event) {}, func(context.Context) string { panic("tracer") }})
		time.Sleep(time.Second)
		if err := chain.Do(t.Context(), succeed); err != nil || b.State() != policies.Closed {
			t.Errorf("got %v, the breaker is %v", err, b.State())
		}
	})
}

func TestStatusCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := func(c policies.BreakerConfig) policies.BreakerStatus {
			b := policies.NewBreaker(c)
			chain := middleware.NewChain("x", b)
			for _, op := range []func(context.Context) error{
				succeed, as(middleware.Success), fail, as(middleware.Throttled), as(middleware.Ignored), lasting(3*time.Second, nil), fail, fail,
			} {
				_ = chain.Do(t.Context(), op)
			}
			return b.Status()
		}
		slow := policies.BreakerConfig{FailureRate: 1, SlowCall: 2 * time.Second, SlowRate: 1, MinCalls: 3, WindowCalls: 4}
		for _, row := range []struct {
			name   string
			config policies.BreakerConfig
			want   policies.Counts
			rate   float64
		}{
			{"no window", policies.BreakerConfig{}, policies.Counts{Calls: 6, Successes: 3, Failures: 3, ConsecutiveFailures: 2, Ignored: 2}, 0.5},
			{"the last calls", slow, policies.Counts{Calls: 4, Successes: 1, Failures: 3, Slow: 1, ConsecutiveFailures: 2, Ignored: 2}, 0.75},
		} {
			s := calls(row.config)
			if s.Counts != row.want || s.FailureRate != row.rate || s.SlowRate != float64(s.Counts.Slow)/float64(s.Counts.Calls) || s.State != policies.Closed || s.InFlight != 0 {
				t.Errorf("%s: %+v, want %+v", row.name, s, row.want)
			}
		}
	})
}

// From the opening until the breaker is closed again the rates are those that it
// opened with, and Opened is when that was.
func TestTheRatesThatTheBreakerOpenedWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{
			FailureRate: 0.6, SlowCall: time.Second, SlowRate: 1, MinCalls: 5, WindowCalls: 10,
			Timeout: time.Minute, SuccessThreshold: 2, MaxProbes: 1, RecoveryBackoff: 1,
		})
		chain := middleware.NewChain("x", b)
		for _, op := range []func(context.Context) error{lasting(2*time.Second, nil), succeed, fail, fail, fail} {
			_ = chain.Do(t.Context(), op)
		}
		outage := time.Now()
		for _, step := range []struct {
			act   func()
			state policies.State
		}{
			{func() {}, policies.Open},
			{func() { time.Sleep(time.Minute); _ = chain.Do(t.Context(), succeed) }, policies.HalfOpen},
			{func() { _ = chain.Do(t.Context(), fail) }, policies.Open},
			{b.ForceOpen, policies.ForcedOpen},
		} {
			step.act()
			if s := b.Status(); s.State != step.state || s.FailureRate != 0.6 || s.SlowRate != 0.2 || !s.Opened.Equal(outage) {
				t.Errorf("%+v, want %v", s, step.state)
			}
		}
		b.Release()
		if s := b.Status(); s.FailureRate != 0 || s.SlowRate != 0 || !s.Opened.IsZero() {
			t.Errorf("closed again: %+v", s)
		}
	})
}

// An observer that blocks when it is asked for the trace holds up its call, and not
// the breaker.
func TestATracerThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second})
		chain := middleware.NewChain("x", tracer{func(context.Context, middleware.Event) {}, func(context.Context) string { <-release; return "one" }}, b)
		go func() { _ = chain.Do(context.WithoutCancel(t.Context()), fail) }()
		synctest.Wait()
		if s := b.Status(); s.State != policies.Open || s.Last.TraceID != "" {
			t.Errorf("%+v", s)
		}
		close(release)
		synctest.Wait()
		if s := b.Status(); s.Last.TraceID != "one" {
			t.Errorf("%+v", s)
		}
	})
}

// What is queued behind an event whose observer panics is delivered all the same.
func TestEventsBehindAPanicAreDelivered(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	var heard []string
	chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if heard = append(heard, e.To); e.To == "open" {
			b.Reset()
			panic("observer")
		}
	}), b)
	func() {
		defer func() {
			if recover() != "observer" {
				t.Error("the panic is lost")
			}
		}()
		_ = chain.Do(t.Context(), fail)
	}()
	if fmt.Sprint(heard) != "[open closed]" {
		t.Errorf("heard %v", heard)
	}
}

// Transitions that wait for an observer which blocks are bounded, and lead from the
// first state to the last.
func TestEventsThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{})
		release := make(chan struct{})
		var heard []middleware.Event
		middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			<-release
			heard = append(heard, e)
		}), b)
		go b.ForceOpen()
		synctest.Wait()
		for range 5000 {
			b.Release()
			b.ForceOpen()
		}
		b.Disable()
		close(release)
		synctest.Wait()
		if len(heard) > 300 {
			t.Errorf("%d events were kept", len(heard))
		}
		state := "closed"
		for _, e := range heard {
			if e.From != state {
				t.Errorf("a transition from %s after one to %s", e.From, state)
			}
			state = e.To
		}
		if state != "disabled" {
			t.Errorf("the last transition leads to %s", state)
		}
	})
}

// A rejection says the same as its event.
func TestTheEventAndTheRejectionAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		_, chain := opened(t, policies.BreakerConfig{Timeout: time.Second}, &seen)
		for range 100 {
			r := rejection(t, chain.Do(t.Context(), succeed))
			e := seen.of(middleware.Rejected)
			if last := e[len(e)-1]; last.Wait != r.RetryAfter {
				t.Errorf("the event says %v, the rejection %v", last.Wait, r.RetryAfter)
			}
			time.Sleep(300 * time.Microsecond)
		}
	})
}

// The time that an observer takes is not left out of RetryAfter.
func TestASlowObserverMakesNoRetryAfterWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{SlowCall: time.Second, SlowRate: 1, MinCalls: 1, Timeout: 30 * time.Second})
		chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.To == "open" {
				time.Sleep(5 * time.Second)
			}
		}), b)
		finish := hold(t, chain, 1, nil)
		defer finish()
		time.Sleep(2 * time.Second)
		if r := rejection(t, chain.Do(t.Context(), succeed)); r.RetryAfter != 25*time.Second {
			t.Errorf("retry after %v, want the 25s that remain", r.RetryAfter)
		}
	})
}

// A reset that is no transition keeps the trace of the last one, even if an observer
// tells it only afterwards.
func TestAResetKeepsTheTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		id := func(context.Context) string { return "" }
		b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second})
		chain := middleware.NewChain("x", tracer{func(context.Context, middleware.Event) {}, func(ctx context.Context) string { return id(ctx) }}, b)
		_ = chain.Do(t.Context(), fail)
		time.Sleep(time.Second)
		id = func(context.Context) string { <-release; return "closing" }
		go func() { _ = chain.Do(context.WithoutCancel(t.Context()), succeed) }()
		synctest.Wait()
		b.Reset()
		close(release)
		synctest.Wait()
		if last := b.Status().Last; last.Reason != "probe_succeeded" || last.TraceID != "closing" {
			t.Errorf("%+v", last)
		}
	})
}

// An error that panics when it is asked what it is counts as a failure, like a panic of
// the operation.
func TestAnErrorThatPanics(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	chain := middleware.NewChain("x", b)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		_ = chain.Do(t.Context(), func(context.Context) error { return panicError{} })
	}()
	if s := b.Status(); s.State != policies.Open || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

type panicError struct{}

func (panicError) Error() string { return "panics" }
func (panicError) Unwrap() error { panic("unwrap") }
