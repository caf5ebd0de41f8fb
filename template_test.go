package tidegate

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/policies"
)

// alike compares configurations, which hold pointers and functions.
func alike(a, b any) bool { return reflect.DeepEqual(a, b) }

func TestABaseHoldsWhereAServiceSaysNothing(t *testing.T) {
	const text = `
templates:
  root: {preset: http, timeout: 1m, breaker: {failure_threshold: 7, trip_on_throttle: true}, bulkhead: {max_concurrent: 5, order: lifo}, hedge: off}
  child: {base: root, timeout: 2m, retry: off, hedge: {delay: 1s}, observe_only: true}
services:
  a: {base: child}
  b: {base: child, retry: {delay: 5s}, breaker: {trip_on_throttle: false}, bulkhead: {order: fifo}, observe_only: false}
  c: {base: root, preset: git, breaker: off}
  d: {}
`
	config, err := parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c, d := effective(t, config, "a"), effective(t, config, "b"), effective(t, config, "c"), effective(t, config, "d")
	for _, row := range []struct {
		what      string
		got, want any
	}{
		{"a: own base's timeout above that of its base", a.Timeout, 2 * time.Minute},
		{"a: a breaker of the base's base", a.Breaker.FailureThreshold, 7},
		{"a: a preset of the base's base", a.AttemptTimeout, 10 * time.Second},
		{"a: off in the base", a.Retry.Attempts, Off},
		{"a: on in the base, off in its base", a.Hedge.Delay, time.Second},
		{"a: a delay instead of a quantile", a.Hedge.Quantile, 0.0},
		{"a: on in the base", a.ObserveOnly, true},
		{"b: a policy that the base has off is on", b.Retry.Attempts, policies.DefaultAttempts},
		{"b: with its own setting", b.Retry.Delay, 5 * time.Second},
		{"b: false above true", b.Breaker.TripOnThrottle, false},
		{"b: the other settings of that policy", b.Breaker.FailureThreshold, 7},
		{"b: a word that is zero above another", b.Bulkhead.Order, policies.FIFO},
		{"b: false above true, of the service", b.ObserveOnly, false},
		{"c: its own preset", c.Retry.Delay, 2 * time.Second},
		{"c: off", c.Breaker.FailureThreshold, Off},
		{"c: its base", c.Bulkhead.MaxConcurrent, 5},
		{"d: nothing of a template that it does not name", d.Bulkhead.MaxConcurrent, Off},
	} {
		if row.got != row.want {
			t.Errorf("%s: got %v, want %v", row.what, row.got, row.want)
		}
	}
}

// A zero that is not the default takes away what a template gives, or the file.
func TestAZeroThatIsNotTheDefaultCounts(t *testing.T) {
	const rates = "breaker: {failure_rate: 0.5, slow_call: 1s, min_calls: 20, window: 2m, buckets: 3, ramp: 1m}"
	for _, row := range []struct {
		name, template, service string
		variables               map[string]string
		want                    string // of effective, as a service without a template
	}{
		{"ramp", rates, "breaker: {ramp: 0}", nil, "breaker: {failure_rate: 0.5, slow_call: 1s, min_calls: 20, window: 2m, buckets: 3}"},
		{"one of two rates", rates, "breaker: {slow_call: 0}", nil, "breaker: {failure_rate: 0.5, min_calls: 20, window: 2m, buckets: 3, ramp: 1m}"},
		{"both rates, with what they need", rates, "breaker: {slow_call: 0, failure_rate: 0}", nil, "breaker: {ramp: 1m}"},
		{"a window of calls", "breaker: {failure_rate: 0.5, min_calls: 2, window_calls: 9}", "breaker: {window_calls: 0}", nil, "breaker: {failure_rate: 0.5, min_calls: 2}"},
		{"a fixed delay", "hedge: {delay: 50ms}", "hedge: {delay: 0}", nil, "hedge: {max_hedges: 1}"},
		{"zero is the default", "retry: {attempts: 5}", "retry: {attempts: 0}", nil, "retry: {attempts: 5}"},
		{"a variable", rates, "", map[string]string{"TIDEGATE_SERVICES_A_BREAKER_RAMP": "0", "TIDEGATE_SERVICES_A_BREAKER_SLOW_CALL": "0s"}, "breaker: {failure_rate: 0.5, min_calls: 20, window: 2m, buckets: 3}"},
		{"a variable of the template", rates, "", map[string]string{"TIDEGATE_TEMPLATES_T_BREAKER_RAMP": "0"}, "breaker: {failure_rate: 0.5, slow_call: 1s, min_calls: 20, window: 2m, buckets: 3}"},
	} {
		t.Run(row.name, func(t *testing.T) {
			own := row.service
			if own != "" {
				own = ", " + own
			}
			config, err := parse("templates: {t: {"+row.template+"}}\nservices: {a: {base: t"+own+"}}", row.variables)
			if err != nil {
				t.Fatal(err)
			}
			first, second := effective(t, config, "a"), effective(t, configured(t, "services: {a: {"+row.want+"}}"), "a")
			first.Base, first.said, second.said = "", nil, nil
			if got, want := fmt.Sprintf("%+v", first), fmt.Sprintf("%+v", second); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestErrorsOfTemplates(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{
			"templates: {slow: {}}\nservices: {a: {base: slwo}}",
			`x.yaml:2:22: services.a.base: "slwo" is no template (did you mean "slow"?); allowed: slow`,
		},
		{
			"services: {a: {base: slow}}",
			`x.yaml:1:22: services.a.base: "slow" is no template; allowed: a name under templates, of which there are none`,
		},
		{
			"templates:\n  x: {base: y}\n  y: {base: x}\n",
			`x.yaml:2:13: templates.x.base: "y" goes round in a circle: y, x, y; allowed: x, y`,
		},
		{ // and so for all that stand on it
			"templates:\n  c: {base: b}\n  b: {base: a}\n  a: {base: c}\n  d: {base: b}\nservices: {s: {base: d, retry: {max_delay: 1ns}}, t: {base: c}}",
			`x.yaml:4:13: templates.a.base: "c" goes round in a circle: c, b, a, c; allowed: a, b, c, d`,
		},
		{
			"templates:\n  x: {base: x}\n",
			`x.yaml:2:13: templates.x.base: "x" goes round in a circle: x, x; allowed: x`,
		},
		{ // what is wrong with a base is said where that is, once
			"templates:\n  x: {base: none}\n  y: {base: x}\nservices: {a: {base: y}, b: {base: x}}",
			`x.yaml:2:13: templates.x.base: "none" is no template; allowed: x, y`,
		},
		{ // with all other errors
			"services:\n  a: {base: none, preset: gitt, breaker: {min_calls: 5}}",
			`x.yaml:2:13: services.a.base: "none" is no template; allowed: a name under templates, of which there are none` + "\n" +
				`x.yaml:2:27: services.a.preset: "gitt" is no preset (did you mean "git"?); allowed: git, http, kubernetes, minio, scanner`,
		},
		{ // an error of a template is said once, where it is
			"templates:\n  x: {retry: {jitter: 7}}\nservices: {a: {base: x}, b: {base: x}}",
			"x.yaml:2:23: templates.x.retry.jitter: 7 is out of range; allowed: a number up to 1, or 0 for none",
		},
		{ // two settings that contradict each other, one of them in a template
			"templates:\n  x: {retry: {delay: 1m}}\nservices:\n  a: {base: x, retry: {max_delay: 1s}}",
			"x.yaml:4:35: services.a.retry.max_delay: 1s is below 1m0s, the value of templates.x.retry.delay in line 2; allowed: 1m0s or more",
		},
		{
			"templates: {x: {base: }}",
			"x.yaml:1:23: templates.x.base: an empty value is not the name of a template; allowed: a name under templates",
		},
		{
			"services: {a: {per_key: {idle: 1m}}}",
			"x.yaml:1:25: services.a.per_key: it is not said of which policies there shall be one for each key; " +
				"allowed: true for one or more of breaker, rate_limit, bulkhead, adaptive_limit",
		},
		{
			"services: {a: {chaos: {error_rate: 0.5}}}",
			"x.yaml:1:23: services.a.chaos: it is not said for how long calls shall be disturbed; allowed: a duration such as 500ms, 30s or 1h30m",
		},
		{
			"services: {a: {bulkhead: {max_wait: 1s}}}",
			"x.yaml:1:37: services.a.bulkhead.max_wait: 1s means nothing without max_queue; allowed: to leave it out, or to give max_queue",
		},
		{
			"services: {a: {rate_limit: {recovery: 1m}}}",
			"x.yaml:1:39: services.a.rate_limit.recovery: 1m0s means nothing without min_rate; allowed: to leave it out, or to give min_rate",
		},
		{
			"services: {a: {hedge: {delay: 50ms, quantile: 0.5}}}",
			"x.yaml:1:47: services.a.hedge.quantile: 0.5 contradicts services.a.hedge.delay in line 1; allowed: one of the two",
		},
		{
			"services: {a: {bulkhead: {order: filo}}}",
			`x.yaml:1:34: services.a.bulkhead.order: "filo" is no such word (did you mean "fifo"?); allowed: fifo, lifo`,
		},
		{
			"services: {a: {adaptive_limit: {min: 50, initial: 20}}}",
			"x.yaml:1:51: services.a.adaptive_limit.initial: 20 is below 50, the value of services.a.adaptive_limit.min in line 1; allowed: 50 or more",
		},
		{
			"services: {a: {timeout: {limit: 5, scope: until}}}",
			`x.yaml:1:33: services.a.timeout.limit: "5" has no unit, write "5s" for seconds or "5ms" for milliseconds; allowed: a duration such as 500ms, 30s or 1h30m, or 0 for the default, or off` + "\n" +
				`x.yaml:1:43: services.a.timeout.scope: "until" is no such word; allowed: until_result, each_read, until_end`,
		},
		{
			"services: {a: {chaos: {for: 1m, seed: -1}}}",
			`x.yaml:1:39: services.a.chaos.seed: "-1" is negative; allowed: a whole number, or 0 for another one each time`,
		},
	} {
		_, err := parse(row.text, nil)
		if err == nil || err.Error() != row.want {
			t.Errorf("%s\ngives %v\nwant  %s", row.text, err, row.want)
		}
	}
}

func TestTemplatesStandOnTopOfEachOtherOnlySoFar(t *testing.T) {
	text := "templates:\n  t0: {timeout: 7s}\n"
	for i := range 200 {
		text += fmt.Sprintf("  t%d: {base: t%d}\n", i+1, i)
	}
	short, _, _ := strings.Cut(text, "  t16:")
	short += "services: {a: {base: t15}}"
	if got := effective(t, configured(t, short), "a").Timeout; got != 7*time.Second {
		t.Errorf("through 16 templates comes %v", got)
	}
	_, err := parse(text, nil)
	const want = `x.yaml:19:15: templates.t17.base: "t16" stands on 16 templates and more; put what they say into fewer` + "\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %.300v\nwant %s", err, want)
	}
}

// The errors of New are as few as those of a file.
func TestNewSaysOnceWhatIsWrongWithATemplate(t *testing.T) {
	_, err := New(Config{
		Templates: map[string]ServiceConfig{"x": {Base: "none"}},
		Services:  map[string]ServiceConfig{"a": {Base: "x"}, "b": {Base: "x"}},
	})
	const want = `tidegate: templates.x.base: "none" is no template; allowed: x`
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v\nwant %s", err, want)
	}
}

// A variable for each key: what it says is what the file would say.
func TestEachKeyHasItsVariable(t *testing.T) {
	var c ServiceConfig
	keys := 0
	for _, g := range c.groups() {
		for i, key := range append(g.keys(), "") {
			path := g.key
			if key != "" {
				path += "." + key
			}
			value, nested := "off", "off"
			switch {
			case g.flag && key == "":
				value, nested = "true", "true"
			case key == "" && g.short != "":
				value, nested = "7s", "7s"
			case key != "":
				value = valueOf(g.settings[i])
				nested = "{" + key + ": " + value + "}"
			}
			keys++
			for _, section := range []string{"services", "templates"} {
				file := section + ": {my-1st store: {" + g.key + ": " + nested + "}}"
				want := newDecoder("x").file([]byte(file))
				d := newDecoder("x")
				got := d.file([]byte(section + ": {my-1st store: {}}"))
				d.environment(&got, func(name string) (string, bool) {
					if name == Variable(section+".my-1st store."+path) {
						return value, true
					}
					return "", false
				})
				if !alike(got, want) || len(d.errs) > 0 {
					t.Errorf("%s=%s gives %+v %v\nwant %+v", Variable(section+".my-1st store."+path), value, got, d.errs, want)
				}
			}
		}
	}
	if keys < 90 {
		t.Errorf("only %d keys", keys)
	}
}

// valueOf returns a value that a setting may have in a file.
func valueOf(s setting) string {
	switch {
	case s.words != nil:
		return s.words[len(s.words)-1]
	case s.allowed == aBool:
		return "true"
	case s.allowed == aDuration:
		return "3s"
	case strings.HasPrefix(s.allowed, "a number") && s.allowed != aFactor:
		return "0.5"
	default:
		return "3"
	}
}

func TestVariables(t *testing.T) {
	if got, want := Variable("services.my-store.breaker.timeout"), "TIDEGATE_SERVICES_MY_STORE_BREAKER_TIMEOUT"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const file = "templates: {x: {timeout: 9s}}\nservices: {a: {base: x, breaker: {failure_threshold: 9, timeout: 9s}}, a-b: {}, a_b: {}}"
	for _, row := range []struct {
		name      string
		variables map[string]string
		of        string
		want      func(ServiceConfig) bool
		wrong     string
	}{
		{
			"one service wins over all of them", map[string]string{
				"CIRCUIT_BREAKER_THRESHOLD": "4", "TIDEGATE_SERVICES_A_BREAKER_FAILURE_THRESHOLD": "3",
			},
			"a", func(c ServiceConfig) bool { return c.Breaker.FailureThreshold == 3 }, "",
		},
		{
			"all of them win over the file", map[string]string{"CIRCUIT_BREAKER_THRESHOLD": "4"},
			"a", func(c ServiceConfig) bool { return c.Breaker.FailureThreshold == 4 }, "",
		},
		{
			"the long name for all of them", map[string]string{"TIDEGATE_RETRIES_CIRCUIT_BREAKER_THRESHOLD": "4"},
			"a", func(c ServiceConfig) bool { return c.Breaker.FailureThreshold == 4 }, "",
		},
		{
			"a template's wins over its file", map[string]string{"TIDEGATE_TEMPLATES_X_TIMEOUT": "8s"},
			"a", func(c ServiceConfig) bool { return c.Timeout == 8*time.Second }, "",
		},
		{
			"preset and base", map[string]string{"TIDEGATE_SERVICES_A_B_BASE": "x"}, "a-b", nil,
			`environment: TIDEGATE_SERVICES_A_B_BASE: it stands for services.a-b.base and for services.a_b.base; allowed: names that differ in more than punctuation and case`,
		},
		{
			"a preset", map[string]string{"TIDEGATE_SERVICES_A_PRESET": "git"},
			"a", func(c ServiceConfig) bool { return c.Retry.Delay == 2*time.Second }, "",
		},
		{
			"off", map[string]string{"TIDEGATE_SERVICES_A_BREAKER": "off"},
			"a", func(c ServiceConfig) bool { return c.Breaker.FailureThreshold == Off }, "",
		},
		{
			"a value for a policy", map[string]string{"TIDEGATE_SERVICES_A_RETRY": "3"}, "a", nil,
			`environment: TIDEGATE_SERVICES_A_RETRY: "3" is no value for a policy; allowed: off, or a variable for one of its settings: ` +
				`attempts, delay, jitter, max_after, max_delay, multiplier, nested_attempts`,
		},
		{
			"a wrong value", map[string]string{"TIDEGATE_SERVICES_A_TIMEOUT": "3"}, "a", nil,
			`environment: TIDEGATE_SERVICES_A_TIMEOUT: "3" has no unit, write "3s" for seconds or "3ms" for milliseconds; ` +
				`allowed: a duration such as 500ms, 30s or 1h30m, or 0 for the default, or off`,
		},
		{
			"an unknown base", map[string]string{"TIDEGATE_SERVICES_A_BASE": "y"}, "a", nil,
			`environment: TIDEGATE_SERVICES_A_BASE: "y" is no template; allowed: x`,
		},
		{
			"a contradiction of two variables", map[string]string{
				"CIRCUIT_BREAKER_TIMEOUT": "1s", "TIDEGATE_SERVICES_A_BREAKER_TIMEOUT": "5m", "TIDEGATE_SERVICES_A_BREAKER_RECOVERY_TIME": "1m",
			}, "a", nil,
			`environment: TIDEGATE_SERVICES_A_BREAKER_RECOVERY_TIME: 1m0s is below 5m0s, the value of TIDEGATE_SERVICES_A_BREAKER_TIMEOUT; allowed: 5m0s or more`,
		},
		{
			"a contradiction of a variable for all", map[string]string{"CIRCUIT_BREAKER_TIMEOUT": "5m", "TIDEGATE_SERVICES_A_BREAKER_RECOVERY_TIME": "1m"}, "a", nil,
			`environment: TIDEGATE_SERVICES_A_BREAKER_RECOVERY_TIME: 1m0s is below 5m0s, the value of CIRCUIT_BREAKER_TIMEOUT; allowed: 5m0s or more`,
		},
		{
			"a value that is out of range", map[string]string{"TIDEGATE_SERVICES_A_RETRY_JITTER": "5"}, "a", nil,
			`environment: TIDEGATE_SERVICES_A_RETRY_JITTER: 5 is out of range; allowed: a number up to 1, or 0 for none`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			config, err := parse(file, row.variables)
			switch {
			case row.wrong != "" && (err == nil || err.Error() != row.wrong):
				t.Errorf("the error is %v\nwant %s", err, row.wrong)
			case row.wrong != "":
			case err != nil:
				t.Error(err)
			case !row.want(effective(t, config, row.of)):
				t.Errorf("got %+v", effective(t, config, row.of))
			}
		})
	}
}
