package middlewaretest_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
)

// Between is about the calls that began then, whenever they ended.
func TestResultBetween(t *testing.T) {
	r := middlewaretest.Scenario{
		Load: middlewaretest.Load{Rate: 10, Even: true},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(5 * time.Second),
			Outages: []middlewaretest.Outage{{From: 30 * time.Second, Until: 40 * time.Second}},
		},
	}.Run(t, chain(repeat(2)))
	half := 50 * time.Millisecond // calls begin at 0.1 s, 0.2 s, ...
	for _, row := range []struct {
		from, until                time.Duration
		calls, succeeded, requests int
		goodput, success           float64
	}{
		{0, time.Hour, 599, 499, 699, 499.0 / 60, 499.0 / 599},
		{-time.Hour, time.Hour, 599, 499, 699, 499.0 / 60, 499.0 / 599},
		{29*time.Second + half, 30*time.Second - half, 9, 9, 9, 10, 1},
		{35*time.Second + half, 36*time.Second + half, 10, 0, 20, 0, 0},
		{35 * time.Second, 34 * time.Second, 0, 0, 0, 0, 0},
		{time.Hour, 2 * time.Hour, 0, 0, 0, 0, 0},
	} {
		s := r.Between(row.from, row.until)
		if s.Calls != row.calls || s.Succeeded != row.succeeded || s.Requests != row.requests || s.Outcomes["failure"] != row.calls-row.succeeded {
			t.Errorf("from %v until %v: got %d calls, %d succeeded, %d requests, %v; want %d, %d, %d", row.from, row.until,
				s.Calls, s.Succeeded, s.Requests, s.Outcomes, row.calls, row.succeeded, row.requests)
		}
		if !near(s.Goodput(), row.goodput, 0.001) || s.Success() != row.success {
			t.Errorf("from %v until %v: got a goodput of %v and a share of %v, want %v and %v", row.from, row.until, s.Goodput(), s.Success(), row.goodput, row.success)
		}
	}
	if n := len(r.Latencies()); n != r.Succeeded {
		t.Errorf("got %d latencies of %d calls", n, r.Succeeded)
	}
}

// All but the slowest one in a hundred take at the most what Latency(0.99) says.
func TestResultLatency(t *testing.T) {
	r := middlewaretest.Scenario{
		Duration:   10 * time.Second,
		Load:       middlewaretest.Load{Rate: 100},
		Dependency: middlewaretest.Dependency{Latency: middlewaretest.Uniform(0, time.Second)},
	}.Run(t, bare)
	all := r.Latencies()
	for _, share := range []float64{0, 0.001, 0.5, 0.99, 0.999, 1} {
		most, within := r.Latency(share), 0
		for _, d := range all {
			if d <= most {
				within++
			}
		}
		if want := max(1, int(math.Ceil(share*float64(len(all))))); within != want {
			t.Errorf("%d of %d calls took at the most %v, want %d", within, len(all), most, want)
		}
	}
}

// Calls succeed again from the first second on from which on they go on to.
func TestResultTimeToRecover(t *testing.T) {
	outages := func(seconds ...int) (all []middlewaretest.Outage) {
		for i := 0; i < len(seconds); i += 2 {
			all = append(all, middlewaretest.Outage{From: time.Duration(seconds[i]) * time.Second, Until: time.Duration(seconds[i+1]) * time.Second})
		}
		return all
	}
	for _, row := range []struct {
		name    string
		outages []middlewaretest.Outage
		after   time.Duration
		want    time.Duration
		ok      bool
	}{
		{"at once", outages(10, 20), 20 * time.Second, 0, true},
		{"seen from the middle", outages(10, 20), 14 * time.Second, 6 * time.Second, true},
		{"until the next outage", outages(10, 20, 30, 60), 20 * time.Second, 0, true},
		{"never", outages(10, 60), 20 * time.Second, 40 * time.Second, false},
		{"at the end", outages(10, 20), time.Minute, 0, false},
	} {
		r := middlewaretest.Scenario{
			Load:       middlewaretest.Load{Rate: 10, Even: true},
			Dependency: middlewaretest.Dependency{Outages: row.outages},
		}.Run(t, bare)
		if got, ok := r.TimeToRecover(row.after, 0.95); got != row.want || ok != row.ok {
			t.Errorf("%s: got %v, %v, want %v, %v", row.name, got, ok, row.want, row.ok)
		}
	}
}

// Transitions and other events of the policies are part of the result.
func TestResultKeepsTransitions(t *testing.T) {
	failures := 0
	r := middlewaretest.Scenario{
		Load:       middlewaretest.Load{Rate: 10, Even: true},
		Dependency: middlewaretest.Dependency{Outages: []middlewaretest.Outage{{From: 10 * time.Second, Until: 20 * time.Second}}},
	}.Run(t, chain(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		if err == nil {
			return nil
		}
		next.Emit(ctx, middleware.Event{Kind: middleware.RetryStopped})
		if failures++; failures == 5 {
			next.Emit(ctx, middleware.Event{Kind: middleware.Transition, Policy: "p", From: "closed", To: "open", Reason: "r"})
		}
		return err
	}))
	opened, ok := r.TimeToOpen(10 * time.Second)
	if !ok || opened < 400*time.Millisecond || opened > 401*time.Millisecond {
		t.Errorf("opened after %v, %v, want 400ms", opened, ok)
	}
	want := middlewaretest.Transition{At: 10*time.Second + opened, Policy: "p", From: "closed", To: "open", Reason: "r"}
	if len(r.Transitions) != 1 || r.Transitions[0] != want {
		t.Errorf("got %+v, want %+v", r.Transitions, want)
	}
	if r.Events[middleware.RetryStopped] != failures || r.Events[middleware.Transition] != 1 {
		t.Errorf("got %v for %d failures", r.Events, failures)
	}
	if _, ok := r.TimeToOpen(11 * time.Second); ok {
		t.Error("a breaker opened after 11s, although it had before")
	}
}
