package tidegate

import (
	"slices"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestPresets(t *testing.T) {
	const s, m = time.Second, time.Minute
	for _, row := range []struct {
		preset             Preset
		threshold          int
		open, recovery     time.Duration
		attempts           int
		delay              time.Duration
		rate               float64
		total, eachAttempt time.Duration
	}{
		{MinIO, 10, 2 * m, 5 * m, 5, 200 * time.Millisecond, Off, Off, 10 * m},
		{HTTP, 5, 30 * s, 2 * m, 3, 100 * time.Millisecond, Off, 30 * s, 10 * s},
		{Git, 3, 5 * m, 10 * m, 3, 2 * s, Off, 30 * m, 10 * m},
		{Kubernetes, 10, 15 * s, 30 * s, Off, 0, Off, Off, m},
		{Scanner, 3, 2 * m, 5 * m, 2, 5 * s, 1, 30 * m, 10 * m},
		{"", 5, 30 * s, 30 * s, 3, 100 * time.Millisecond, Off, Off, 30 * s},
	} {
		c := effective(t, services("it", ServiceConfig{Preset: row.preset}), "it")
		if c.Breaker.FailureThreshold != row.threshold || c.Breaker.Timeout != row.open || c.Breaker.RecoveryTime != row.recovery ||
			c.Retry.Attempts != row.attempts || c.Retry.Delay != row.delay || c.RateLimit.Rate != row.rate ||
			c.Timeout != row.total || c.AttemptTimeout != row.eachAttempt || c.Preset != row.preset {
			t.Errorf("%q is %+v", row.preset, c)
		}
		if row.preset == "" {
			continue
		}
		if byName := effective(t, services(string(row.preset), ServiceConfig{}), string(row.preset)); !alike(byName, c) {
			t.Errorf("a service called %s has %+v", row.preset, byName)
		}
	}
	if len(presets()) != 6 {
		t.Error("a preset is not tested")
	}
}

// Presets hold settings that are valid, and complete but for what is derived or means
// none.
func TestPresetsAreComplete(t *testing.T) {
	open := []string{
		"max_probes",
		"failure_rate", "slow_call", "slow_rate", "min_calls", "window", "buckets", "window_calls", "trip_on_throttle", "ramp", "observe_only",
		"", "scope", "decrease", "recovery", // of observe_only, of timeouts, of a rate limit that does not adapt
	}
	for name := range presets() {
		c, _ := name.config("it")
		for _, g := range c.groups() {
			if g.off() || g.flag {
				continue
			}
			if err := g.validate(); err != nil {
				t.Errorf("%q: %v", name, err)
			}
			for _, s := range g.settings {
				if s.key != "burst" && s.field != "Limit" && (g.key != "budget" || s.key != "window") && s.given() == slices.Contains(open, s.key) {
					t.Errorf("%q gives %v for %s.%s", name, s.current(), g.key, s.key)
				}
			}
		}
	}
}

// The policies of a service stand in the order that the package comment gives.
func TestOrder(t *testing.T) {
	named := func(s *Service) (names []string) {
		for _, p := range s.Chain().Policies() {
			name := "?"
			switch p := p.(type) {
			case *meter:
				name = "meter"
			case interface{ Name() string }:
				name = p.Name()
			}
			names = append(names, name)
		}
		return names
	}
	m, err := New(Config{Services: map[string]ServiceConfig{
		"all": {Timeout: time.Hour, RateLimit: policies.RateLimitConfig{Rate: 1}},
		"none": {
			Timeout: Off, AttemptTimeout: Off,
			Retry: policies.RetryConfig{Attempts: Off}, Breaker: policies.BreakerConfig{FailureThreshold: Off},
		},
		"named": {
			AttemptTimeout: Off, Retry: policies.RetryConfig{Name: "again"},
			Breaker: policies.BreakerConfig{Name: "fuse"}, RateLimit: policies.RateLimitConfig{Name: "valve"},
		},
	}}, WithObserver(&recorder{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.AddChain("own", nil, policies.NewRetry(policies.RetryConfig{}), (*policies.Breaker)(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.AddChain("nested", middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"all":    {"recorder", "meter", "fallback", "timeout", "retry", "breaker", "rate_limit", "attempt_timeout"},
		"none":   {"recorder", "meter", "fallback"},
		"named":  {"recorder", "meter", "fallback", "again", "fuse"},
		"own":    {"recorder", "meter", "retry"},
		"nested": {"recorder", "meter", "retry"},
	} {
		s, err := m.Service(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := named(s); !equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
