package tidegate

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

// The life of a service: closed, open, half-open, open again, closed, with what
// the report says at each step.
func TestHealthOverALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, Config{Services: map[string]ServiceConfig{
			"minio": {Retry: policies.RetryConfig{Attempts: Off}, Breaker: policies.BreakerConfig{FailureThreshold: 2}},
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

		report("new", 100, ServiceHealth{SuccessRate: 1})

		s.Do(ctx, ok)
		s.Do(ctx, ok)
		s.Do(ctx, down)
		s.Do(ctx, down)
		opened := time.Now()
		open := &Transition{Time: opened, From: policies.Closed, To: policies.Open, Reason: "consecutive_failures", Err: errDown}
		report("opened", 50, ServiceHealth{
			State: policies.Open, SuccessRate: 0.5, NextProbe: 5 * time.Minute, LastTransition: open,
			Metrics: Metrics{Total: 4, Successful: 2, Failed: 2},
		})

		time.Sleep(time.Minute)
		if err := s.Do(ctx, ok); !IsRejected(err) {
			t.Errorf("an open breaker gave %v", err)
		}
		report("a minute later", 50, ServiceHealth{
			State: policies.Open, SuccessRate: 0.5, NextProbe: 4 * time.Minute, LastTransition: open,
			Metrics: Metrics{Total: 5, Successful: 2, Failed: 2, Rejected: 1},
		})

		time.Sleep(4 * time.Minute)
		report("ready for a probe", 75, ServiceHealth{
			State: policies.HalfOpen, SuccessRate: 0.5, LastTransition: open,
			Metrics: Metrics{Total: 5, Successful: 2, Failed: 2, Rejected: 1},
		})

		s.Do(ctx, ok)
		report("half-open", 75, ServiceHealth{
			State: policies.HalfOpen, SuccessRate: 0.6,
			LastTransition: &Transition{Time: time.Now(), From: policies.Open, To: policies.HalfOpen, Reason: "delay_elapsed"},
			Metrics:        Metrics{Total: 6, Successful: 3, Failed: 2, Rejected: 1},
		})

		s.Do(ctx, down)
		report("open again", 50, ServiceHealth{
			State: policies.Open, SuccessRate: 0.5, NextProbe: 5 * time.Minute,
			LastTransition: &Transition{Time: time.Now(), From: policies.HalfOpen, To: policies.Open, Reason: "probe_failed", Err: errDown},
			Metrics:        Metrics{Total: 7, Successful: 3, Failed: 3, Rejected: 1},
		})

		time.Sleep(5 * time.Minute)
		s.Do(ctx, ok)
		s.Do(ctx, ok)
		report("closed", 100, ServiceHealth{
			State: policies.Closed, SuccessRate: 0.625,
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
				Name: "minio", State: policies.Open, SuccessRate: 0.5, NextProbe: 271500 * time.Millisecond,
				Metrics: Metrics{Total: 5, Successful: 1, Failed: 1, Rejected: 2, Ignored: 1},
				LastTransition: &Transition{
					Time: at, From: policies.HalfOpen, To: policies.Open, Reason: "probe_failed",
					Err: errors.New("dial tcp: https://user:secret@example.com"),
				},
			}, {Name: "git", SuccessRate: 1}}},
			`{"percent":75,"services":[{"name":"minio","state":"open","success_rate":0.5,` +
				`"total":5,"successful":1,"failed":1,"rejected":2,"ignored":1,"next_probe_seconds":271.5,` +
				`"last_transition":{"time":"2026-11-23T18:00:00Z","from":"half_open","to":"open","reason":"probe_failed","error_type":"*errors.errorString"}},` +
				`{"name":"git","state":"closed","success_rate":1,"total":0,"successful":0,"failed":0,"rejected":0,"ignored":0}]}`,
		},
		{
			Health{Percent: 0, Services: []ServiceHealth{{Name: "a", State: policies.ForcedOpen, LastTransition: &Transition{Time: at, To: policies.ForcedOpen, Reason: "forced", Err: &ConfigError{}}}}},
			`{"percent":0,"services":[{"name":"a","state":"forced_open","success_rate":0,"total":0,"successful":0,"failed":0,"rejected":0,"ignored":0,` +
				`"last_transition":{"time":"2026-11-23T18:00:00Z","from":"closed","to":"forced_open","reason":"forced","error_type":"configuration"}}]}`,
		},
	} {
		got, err := json.Marshal(row.health)
		if err != nil || string(got) != row.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, row.want)
		}
	}
}
