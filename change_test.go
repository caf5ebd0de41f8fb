package tidegate

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A hook is an observer that does something when it becomes part of a chain, or hears of an
// event.
type hook struct {
	attached func(chain string)
	heard    func(middleware.Event)
}

func (h *hook) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (h *hook) Attach(c *middleware.Chain) {
	if h.attached != nil {
		h.attached(c.Name())
	}
}

func (h *hook) Observe(_ context.Context, e middleware.Event) {
	if h.heard != nil {
		h.heard(e)
	}
}

// checked returns settings of a breaker that opens at once and is checked each second, in vain.
func checked(checks *atomic.Int64) policies.BreakerConfig {
	return policies.BreakerConfig{
		FailureThreshold: 1, Timeout: time.Second, RecoveryTime: time.Hour, MaxRecoveryTime: time.Hour,
		HealthInterval: time.Second, HealthCheck: func(context.Context) error { checks.Add(1); return errDown },
	}
}

// What the settings no longer want is closed: its health checks end.
func TestApplyClosesWhatGoes(t *testing.T) {
	for _, row := range []struct{ name, text string }{
		{"the breaker", "services: {a: {breaker: off}}"},
		{"the service", "services: {b: {}}"},
		{"one breaker for all keys", "services: {a: {per_key: {breaker: true}}}"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var checks atomic.Int64
				m := manager(t, services("a", ServiceConfig{Breaker: checked(&checks)}), WithLogger(nil))
				calls(service(t, m, "a"), "f")
				time.Sleep(10*time.Second + time.Millisecond)
				if checks.Load() == 0 {
					t.Fatal("there are no health checks")
				}
				if err := m.Apply(configured(t, row.text)); err != nil {
					t.Fatal(err)
				}
				was := checks.Load()
				time.Sleep(time.Minute)
				if n := checks.Load() - was; n != 0 {
					t.Errorf("%d health checks came afterwards", n)
				}
				_ = m.Close()
			})
		})
	}
}

// A Manager that is closed while it is being changed leaves nothing open.
func TestApplyToAManagerThatIsClosedMeanwhile(t *testing.T) {
	for range 10 { // of the two services either may be the first
		synctest.Test(t, func(t *testing.T) {
			var checks atomic.Int64
			o := new(hook)
			m, err := New(configured(t, "services: {a: {}, b: {breaker: off}}"), WithObserver(o), WithLogger(nil))
			if err != nil {
				t.Fatal(err)
			}
			b := service(t, m, "b")
			o.heard = func(e middleware.Event) {
				if e.Kind == middleware.Transition {
					_ = m.Close()
				}
			}
			config := configured(t, "services: {a: {observe_only: true}, b: {}}")
			config.Services["b"] = ServiceConfig{Breaker: checked(&checks)}
			if err := m.Apply(config); err != nil {
				t.Fatal(err)
			}
			calls(b, "f")
			time.Sleep(10 * time.Second)
			if n := checks.Load(); n > 0 {
				t.Errorf("there were %d health checks after Close", n)
			}
		})
	}
}

// A name that is taken while a change is under way undoes what there is of it.
func TestApplyThatFailsHalfway(t *testing.T) {
	var m *Manager
	o := &hook{attached: func(chain string) {
		if chain == "new 1" {
			if _, err := m.Add("new 2", ServiceConfig{}); err != nil {
				t.Error(err)
			}
		}
	}}
	m, err := New(configured(t, "services: {a: {timeout: 1m}}"), WithObserver(o))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(configured(t, "services: {a: {timeout: 2m}, new 1: {}, new 2: {}}")); err == nil {
		t.Error("there is no error")
	}
	var names []string
	for _, s := range m.Services() {
		names = append(names, s.Name())
	}
	if want := []string{"a", "new 2"}; !slices.Equal(names, want) {
		t.Errorf("the services are %q, want %q", names, want)
	}
	if got := service(t, m, "a").Config().Timeout; got != time.Minute {
		t.Errorf("the timeout of a is %v", got)
	}
}

func TestApplyWhileAnotherRuns(t *testing.T) {
	var m *Manager
	var inside error
	o := &hook{attached: func(chain string) {
		if chain == "b" {
			inside = m.Apply(Config{})
		}
	}}
	m, err := New(configured(t, "services: {a: {}}"), WithObserver(o))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(configured(t, "services: {a: {}, b: {}}")); err != nil {
		t.Fatal(err)
	}
	if inside != errApplying || len(m.Services()) != 2 {
		t.Errorf("the error is %v, and there are %d services", inside, len(m.Services()))
	}
	if err := m.Apply(Config{}); err != nil || len(m.Services()) != 0 {
		t.Errorf("afterwards the error is %v, and there are %d services", err, len(m.Services()))
	}
}

// A health check of a template, or of all breakers, stays as that of a service does.
func TestWhatFilesHaveNoKeysForStaysWhereverItIs(t *testing.T) {
	check := func(context.Context) error { return nil }
	for _, row := range []struct {
		name   string
		config Config
		text   string
	}{
		{"of a template", Config{Templates: map[string]ServiceConfig{"t": {Breaker: policies.BreakerConfig{HealthCheck: check}}}}, "templates: {t: {}}\nservices: {a: {base: t}}"},
		{"of every breaker", Config{Breaker: policies.BreakerConfig{HealthCheck: check}}, "services: {a: {}}"},
	} {
		m := manager(t, row.config)
		if err := m.Apply(configured(t, row.text)); err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if service(t, m, "a").Config().Breaker.HealthCheck == nil {
			t.Errorf("%s: the health check is gone", row.name)
		}
	}
}

// Each setting reaches the policy that goes by it.
func TestApplyReachesEveryPolicy(t *testing.T) {
	m := manager(t, configured(t, "services: {a: {per_key: {max: 5, breaker: true}, budget: {ratio: 0.1}}}"))
	if err := m.Apply(configured(t, "services: {a: {per_key: {max: 7, breaker: true}, budget: {ratio: 0.3}}}")); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := range service(t, m, "a").Chain().Reports {
		for _, s := range r.Settings {
			got[r.Type+" "+s.Name] = s.Value
		}
	}
	for setting, want := range map[string]string{"keyed Max": "7", "budget Ratio": "0.3"} {
		if got[setting] != want {
			t.Errorf("%s is %q, want %s", setting, got[setting], want)
		}
	}
}
