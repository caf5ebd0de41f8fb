package tidegate

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// ParseConfig never panics. It returns a Config that New takes and whose YAML says the same, or
// the zero Config and errors that each say where they are. variable is the end of the names of
// some variables.
func FuzzParseConfig(f *testing.F) {
	wrong, err := os.ReadFile("testdata/wrong.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(wrong), "many", "soon", "5m", "", "")
	for _, text := range []string{
		"", "services: {minio: {}}", "a: &a {<<: [*a, {b: *a}]}", "services: {a: &a {<<: *a, retry: off}, b: *a}",
		"retries: {circuit_breaker_timeout: 2m}", "? {a: b}\n: c", "services: !!map {a: !!null }", "- &a [*a]",
		"services: {a: {breaker: {timeout: 2m, recovery_time: 1m}, rate_limit: {rate: 1e-320, burst: 0}}}",
		"services: {a: {breaker: {failure_rate: 0.5, slow_call: 1s, slow_rate: 2, window: 1ns, window_calls: 3, max_probes: 99999999999}}}",
		"services: {a: {breaker: {min_calls: 3, buckets: 7, trip_on_throttle: false, timeout: 9m, max_recovery_time: 1ns, ramp: 1ns}}}",
		"services: {a: {breaker: {slow_call: 1ns, min_calls: 2147483648, recovery_backoff: 1e308, recovery_time: 2540400h}}}",
		"%YAML 1.1\n---\nservices: {a: {timeout: off}}\n...\n", "services: {\"\\u2028\": {preset: git}}", "\xfe\xff", "a: |\n  b\n ",
		"templates: {t: {timeout: 1m, breaker: {failure_rate: 0.5, min_calls: 9, ramp: 1s}}, u: {base: t, hedge: {delay: 9ms}}}\nservices: {a: {base: u, breaker: {failure_rate: 0}, hedge: {delay: 0}}, b: {base: t}}",
		"templates: {x: {base: y}, y: {base: z}, z: {base: x}}\nservices: {a: {base: x, per_key: {breaker: true}}}",
		"services: {a: {timeout: {limit: off, scope: until_end}, attempt_timeout: 1h, chaos: {for: 1s, seed: 18446744073709551615}, adaptive_limit: {min: 3, initial: 2}}}",
		"services: {a: {observe_only: false, throttle: {k: 1.5}, deadline: {quantile: 0.9}, bulkhead: {max_queue: 0, order: lifo}, rate_limit: {min_rate: 5, rate: 1}}}",
	} {
		f.Add(text, "", "", "", "", "")
		f.Add(text, "3", "1m", "2m", "", "")
		f.Add(text, "", "", "", "_BREAKER", "off")
		f.Add(text, "", "", "", "_RAMP", "0")
		f.Add(text, "", "", "", "_BASE", "t")
		f.Add(text, "", "", "", "_TIMEOUT", "1ns")
		f.Add(text, "", "", "", "_MIN_CALLS", "2147483647")
	}
	f.Fuzz(func(t *testing.T, text, threshold, timeout, recovery, variable, value string) {
		all := map[string]string{
			"CIRCUIT_BREAKER_THRESHOLD":     threshold,
			"CIRCUIT_BREAKER_TIMEOUT":       timeout,
			"CIRCUIT_BREAKER_RECOVERY_TIME": recovery,
		}
		config, err := ParseConfig("x.yaml", []byte(text), func(name string) (string, bool) {
			if strings.HasPrefix(name, "TIDEGATE_") && variable != "" && strings.HasSuffix(name, variable) {
				return value, true
			}
			found, ok := all[name]
			return found, ok
		})
		if err == nil {
			if m, err := New(config, WithChaos(), WithLogger(nil)); err != nil || len(m.Services()) != len(config.Services) {
				t.Fatalf("New does not take what ParseConfig returned: %v", err)
			}
			whole := config.YAML()
			again, err := ParseConfig("x.yaml", whole, nil)
			if err != nil || string(again.YAML()) != string(whole) {
				t.Fatalf("%s\nis read as\n%s\n%v", whole, again.YAML(), err)
			}
			first, _ := config.resolve()
			if second, _ := again.resolve(); !alike(first, second) && len(first)+len(second) > 0 {
				t.Fatalf("%s\nmeans %+v\nand was %+v", whole, second, first)
			}
			return
		}
		if !alike(config, Config{}) {
			t.Errorf("an error and %+v", config)
		}
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			c, ok := errors.AsType[*ConfigError](e)
			switch {
			case !ok:
				t.Errorf("%v is no *ConfigError", e)
			case c.Source == "environment":
				if !strings.HasPrefix(c.Key, "CIRCUIT_BREAKER_") && !strings.HasPrefix(c.Key, "TIDEGATE_") {
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
