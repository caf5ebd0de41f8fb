package observability

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

const (
	rulesFile     = "prometheus/tidegate.rules.yaml"
	ruleTestsFile = "prometheus/tidegate.rules.test.yaml"
	dashboardFile = "grafana/tidegate.json"
	runbookFile   = "../" + runbook
	runbookURL    = "https://github.com/tidegate-go/tidegate/blob/main/" + runbook + "#"
)

type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readRules(t *testing.T) ruleFile {
	t.Helper()
	var f ruleFile
	if err := yaml.Unmarshal(readText(t, rulesFile), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func readText(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRulesAreTheAlertsOfTheProcess(t *testing.T) {
	var got []alertRule
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			rule := alertRule{
				name:     strings.TrimPrefix(r.Alert, "Tidegate"),
				severity: Severity(r.Labels["severity"]),
				anchor:   strings.TrimPrefix(r.Annotations["runbook_url"], runbookURL),
			}
			if r.For != "" {
				var err error
				if rule.hold, err = time.ParseDuration(r.For); err != nil {
					t.Error(err)
				}
			}
			got = append(got, rule)
			if r.Alert == rule.name || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s has no summary, no description or not the name of an alert", r.Alert)
			}
			for _, label := range []string{"chain", "policy"} {
				by := strings.Contains(r.Expr, "tidegate_"+label+"_name)") && !strings.HasPrefix(r.Expr, "count by (job)")
				if want := "{{ $labels.tidegate_" + label + "_name }}"; by && r.Labels[label] != want {
					t.Errorf("%s has the label %s %q, want %q", r.Alert, label, r.Labels[label], want)
				}
			}
		}
	}
	if want := alertRules(Thresholds{}); !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRulesHaveTheThresholdsOfTheProcess(t *testing.T) {
	d := Thresholds{}.complete()
	calls := fmt.Sprintf(">= %d", d.MinCalls)
	want := map[string][]string{
		breakerOpen:          {"> 0"}, // a circuit
		breakerStuckOpen:     {"> 0"},
		breakerFlapping:      {fmt.Sprintf(">= %d", d.BreakerFlapping+1)},
		severalBreakersOpen:  {"> 0", fmt.Sprintf(">= %d", d.SeveralBreakersOpen)},
		retryStorm:           {fmt.Sprintf("> %v", d.RetryStorm), fmt.Sprintf(">= %v", stormRate)},
		retryBudgetExhausted: {fmt.Sprintf("> %d", d.RetryBudgetExhausted)},
		rateLimiterSaturated: {fmt.Sprintf("> %v", d.RateLimiterSaturated), calls},
		loadShedding:         {fmt.Sprintf("> %v", d.LoadShedding), calls},
		queueWaitHigh:        {fmt.Sprintf("> %v", d.QueueWaitHigh.Seconds()), calls},
		operationErrorsHigh:  {fmt.Sprintf("> %v", d.OperationErrorsHigh), calls},
		timeoutsHigh:         {fmt.Sprintf("> %v", d.TimeoutsHigh), calls},
		chaosActive:          {"> 0"}, // a policy that is armed
	}
	windows := map[string]string{breakerFlapping: "[10m]", breakerOpen: "", breakerStuckOpen: "", severalBreakersOpen: "", chaosActive: ""}
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			name := strings.TrimPrefix(r.Alert, "Tidegate")
			if got := regexp.MustCompile(`>=? [0-9.]+`).FindAllString(r.Expr, -1); !slices.Equal(got, want[name]) {
				t.Errorf("%s compares with %q, want %q", name, got, want[name])
			}
			window, ok := windows[name]
			if !ok {
				window = "[5m]"
			}
			for _, got := range regexp.MustCompile(`\[\w+\]`).FindAllString(r.Expr, -1) {
				if got != window {
					t.Errorf("%s looks back on %s, want %s", name, got, window)
				}
			}
		}
	}
}

func TestRunbookHasASectionForEachAlert(t *testing.T) {
	var sections, alerts []string
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllSubmatch(readText(t, runbookFile), -1) {
		sections = append(sections, string(m[1]))
	}
	for _, a := range alertRules(Thresholds{}) {
		alerts = append(alerts, a.name)
		if a.anchor != strings.ToLower(a.name) {
			t.Errorf("the anchor of %s is %q", a.name, a.anchor)
		}
	}
	if !slices.Equal(sections, alerts) {
		t.Errorf("the runbook has the sections %q, want %q", sections, alerts)
	}
}

// Each alert fires in a case, does not fire in one, and clears in one.
func TestEachAlertHasItsCases(t *testing.T) {
	var file struct {
		Tests []struct {
			Checks []struct {
				At     string `yaml:"eval_time"`
				Alert  string `yaml:"alertname"`
				Alerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(readText(t, ruleTestsFile), &file); err != nil {
		t.Fatal(err)
	}
	fires, stays, clears := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		begun := map[string]bool{}
		for _, c := range test.Checks { // in the order of time
			switch {
			case len(c.Alerts) > 0:
				fires[c.Alert], begun[c.Alert] = true, true
			case begun[c.Alert]:
				clears[c.Alert] = true
			default:
				stays[c.Alert] = true
			}
		}
	}
	for _, a := range alertRules(Thresholds{}) {
		if name := "Tidegate" + a.name; !fires[name] || !stays[name] || !clears[name] {
			t.Errorf("%s: a case in which it fires: %v, does not: %v, clears: %v", name, fires[name], stays[name], clears[name])
		}
	}
}

// An exported series has labels, and these have values.
type exported map[string]map[string]map[string]bool

// readExported returns what a program showed to Prometheus.
func readExported(t *testing.T) exported {
	t.Helper()
	all := exported{}
	series := regexp.MustCompile(`(?m)^(tidegate_\w+)\{(.*)\}$`)
	for _, m := range series.FindAllSubmatch(readText(t, "prometheus/metrics.golden"), -1) {
		name := string(m[1])
		if all[name] == nil {
			all[name] = map[string]map[string]bool{"job": nil, "instance": nil}
		}
		for _, l := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllSubmatch(m[2], -1) {
			label, value := string(l[1]), string(l[2])
			if all[name][label] == nil {
				all[name][label] = map[string]bool{}
			}
			all[name][label][value] = true
		}
	}
	for name, labels := range all { // the file has the buckets of one series only
		if histogram, ok := strings.CutSuffix(name, "_bucket"); ok {
			maps.Copy(labels, all[histogram+"_count"])
		}
	}
	if len(all) < 9 {
		t.Fatalf("there are only %q", slices.Collect(maps.Keys(all)))
	}
	return all
}

var (
	selectors = regexp.MustCompile(`(tidegate_\w+)\{([^{}]*)\}`)
	matchers  = regexp.MustCompile(`(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"`)
	ours      = regexp.MustCompile(`\btidegate_\w+`)
)

// unknown returns what in a text with queries names no metric, label or value that is
// exported. The states and decisions that no example shows are words of doc.go.
func (e exported) unknown(text, doc string) (names []string) {
	for _, s := range selectors.FindAllStringSubmatch(text, -1) {
		labels, ok := e[s[1]]
		if !ok {
			names = append(names, s[1])
			continue
		}
		for _, m := range matchers.FindAllStringSubmatch(s[2], -1) {
			values, ok := labels[m[1]]
			if !ok {
				names = append(names, s[1]+"{"+m[1]+"}")
				continue
			}
			if m[1] == "le" || values == nil || strings.Contains(m[3], "$") || strings.Contains(m[1], "_name") {
				continue
			}
			for word := range strings.SplitSeq(m[3], "|") {
				known := values[word] || regexp.MustCompile(`\b`+word+`\b`).MatchString(doc)
				if strings.HasPrefix(m[2], "=~") && strings.Contains(word, ".*") {
					known = slices.ContainsFunc(slices.Collect(maps.Keys(values)), regexp.MustCompile("^"+word+"$").MatchString)
				}
				if !known {
					names = append(names, s[1]+"{"+m[1]+"="+word+"}")
				}
			}
		}
	}
	labels := map[string]bool{}
	for _, l := range e {
		for name := range l {
			labels[name] = true
		}
	}
	for _, name := range ours.FindAllString(text, -1) {
		if _, metric := e[name]; !metric && !labels[name] {
			names = append(names, name)
		}
	}
	return names
}

// Rules, their tests, the dashboard and the runbook rely on what is exported.
func TestQueriesNameWhatIsExported(t *testing.T) {
	e, doc := readExported(t), string(readText(t, "doc.go"))
	for _, file := range []string{rulesFile, ruleTestsFile, dashboardFile, runbookFile} {
		text := string(readText(t, file))
		if strings.HasSuffix(file, ".json") {
			var all strings.Builder
			for s := range textsOf(readDashboard(t)) {
				all.WriteString(s + "\n")
			}
			text = all.String()
		}
		if names := e.unknown(text, doc); len(names) > 0 {
			t.Errorf("%s names %q, which are not exported", file, names)
		}
		if !selectors.MatchString(text) {
			t.Errorf("%s has no query", file)
		}
	}
}

func TestUnknownNamesAreFound(t *testing.T) {
	e, doc := readExported(t), string(readText(t, "doc.go"))
	for _, row := range []struct{ query, want string }{
		{`sum by (job, tidegate_chain_name) (rate(tidegate_policy_decisions_total{tidegate_decision=~"rejected.*"}[5m]))`, ""},
		{`tidegate_breaker_status{tidegate_breaker_state="observed_half_open", job=~"$job"}`, ""},
		{`tidegate_breaker_status{tidegate_breaker_state=~"open|ajar"}`, "tidegate_breaker_status{tidegate_breaker_state=ajar}"},
		{`tidegate_breaker_status{tidegate_outcome="success"}`, "tidegate_breaker_status{tidegate_outcome}"},
		{`tidegate_breaker_status{chain="x"}`, "tidegate_breaker_status{chain}"},
		{`sum(tidegate_breaker_state)`, ""}, // a label, as in by (...)
		{`sum by (tidegate_chain) (tidegate_policy_active)`, "tidegate_chain"},
		{`rate(tidegate_operation_duration_count[5m])`, "tidegate_operation_duration_count"},
		{`tidegate_policy_decisions_total{tidegate_decision=~"refused.*"}`, "tidegate_policy_decisions_total{tidegate_decision=refused.*}"},
	} {
		if got := strings.Join(e.unknown(row.query, doc), " "); got != row.want {
			t.Errorf("%s: got %q, want %q", row.query, got, row.want)
		}
	}
}

// textsOf yields all texts in a JSON value.
func textsOf(v any) func(yield func(string) bool) {
	return func(yield func(string) bool) { eachText(v, yield) }
}

func eachText(v any, yield func(string) bool) bool {
	switch v := v.(type) {
	case string:
		return yield(v)
	case []any:
		for _, x := range v {
			if !eachText(x, yield) {
				return false
			}
		}
	case map[string]any:
		for _, x := range v {
			if !eachText(x, yield) {
				return false
			}
		}
	}
	return true
}

func readDashboard(t *testing.T) map[string]any {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(readText(t, dashboardFile), &d); err != nil {
		t.Fatal(err)
	}
	return d
}
