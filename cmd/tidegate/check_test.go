package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/internal/advice"
	"github.com/tidegate-go/tidegate/middleware"
)

// The files in testdata have the mistakes of newcomers; what they are told is beside them.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			status, out, err := program("", "check", file)
			golden(t, strings.TrimSuffix(name, ".yaml")+".golden", fmt.Sprintf("%s%s(exit status %d)\n", err, out, status))
			doubtful := name == "doubtful.yaml"
			if wrong := status == 1; wrong == doubtful {
				t.Errorf("status %d", status)
			}
		})
	}
}

// Every error is told with its place, the line and a caret below the place.
func TestEveryErrorHasItsLine(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, path := range append(files, "../../testdata/wrong.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		_, err = tidegate.ParseConfig(path, text, nil)
		f := &file{path, text}
		if err == nil {
			continue
		}
		_, _, told := program("", "check", path)
		for _, d := range f.errorsOf(err) {
			total++
			number := fmt.Sprint(d.line)
			line := lines[d.line-1]
			want := fmt.Sprintf("%s:%d:%d: ", path, d.line, d.column)
			i := strings.Index(told, want)
			if i < 0 || d.column < 1 {
				t.Errorf("%s: nothing is told at %s", path, want)
				continue
			}
			of := strings.Split(told[i:], "\n")
			caret := "  " + strings.Repeat(" ", len(number)) + " | " + strings.Map(blank, string([]rune(line)[:d.column-1])) + "^"
			if d.column <= excerptLeft && (of[1] != "  "+number+" | "+line || of[2] != caret) {
				t.Errorf("got\n%s\nwant a caret at column %d of\n%s", strings.Join(of[:3], "\n"), d.column, line)
			}
		}
	}
	if total < 60 {
		t.Errorf("only %d errors were looked at", total)
	}
}

// What is wrong in the environment has no line.
func TestErrorsOfTheEnvironment(t *testing.T) {
	t.Setenv("TIDEGATE_SERVICES_HTTP_TIMEOUT", "30")
	status, out, err := program("services: {http: {}}", "check", "-")
	want := "environment: TIDEGATE_SERVICES_HTTP_TIMEOUT: \"30\" has no unit, write \"30s\" for seconds or \"30ms\" for milliseconds\n" +
		"  allowed: a duration such as 500ms, 30s or 1h30m, or 0 for the default, or off\n\n<stdin>: 1 error\n"
	if status != 1 || out != "" || err != want {
		t.Errorf("status %d, output %q, errors\n%s\nwant\n%s", status, out, err, want)
	}
}

// What there is for each key is looked into, and explained.
func TestPoliciesForEachKey(t *testing.T) {
	const text = "services: {web: {preset: http, per_key: {breaker: true, bulkhead: true}, bulkhead: {max_concurrent: 4}}}"
	if status, out, err := program(text, "check", "-strict", "-"); status != 0 {
		t.Errorf("status %d, output %q, errors\n%s", status, out, err)
	}
	_, out, _ := program(text, "explain", "-")
	for _, want := range []string{"breaker per key", "lets 4 calls run", "MiB"} {
		if !strings.Contains(out, want) {
			t.Errorf("got\n%s\nwant %s", out, want)
		}
	}
}

// A warning stands where the setting is written that one would change.
func TestPlacesOfWarnings(t *testing.T) {
	const short = "timeout: 12s" // for the attempts of the preset
	for _, row := range []struct{ name, text, want string }{
		{"the setting", "services:\n  http:\n    " + short, "3:5"},
		{"one of several settings", "services:\n  web:\n    breaker: off\n    attempt_timeout: off\n    retry: {attempts: 2}\n", "3:5"},
		{"a template", "templates:\n  t:\n    " + short + "\nservices:\n  http:\n    base: t", "3:5"},
		{"a template of a template", "templates:\n  t: {base: u}\n  u:\n    " + short + "\nservices:\n  http:\n    base: t", "4:5"},
		{"the service before its template", "templates:\n  t: {attempt_timeout: 9s}\nservices:\n  http:\n    base: t\n    " + short, "6:5"},
		{"an alias", "services:\n  git: &g\n    preset: http\n    " + short + "\n  http: *g", "4:5"},
		{"a merge", "templates:\n  t: &t\n    " + short + "\nservices:\n  http:\n    <<: *t", "3:5"},
		{"a list of merges", "templates:\n  t: &t\n    " + short + "\nservices:\n  http:\n    <<: [*t]", "3:5"},
		{"one of two merges", "templates:\n  t: &t {preset: http}\n  u: &u\n    " + short + "\nservices:\n  http:\n    <<: [*t, *u]", "4:5"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := program(row.text, "check", "-")
			if !strings.HasPrefix(err, "<stdin>:"+row.want+": warning: ") {
				t.Errorf("got\n%swant a warning at %s", err, row.want)
			}
		})
	}
}

// A setting of the environment is written nowhere: the place is that of the service.
func TestPlaceOfAWarningAboutTheEnvironment(t *testing.T) {
	t.Setenv("TIDEGATE_SERVICES_HTTP_TIMEOUT", "12s")
	_, _, err := program("services:\n  http: {}", "check", "-")
	if !strings.HasPrefix(err, "<stdin>:2:3: warning: services.http: ") {
		t.Errorf("got\n%s", err)
	}
}

// Chaos is checked as in a program that permits it, and warned of.
func TestChaosIsAWarning(t *testing.T) {
	status, _, err := program("services: {http: {chaos: {for: 1m, error_rate: 0.1}}}", "check", "-")
	if status != 0 || !strings.Contains(err, "rule: chaos_present\n") {
		t.Errorf("status %d\n%s", status, err)
	}
}

// Each rule is about settings that there are.
func TestRules(t *testing.T) {
	all, err := settings()
	if err != nil {
		t.Fatal(err)
	}
	var keys, policies []string
	for _, s := range all {
		keys = append(keys, strings.Join(s.path(), "."))
		if s.key == "" {
			policies = append(policies, s.policy)
		}
	}
	for _, rule := range advice.Rules() {
		about := advice.Settings(middleware.Finding{Rule: rule, Policies: policies})
		for _, key := range about {
			if !slices.Contains(keys, key) {
				t.Errorf("%s: there is no %s", rule, key)
			}
		}
		if len(about) == 0 {
			t.Errorf("%s is about nothing", rule)
		}
	}
}

// What to do is said in the words of the file, whichever rule it is.
func TestFixesAreInTheWordsOfTheFile(t *testing.T) {
	const breaker = "breaker: {slow_call: "
	field := regexp.MustCompile(`(?m)^  fix:.*[A-Z]`)
	for rule, text := range map[string]string{
		"limit_never_fires":     "timeout: 1s, attempt_timeout: 2s",
		"attempts_do_not_fit":   "timeout: 29s",
		"no_timeout":            "timeout: off, attempt_timeout: off",
		"no_attempt_timeout":    "attempt_timeout: off",
		"wait_beyond_limit":     "rate_limit: {rate: 1, max_wait: 1m}",
		"slow_call_never":       breaker + "1m, min_calls: 5}",
		"slow_call_counts_wait": breaker + "1s, min_calls: 5}, bulkhead: {max_queue: 1, max_wait: 2s}",
		"lease_too_short":       "bulkhead: {lease: 1s}",
		"hedge_never_begins":    "hedge: {delay: 20s}",
		"budget_off":            "budget: off",
		"nothing_judges":        "breaker: off",
		"breaker_sees_too_few":  "breaker: {failure_rate: 0.5, min_calls: 100, window: 10s}, rate_limit: {rate: 1}",
		"chaos_present":         "chaos: {for: 1m, error_rate: 0.1}",
	} {
		_, _, err := program("services: {http: {"+text+"}}", "check", "-")
		if !strings.Contains(err, "  rule: "+rule+"\n") || field.MatchString(err) {
			t.Errorf("%s: got\n%s", rule, err)
		}
	}
}

// A variable that looks like one of a setting and is none is warned of, with what was meant.
func TestUnknownVariables(t *testing.T) {
	const text = "templates: {slow: {}}\nservices: {http: {}, my-store: {}}"
	for _, row := range []struct{ variable, value, meant string }{
		{"TIDEGATE_SERVICES_HTTP_TIMEOT", "40s", "TIDEGATE_SERVICES_HTTP_TIMEOUT"},
		{"TIDEGATE_SERVICES_HTPP_TIMEOUT", "40s", "TIDEGATE_SERVICES_HTTP_TIMEOUT"},
		{"TIDEGATE_SERVICES_MYSTORE_RETRY_ATTEMPTS", "4", "TIDEGATE_SERVICES_MY_STORE_RETRY_ATTEMPTS"},
		{"TIDEGATE_SERVICES_HTTP_BREAKER_TIME", "4s", ""},
		{"TIDEGATE_TEMPLATES_SLOW_TIMEOUTS", "40s", "TIDEGATE_TEMPLATES_SLOW_TIMEOUT"},
		{"TIDEGATE_RETRIES_CIRCUIT_BREAKER_TIMEUOT", "40s", "TIDEGATE_RETRIES_CIRCUIT_BREAKER_TIMEOUT"},
		{"TIDEGATE_SERVICES_BILLING_BREAKER_TIMEOUT", "40s", ""},
	} {
		t.Run(row.variable, func(t *testing.T) {
			t.Setenv(row.variable, row.value)
			status, out, err := program(text, "check", "-")
			want := "environment: warning: " + row.variable + ": it stands for no setting that <stdin> may have, so it changes nothing\n"
			if row.meant != "" {
				want += "  fix: rename it to " + row.meant + ", if that is meant\n"
			}
			want += "  rule: unknown_variable\n\n"
			if status != 0 || err != want || out != "<stdin> has no errors: 2 services, 1 warning\n" {
				t.Errorf("status %d, output %s, errors\n%s\nwant\n%s", status, out, err, want)
			}
			if status, _, _ := program(text, "check", "-strict", "-ignore", "unknown_variable", "-"); status != 0 {
				t.Errorf("status %d although the rule is ignored", status)
			}
		})
	}
}

// Each variable that a program reads is known, and so is what says nothing or is of others.
func TestKnownVariables(t *testing.T) {
	for variable, value := range map[string]string{
		"TIDEGATE_SERVICES_HTTP_TIMEOUT_LIMIT":     "40s",
		"TIDEGATE_SERVICES_HTTP_TIMEOUT_SCOPE":     "until_end",
		"TIDEGATE_SERVICES_HTTP_BREAKER":           "off",
		"TIDEGATE_SERVICES_HTTP_PRESET":            "http",
		"TIDEGATE_SERVICES_HTTP_BASE":              "slow",
		"TIDEGATE_SERVICES_HTTP_OBSERVE_ONLY":      "true",
		"TIDEGATE_TEMPLATES_SLOW_RETRY_DELAY":      "1s",
		"TIDEGATE_RETRIES_CIRCUIT_BREAKER_TIMEOUT": "40s",
		"TIDEGATE_SERVICES_GONE_TIMEOUT":           "",
		"TIDEGATE_LOG":                             "debug",
		"CIRCUIT_BREAKER_TIMEOUT":                  "40s",
	} {
		t.Setenv(variable, value)
	}
	_, out, err := program("templates: {slow: {}}\nservices: {http: {retry: off, chaos: off}}", "check", "-")
	if strings.Contains(err, "unknown_variable") || out == "" {
		t.Errorf("output %s, errors\n%s", out, err)
	}
}

// Whatever is in a file, check ends and says that the file is wrong if and only if a program
// would refuse it.
func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("a: &a {<<: *a}\nservices: {http: &x {<<: *x, timeout: 12s}}")
	f.Add("services: {http: &x {<<: [*x, *x, *x, *x], timeout: 12s}}")
	f.Fuzz(func(t *testing.T, text string) {
		_, wrong := tidegate.ParseConfig("<stdin>", []byte(text), nil)
		status, out, err := program(text, "check", "-")
		if (status == 1) != (wrong != nil) || (out == "") != (wrong != nil) || status == 2 {
			t.Errorf("status %d, output %q, errors\n%s\nbut the error is %v", status, out, err, wrong)
		}
		if status == 0 {
			program(text, "explain", "-variables", "-")
		}
	})
}

// What is doubtful is said once, and not in the log too.
func TestWarningsAreNotLogged(t *testing.T) {
	var logged bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer slog.SetDefault(was)
	if _, _, err := program("", "check", "testdata/doubtful.yaml"); !strings.Contains(err, "warning") || logged.Len() > 0 {
		t.Errorf("errors\n%s\nlogged\n%s", err, logged.String())
	}
}
