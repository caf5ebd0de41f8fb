package observability

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestCallsLeaveTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive()
		time.Sleep(3 * time.Second)
		for _, outcome := range []string{success, success, failure, rejected, timeout, cancelled} {
			l.begin("x")
			l.called("x", outcome, time.Second)
			l.attempt("x")
		}
		l.begin("x")
		for _, row := range []struct {
			after  time.Duration
			window time.Duration
			calls  int64
			took   int64
		}{
			{0, time.Minute, 6, 5}, // the refused one took no time that matters
			{59 * time.Second, time.Minute, 6, 5},
			{11 * time.Second, time.Minute, 0, 0}, // a window is at most a bucket longer
			{0, 5 * time.Minute, 6, 5},
			{4 * time.Minute, 5 * time.Minute, 0, 0},
			{0, 10 * time.Minute, 6, 0}, // durations are kept for five minutes
			{5 * time.Minute, 10 * time.Minute, 0, 0},
			{100 * time.Hour, 10 * time.Minute, 0, 0},
		} {
			time.Sleep(row.after)
			f := l.figures("x", row.window)
			if f.calls() != row.calls || f.took.total != row.took || f.attempts != row.calls {
				t.Errorf("%v after the beginning %d calls, %d durations, %d attempts in %v; want %d, %d",
					time.Since(l.epoch), f.calls(), f.took.total, f.attempts, row.window, row.calls, row.took)
			}
			if f.total.calls() != 6 || f.total.successes != 2 || f.inFlight != 1 {
				t.Errorf("in all %+v, %d in flight", f.total, f.inFlight)
			}
			if f.span < row.window || f.span >= row.window+bucketLength {
				t.Errorf("a window of %v is %v long", row.window, f.span)
			}
		}
		if f := l.figures("another", time.Minute); f.calls() != 0 {
			t.Errorf("a chain that nobody knows has %+v", f)
		}
	})
}

// Every window of every sequence holds what happened in it, up to a bucket more.
func TestAWindowHoldsAtLeastItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive()
		var at []time.Time
		for i := range 400 {
			time.Sleep(time.Duration(i*i%37) * time.Second)
			l.begin("x")
			l.called("x", success, time.Duration(i)*time.Millisecond)
			at = append(at, time.Now())
			for _, window := range []time.Duration{bucketLength, time.Minute, 5 * time.Minute, 10 * time.Minute} {
				var least, most int64
				for _, then := range at {
					if time.Since(then) <= window {
						least++
					}
					if time.Since(then) < window+bucketLength {
						most++
					}
				}
				f := l.figures("x", window)
				if n := f.calls(); n < least || n > most {
					t.Fatalf("after %d calls %d in %v, want between %d and %d", i+1, n, window, least, most)
				}
				recent := l.figures("x", min(window, 5*time.Minute))
				if n := recent.calls(); f.took.total != n {
					t.Fatalf("after %d calls %d durations in %v, want %d", i+1, f.took.total, window, n)
				}
			}
		}
	})
}

func TestEventsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive()
		id := trace.TraceID{1}
		ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: id, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
		}))
		for _, e := range []middleware.Event{
			{Kind: middleware.RetryScheduled, Policy: "retry", Wait: time.Minute},
			{Kind: middleware.RetryStopped, Policy: "retry", Reason: "budget"},
			{Kind: middleware.RetryStopped, Policy: "retry", Reason: "exhausted"},
			{Kind: middleware.HedgeRefused, Policy: "hedge", Reason: "budget"},
			{Kind: middleware.Rejected, Policy: "limit", Reason: "rate_limited"},
			{Kind: middleware.Rejected, Policy: "limit", Reason: "deadline_too_short"},
			{Kind: middleware.Rejected, Policy: "breaker", Reason: "circuit_open"},
			{Kind: middleware.Rejected, Policy: "adaptive", Reason: "concurrency_limited"},
			{Kind: middleware.Rejected, Policy: "throttle", Reason: "client_throttled"},
			{Kind: middleware.WouldReject, Policy: "throttle", Reason: "client_throttled"},
			{Kind: middleware.Injected, Policy: "chaos", Reason: "latency", Wait: time.Minute},
			{Kind: middleware.TimedOut, Policy: "total"},
			{Kind: middleware.Waited, Policy: "adaptive", Reason: "adaptive_limit", Wait: time.Second},
			{Kind: middleware.Waited, Policy: "limit", Reason: "rate", Wait: time.Second},
			{Kind: middleware.Waited, Policy: "limit", Reason: "pause", Wait: time.Second},
			{Kind: middleware.Waited, Policy: "bulkhead", Reason: "bulkhead", Wait: time.Second},
			{Kind: middleware.Waited, Policy: "mine", Reason: "else", Wait: time.Second},
			{Kind: middleware.Transition, Policy: "breaker", Key: "eu", From: "closed", To: "open"},
			{Kind: middleware.Transition, Policy: "breaker", From: "half_open", To: "open"},
			{Kind: middleware.Transition, Policy: "breaker", From: "observed_closed", To: "observed_open"},
		} {
			e.Chain = "x"
			l.observe(ctx, e)
			l.observe(context.Background(), e)
		}
		f := l.figures("x", time.Minute)
		if want := (counts{retries: 2, overBudget: 2, overRate: 2, shed: 4, spared: 2, disturbed: 2, cut: 2}); f.counts != want || f.total != want {
			t.Errorf("got %+v, in all %+v; want %+v", f.counts, f.total, want)
		}
		if f.waits.total != 8 {
			t.Errorf("%d waits, want 8", f.waits.total)
		}
		if len(f.openings) != 2 || f.openings[0].key != "eu" || f.openings[0].trace != id {
			t.Errorf("openings: %+v", f.openings)
		}
		for by, policy := range map[cause]string{
			byRetry: "retry", byBudget: "retry", byRate: "limit", byLoad: "throttle", byChaos: "chaos", byWait: "bulkhead", byLimit: "total", byFailure: "total",
		} {
			if w := f.witness[by]; w.policy != policy || w.trace != id {
				t.Errorf("the witness of cause %d: %+v, want %s", by, w, policy)
			}
		}
		time.Sleep(2 * time.Minute)
		f = l.figures("x", time.Minute)
		if f.witness[byRetry].trace.IsValid() || len(f.openings) != 0 || f.counts != (counts{}) {
			t.Errorf("two minutes later: %+v", f)
		}
	})
}

func TestTheSparkLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive()
		for i := range 3 {
			for range i + 1 {
				l.begin("x")
				l.called("x", success, 0)
			}
			time.Sleep(bucketLength)
		}
		l.called("x", failure, 0)
		l.called("x", timeout, 0)
		l.called("x", rejected, 0)
		l.called("x", cancelled, 0)
		l.observe(t.Context(), middleware.Event{Chain: "x", Kind: middleware.RetryScheduled})
		want := [][4]int64{{}, {1, 0, 0, 0}, {2, 0, 0, 0}, {3, 0, 0, 0}, {0, 2, 1, 1}}
		if got := l.spark("x", 5); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := l.spark("x", 60); len(got) != 60 || !slices.Equal(got[55:], want) {
			t.Errorf("got %v", got)
		}
		if got := l.spark("y", 2); !slices.Equal(got, make([][4]int64, 2)) {
			t.Errorf("of a chain that nobody knows: %v", got)
		}
	})
}

func TestThereIsAnEndToWhatIsKept(t *testing.T) {
	l := newLive()
	for i := range maxLiveChains + 10 {
		name := fmt.Sprint(i)
		l.begin(name)
		l.called(name, success, time.Second)
		l.attempt(name)
		l.observe(t.Context(), middleware.Event{Chain: name, Kind: middleware.TimedOut})
	}
	if len(l.chains) != maxLiveChains {
		t.Errorf("%d chains, want %d", len(l.chains), maxLiveChains)
	}
	for range 2 * maxOpenings {
		l.observe(t.Context(), middleware.Event{Chain: "0", Kind: middleware.Transition, From: "closed", To: "open"})
	}
	if n := len(l.figures("0", 10*time.Minute).openings); n != maxOpenings {
		t.Errorf("%d openings, want %d", n, maxOpenings)
	}
}

func TestNothingIsKeptWithoutLive(t *testing.T) {
	var l *live
	l.begin("x")
	l.called("x", success, time.Second)
	l.attempt("x")
	l.observe(t.Context(), middleware.Event{Chain: "x"})
	if f := l.figures("x", time.Minute); f.calls() != 0 {
		t.Errorf("%+v", f)
	}
}

func TestStatisticsAreCountedByMany(t *testing.T) {
	l := newLive()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				chain := fmt.Sprint(j % 3)
				l.begin(chain)
				l.observe(t.Context(), middleware.Event{Chain: chain, Kind: middleware.RetryScheduled, Policy: fmt.Sprint(i)})
				l.attempt(chain)
				l.called(chain, success, time.Duration(j)*time.Millisecond)
				if j%50 == 0 {
					l.figures(chain, time.Minute)
					l.spark(chain, 60)
				}
			}
		})
	}
	all.Wait()
	var n int64
	for i := range 3 {
		f := l.figures(fmt.Sprint(i), 10*time.Minute)
		n += f.calls()
		if f.inFlight != 0 || f.attempts != f.calls() || f.retries != f.calls() || f.took.total != f.calls() {
			t.Errorf("%+v", f.counts)
		}
	}
	if n != 8*500 {
		t.Errorf("%d calls, want %d", n, 8*500)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	l := newLive()
	l.begin("x")
	e := middleware.Event{Chain: "x", Kind: middleware.RetryScheduled, Policy: "retry"}
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		l.begin("x")
		l.attempt("x")
		l.observe(ctx, e)
		l.called("x", success, time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
