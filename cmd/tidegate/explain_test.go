package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate"
)

const explained = "testdata/doubtful.yaml"

// What is explained is what the chain of the service says of itself.
func TestExplanations(t *testing.T) {
	text, err := os.ReadFile(explained)
	if err != nil {
		t.Fatal(err)
	}
	_, manager, err := (&file{explained, text}).load()
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var plain, drawn []string
	for _, name := range []string{"queue", "billing"} { // in the order of the arguments
		s, err := manager.Service(name)
		if err != nil {
			t.Fatal(err)
		}
		e := s.Chain().Explain()
		plain = append(plain, e.String())
		drawn = append(drawn, fmt.Sprintf("## %s\n\n```mermaid\n%s```\n", name, e.Mermaid()))
	}
	for form, want := range map[string]string{"-mermaid=false": strings.Join(plain, "\n\n"), "-mermaid": strings.Join(drawn, "\n")} {
		if status, out, err := program("", "explain", form, explained, "queue", "billing"); status != 0 || err != "" || out != want {
			t.Errorf("status %d, errors %q, output\n%s\nwant\n%s", status, err, out, want)
		}
	}
}

func TestListOfSettings(t *testing.T) {
	for variable, value := range map[string]string{
		"CIRCUIT_BREAKER_TIMEOUT":                "20s",
		"TIDEGATE_SERVICES_QUEUE_RETRY_ATTEMPTS": "2",
		"TIDEGATE_TEMPLATES_SLOW_THROTTLE_K":     "3",
		"TIDEGATE_SERVICES_BILLING_BUDGET":       "", // says nothing
	} {
		t.Setenv(variable, value)
	}
	status, out, err := program("", "explain", "-variables", explained, "queue", "billing")
	if status != 0 || err != "" {
		t.Errorf("status %d, errors %q", status, err)
	}
	golden(t, "variables.golden", out)
}

// Without a name, all services are explained, in order.
func TestAllServicesAreExplained(t *testing.T) {
	for _, form := range []string{"-mermaid=false", "-mermaid", "-variables"} {
		_, out, _ := program("", "explain", form, explained)
		at := -1
		for _, name := range []string{"billing", "queue", "reports", "stuck"} {
			title := name + "\n"
			if form == "-mermaid" {
				title = "## " + title
			}
			next := strings.Index("\n"+out, "\n"+title)
			if next <= at {
				t.Errorf("%s: %s is missing, or not where it should be", form, name)
			}
			at = next
		}
	}
}

// The list of settings has each one that the schema knows, and the variables that it names
// are those that a program reads: one with a nonsensical value is an error that names it.
func TestVariablesAreThoseOfTheProgram(t *testing.T) {
	const text = "templates: {t: {timeout: 5s}}\nservices:\n  my-Store 2:\n    base: t\n    retry: off"
	_, out, _ := program(text, "explain", "-variables", "-")
	lines := strings.Split(strings.TrimSpace(out), "\n")[1:]
	if len(lines) < 80 {
		t.Fatalf("only %d settings", len(lines))
	}
	for _, line := range lines {
		words := strings.Fields(line)
		variable := words[len(words)-1]
		_, err := tidegate.ParseConfig("x", []byte(text), func(name string) (string, bool) {
			if name != variable {
				return "", false
			}
			return "?!", true
		})
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s=?! gives %v", variable, err)
		}
	}
}

// What gives a setting is named: the nearest that does.
func TestOrigins(t *testing.T) {
	const (
		template = "templates:\n  t:\n    breaker: {timeout: 50s}\n"
		retries  = "retries:\n  circuit_breaker_timeout: 40s\n"
		service  = "services:\n  http:\n    base: t\n    breaker:\n      timeout: 1m\n"
	)
	for _, row := range []struct{ name, text, variable, want string }{
		{"the preset", "services: {http: {}}", "", "30s preset http"},
		{"the preset by its name", "services: {x: {preset: git}}", "", "5m0s preset git"},
		{"the default", "services: {x: {}}", "", "30s default"},
		{"for all breakers", "retries:\n  circuit_breaker_timeout: 40s\nservices: {x: {}}", "", "40s <stdin>:2"},
		{"a template over that", template + retries + "services: {x: {base: t}}", "", "50s <stdin>:3"},
		{"the service over that", template + retries + service, "", "1m0s <stdin>:10"},
		{"a variable for all breakers", template + retries + service, "CIRCUIT_BREAKER_TIMEOUT", "70s CIRCUIT_BREAKER_TIMEOUT"},
		{"another one", template + retries + service, "TIDEGATE_RETRIES_CIRCUIT_BREAKER_TIMEOUT", "70s TIDEGATE_RETRIES_CIRCUIT_BREAKER_TIMEOUT"},
		{"one for the template", template + "services: {x: {base: t}}", "TIDEGATE_TEMPLATES_T_BREAKER_TIMEOUT", "70s TIDEGATE_TEMPLATES_T_BREAKER_TIMEOUT"},
		{"one for a template, below the service", template + service, "TIDEGATE_TEMPLATES_T_BREAKER_TIMEOUT", "1m0s <stdin>:8"},
		{"one for the service", template + retries + service, "TIDEGATE_SERVICES_HTTP_BREAKER_TIMEOUT", "70s environment"},
		{"nothing, when the policy is off", "services: {x: {breaker: off}}", "", "- -"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.variable != "" {
				t.Setenv(row.variable, "70s")
			}
			_, out, err := program(row.text, "explain", "-variables", "-")
			i := strings.Index(out, "  breaker.timeout ")
			if i < 0 {
				t.Fatalf("got\n%s%s", out, err)
			}
			words := strings.Fields(strings.SplitN(out[i:], "\n", 2)[0])
			got := strings.Join(words[1:len(words)-1], " ")
			if strings.ReplaceAll(got, "1m10s", "70s") != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

// Settings come in order, each policy before its own.
func TestSettingsAreSorted(t *testing.T) {
	all, err := settings()
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, s := range all {
		paths = append(paths, fmt.Sprint(s.path()))
	}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b setting) int { return slices.Compare(a.path(), b.path()) })
	if !slices.Equal(sorted, all) {
		t.Errorf("got %q", paths)
	}
}
