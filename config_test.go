package tidegate

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

// parse is ParseConfig with variables of a map.
func parse(text string, variables map[string]string) (Config, error) {
	return ParseConfig("x.yaml", []byte(text), func(name string) (string, bool) {
		v, ok := variables[name]
		return v, ok
	})
}

func services(name string, c ServiceConfig) Config {
	return Config{Services: map[string]ServiceConfig{name: c}}
}

func TestParseConfig(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       Config
	}{
		{"empty", "", Config{}},
		{"comments", "# nothing yet\n", Config{}},
		{"null", "---\n...\n", Config{}},
		{"byte order mark", "\ufeffservices: {a: {timeout: 1s}}", services("a", ServiceConfig{Timeout: time.Second})},
		{"sections without content", "retries:\nservices:\n", Config{Services: map[string]ServiceConfig{}}},
		{"service without content", "services:\n  minio:\n", services("minio", ServiceConfig{})},
		{"policy without content", "services: {a: {retry: , breaker: {}}}", services("a", ServiceConfig{})},
		{"retries", "retries:\n  circuit_breaker_threshold: 4\n  circuit_breaker_timeout: 2m\n  circuit_breaker_recovery_time: 1h30m\n", Config{
			Breaker: policies.BreakerConfig{FailureThreshold: 4, Timeout: 2 * time.Minute, RecoveryTime: 90 * time.Minute},
		}},
		{"every key of a service", `
services:
  archive:
    preset: minio
    timeout: 10m
    attempt_timeout: 2m
    retry: {attempts: 5, delay: 200ms, multiplier: 1.5, max_delay: 10s, jitter: 0.25, max_after: 1m}
    breaker:
      failure_threshold: 10
      failure_rate: 0.5
      slow_call: 30s
      slow_rate: 0.75
      min_calls: 20
      window: 2m30s
      buckets: 15
      trip_on_throttle: true
      timeout: 2m
      recovery_time: 5m
      recovery_backoff: 1.5
      max_recovery_time: 15m
      health_interval: 10s
      success_threshold: 3
      max_probes: 2
      probe_lease: 3m
      ramp: 1m
    rate_limit: {rate: 0.5, burst: 100, max_wait: 1s, max_pause: 2m}
  mirror: {breaker: {failure_rate: 1, min_calls: 50, window_calls: 100}}
`, Config{Services: map[string]ServiceConfig{
			"archive": {
				Preset:         MinIO,
				Timeout:        10 * time.Minute,
				AttemptTimeout: 2 * time.Minute,
				Retry: policies.RetryConfig{
					Attempts: 5, Delay: 200 * time.Millisecond, Multiplier: 1.5,
					MaxDelay: 10 * time.Second, Jitter: 0.25, MaxAfter: time.Minute,
				},
				Breaker: policies.BreakerConfig{
					FailureThreshold: 10,
					FailureRate:      0.5, SlowCall: 30 * time.Second, SlowRate: 0.75,
					MinCalls: 20, Window: 150 * time.Second, Buckets: 15, TripOnThrottle: true,
					Timeout: 2 * time.Minute, RecoveryTime: 5 * time.Minute, RecoveryBackoff: 1.5, MaxRecoveryTime: 15 * time.Minute,
					HealthInterval: 10 * time.Second, SuccessThreshold: 3, MaxProbes: 2, ProbeLease: 3 * time.Minute, Ramp: time.Minute,
				},
				RateLimit: policies.RateLimitConfig{Rate: 0.5, Burst: 100, MaxWait: time.Second, MaxPause: 2 * time.Minute},
			},
			"mirror": {Breaker: policies.BreakerConfig{FailureRate: 1, MinCalls: 50, WindowCalls: 100}},
		}}},
		{"off", "services: {a: {retry: off, breaker: off, rate_limit: off, timeout: off, attempt_timeout: off}}", services("a", ServiceConfig{
			Timeout: Off, AttemptTimeout: Off,
			Retry:     policies.RetryConfig{Attempts: Off},
			Breaker:   policies.BreakerConfig{FailureThreshold: Off},
			RateLimit: policies.RateLimitConfig{Rate: Off},
		})},
		{"off as other tools write it", "services: {a: {retry: false, timeout: 'off'}}", services("a", ServiceConfig{
			Timeout: Off, Retry: policies.RetryConfig{Attempts: Off},
		})},
		{"zero is the default", "services: {a: {timeout: 0, retry: {attempts: 0, delay: 0s, multiplier: 0}, rate_limit: {rate: 0.0}}}", services("a", ServiceConfig{})},
		{"zero of the breaker", "services: {a: {breaker: {failure_rate: 0, slow_call: 0, min_calls: 0, window_calls: 0, ramp: 0s}}}", services("a", ServiceConfig{
			said: []string{"breaker.failure_rate", "breaker.min_calls", "breaker.ramp", "breaker.slow_call", "breaker.window_calls"},
		})},
		{"a boolean and a word that are zero", "services: {a: {observe_only: false, breaker: {trip_on_throttle: false}, bulkhead: {order: fifo}}}", services("a", ServiceConfig{
			said: []string{"breaker.trip_on_throttle", "bulkhead.order", "observe_only."},
		})},
		{"zero is none", "services: {a: {retry: {jitter: 0}, rate_limit: {max_wait: 0, max_pause: 0}}}", services("a", ServiceConfig{
			Retry: policies.RetryConfig{Jitter: Off}, RateLimit: policies.RateLimitConfig{MaxWait: Off, MaxPause: Off},
		})},
		{"quoted values", "services: {a: {retry: {attempts: '4', jitter: \"1\"}, breaker: {trip_on_throttle: 'true'}}}", services("a", ServiceConfig{
			Retry: policies.RetryConfig{Attempts: 4, Jitter: 1}, Breaker: policies.BreakerConfig{TripOnThrottle: true},
		})},
		{"aliases", "services:\n  a: &a\n    attempt_timeout: &t 5s\n    retry: {delay: *t}\n  b: *a\n", Config{Services: map[string]ServiceConfig{
			"a": {AttemptTimeout: 5 * time.Second, Retry: policies.RetryConfig{Delay: 5 * time.Second}},
			"b": {AttemptTimeout: 5 * time.Second, Retry: policies.RetryConfig{Delay: 5 * time.Second}},
		}}},
		{"merge", "services:\n  a: &a {timeout: 5s, attempt_timeout: 1s}\n  b: {<<: *a, timeout: 6s}\n", Config{Services: map[string]ServiceConfig{
			"a": {Timeout: 5 * time.Second, AttemptTimeout: time.Second},
			"b": {Timeout: 6 * time.Second, AttemptTimeout: time.Second},
		}}},
		{"merge of a list: the first wins", "services:\n  a: &a {timeout: 5s}\n  b: &b {timeout: 6s, attempt_timeout: 1s}\n  c: {<<: [*a, *b]}\n", Config{Services: map[string]ServiceConfig{
			"a": {Timeout: 5 * time.Second},
			"b": {Timeout: 6 * time.Second, AttemptTimeout: time.Second},
			"c": {Timeout: 5 * time.Second, AttemptTimeout: time.Second},
		}}},
		{"merge of itself", "services:\n  a: &a {<<: *a, timeout: 5s}\n", services("a", ServiceConfig{Timeout: 5 * time.Second})},
		{"a name that YAML reads as a number", "services: {3: {}}", services("3", ServiceConfig{})},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := parse(row.text, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !alike(got, row.want) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
			if _, err := New(got); err != nil {
				t.Errorf("New refuses what ParseConfig returned: %v", err)
			}
		})
	}
}

// The first of environment, service, retries, preset and default that gives a
// value counts.
func TestPrecedence(t *testing.T) {
	const (
		fromEnvironment = 1 << iota
		fromService
		fromRetries
		fromPreset
	)
	for _, row := range []struct {
		given     int
		threshold int
		timeout   time.Duration
		recovery  time.Duration
	}{
		{0, 5, 30 * time.Second, 30 * time.Second},
		{fromPreset, 3, 5 * time.Minute, 10 * time.Minute},
		{fromRetries, 31, 32 * time.Second, 33 * time.Second},
		{fromRetries | fromPreset, 31, 32 * time.Second, 33 * time.Second},
		{fromService, 21, 22 * time.Second, 23 * time.Second},
		{fromService | fromPreset, 21, 22 * time.Second, 23 * time.Second},
		{fromService | fromRetries, 21, 22 * time.Second, 23 * time.Second},
		{fromService | fromRetries | fromPreset, 21, 22 * time.Second, 23 * time.Second},
		{fromEnvironment, 11, 12 * time.Second, 13 * time.Second},
		{fromEnvironment | fromPreset, 11, 12 * time.Second, 13 * time.Second},
		{fromEnvironment | fromRetries, 11, 12 * time.Second, 13 * time.Second},
		{fromEnvironment | fromService, 11, 12 * time.Second, 13 * time.Second},
		{fromEnvironment | fromService | fromRetries | fromPreset, 11, 12 * time.Second, 13 * time.Second},
	} {
		var text strings.Builder
		var variables map[string]string
		if row.given&fromRetries != 0 {
			text.WriteString("retries: {circuit_breaker_threshold: 31, circuit_breaker_timeout: 32s, circuit_breaker_recovery_time: 33s}\n")
		}
		text.WriteString("services:\n  it:\n    timeout: 1m\n")
		if row.given&fromPreset != 0 {
			text.WriteString("    preset: git\n")
		}
		if row.given&fromService != 0 {
			text.WriteString("    breaker: {failure_threshold: 21, timeout: 22s, recovery_time: 23s}\n")
		}
		if row.given&fromEnvironment != 0 {
			variables = map[string]string{
				"CIRCUIT_BREAKER_THRESHOLD":     "11",
				"CIRCUIT_BREAKER_TIMEOUT":       "12s",
				"CIRCUIT_BREAKER_RECOVERY_TIME": "13s",
			}
		}
		config, err := parse(text.String(), variables)
		if err != nil {
			t.Errorf("%s: %v", text.String(), err)
			continue
		}
		got := effective(t, config, "it").Breaker
		if got.FailureThreshold != row.threshold || got.Timeout != row.timeout || got.RecoveryTime != row.recovery {
			t.Errorf("%sgives %+v", text.String(), got)
		}
	}
}

func effective(t *testing.T, config Config, name string) ServiceConfig {
	t.Helper()
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Service(name)
	if err != nil {
		t.Fatal(err)
	}
	return s.Config()
}

func TestEnvironmentLeavesOtherThingsAlone(t *testing.T) {
	config, err := parse("services: {a: {breaker: off}, b: {breaker: {timeout: 1m}}}", map[string]string{
		"CIRCUIT_BREAKER_THRESHOLD": "7", "CIRCUIT_BREAKER_TIMEOUT": "", "CIRCUIT_BREAKER_RECOVERY_TIME": "0",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := effective(t, config, "a").Breaker.FailureThreshold; got != Off {
		t.Errorf("the environment switched a breaker on, with a threshold of %d", got)
	}
	if got := effective(t, config, "b").Breaker; got.FailureThreshold != 7 || got.Timeout != time.Minute || got.RecoveryTime != time.Minute {
		t.Errorf("got %+v", got)
	}
}

// The environment reaches services that are added in code, below what the code says.
func TestDefaultsReachServicesAddedLater(t *testing.T) {
	config, err := parse("", map[string]string{"CIRCUIT_BREAKER_THRESHOLD": "7"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		config ServiceConfig
		want   int
	}{
		"minio": {ServiceConfig{}, 7},
		"other": {ServiceConfig{Breaker: policies.BreakerConfig{FailureThreshold: 9}}, 9},
	} {
		s, err := m.Add(name, row.config)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Config().Breaker.FailureThreshold; got != row.want {
			t.Errorf("%s: threshold %d, want %d", name, got, row.want)
		}
	}
}

// Of two settings that limit each other, the one that is not given gives way.
func TestLimitGivesWay(t *testing.T) {
	for _, row := range []struct {
		given, want ServiceConfig
	}{
		{
			ServiceConfig{Preset: HTTP, Breaker: policies.BreakerConfig{Timeout: 3 * time.Minute}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: 3 * time.Minute, RecoveryTime: 3 * time.Minute}},
		},
		{
			ServiceConfig{Preset: HTTP, Breaker: policies.BreakerConfig{Timeout: time.Minute}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: time.Minute, RecoveryTime: 2 * time.Minute}},
		},
		{
			ServiceConfig{Preset: MinIO, Breaker: policies.BreakerConfig{RecoveryTime: time.Minute}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: time.Minute, RecoveryTime: time.Minute}},
		},
		{ // both of the preset's times are too long
			ServiceConfig{Preset: MinIO, Breaker: policies.BreakerConfig{MaxRecoveryTime: time.Minute}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: time.Minute, RecoveryTime: time.Minute, MaxRecoveryTime: time.Minute}},
		},
		{
			ServiceConfig{Preset: Git, Breaker: policies.BreakerConfig{MaxRecoveryTime: 6 * time.Minute}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: 5 * time.Minute, RecoveryTime: 6 * time.Minute, MaxRecoveryTime: 6 * time.Minute}},
		},
		{ // one is too long and one is too short
			ServiceConfig{Preset: Git, Breaker: policies.BreakerConfig{Timeout: 7 * time.Minute, MaxRecoveryTime: 8 * time.Minute}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: 7 * time.Minute, RecoveryTime: 8 * time.Minute, MaxRecoveryTime: 8 * time.Minute}},
		},
		{
			ServiceConfig{Preset: HTTP, Breaker: policies.BreakerConfig{Timeout: 7 * time.Minute, MaxRecoveryTime: 8 * time.Minute}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: 7 * time.Minute, RecoveryTime: 7 * time.Minute, MaxRecoveryTime: 8 * time.Minute}},
		},
		{ // MaxRecoveryTime is derived when it is not given
			ServiceConfig{Preset: MinIO, Breaker: policies.BreakerConfig{RecoveryTime: time.Hour}},
			ServiceConfig{Breaker: policies.BreakerConfig{Timeout: 2 * time.Minute, RecoveryTime: time.Hour}},
		},
		{
			ServiceConfig{Breaker: policies.BreakerConfig{MaxProbes: 5}},
			ServiceConfig{Breaker: policies.BreakerConfig{MaxProbes: 5, SuccessThreshold: 5}},
		},
		{
			ServiceConfig{Breaker: policies.BreakerConfig{MaxProbes: 1}},
			ServiceConfig{Breaker: policies.BreakerConfig{MaxProbes: 1, SuccessThreshold: 2}},
		},
		{
			ServiceConfig{Breaker: policies.BreakerConfig{SuccessThreshold: 1}},
			ServiceConfig{Breaker: policies.BreakerConfig{SuccessThreshold: 1}},
		},
		{
			ServiceConfig{Preset: MinIO, Retry: policies.RetryConfig{Delay: time.Minute}},
			ServiceConfig{Retry: policies.RetryConfig{Delay: time.Minute, MaxDelay: time.Minute}},
		},
		{
			ServiceConfig{Preset: Git, Retry: policies.RetryConfig{MaxDelay: time.Second}},
			ServiceConfig{Retry: policies.RetryConfig{Delay: time.Second, MaxDelay: time.Second}},
		},
	} {
		got := effective(t, services("it", row.given), "it")
		want := got
		want.overlay(row.want)
		if !alike(got, want) {
			t.Errorf("given %+v\ngot   %+v\nwant  %+v", row.given, got, want)
		}
	}
}

func (c *ServiceConfig) overlay(over ServiceConfig) {
	for i, g := range c.groups() {
		g.overlay(over.groups()[i])
	}
}

// A policy that the preset has off is switched on by giving any of its settings.
func TestGivenSettingSwitchesOn(t *testing.T) {
	got := effective(t, services("kubernetes", ServiceConfig{
		Retry:     policies.RetryConfig{Delay: time.Second},
		RateLimit: policies.RateLimitConfig{Burst: 7},
	}), "kubernetes")
	if want := (policies.RetryConfig{
		Attempts: policies.DefaultAttempts, Delay: time.Second, Multiplier: policies.DefaultMultiplier,
		MaxDelay: policies.DefaultMaxDelay, Jitter: policies.DefaultJitter, MaxAfter: policies.DefaultMaxAfter,
		NestedAttempts: policies.DefaultNestedAttempts,
	}); got.Retry != want {
		t.Errorf("retry is %+v", got.Retry)
	}
	if want := (policies.RateLimitConfig{Rate: policies.DefaultRate, Burst: 7, MaxWait: Off, MaxPause: Off, MinRate: Off}); got.RateLimit != want {
		t.Errorf("rate limit is %+v", got.RateLimit)
	}
}

// A rate or a time stands in the place of the threshold that a preset has, not of one
// that somebody gives.
func TestRatesInPlaceOfTheThreshold(t *testing.T) {
	rate := policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10}
	slow := policies.BreakerConfig{SlowCall: time.Second, MinCalls: 10}
	both := policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10, FailureThreshold: 7}
	off := policies.BreakerConfig{FailureThreshold: Off}
	for _, row := range []struct {
		name           string
		every, service policies.BreakerConfig
		environment    string
		want           int
	}{
		{"nothing", policies.BreakerConfig{}, policies.BreakerConfig{}, "", 10},
		{"a rate for the service", policies.BreakerConfig{}, rate, "", 0},
		{"slow calls for the service", policies.BreakerConfig{}, slow, "", 0},
		{"a rate for every service", rate, policies.BreakerConfig{}, "", 0},
		{"both for the service", policies.BreakerConfig{}, both, "", 7},
		{"both for every service", both, policies.BreakerConfig{}, "", 7},
		{"a threshold for every service, a rate for this one", policies.BreakerConfig{FailureThreshold: 7}, rate, "", 7},
		{"a rate for every service, a threshold for this one", rate, policies.BreakerConfig{FailureThreshold: 7}, "", 7},
		{"a threshold of the environment", policies.BreakerConfig{}, rate, "8", 8},
		{"a rate for every service, this one has no breaker", rate, off, "", Off},
		{"no service has a breaker", off, rate, "", Off},
	} {
		t.Run(row.name, func(t *testing.T) {
			config, err := parse("", map[string]string{"CIRCUIT_BREAKER_THRESHOLD": row.environment})
			if err != nil {
				t.Fatal(err)
			}
			if row.environment == "" {
				config.Breaker = row.every
			}
			config.Services = map[string]ServiceConfig{"minio": {Breaker: row.service}}
			if got := effective(t, config, "minio").Breaker.FailureThreshold; got != row.want {
				t.Errorf("the threshold is %d, want %d", got, row.want)
			}
		})
	}
}

// What the file has no key for is layered too.
func TestSettingsInCodeSurviveTheLayers(t *testing.T) {
	check := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	every, own := errors.New("every"), errors.New("own")
	config, err := parse("services: {minio: {breaker: {timeout: 1m}}, git: {}, http: {}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	config.Breaker.HealthCheck, config.Breaker.Name = check(every), "fuse"
	git := config.Services["git"]
	git.Breaker.HealthCheck, git.Breaker.Name, git.Breaker.Key = check(own), "valve", "eu"
	budget, engine := policies.NewBudget(policies.BudgetConfig{}), &engine{}
	git.Retry.Name, git.Retry.Budget, git.Retry.Engine = "again", budget, engine
	config.Services["git"] = git
	config.Services["http"] = ServiceConfig{Breaker: policies.BreakerConfig{FailureThreshold: Off}}
	for name, want := range map[string]struct {
		err       error
		name, key string
	}{"minio": {every, "fuse", ""}, "git": {own, "valve", "eu"}} {
		got := effective(t, config, name).Breaker
		if got.HealthCheck == nil || got.HealthCheck(t.Context()) != want.err || got.Name != want.name || got.Key != want.key {
			t.Errorf("%s: the settings in force are %+v", name, got)
		}
	}
	if got := effective(t, config, "git").Retry; got.Name != "again" || got.Budget != budget || got.Engine != policies.RetryEngine(engine) {
		t.Errorf("git: the settings in force are %+v", got)
	}
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	s, err := m.Service("git")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Do(t.Context(), func(context.Context) error { return nil }); err != nil || engine.calls != 1 || budget.Status().Calls != 1 {
		t.Errorf("got %v; %d calls of the engine and %+v in the budget, want one", err, engine.calls, budget.Status())
	}
	if got := effective(t, config, "http").Breaker; got.FailureThreshold != Off {
		t.Errorf("a health check switched a breaker on: %+v", got)
	}
}

// An engine counts its calls, and never repeats one.
type engine struct{ calls int }

func (e *engine) Run(ctx context.Context, attempt func(context.Context) (time.Duration, bool)) error {
	e.calls++
	attempt(ctx)
	return nil
}

// The settings in force are settings, for a service that is the same.
func TestConfigInForceIsAConfig(t *testing.T) {
	for _, c := range []ServiceConfig{
		{},
		{Preset: MinIO},
		{Preset: Kubernetes, Retry: policies.RetryConfig{Attempts: 2}},
		{Preset: Scanner, RateLimit: policies.RateLimitConfig{MaxWait: Off, MaxPause: time.Minute}, Retry: policies.RetryConfig{Jitter: Off}},
		{Timeout: Off, AttemptTimeout: Off, Breaker: policies.BreakerConfig{FailureThreshold: Off, Name: "b"}},
		{Breaker: policies.BreakerConfig{Name: "b", Timeout: time.Hour}, Retry: policies.RetryConfig{Name: "r"}},
		{Breaker: policies.BreakerConfig{FailureRate: 0.5, MinCalls: 3, Key: "k", MaxProbes: 7}},
		{Preset: HTTP, Breaker: policies.BreakerConfig{FailureThreshold: 8, SlowCall: time.Second, MinCalls: 3, WindowCalls: 4, MaxRecoveryTime: time.Minute}},
	} {
		first := effective(t, services("it", c), "it")
		if again := effective(t, services("it", first), "it"); !alike(again, first) {
			t.Errorf("%+v\nbecomes %+v\nand then %+v", c, first, again)
		}
	}
}

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tidegate.yaml")
	if err := os.WriteFile(file, []byte("services: {minio: {breaker: {failure_threshold: 4}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range forEveryBreaker {
		t.Setenv(v.variable, "")
	}
	t.Setenv("CIRCUIT_BREAKER_TIMEOUT", "1m")
	config, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	got := effective(t, config, "minio").Breaker
	if got.FailureThreshold != 4 || got.Timeout != time.Minute || got.RecoveryTime != 5*time.Minute {
		t.Errorf("got %+v", got)
	}

	huge := filepath.Join(dir, "huge.yaml")
	if err := os.WriteFile(huge, make([]byte, maxConfigSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("services: {minio: {timeout: 5}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent.yaml")
	for _, row := range []struct {
		path, want string
		is         error
	}{
		{"", "tidegate: configuration: the path of the file is empty", nil},
		{absent, "tidegate: configuration: open " + absent + ": no such file or directory", fs.ErrNotExist},
		{dir, "tidegate: configuration: " + dir + " is a directory: name the file in it", nil},
		{huge, "tidegate: configuration: " + huge + " is larger than 1 MiB", nil},
		{wrong, wrong + `:1:29: services.minio.timeout: "5" has no unit, write "5s" for seconds or "5ms" for milliseconds; ` +
			`allowed: a duration such as 500ms, 30s or 1h30m, or 0 for the default, or off`, nil},
	} {
		config, err := LoadConfig(row.path)
		if err == nil || err.Error() != row.want || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("LoadConfig(%q)\ngives %v\nwant  %s", row.path, err, row.want)
		}
		if !alike(config, Config{}) {
			t.Errorf("LoadConfig(%q) gives an error and %+v", row.path, config)
		}
	}
}

// The example in the package comment is a configuration, and names every key.
func TestPackageCommentNamesEveryKey(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	text := example(file)
	d := newDecoder("doc.go")
	d.file([]byte(text))
	if len(d.errs) > 0 {
		t.Fatalf("%s\nis wrong: %v", text, d.errs)
	}
	if _, err := parse(text, nil); err != nil {
		t.Error(err)
	}
	want := map[string]bool{"preset": true, "base": true}
	for _, v := range forEveryBreaker {
		want["retries."+v.key] = true
	}
	var c ServiceConfig
	for _, g := range c.groups() {
		for _, s := range g.settings {
			want[strings.TrimSuffix(g.key+"."+s.key, ".")] = true
		}
	}
	for key := range d.written {
		delete(want, key)
		for _, of := range []string{"templates.careful", "services.archive", "services.mirror", "services.rehearsal"} {
			delete(want, strings.TrimPrefix(key, of+"."))
		}
	}
	if len(want) > 0 {
		t.Errorf("the package comment misses %v", slices.Sorted(maps.Keys(want)))
	}
}

func example(file *ast.File) string {
	var lines []string
	for line := range strings.Lines(file.Doc.Text()) {
		if strings.HasPrefix(line, "\tretries:") || len(lines) > 0 && strings.HasPrefix(line, "\t") {
			lines = append(lines, strings.TrimPrefix(line, "\t"))
		} else if len(lines) > 0 {
			break
		}
	}
	return strings.Join(lines, "")
}

// A health check needs time between the timeout and the probes: where nobody says how
// much, it gets as much again.
func TestAHealthCheckGetsItsTime(t *testing.T) {
	check := func(context.Context) error { return nil }
	for _, row := range []struct {
		name     string
		given    policies.BreakerConfig
		recovery time.Duration
		most     time.Duration
	}{
		{"a", policies.BreakerConfig{HealthCheck: check}, time.Minute, 5 * time.Minute},
		{"a", policies.BreakerConfig{HealthCheck: check, Timeout: time.Hour}, 2 * time.Hour, 2 * time.Hour},
		{"a", policies.BreakerConfig{HealthCheck: check, Timeout: time.Hour, MaxRecoveryTime: 90 * time.Minute}, 90 * time.Minute, 90 * time.Minute},
		{"a", policies.BreakerConfig{HealthCheck: check, RecoveryTime: time.Hour}, time.Hour, time.Hour},
		{"http", policies.BreakerConfig{HealthCheck: check}, 2 * time.Minute, 5 * time.Minute},
		{"http", policies.BreakerConfig{HealthCheck: check, Timeout: time.Hour}, 2 * time.Hour, 2 * time.Hour},
		{"http", policies.BreakerConfig{Timeout: time.Hour}, time.Hour, time.Hour},
	} {
		m, err := New(Config{Services: map[string]ServiceConfig{row.name: {Breaker: row.given}}})
		if err != nil {
			t.Errorf("%s with %+v: %v", row.name, row.given, err)
			continue
		}
		s, err := m.Service(row.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Config().Breaker; got.RecoveryTime != row.recovery || got.MaxRecoveryTime != row.most {
			t.Errorf("%s with %+v: %v and %v, want %v and %v", row.name, row.given, got.RecoveryTime, got.MaxRecoveryTime, row.recovery, row.most)
		}
		_ = m.Close()
	}
}
