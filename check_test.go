package tidegate

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// The chains of the presets are as Check wants chains to be, and it knows all of their
// policies.
func TestCheckFindsNothingInThePresets(t *testing.T) {
	observer := middleware.ObserverFunc(func(context.Context, middleware.Event) {})
	m, err := New(Config{}, WithObserver(observer))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(presetNames(), "other") {
		s, err := m.Add(name, ServiceConfig{})
		if err != nil {
			t.Fatal(err)
		}
		e := s.Chain().Explain()
		for _, f := range e.Findings {
			t.Errorf("%s: %s", name, f)
		}
		if e.Unknown != nil {
			t.Errorf("%s: unknown are %q", name, e.Unknown)
		}
		t.Logf("%s: %s, usually %s, %d runs", name, e.Latency, e.Usual, e.Runs)
	}
}

// Settings that contradict each other are found through the front door too.
func TestCheckOfAService(t *testing.T) {
	m, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Add("web", ServiceConfig{
		Preset: HTTP, Timeout: 10 * time.Second, AttemptTimeout: time.Minute, Breaker: policies.BreakerConfig{SlowCall: time.Hour, MinCalls: 5},
	})
	const want = "tidegate: services.web: a call is slow that takes more than 1h, but none takes more than 10s; set breaker.slow_call below 10s\n" +
		"tidegate: services.web: the limit of 1m is never reached, because the one around it, of 10s, ends the call before; set attempt_timeout below 10s"
	if err == nil || err.Error() != want || s != nil {
		t.Errorf("got %v, %v\nwant %s", s, err, want)
	}
}

func TestPoliciesThatDoNotGoTogetherAreRefused(t *testing.T) {
	const want = "the limit of 1m is never reached"
	inside := []middleware.Policy{
		policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}), policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute}),
	}
	m := manager(t, Config{})
	if _, err := m.AddChain("a", inside...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("AddChain gives %v", err)
	}
	if _, err := m.AddChain("a", inside[1]); err != nil {
		t.Errorf("the name is taken: %v", err)
	}
	text := "services:\n  b: {timeout: 1s, attempt_timeout: 1m}"
	if _, err := parse(text, nil); err == nil || !strings.HasPrefix(err.Error(), "x.yaml:2:37: services.b: "+want) {
		t.Errorf("ParseConfig gives %v", err)
	}
	config := services("b", ServiceConfig{Timeout: time.Second, AttemptTimeout: time.Minute})
	if _, err := New(config); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("New gives %v", err)
	}
	if err := m.Apply(config); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Apply gives %v", err)
	}
}

func TestWhatIsDoubtfulIsLogged(t *testing.T) {
	var text strings.Builder
	logger := slog.New(slog.NewTextHandler(&text, nil))
	logged := func() string {
		defer text.Reset()
		return text.String()
	}
	const doubtful = "rule=nothing_judges"
	m := manager(t, configured(t, "services: {a: {breaker: off}, b: {}}"), WithLogger(logger))
	if got := logged(); strings.Count(got, "\n") != 1 || !strings.Contains(got, doubtful) || !strings.Contains(got, "service=a") {
		t.Errorf("New logs %s", got)
	}
	if _, err := m.Add("c", ServiceConfig{Breaker: policies.BreakerConfig{FailureThreshold: Off}}); err != nil {
		t.Fatal(err)
	}
	if got := logged(); !strings.Contains(got, doubtful) {
		t.Errorf("Add logs %s", got)
	}
	if _, err := m.AddChain("d", policies.NewRetry(policies.RetryConfig{})); err != nil {
		t.Fatal(err)
	}
	if got := logged(); !strings.Contains(got, doubtful) {
		t.Errorf("AddChain logs %s", got)
	}
	if err := m.Apply(configured(t, "services: {b: {breaker: off}}")); err != nil {
		t.Fatal(err)
	}
	if got := logged(); !strings.Contains(got, "service=b rule=nothing_judges") {
		t.Errorf("Apply logs %s", got)
	}
	if _, err := New(configured(t, "services: {a: {breaker: off}}"), WithLogger(nil)); err != nil {
		t.Fatal(err)
	}
}

// A budget that the program shares is not touched by the look at the policies.
func TestTheLookAtPoliciesLeavesASharedBudgetAlone(t *testing.T) {
	budget := policies.NewBudget(policies.BudgetConfig{})
	m := manager(t, services("a", ServiceConfig{Retry: policies.RetryConfig{Budget: budget}}))
	if err := service(t, m, "a").Do(t.Context(), ok); err != nil || budget.Status().Calls != 1 {
		t.Errorf("got %v, and %+v", err, budget.Status())
	}
}

func TestTimeLimitsGiveWay(t *testing.T) {
	for _, row := range []struct {
		text           string
		total, attempt time.Duration
	}{
		{"preset: http, timeout: 5s", 5 * time.Second, 1666 * time.Millisecond},
		{"preset: http, timeout: 5s, retry: off", 5 * time.Second, Off},
		{"preset: http, timeout: 15s", 15 * time.Second, 10 * time.Second},
		{"preset: http, attempt_timeout: 1m", 3 * time.Minute, time.Minute},
		{"preset: minio, timeout: 5m", 5 * time.Minute, time.Minute},
		{"preset: minio, attempt_timeout: 5h", Off, 5 * time.Hour},
		{"preset: http, timeout: 100ms", 100 * time.Millisecond, 33333333},
	} {
		got := effective(t, configured(t, "services: {a: {"+row.text+"}}"), "a")
		if got.Timeout != row.total || got.AttemptTimeout != row.attempt {
			t.Errorf("%s: got %v and %v, want %v and %v", row.text, got.Timeout, got.AttemptTimeout, row.total, row.attempt)
		}
	}
}

// What there is for each key is known before there is one, and after a change of it.
func TestCheckAndExplainLookIntoPoliciesForEachKey(t *testing.T) {
	m := manager(t, configured(t, "services: {a: {preset: http, per_key: {breaker: true}}}"))
	a := service(t, m, "a")
	explained := func(limit string) {
		t.Helper()
		e := a.Chain().Explain()
		if e.Unknown != nil || e.Findings != nil || e.Memory < 200<<10 || !strings.Contains(e.String(), limit) {
			t.Errorf("got\n%s\nwant %s", e, limit)
		}
	}
	explained("FailureThreshold 5")
	if err := m.Apply(configured(t, "services: {a: {preset: http, breaker: {failure_threshold: 9}, per_key: {breaker: true, max: 500}}}")); err != nil {
		t.Fatal(err)
	}
	explained("FailureThreshold 9")
	const wrong = "services: {a: {preset: http, breaker: {slow_call: 1h, min_calls: 20}, per_key: {breaker: true}}}"
	if _, err := parse(wrong, nil); err == nil || !strings.Contains(err.Error(), "a call is slow that takes more than 1h, but none") {
		t.Errorf("got %v", err)
	}
}

// What is refused when a service enforces its limits is refused while it only observes, and
// what is no doubt then is none now.
func TestCheckOfAServiceThatOnlyObserves(t *testing.T) {
	const limits = "timeout: 1s, attempt_timeout: "
	for _, observes := range []string{"true", "false"} {
		text := "services: {a: {observe_only: " + observes + ", " + limits
		if _, err := parse(text+"2s}}", nil); err == nil || !strings.Contains(err.Error(), "the limit of 2s is never reached") {
			t.Errorf("%s: got %v", observes, err)
		}
		m := manager(t, configured(t, text+"200ms}}"), WithLogger(nil))
		for _, f := range service(t, m, "a").Chain().Check() {
			t.Errorf("%s: %s", observes, f)
		}
	}
}

// What cannot work together is told where one of its settings is given, with the rule.
func TestPlacesOfWhatIsImpossible(t *testing.T) {
	const says = ": the limit of 1m is never reached"
	for _, row := range []struct {
		name, text string
		variables  map[string]string
		want       string
	}{
		{"by the service", "services:\n  b:\n    timeout: 1s\n    attempt_timeout: 1m", nil, "x.yaml:4:22: services.b"},
		{"by a mapping", "services:\n  b:\n    timeout: 1s\n    attempt_timeout: {limit: 1m}", nil, "x.yaml:4:30: services.b"},
		{"by a template", "templates:\n  t: {timeout: 1s, attempt_timeout: 1m}\nservices:\n  b: {base: t}", nil, "x.yaml:2:37: services.b"},
		{"by a template of a template", "templates:\n  t: {base: u}\n  u: {attempt_timeout: 1m}\nservices:\n  b:\n    base: t\n    throttle: {k: 2}",
			map[string]string{"TIDEGATE_TEMPLATES_T_TIMEOUT": "1s"}, "x.yaml:3:24: services.b"},
		{"by the environment", "services:\n  b: {timeout: 1s}", map[string]string{"TIDEGATE_SERVICES_B_ATTEMPT_TIMEOUT": "1m"}, "environment: TIDEGATE_SERVICES_B_ATTEMPT_TIMEOUT"},
	} {
		_, err := parse(row.text, row.variables)
		found, ok := errors.AsType[*ConfigError](err)
		if err == nil || !ok || !strings.HasPrefix(err.Error(), row.want+says) || found.Rule != "limit_never_fires" || !equal(found.Settings, []string{"attempt_timeout", "timeout"}) {
			t.Errorf("%s: got %v, want %s%s", row.name, err, row.want, says)
		}
	}
}
