package tidegate

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The life of a service: closed, open, half-open, open again, closed, with what
// the report says at each step.
func TestHealthOverALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, Config{Services: map[string]ServiceConfig{
			"minio": {Retry: policies.RetryConfig{Attempts: Off}, Breaker: policies.BreakerConfig{FailureThreshold: 2, RecoveryBackoff: 1}},
			"other": {},
		}})
		s, ctx := service(t, m, "minio"), t.Context()
		report := func(step string, percent float64, want ServiceHealth) {
			t.Helper()
			h := m.Health()
			got := h.Services[0]
			if h.Percent != percent {
				t.Errorf("%s: %v percent, want %v", step, h.Percent, percent)
			}
			if got.LastTransition != nil && want.LastTransition != nil {
				if g, w := *got.LastTransition, *want.LastTransition; g != w {
					t.Errorf("%s: last transition %+v, want %+v", step, g, w)
				}
				want.LastTransition = got.LastTransition
			}
			want.Name = "minio"
			if got != want {
				t.Errorf("%s:\ngot  %+v\nwant %+v", step, got, want)
			}
			if state := m.States()["minio"]; state != want.State {
				t.Errorf("%s: state %v, want %v", step, state, want.State)
			}
		}

		report("new", 100, ServiceHealth{SuccessRate: 1, Share: 1})

		s.Do(ctx, ok)
		s.Do(ctx, ok)
		s.Do(ctx, down)
		s.Do(ctx, down)
		opened := time.Now()
		open := &Transition{Time: opened, From: policies.Closed, To: policies.Open, Reason: "consecutive_failures", Err: errDown}
		report("opened", 50, ServiceHealth{
			State: policies.Open, SuccessRate: 0.5, FailureRate: 0.5, Opened: opened, NextProbe: 5 * time.Minute, LastTransition: open,
			Metrics: Metrics{Total: 4, Successful: 2, Failed: 2},
		})

		time.Sleep(time.Minute)
		if err := s.Do(ctx, ok); !IsRejected(err) {
			t.Errorf("an open breaker gave %v", err)
		}
		report("a minute later", 50, ServiceHealth{
			State: policies.Open, SuccessRate: 0.5, FailureRate: 0.5, Opened: opened, NextProbe: 4 * time.Minute, LastTransition: open,
			Metrics: Metrics{Total: 5, Successful: 2, Failed: 2, Rejected: 1},
		})

		time.Sleep(4 * time.Minute)
		report("ready for a probe", 75, ServiceHealth{
			State: policies.HalfOpen, SuccessRate: 0.5, FailureRate: 0.5, Opened: opened, LastTransition: open,
			Metrics: Metrics{Total: 5, Successful: 2, Failed: 2, Rejected: 1},
		})

		s.Do(ctx, ok)
		report("half-open", 75, ServiceHealth{
			State: policies.HalfOpen, SuccessRate: 0.6, FailureRate: 0.5, Opened: opened,
			LastTransition: &Transition{Time: time.Now(), From: policies.Open, To: policies.HalfOpen, Reason: "delay_elapsed"},
			Metrics:        Metrics{Total: 6, Successful: 3, Failed: 2, Rejected: 1},
		})

		s.Do(ctx, down)
		report("open again", 50, ServiceHealth{
			State: policies.Open, SuccessRate: 0.5, FailureRate: 0.5, Opened: opened, NextProbe: 5 * time.Minute,
			LastTransition: &Transition{Time: time.Now(), From: policies.HalfOpen, To: policies.Open, Reason: "probe_failed", Err: errDown},
			Metrics:        Metrics{Total: 7, Successful: 3, Failed: 3, Rejected: 1},
		})

		time.Sleep(5 * time.Minute)
		s.Do(ctx, ok)
		s.Do(ctx, ok)
		report("closed", 100, ServiceHealth{
			State: policies.Closed, SuccessRate: 0.625, Share: 1,
			LastTransition: &Transition{Time: time.Now(), From: policies.HalfOpen, To: policies.Closed, Reason: "probe_succeeded"},
			Metrics:        Metrics{Total: 9, Successful: 5, Failed: 3, Rejected: 1},
		})

		if err := m.ForceOpen("minio"); err != nil {
			t.Fatal(err)
		}
		report("forced", 50, ServiceHealth{
			State: policies.ForcedOpen, SuccessRate: 0.625,
			LastTransition: &Transition{Time: time.Now(), From: policies.Closed, To: policies.ForcedOpen, Reason: "forced"},
			Metrics:        Metrics{Total: 9, Successful: 5, Failed: 3, Rejected: 1},
		})
	})
}

func TestHealthAsJSON(t *testing.T) {
	at := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		health Health
		want   string
	}{
		{(&Manager{}).Health(), `{"percent":100,"services":[]}`},
		{
			Health{Percent: 75, Services: []ServiceHealth{{
				Name: "minio", State: policies.Open, SuccessRate: 0.5, NextProbe: 271500 * time.Millisecond, Opened: at,
				FailureRate: 0.75, SlowRate: 0.25, InFlight: 3,
				Metrics: Metrics{Total: 5, Successful: 1, Failed: 1, Rejected: 2, Ignored: 1},
				LastTransition: &Transition{
					Time: at, From: policies.HalfOpen, To: policies.Open, Reason: "probe_failed",
					Err: errors.New("dial tcp: https://user:secret@example.com"), TraceID: "0102",
				},
			}, {Name: "git", SuccessRate: 1, Share: 0.5}}},
			`{"percent":75,"services":[{"name":"minio","state":"open","success_rate":0.5,` +
				`"total":5,"successful":1,"failed":1,"rejected":2,"ignored":1,` +
				`"failure_rate":0.75,"slow_rate":0.25,"in_flight":3,"share":0,"opened":"2026-11-23T18:00:00Z","next_probe_seconds":271.5,` +
				`"last_transition":{"time":"2026-11-23T18:00:00Z","from":"half_open","to":"open","reason":"probe_failed","error_type":"*errors.errorString","trace_id":"0102"}},` +
				`{"name":"git","state":"closed","success_rate":1,"total":0,"successful":0,"failed":0,"rejected":0,"ignored":0,"failure_rate":0,"slow_rate":0,"in_flight":0,"share":0.5}]}`,
		},
		{
			Health{Percent: 0, Services: []ServiceHealth{{Name: "a", State: policies.ForcedOpen, LastTransition: &Transition{Time: at, To: policies.ForcedOpen, Reason: "forced", Err: &ConfigError{}}}}},
			`{"percent":0,"services":[{"name":"a","state":"forced_open","success_rate":0,"total":0,"successful":0,"failed":0,"rejected":0,"ignored":0,"failure_rate":0,"slow_rate":0,"in_flight":0,"share":0,` +
				`"last_transition":{"time":"2026-11-23T18:00:00Z","from":"closed","to":"forced_open","reason":"forced","error_type":"configuration"}}]}`,
		},
	} {
		got, err := json.Marshal(row.health)
		if err != nil || string(got) != row.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, row.want)
		}
	}
}

// What each state counts for in Percent, and of two breakers, which one is shown.
func TestHealthByState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const short, long = time.Second, time.Hour
		type step func(b *policies.Breaker, c *middleware.Chain)
		var (
			fail    step = func(_ *policies.Breaker, c *middleware.Chain) { _ = c.Do(t.Context(), down) }
			pass    step = func(_ *policies.Breaker, c *middleware.Chain) { _ = c.Do(t.Context(), ok) }
			wait    step = func(*policies.Breaker, *middleware.Chain) { time.Sleep(short) }
			observe step = func(b *policies.Breaker, _ *middleware.Chain) { b.ObserveOnly() }
		)
		rows := []struct { // from the worst to the best
			state          policies.State
			percent, share float64
			outage         bool
			recovery       time.Duration
			steps          []step
		}{
			{policies.ForcedOpen, 0, 0, false, long, []step{func(b *policies.Breaker, _ *middleware.Chain) { b.ForceOpen() }}},
			{policies.Open, 0, 0, true, long, []step{fail}},
			{policies.HalfOpen, 50, 0, true, short, []step{fail, wait, pass}},
			{policies.Closed, 10, 0.1, false, short, []step{fail, wait, pass, pass}},
			{policies.ForcedClosed, 100, 1, false, long, []step{func(b *policies.Breaker, _ *middleware.Chain) { b.ForceClose() }}},
			{policies.Disabled, 100, 1, false, long, []step{func(b *policies.Breaker, _ *middleware.Chain) { b.Disable() }}},
			{policies.ObservedClosed, 100, 1, false, long, []step{observe}},
			{policies.ObservedOpen, 100, 1, true, long, []step{observe, fail}},
			{policies.ObservedHalfOpen, 100, 1, true, short, []step{observe, fail, wait, pass}},
			{policies.Closed, 100, 1, false, long, nil},
		}
		bring := func(i int) *policies.Breaker {
			b := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 2, Timeout: rows[i].recovery, Ramp: long})
			for _, s := range rows[i].steps {
				s(b, middleware.NewChain("x", b))
			}
			return b
		}
		show := func(ps ...middleware.Policy) (Health, policies.State) {
			m := manager(t, Config{})
			if _, err := m.AddChain("a", ps...); err != nil {
				t.Fatal(err)
			}
			return m.Health(), m.States()["a"]
		}
		for i, row := range rows {
			h, state := show(bring(i))
			got := h.Services[0]
			if h.Percent != row.percent || got.State != row.state || got.Share != row.share || state != row.state || got.Opened.IsZero() == row.outage {
				t.Errorf("row %d: %v percent with %+v", i, h.Percent, got)
			}
			for j, worst := range rows[:i] {
				one, other := bring(j), bring(i)
				for _, pair := range [][]middleware.Policy{{one, other}, {other, one}} {
					equals := worst.share == row.share && worst.percent == row.percent
					h, _ := show(pair...)
					if got, want := h.Services[0], one.Status(); !equals && (got.State != want.State || got.Share != want.Share) {
						t.Errorf("of rows %d and %d %v is shown", j, i, got.State)
					}
				}
			}
		}
	})
}

// Of equals the one that changed last is shown.
func TestHealthShowsTheLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other, still := policies.NewBreaker(policies.BreakerConfig{}), policies.NewBreaker(policies.BreakerConfig{}), policies.NewBreaker(policies.BreakerConfig{})
		m := manager(t, Config{})
		s, err := m.AddChain("a", one, other, still)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range []*policies.Breaker{one, other, one} {
			b.ForceOpen()
			time.Sleep(time.Second)
			b.Reset()
			if got := s.Health().LastTransition; got == nil || *got != Transition(b.Status().Last) {
				t.Errorf("got %+v, want %+v", got, b.Status().Last)
			}
			time.Sleep(time.Second)
		}
	})
}

// The rates, the calls in flight and the trace of the call that opened the breaker.
func TestHealthOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, services("a", ServiceConfig{
			Retry: policies.RetryConfig{Attempts: Off}, AttemptTimeout: Off,
			Breaker: policies.BreakerConfig{FailureRate: 0.5, SlowCall: time.Second, SlowRate: 1, MinCalls: 4},
		}), WithObserver(tracer{}))
		s := service(t, m, "a")
		_ = s.Do(t.Context(), ok)
		_ = s.Do(t.Context(), ok)
		_ = s.Do(t.Context(), down)
		hold := make(chan struct{})
		defer close(hold)
		for range 2 {
			go func() {
				_ = s.Do(t.Context(), func(context.Context) error { <-hold; return nil })
			}()
		}
		time.Sleep(2 * time.Second)
		got := s.Health()
		want := ServiceHealth{
			Name: "a", SuccessRate: 2. / 3, Metrics: Metrics{Total: 3, Successful: 2, Failed: 1},
			FailureRate: 1. / 3, SlowRate: 2. / 5, InFlight: 2, Share: 1,
		}
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		_ = s.Do(context.WithValue(t.Context(), traceKey{}, "0af7"), down)
		if got := s.Health().LastTransition; got == nil || got.Reason != "failure_rate" || got.TraceID != "0af7" {
			t.Errorf("the last transition is %+v", got)
		}
	})
}

type traceKey struct{}

// A tracer is an observer that knows of traces.
type tracer struct{}

func (tracer) Observe(context.Context, middleware.Event) {}

func (tracer) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (tracer) TraceID(ctx context.Context) string {
	id, _ := ctx.Value(traceKey{}).(string)
	return id
}
