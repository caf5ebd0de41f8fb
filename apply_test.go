package tidegate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func configured(t *testing.T, text string) Config {
	t.Helper()
	config, err := parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func calls(s *Service, outcomes string) {
	for _, o := range outcomes {
		_ = s.Do(context.Background(), func(context.Context) error {
			if o == 'f' {
				return errDown
			}
			return nil
		})
	}
}

func TestApplyKeepsWhatAServiceKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, configured(t, "services: {a: {retry: off, breaker: {failure_threshold: 5}, rate_limit: {rate: 1, burst: 10}, bulkhead: {max_concurrent: 1}}}"))
		a := service(t, m, "a")
		calls(a, "sfff")
		inFlight, end := make(chan error), make(chan struct{})
		go func() { inFlight <- a.Do(t.Context(), func(context.Context) error { <-end; return errDown }) }()
		synctest.Wait()

		next := "services: {a: {timeout: 1m, retry: off, breaker: {failure_threshold: 4}, rate_limit: {rate: 2, burst: 10}, bulkhead: {max_concurrent: 2}}, b: {}}"
		if err := m.Apply(configured(t, next)); err != nil {
			t.Fatal(err)
		}
		if service(t, m, "a") != a {
			t.Error("it is another service")
		}
		if got := a.Config(); got.Timeout != time.Minute || got.Breaker.FailureThreshold != 4 {
			t.Errorf("the settings in force are %+v", got)
		}
		if err := a.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("the bulkhead has not grown: %v", err)
		}
		calls(a, "fff")
		close(end) // the fourth failure in a row, of a call that began before
		if err := <-inFlight; err != errDown {
			t.Errorf("the call in flight returned %v", err)
		}
		if s := m.States()["a"]; s != policies.Open {
			t.Errorf("the breaker is %v", s)
		}
		if got := m.Metrics()["a"]; got.Total != 9 {
			t.Errorf("the counters are %+v", got)
		}
		if got, want := len(m.Services()), 2; got != want {
			t.Errorf("there are %d services, want %d", got, want)
		}
		if err := m.Apply(configured(t, "services: {a: {retry: off, breaker: {failure_threshold: 9}}}")); err != nil {
			t.Fatal(err)
		}
		if s := m.States()["a"]; s != policies.Open {
			t.Errorf("after another change the breaker is %v", s)
		}
		if _, err := m.Service("b"); err == nil {
			t.Error("a service that is not named any more is still there")
		}
	})
}

func TestApplyDoesAllOrNothing(t *testing.T) {
	const first = "services: {a: {breaker: {failure_threshold: 3}}, b: {}}"
	for _, row := range []struct {
		name, text, wrong string
	}{
		{"chaos", "services: {a: {chaos: {for: 1m, error_rate: 1}}, b: {breaker: off}, c: {}}", "which this program does not permit"},
		{"a service of the program", "services: {a: {breaker: off}, mine: {}}", "services.mine: there is a service of that name already"},
		{"a service of policies", "services: {a: {breaker: off}, chain: {}}", "services.chain: there is a service of that name already"},
		{"the settings of a service of the program", "retries: {circuit_breaker_recovery_time: 5s}\nservices: {a: {breaker: off}}", "services.mine.breaker"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := manager(t, configured(t, first))
			if _, err := m.Add("mine", ServiceConfig{Breaker: policies.BreakerConfig{Timeout: time.Minute}}); err != nil {
				t.Fatal(err)
			}
			if _, err := m.AddChain("chain"); err != nil {
				t.Fatal(err)
			}
			before := fmt.Sprintf("%+v", m.settings())
			err := m.Apply(configured(t, "templates: {common: {timeout: 1s}}\n"+row.text))
			if err == nil || !strings.Contains(err.Error(), row.wrong) {
				t.Errorf("the error is %v, want one with %q", err, row.wrong)
			}
			if after := fmt.Sprintf("%+v", m.settings()); after != before {
				t.Errorf("it was\n%s\nand is\n%s", before, after)
			}
			if _, err := m.Add("another", ServiceConfig{Base: "common"}); err == nil {
				t.Error("a template of the configuration that was refused is there")
			}
		})
	}
}

// settings returns the settings in force of all services.
func (m *Manager) settings() map[string]ServiceConfig {
	all := map[string]ServiceConfig{}
	for _, s := range m.Services() {
		all[s.Name()] = s.Config()
	}
	return all
}

func TestApplyReachesServicesThatTheProgramHasAdded(t *testing.T) {
	m := manager(t, configured(t, "templates: {slow: {timeout: 1m}}"))
	mine, err := m.Add("mine", ServiceConfig{Base: "slow"})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(configured(t, "templates: {slow: {timeout: 2m}}\nretries: {circuit_breaker_threshold: 8}")); err != nil {
		t.Fatal(err)
	}
	if got := mine.Config(); got.Timeout != 2*time.Minute || got.Breaker.FailureThreshold != 8 {
		t.Errorf("the settings in force are %+v", got)
	}
	if err := m.Apply(Config{}); err == nil || !strings.Contains(err.Error(), `"slow" is no template`) {
		t.Errorf("without the template the error is %v", err)
	}
}

func TestWhatFilesHaveNoKeysForStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := 0
		config := configured(t, "services: {a: {retry: off}}")
		a := config.Services["a"]
		a.Breaker.HealthCheck = func(context.Context) error { checks++; return nil }
		a.Breaker.Name = "fuse"
		config.Services["a"] = a
		m := manager(t, config)
		if err := m.Apply(configured(t, "services: {a: {retry: off, breaker: {failure_threshold: 1, timeout: 1s, recovery_time: 1h, max_recovery_time: 2h}}}")); err != nil {
			t.Fatal(err)
		}
		s := service(t, m, "a")
		if got := s.Config().Breaker; got.Name != "fuse" || got.HealthCheck == nil {
			t.Errorf("the breaker is %+v", got)
		}
		calls(s, "f")
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if state := m.States()["a"]; checks != 1 || state != policies.Closed {
			t.Errorf("%d health checks, and the breaker is %v", checks, state)
		}
		_ = m.Close()
	})
}

func TestPoliciesComeAndGoWithTheSettings(t *testing.T) {
	m := manager(t, configured(t, "services: {a: {}}"))
	s := service(t, m, "a")
	for _, row := range []struct{ text, want string }{
		{"", "fallback retry breaker attempt_timeout"},
		{"breaker: off", "fallback retry attempt_timeout"},
		{"retry: off, bulkhead: {max_queue: 1}, hedge: {delay: 1s}", "fallback hedge breaker bulkhead attempt_timeout"},
		{
			"timeout: 9s, throttle: {k: 2}, hedge: {delay: 1s}, deadline: {quantile: 0.5}, rate_limit: {rate: 1}, bulkhead: {max_concurrent: 2}, adaptive_limit: {initial: 3}",
			"fallback timeout throttle retry hedge breaker deadline rate_limit bulkhead adaptive_limit attempt_timeout",
		},
		{"attempt_timeout: off, per_key: {breaker: true}", "fallback retry keyed"},
		{"", "fallback retry breaker attempt_timeout"},
	} {
		if err := m.Apply(configured(t, "services: {a: {"+row.text+"}}")); err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		var got []string
		for r := range s.Chain().Reports {
			if r.Type != "budget" && r.Type != "keyed" {
				got = append(got, r.Name)
			} else if r.Type == "keyed" {
				got = append(got, r.Type)
			}
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%s: the policies are %v, want %s", row.text, got, row.want)
		}
		if err := s.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("%s: a call returns %v", row.text, err)
		}
	}
}

func TestPerKey(t *testing.T) {
	const text = "services: {a: {retry: off, breaker: {failure_threshold: %d}, per_key: {breaker: true}}}"
	m := manager(t, configured(t, fmt.Sprintf(text, 3)))
	s := service(t, m, "a")
	call := func(key, outcomes string) {
		ctx := middleware.WithOperation(t.Context(), middleware.Operation{Key: key})
		for _, o := range outcomes {
			_ = s.Do(ctx, func(context.Context) error {
				if o == 'f' {
					return errDown
				}
				return nil
			})
		}
	}
	states := func() (all []string) {
		for b := range s.breakers {
			for r := range b.Reports {
				all = append(all, r.Key+" "+r.Breaker.State)
			}
		}
		slices.Sort(all)
		return all
	}
	call("x", "f")
	call("y", "ff")
	if err := m.Apply(configured(t, fmt.Sprintf(text, 2))); err != nil {
		t.Fatal(err)
	}
	call("x", "f")
	call("z", "ff") // a new one has the new settings
	call("y", "s")
	if got, want := states(), []string{"x open", "y closed", "z open"}; !slices.Equal(got, want) {
		t.Errorf("the breakers are %q, want %q", got, want)
	}
}

func TestObserveOnlyRejectsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = "services: {a: {observe_only: true, timeout: 1500ms, attempt_timeout: 1s, retry: off, breaker: {failure_threshold: 1}, rate_limit: {rate: 1, burst: 1}, bulkhead: {max_concurrent: 1}}}"
		var events recording
		m, err := New(configured(t, text), WithObserver(&events))
		if err != nil {
			t.Fatal(err)
		}
		s := service(t, m, "a")
		calls(s, "fffff")
		if err := s.Do(t.Context(), func(ctx context.Context) error {
			time.Sleep(2 * time.Second)
			return ctx.Err()
		}); err != nil {
			t.Errorf("a slow call returned %v", err)
		}
		err = s.Do(t.Context(), func(context.Context) error {
			return s.Do(t.Context(), func(context.Context) error { return nil })
		})
		if err != nil {
			t.Errorf("a call beside another returned %v", err)
		}
		for _, want := range []string{"circuit_open", "rate_limited", "bulkhead_full", "timeout"} {
			if !slices.ContainsFunc(events.all(), func(e middleware.Event) bool {
				return e.Kind == middleware.WouldReject && e.Reason == want
			}) {
				t.Errorf("no event tells that it would have been rejected with %s", want)
			}
		}
		for _, e := range events.all() {
			if e.Kind == middleware.Rejected || e.Kind == middleware.Waited || e.Kind == middleware.TimedOut {
				t.Errorf("there is an event %v %s", e.Kind, e.Reason)
			}
		}
		if err := m.Apply(configured(t, strings.Replace(text, "observe_only: true", "observe_only: false", 1))); err != nil {
			t.Fatal(err)
		}
		calls(s, "f")
		if err := s.Do(t.Context(), func(context.Context) error { return nil }); !IsRejected(err) {
			t.Errorf("without observe_only a call returns %v", err)
		}
	})
}

// A recording keeps the events that it hears.
type recording struct {
	mu     sync.Mutex
	events []middleware.Event
}

func (r *recording) Observe(_ context.Context, e middleware.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recording) all() []middleware.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

func TestChaosNeedsTheProgram(t *testing.T) {
	config := configured(t, "services: {a: {retry: off, chaos: {for: 1h, error_rate: 1}}}")
	if _, err := New(config); err == nil || !strings.Contains(err.Error(), "services.a.chaos: calls would be disturbed on purpose") {
		t.Errorf("without WithChaos the error is %v", err)
	}
	m, err := New(config, WithChaos())
	if err != nil {
		t.Fatal(err)
	}
	if err := service(t, m, "a").Do(t.Context(), func(context.Context) error { return nil }); err == nil {
		t.Error("with it no call is disturbed")
	}
	if _, err := new(Manager).Add("b", config.Services["a"]); err == nil {
		t.Error("Add takes it")
	}
}

func TestApplyToAManagerThatIsClosed(t *testing.T) {
	m := manager(t, configured(t, "services: {a: {}}"))
	_ = m.Close()
	for _, text := range []string{"services: {a: {}, b: {}}", "services: {a: {timeout: 90s}}"} { // with a new service, and without
		if err := m.Apply(configured(t, text)); err != errClosed {
			t.Errorf("%s: the error is %v", text, err)
		}
	}
	if got := service(t, m, "a").Config().Timeout; got != Off {
		t.Errorf("the timeout is %v", got)
	}
}

func TestApplyWhileCallsRun(t *testing.T) {
	texts := []string{
		"services: {a: {}, b: {}}",
		"services: {a: {breaker: {failure_rate: 0.5, min_calls: 5}, rate_limit: {rate: 1000000}}}",
		"services: {a: {per_key: {breaker: true, bulkhead: true}, bulkhead: {max_concurrent: 100}}, c: {}}",
		"services: {a: {breaker: off, retry: off, hedge: {delay: 1s}}}",
	}
	m := manager(t, configured(t, texts[0]))
	s := service(t, m, "a")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				if err := s.Do(context.Background(), func(context.Context) error { return nil }); err != nil {
					t.Errorf("a call returned %v", err)
				}
				_ = m.Health()
			}
		})
	}
	for i := range 100 {
		if err := m.Apply(configured(t, texts[i%len(texts)])); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if got := m.Metrics()["a"].Total; got != 1200 {
		t.Errorf("%d calls were counted, want 1200", got)
	}
}

func TestAnotherBudgetInCode(t *testing.T) {
	with := func(b *policies.Budget) Config {
		return services("a", ServiceConfig{Retry: policies.RetryConfig{Budget: b}, Hedge: policies.HedgeConfig{Delay: time.Second, Budget: b}})
	}
	first, second := policies.NewBudget(policies.BudgetConfig{}), policies.NewBudget(policies.BudgetConfig{})
	m := manager(t, with(first))
	a := service(t, m, "a")
	calls(a, "s")
	if err := m.Apply(with(second)); err != nil {
		t.Fatal(err)
	}
	calls(a, "ss")
	if err := m.Apply(with(nil)); err != nil { // as a file has it
		t.Fatal(err)
	}
	calls(a, "s")
	if x, y := first.Status().Calls, second.Status().Calls; x != 1 || y != 3 {
		t.Errorf("the budgets have counted %d and %d calls, want 1 and 3", x, y)
	}
}
