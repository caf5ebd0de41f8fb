package tidegate

import (
	"errors"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	count    = "; allowed: a whole number from 1 to 2147483647, or 0 for the default"
	duration = "; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for the default"
)

func TestConfigErrors(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		// Not a configuration at all.
		{"hello", `x.yaml:1:1: "hello" is not a mapping; allowed: a mapping of retries, services, templates`},
		{"- a", "x.yaml:1:1: a list is not a mapping; allowed: a mapping of retries, services, templates"},
		{"a: [1", "x.yaml:1:4: not YAML: did not find expected ',' or ']', while parsing a flow sequence that began at line 1"},
		{"services:\n\ta: 1", "x.yaml:2:1: not YAML: a tab indents this line; allowed: spaces"},
		{"services: *no", "x.yaml:1:11: not YAML: unknown anchor 'no' referenced"},
		{"services: {}\n---\nservices: {}", "x.yaml:2:1: a second document begins here; allowed: one document"},
		{"services:\n  a\x00: 1", "x.yaml:2:4: not a text in UTF-8, or a control character"},
		{"\xff\xfea", "x.yaml:1:1: not a text in UTF-8, or a control character"},
		{"services: 1", `x.yaml:1:11: services: "1" is not a mapping; allowed: a mapping of names to settings, such as billing: {preset: http}`},

		// Keys.
		{"service: {}", `x.yaml:1:1: service: unknown key (did you mean "services"?); allowed: retries, services, templates`},
		{"x-y z: {}", `x.yaml:1:1: "x-y z": unknown key (if it is a service, indent it below services); allowed: retries, services, templates`},
		{
			"retries: {circuit_breaker_treshold: 3}",
			`x.yaml:1:11: retries.circuit_breaker_treshold: unknown key (did you mean "circuit_breaker_threshold"?); ` +
				"allowed: circuit_breaker_recovery_time, circuit_breaker_threshold, circuit_breaker_timeout",
		},
		{
			"services:\n  minio:\n    brekaer: {}",
			`x.yaml:3:5: services.minio.brekaer: unknown key (did you mean "breaker"?); ` +
				"allowed: adaptive_limit, attempt_timeout, base, breaker, budget, bulkhead, chaos, deadline, hedge, observe_only, per_key, preset, rate_limit, retry, throttle, timeout",
		},
		{
			"services: {a: {retry: {max_attempts: 3}}}",
			"x.yaml:1:24: services.a.retry.max_attempts: unknown key (did you mean \"attempts\"?); allowed: attempts, delay, jitter, max_after, max_delay, multiplier, nested_attempts",
		},
		{"services: {a: {}, b: {}, a: {}}", "x.yaml:1:26: services.a: the key is there twice, first at line 1; allowed: each key once"},
		{
			"services:\n  a:\n    timeout: 1s\n    timeout: 1s",
			"x.yaml:4:5: services.a.timeout: the key is there twice, first at line 3; allowed: each key once",
		},
		{"services: {? [a] : 1}", "x.yaml:1:14: services: a list is not a key; allowed: a name"},
		{"services: {a: {<<: 3}}", `x.yaml:1:20: services.a.<<: "3" cannot be merged; allowed: a mapping, or a list of mappings`},

		// Names.
		{"services: {'': {}}", `x.yaml:1:12: services."": the name of the service is empty; allowed: up to 64 printable characters, no space at either end`},
		{"services: {' a': {}}", `x.yaml:1:12: services." a": the name of the service begins or ends with a space; allowed: up to 64 printable characters, no space at either end`},
		{"services: {\"a\\nb\": {}}", `x.yaml:1:12: services."a\nb": the name of the service has a character that is not printable; allowed: up to 64 printable characters, no space at either end`},

		// Durations.
		{"services: {a: {timeout: 30}}", `x.yaml:1:25: services.a.timeout: "30" has no unit, write "30s" for seconds or "30ms" for milliseconds` + duration + ", or off"},
		{"services: {a: {timeout: -30}}", `x.yaml:1:25: services.a.timeout: "-30" is negative` + duration + ", or off"},
		{"services: {a: {timeout: 2min}}", `x.yaml:1:25: services.a.timeout: "2min" is not a duration` + duration + ", or off"},
		{"services: {a: {timeout: -5s}}", `x.yaml:1:25: services.a.timeout: "-5s" is negative` + duration + ", or off"},
		{"services: {a: {timeout: 99999999h}}", `x.yaml:1:25: services.a.timeout: "99999999h" is not a duration` + duration + ", or off"},
		{"services: {a: {timeout: }}", "x.yaml:1:25: services.a.timeout: the value is missing" + duration + ", or off"},
		{"services: {a: {timeout: [1s]}}", "x.yaml:1:25: services.a.timeout: a list is not a value" + duration + ", or off"},
		{"services: {a: {timeout: !!int 3}}", `x.yaml:1:25: services.a.timeout: the tag "!!int" is not understood` + duration + ", or off"},
		{"services: {a: {timeout: !x off}}", `x.yaml:1:25: services.a.timeout: the tag "!x" is not understood` + duration + ", or off"},
		{"services: {a: {breaker: {timeout: off}}}", `x.yaml:1:35: services.a.breaker.timeout: "off" is not a duration` + duration},
		{
			"services: {a: {rate_limit: {max_wait: 5}}}",
			`x.yaml:1:39: services.a.rate_limit.max_wait: "5" has no unit, write "5s" for seconds or "5ms" for milliseconds; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for none`,
		},
		{"retries: {circuit_breaker_timeout: 1d}", `x.yaml:1:36: retries.circuit_breaker_timeout: "1d" is not a duration` + duration},

		// Numbers.
		{"retries: {circuit_breaker_threshold: -1}", `x.yaml:1:38: retries.circuit_breaker_threshold: "-1" is negative` + count},
		{"services: {a: {retry: {attempts: three}}}", `x.yaml:1:34: services.a.retry.attempts: "three" is not a whole number` + count},
		{"services: {a: {retry: {attempts: 2.5}}}", `x.yaml:1:34: services.a.retry.attempts: "2.5" is not a whole number` + count},
		{"services: {a: {retry: {attempts: 010}}}", `x.yaml:1:34: services.a.retry.attempts: "010" is not a whole number` + count},
		{"services: {a: {retry: {attempts: 99999999999999999999}}}", `x.yaml:1:34: services.a.retry.attempts: "99999999999999999999" is too large` + count},
		{"services: {a: {retry: {attempts: 2147483648}}}", "x.yaml:1:34: services.a.retry.attempts: 2147483648 is out of range" + count},
		{"services: {a: {retry: {multiplier: 0.5}}}", "x.yaml:1:36: services.a.retry.multiplier: 0.5 is out of range; allowed: a number from 1, or 0 for the default"},
		{"services: {a: {retry: {multiplier: .inf}}}", `x.yaml:1:36: services.a.retry.multiplier: ".inf" is not a number; allowed: a number from 1, or 0 for the default`},
		{"services: {a: {retry: {multiplier: nan}}}", `x.yaml:1:36: services.a.retry.multiplier: "nan" is not a number; allowed: a number from 1, or 0 for the default`},
		{"services: {a: {retry: {jitter: 0x1p-2}}}", `x.yaml:1:32: services.a.retry.jitter: "0x1p-2" is not a number; allowed: a number up to 1, or 0 for none`},
		{"services: {a: {retry: {jitter: 1.5}}}", "x.yaml:1:32: services.a.retry.jitter: 1.5 is out of range; allowed: a number up to 1, or 0 for none"},
		{"services: {a: {retry: {jitter: -1}}}", `x.yaml:1:32: services.a.retry.jitter: "-1" is negative; allowed: a number up to 1, or 0 for none`},
		{"services: {a: {rate_limit: {rate: 1e400}}}", `x.yaml:1:35: services.a.rate_limit.rate: "1e400" is too large; allowed: a number above 0, at most 2147483647, or 0 for the default`},
		{"services: {a: {rate_limit: {rate: 1e10}}}", "x.yaml:1:35: services.a.rate_limit.rate: 1e+10 is out of range; allowed: a number above 0, at most 2147483647, or 0 for the default"},

		{"services: {a: {breaker: {failure_rate: 1.5, min_calls: 3}}}", "x.yaml:1:40: services.a.breaker.failure_rate: 1.5 is out of range; allowed: a number above 0, at most 1, or 0 for none"},
		{"services: {a: {breaker: {slow_call: 1s, min_calls: 3, slow_rate: 2}}}", "x.yaml:1:66: services.a.breaker.slow_rate: 2 is out of range; allowed: a number above 0, at most 1, or 0 for the default"},
		{"services: {a: {breaker: {recovery_backoff: 0.9}}}", "x.yaml:1:44: services.a.breaker.recovery_backoff: 0.9 is out of range; allowed: a number from 1, or 0 for the default"},
		{"services: {a: {breaker: {failure_rate: 1, window_calls: 65537, min_calls: 1}}}", "x.yaml:1:57: services.a.breaker.window_calls: 65537 is out of range; allowed: a whole number from 1 to 65536, or 0 for a window of time"},
		{"services: {a: {breaker: {failure_rate: 1, buckets: 1001, min_calls: 1}}}", "x.yaml:1:52: services.a.breaker.buckets: 1001 is out of range; allowed: a whole number from 1 to 1000, or 0 for the default"},
		{"services: {a: {breaker: {max_probes: 2147483648}}}", "x.yaml:1:38: services.a.breaker.max_probes: 2147483648 is out of range" + count},
		{"services: {a: {breaker: {failure_rate: 1, min_calls: -1}}}", `x.yaml:1:54: services.a.breaker.min_calls: "-1" is negative; allowed: a whole number from 1 to 2147483647, or 0 without failure_rate and slow_call`},

		// Booleans.
		{"services: {a: {breaker: {trip_on_throttle: yes}}}", `x.yaml:1:44: services.a.breaker.trip_on_throttle: "yes" is not a boolean; allowed: true or false`},
		{"services: {a: {breaker: {trip_on_throttle: 1}}}", `x.yaml:1:44: services.a.breaker.trip_on_throttle: "1" is not a boolean; allowed: true or false`},
		{"services: {a: {breaker: {trip_on_throttle: off}}}", `x.yaml:1:44: services.a.breaker.trip_on_throttle: "off" is not a boolean; allowed: true or false`},
		{"services: {a: {breaker: {trip_on_throttle: }}}", "x.yaml:1:44: services.a.breaker.trip_on_throttle: the value is missing; allowed: true or false"},
		{"services: {a: {breaker: {trip_on_throttle: [true]}}}", "x.yaml:1:44: services.a.breaker.trip_on_throttle: a list is not a value; allowed: true or false"},
		{"services: {a: {breaker: {trip_on_throttle: !!bool true}}}", `x.yaml:1:44: services.a.breaker.trip_on_throttle: the tag "!!bool" is not understood; allowed: true or false`},

		// Policies and presets.
		{"services: {a: {retry: on}}", `x.yaml:1:23: services.a.retry: "on" is not a mapping, and a policy is on when one of its settings is given; allowed: off, or a mapping of attempts, delay, jitter, max_after, max_delay, multiplier, nested_attempts`},
		{"services: {a: {preset: gti}}", `x.yaml:1:24: services.a.preset: "gti" is no preset (did you mean "git"?); allowed: git, http, kubernetes, minio, scanner`},
		{"services: {a: {preset: {}}}", "x.yaml:1:24: services.a.preset: a mapping is not the name of a preset; allowed: git, http, kubernetes, minio, scanner"},

		// Contradictions.
		{
			"services:\n  minio:\n    breaker:\n      timeout: 2m\n      recovery_time: 1m",
			"x.yaml:5:22: services.minio.breaker.recovery_time: 1m0s is below 2m0s, the value of services.minio.breaker.timeout in line 4; allowed: 2m0s or more",
		},
		{
			"retries: {circuit_breaker_timeout: 2m}\nservices: {minio: {breaker: {recovery_time: 1m}}}",
			"x.yaml:2:45: services.minio.breaker.recovery_time: 1m0s is below 2m0s, the value of retries.circuit_breaker_timeout in line 1; allowed: 2m0s or more",
		},
		{
			"retries: {circuit_breaker_timeout: 2m, circuit_breaker_recovery_time: 1m}\nservices: {minio: {}, git: {}}",
			"x.yaml:1:71: retries.circuit_breaker_recovery_time: 1m0s is below 2m0s, the value of retries.circuit_breaker_timeout in line 1; allowed: 2m0s or more",
		},
		{
			"services: {a: {retry: {delay: 2s, max_delay: 1s}}}",
			"x.yaml:1:46: services.a.retry.max_delay: 1s is below 2s, the value of services.a.retry.delay in line 1; allowed: 2s or more",
		},
		{
			"services:\n  minio:\n    breaker:\n      recovery_time: 6m\n      max_recovery_time: 1m",
			"x.yaml:5:26: services.minio.breaker.max_recovery_time: 1m0s is below 6m0s, the value of services.minio.breaker.recovery_time in line 4; allowed: 6m0s or more",
		},
		{ // the recovery time gives way, so it is not what the user is told of
			"services:\n  http:\n    breaker:\n      timeout: 6m\n      max_recovery_time: 1m",
			"x.yaml:5:26: services.http.breaker.max_recovery_time: 1m0s is below 6m0s, the value of services.http.breaker.timeout in line 4; allowed: 6m0s or more",
		},
		{ // the longest is what counts
			"services:\n  http:\n    breaker:\n      timeout: 6m\n      recovery_time: 7m\n      max_recovery_time: 1m",
			"x.yaml:6:26: services.http.breaker.max_recovery_time: 1m0s is below 7m0s, the value of services.http.breaker.recovery_time in line 5; allowed: 7m0s or more",
		},
		{
			"retries: {circuit_breaker_recovery_time: 2m}\nservices: {minio: {breaker: {max_recovery_time: 1m}}}",
			"x.yaml:2:49: services.minio.breaker.max_recovery_time: 1m0s is below 2m0s, the value of retries.circuit_breaker_recovery_time in line 1; allowed: 2m0s or more",
		},
		{
			"services: {a: {breaker: {success_threshold: 2, max_probes: 3}}}",
			"x.yaml:1:60: services.a.breaker.max_probes: 3 is above 2, the value of services.a.breaker.success_threshold in line 1; allowed: 2 or less",
		},
		{
			"services: {a: {breaker: {failure_rate: 1, min_calls: 3, window_calls: 2}}}",
			"x.yaml:1:54: services.a.breaker.min_calls: 3 is above 2, the value of services.a.breaker.window_calls in line 1; allowed: 2 or less",
		},
		{
			"services: {a: {breaker: {failure_rate: 1, min_calls: 1, window_calls: 2, window: 1m, buckets: 3}}}",
			"x.yaml:1:82: services.a.breaker.window: 1m0s contradicts services.a.breaker.window_calls in line 1; allowed: one of the two\n" +
				"x.yaml:1:95: services.a.breaker.buckets: 3 contradicts services.a.breaker.window_calls in line 1; allowed: one of the two",
		},
		{
			"services: {a: {breaker: {failure_rate: 1, min_calls: 1, window: 49ms, buckets: 50}}}",
			"x.yaml:1:65: services.a.breaker.window: 49ms is out of range; allowed: at least 50ms, a millisecond for each bucket, or 0 for the default",
		},
		{
			"services: {a: {breaker: {slow_rate: 0.5}}}",
			"x.yaml:1:37: services.a.breaker.slow_rate: 0.5 means nothing without slow_call; allowed: to leave it out, or to give slow_call",
		},
		{
			"services: {a: {breaker: {min_calls: 9, window_calls: 5}}}",
			"x.yaml:1:37: services.a.breaker.min_calls: 9 means nothing without failure_rate or slow_call; allowed: to leave it out, or to give failure_rate or slow_call\n" +
				"x.yaml:1:54: services.a.breaker.window_calls: 5 means nothing without failure_rate or slow_call; allowed: to leave it out, or to give failure_rate or slow_call",
		},

		// What is missing stands nowhere: the line is that of what needs it.
		{
			"services:\n  a:\n    breaker:\n      failure_rate: 0.5",
			"x.yaml:4:21: services.a.breaker.min_calls: 0 or not given, but needed by services.a.breaker.failure_rate in line 4; allowed: a whole number from 1 to 2147483647",
		},
		{
			"services:\n  a:\n    breaker:\n      min_calls: 0\n      slow_call: 1s",
			"x.yaml:4:18: services.a.breaker.min_calls: 0 or not given, but needed by services.a.breaker.slow_call in line 5; allowed: a whole number from 1 to 2147483647",
		},

		// What could not be read is not missing too.
		{"services: {a: {breaker: {failure_rate: half, min_calls: 3, window: 1m}}}", `x.yaml:1:40: services.a.breaker.failure_rate: "half" is not a number; allowed: a number above 0, at most 1, or 0 for none`},
		{"services: {a: {breaker: {slow_call: 3, slow_rate: 1, min_calls: 3}}}", `x.yaml:1:37: services.a.breaker.slow_call: "3" has no unit, write "3s" for seconds or "3ms" for milliseconds; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for none`},
		{"services: {a: {breaker: {failure_rate: 1, min_calls: few}}}", `x.yaml:1:54: services.a.breaker.min_calls: "few" is not a whole number; allowed: a whole number from 1 to 2147483647, or 0 without failure_rate and slow_call`},
		{
			"services: {a: {breaker: {failure_rate: half}}, b: {breaker: {min_calls: 3}}}", // but not elsewhere
			`x.yaml:1:40: services.a.breaker.failure_rate: "half" is not a number; allowed: a number above 0, at most 1, or 0 for none` + "\n" +
				"x.yaml:1:73: services.b.breaker.min_calls: 3 means nothing without failure_rate or slow_call; allowed: to leave it out, or to give failure_rate or slow_call",
		},

		// What is used twice is wrong where it stands.
		{
			"services:\n  a: &a {tmeout: 5s}\n  b: {retry: {<<: {attempts: x}}}\n  a2: *a\n",
			"x.yaml:2:10: services.a.tmeout: unknown key (did you mean \"timeout\"?); allowed: adaptive_limit, attempt_timeout, base, breaker, budget, bulkhead, chaos, deadline, hedge, observe_only, per_key, preset, rate_limit, retry, throttle, timeout\n" +
				"x.yaml:2:10: services.a2.tmeout: unknown key (did you mean \"timeout\"?); allowed: adaptive_limit, attempt_timeout, base, breaker, budget, bulkhead, chaos, deadline, hedge, observe_only, per_key, preset, rate_limit, retry, throttle, timeout\n" +
				`x.yaml:3:30: services.b.retry.attempts: "x" is not a whole number` + count,
		},
	} {
		config, err := parse(row.text, nil)
		if err == nil || err.Error() != row.want {
			t.Errorf("%s\ngives %v\nwant  %s", row.text, err, row.want)
		}
		if !alike(config, Config{}) {
			t.Errorf("%s\ngives an error and %+v", row.text, config)
		}
	}
}

func TestEnvironmentErrors(t *testing.T) {
	for _, row := range []struct{ variable, value, text, want string }{
		{"CIRCUIT_BREAKER_THRESHOLD", "ten", "", `environment: CIRCUIT_BREAKER_THRESHOLD: "ten" is not a whole number` + count},
		{"CIRCUIT_BREAKER_THRESHOLD", "-1", "", `environment: CIRCUIT_BREAKER_THRESHOLD: "-1" is negative` + count},
		{"CIRCUIT_BREAKER_THRESHOLD", "2147483648", "services: {a: {breaker: {failure_threshold: 3}}, b: {}}", "environment: CIRCUIT_BREAKER_THRESHOLD: 2147483648 is out of range" + count},
		{"CIRCUIT_BREAKER_TIMEOUT", "30", "", `environment: CIRCUIT_BREAKER_TIMEOUT: "30" has no unit, write "30s" for seconds or "30ms" for milliseconds` + duration},
		{"CIRCUIT_BREAKER_RECOVERY_TIME", " 5m", "", `environment: CIRCUIT_BREAKER_RECOVERY_TIME: " 5m" is not a duration` + duration},
		{
			"CIRCUIT_BREAKER_RECOVERY_TIME", "1m", "services: {a: {breaker: {timeout: 2m, recovery_time: 3m}}}",
			"environment: CIRCUIT_BREAKER_RECOVERY_TIME: 1m0s is below 2m0s, the value of services.a.breaker.timeout in line 1; allowed: 2m0s or more",
		},
		{
			"CIRCUIT_BREAKER_TIMEOUT", "9m", "services: {a: {breaker: {recovery_time: 3m}}}",
			"x.yaml:1:41: services.a.breaker.recovery_time: 3m0s is below 9m0s, the value of CIRCUIT_BREAKER_TIMEOUT; allowed: 9m0s or more",
		},
	} {
		config, err := parse(row.text, map[string]string{row.variable: row.value})
		if err == nil || err.Error() != row.want {
			t.Errorf("%s=%s\ngives %v\nwant  %s", row.variable, row.value, err, row.want)
		}
		if !alike(config, Config{}) {
			t.Errorf("%s=%s gives an error and %+v", row.variable, row.value, config)
		}
	}
}

// Everything that is wrong is reported at once, in the order of the file.
func TestAllErrorsAtOnce(t *testing.T) {
	const file, golden = "testdata/wrong.yaml", "testdata/wrong.golden"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParseConfig(file, text, func(name string) (string, bool) {
		return map[string]string{"CIRCUIT_BREAKER_THRESHOLD": "many", "CIRCUIT_BREAKER_TIMEOUT": "soon"}[name], true
	})
	if err == nil {
		t.Fatal("no error")
	}
	if *update {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, readErr := os.ReadFile(golden)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if got := err.Error() + "\n"; got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestNewErrors(t *testing.T) {
	for _, row := range []struct {
		config Config
		want   string
		count  int // of setting errors
	}{
		{
			services("a", ServiceConfig{Timeout: -5}),
			"tidegate: services.a.timeout: -5ns is out of range; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for the default, or Off", 1,
		},
		{
			services("a", ServiceConfig{Retry: policies.RetryConfig{Attempts: -3, MaxAfter: Off}}),
			"tidegate: services.a.retry.attempts: -3 is out of range" + count + ", or Off\n" +
				"tidegate: services.a.retry.max_after: -1ns is out of range" + duration, 2,
		},
		{
			services("a", ServiceConfig{RateLimit: policies.RateLimitConfig{MaxWait: -2, MaxPause: -3}}),
			"tidegate: services.a.rate_limit.max_wait: -2ns is out of range; allowed: a duration such as 500ms, 30s or 1h30m, or Off for none\n" +
				"tidegate: services.a.rate_limit.max_pause: -3ns is out of range; allowed: a duration such as 500ms, 30s or 1h30m, or Off for none", 2,
		},
		{
			services("a", ServiceConfig{Breaker: policies.BreakerConfig{Timeout: 5, RecoveryTime: 3}}),
			"tidegate: services.a.breaker.recovery_time: 3ns is below 5ns, the value of services.a.breaker.timeout; allowed: 5ns or more", 1,
		},
		{
			services("minio", ServiceConfig{Breaker: policies.BreakerConfig{RecoveryTime: -5}}),
			"tidegate: services.minio.breaker.recovery_time: -5ns is out of range" + duration, 1,
		},
		{
			services("a", ServiceConfig{Preset: "Minio"}),
			`tidegate: services.a.preset: "Minio" is no preset (did you mean "minio"?); allowed: git, http, kubernetes, minio, scanner`, 0,
		},
		{
			services("", ServiceConfig{}),
			`tidegate: services."": the name of the service is empty; allowed: up to 64 printable characters, no space at either end`, 0,
		},
		{
			services(strings.Repeat("a", 65), ServiceConfig{}),
			`tidegate: services."` + strings.Repeat("a", 64) + `...": the name of the service is too long; allowed: up to 64 printable characters, no space at either end`, 0,
		},
		{
			Config{Breaker: policies.BreakerConfig{FailureThreshold: -2, SuccessThreshold: -2}, Services: map[string]ServiceConfig{"a": {}, "b": {}}},
			"tidegate: retries.circuit_breaker_threshold: -2 is out of range" + count + ", or Off\n" +
				"tidegate: breaker.success_threshold: -2 is out of range" + count, 2,
		},
		{ // each setting once, and nothing that only follows
			services("a", ServiceConfig{Breaker: policies.BreakerConfig{
				FailureRate: math.NaN(), SlowCall: -5, SlowRate: 2, MinCalls: -3, MaxProbes: 1 << 40, Ramp: -1, ProbeLease: -1, HealthInterval: -1, MaxRecoveryTime: -1,
			}}),
			"tidegate: services.a.breaker.failure_rate: NaN is out of range; allowed: a number above 0, at most 1, or 0 for none\n" +
				"tidegate: services.a.breaker.slow_call: -5ns is out of range; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for none\n" +
				"tidegate: services.a.breaker.slow_rate: 2 is out of range; allowed: a number above 0, at most 1, or 0 for the default\n" +
				"tidegate: services.a.breaker.max_recovery_time: -1ns is out of range" + duration + "\n" +
				"tidegate: services.a.breaker.health_interval: -1ns is out of range" + duration + "\n" +
				"tidegate: services.a.breaker.max_probes: 1099511627776 is out of range" + count + "\n" +
				"tidegate: services.a.breaker.probe_lease: -1ns is out of range" + duration + "\n" +
				"tidegate: services.a.breaker.ramp: -1ns is out of range; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for none", 8,
		},
		{
			services("http", ServiceConfig{Breaker: policies.BreakerConfig{HealthCheck: ok, Timeout: time.Hour, RecoveryTime: time.Hour}}),
			"tidegate: services.http.breaker.recovery_time: 1h0m0s is not above 1h0m0s, the value of services.http.breaker.timeout; " +
				"allowed: more than 1h0m0s, to leave time for the health check", 1,
		},
		{
			services("http", ServiceConfig{Breaker: policies.BreakerConfig{HealthCheck: ok, Timeout: 5, RecoveryTime: 3}}),
			"tidegate: services.http.breaker.recovery_time: 3ns is below 5ns, the value of services.http.breaker.timeout; allowed: 5ns or more", 1,
		},

		// What every breaker gets may be completed by a service: where it is not, that is
		// where it is missing.
		{
			Config{
				Breaker: policies.BreakerConfig{FailureRate: 0.5},
				Services: map[string]ServiceConfig{
					"a": {Breaker: policies.BreakerConfig{MinCalls: 3}}, "b": {}, "c": {Breaker: policies.BreakerConfig{FailureThreshold: Off}},
				},
			},
			"tidegate: services.b.breaker.min_calls: 0 or not given, but needed by services.b.breaker.failure_rate; allowed: a whole number from 1 to 2147483647", 1,
		},
		{
			Config{
				Breaker:  policies.BreakerConfig{MinCalls: 3, SlowRate: 1},
				Services: map[string]ServiceConfig{"a": {Breaker: policies.BreakerConfig{SlowCall: 1}}, "b": {Breaker: policies.BreakerConfig{FailureRate: 1}}},
			},
			"tidegate: services.b.breaker.slow_rate: 1 means nothing without slow_call; allowed: to leave it out, or to give slow_call", 1,
		},
		{
			Config{
				Breaker:  policies.BreakerConfig{HealthCheck: ok},
				Services: map[string]ServiceConfig{"minio": {}, "a": {}, "b": {Breaker: policies.BreakerConfig{Timeout: time.Minute, RecoveryTime: time.Minute}}},
			},
			"tidegate: services.b.breaker.recovery_time: 1m0s is not above 1m0s, the value of services.b.breaker.timeout; " +
				"allowed: more than 1m0s, to leave time for the health check", 1,
		},
		{ // what is wrong for every breaker is said once, and nothing that only follows
			Config{
				Breaker:  policies.BreakerConfig{FailureRate: 2},
				Services: map[string]ServiceConfig{"a": {Breaker: policies.BreakerConfig{MinCalls: 3}}, "b": {Breaker: policies.BreakerConfig{Ramp: -1}}},
			},
			"tidegate: breaker.failure_rate: 2 is out of range; allowed: a number above 0, at most 1, or 0 for none\n" +
				"tidegate: services.b.breaker.ramp: -1ns is out of range; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for none", 2,
		},
		{
			Config{
				Breaker:  policies.BreakerConfig{FailureRate: 1, MinCalls: 5, WindowCalls: 3, Window: time.Minute},
				Services: map[string]ServiceConfig{"a": {}, "b": {}},
			},
			"tidegate: breaker.window: 1m0s contradicts breaker.window_calls; allowed: one of the two\n" +
				"tidegate: breaker.min_calls: 5 is above 3, the value of breaker.window_calls; allowed: 3 or less", 2,
		},
	} {
		m, err := New(row.config)
		if err == nil || err.Error() != row.want || m != nil {
			t.Errorf("%+v\ngives %v\nwant  %s", row.config, err, row.want)
			continue
		}
		n := 0
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			if _, ok := errors.AsType[*ConfigError](e); !ok {
				t.Errorf("%v is no *ConfigError", e)
			}
			if _, ok := errors.AsType[*policies.SettingError](e); ok {
				n++
			}
		}
		if n != row.count {
			t.Errorf("%+v: %d setting errors behind the error, want %d", row.config, n, row.count)
		}
	}
}
