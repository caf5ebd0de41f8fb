package tidegate

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// ParseConfig never panics. It returns a Config that New takes, or the zero Config
// and errors that each say where they are.
func FuzzParseConfig(f *testing.F) {
	wrong, err := os.ReadFile("testdata/wrong.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(wrong), "many", "soon", "5m")
	for _, text := range []string{
		"", "services: {minio: {}}", "a: &a {<<: [*a, {b: *a}]}", "services: {a: &a {<<: *a, retry: off}, b: *a}",
		"retries: {circuit_breaker_timeout: 2m}", "? {a: b}\n: c", "services: !!map {a: !!null }", "- &a [*a]",
		"services: {a: {breaker: {timeout: 2m, recovery_time: 1m}, rate_limit: {rate: 1e-320, burst: 0}}}",
		"services: {a: {breaker: {failure_rate: 0.5, slow_call: 1s, slow_rate: 2, window: 1ns, window_calls: 3, max_probes: 99999999999}}}",
		"services: {a: {breaker: {min_calls: 3, buckets: 7, trip_on_throttle: false, timeout: 9m, max_recovery_time: 1ns, ramp: 1ns}}}",
		"services: {a: {breaker: {slow_call: 1ns, min_calls: 2147483648, recovery_backoff: 1e308, recovery_time: 2540400h}}}",
		"%YAML 1.1\n---\nservices: {a: {timeout: off}}\n...\n", "services: {\"\\u2028\": {preset: git}}", "\xfe\xff", "a: |\n  b\n ",
	} {
		f.Add(text, "", "", "")
		f.Add(text, "3", "1m", "2m")
	}
	f.Fuzz(func(t *testing.T, text, threshold, timeout, recovery string) {
		config, err := parse(text, map[string]string{
			"CIRCUIT_BREAKER_THRESHOLD":     threshold,
			"CIRCUIT_BREAKER_TIMEOUT":       timeout,
			"CIRCUIT_BREAKER_RECOVERY_TIME": recovery,
		})
		if err == nil {
			if m, err := New(config); err != nil || len(m.Services()) != len(config.Services) {
				t.Fatalf("New does not take what ParseConfig returned: %v", err)
			}
			return
		}
		if !reflect.DeepEqual(config, Config{}) {
			t.Errorf("an error and %+v", config)
		}
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			c, ok := errors.AsType[*ConfigError](e)
			switch {
			case !ok:
				t.Errorf("%v is no *ConfigError", e)
			case c.Source == "environment":
				if !strings.HasPrefix(c.Key, "CIRCUIT_BREAKER_") {
					t.Errorf("%v names no variable", e)
				}
			case c.Source != "x.yaml" || c.Line < 1 || c.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+strings.Count(text, "\u0085")+strings.Count(text, "\u2028")+strings.Count(text, "\u2029")+2:
				t.Errorf("%v has no position", e)
			}
			if strings.Contains(e.Error(), "\n") || c.Problem == "" {
				t.Errorf("%q is not one line", e)
			}
		}
	})
}
