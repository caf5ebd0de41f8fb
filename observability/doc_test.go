package observability_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// table returns the rows of the table in doc.go whose heading begins like that: the lines of
// each, by the name that begins it.
func table(t *testing.T, heading string) map[string]string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	rows, name, inside := map[string]string{}, "", false
	for line := range strings.Lines(string(doc)) {
		row, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		switch {
		case ok && strings.HasPrefix(row, heading):
			inside = true
		case !inside:
		case !ok:
			inside = false
		default:
			if first, _, _ := strings.Cut(row, " "); strings.HasPrefix(first, observability.Namespace) {
				name, row = first, strings.TrimPrefix(row, first)
			}
			rows[name] += row + "\n"
		}
	}
	if len(rows) == 0 {
		t.Fatalf("doc.go has no table %q", heading)
	}
	return rows
}

func set(words []string) []string { return slices.Compact(slices.Sorted(slices.Values(words))) }

// Each event has the severities and the attributes that doc.go says, and no others.
func TestEventsAreAsDocumented(t *testing.T) {
	l := new(logs)
	full := func(kind middleware.Kind, to, reason string) middleware.Event {
		return middleware.Event{
			Kind: kind, Policy: "p", Key: "k", Attempt: 2, Wait: time.Second, From: "closed", To: to, Reason: reason,
			Err: errors.New(canary), Rate: 0.5, Opener: "trace",
		}
	}
	events := []middleware.Event{
		full(middleware.Transition, "observed_open", "failure_rate"), full(middleware.Transition, "half_open", "delay_elapsed"),
		full(middleware.RetryStopped, "", "budget"), full(middleware.FallbackUsed, "", "failed"),
	}
	for kind := middleware.Kind(1); kind.String() != "unknown"; kind++ {
		events = append(events, full(kind, "open", "some_reason"))
	}
	chain := middleware.NewChain("x", newRecorder().observer(observability.WithLoggerProvider(l)), emit(events...))
	_ = chain.Do(t.Context(), succeed)

	severities, attributes := map[string][]string{}, map[string][]string{}
	for _, r := range l.all {
		name := r.EventName()
		severities[name] = set(append(severities[name], r.Severity().String()))
		r.WalkAttributes(func(a attribute.KeyValue) bool {
			switch a.Key {
			case "tidegate.policy.name", "tidegate.policy.key", "tidegate.chain.name":
			default:
				attributes[name] = set(append(attributes[name], string(a.Key)))
			}
			return true
		})
	}
	rows := table(t, "event ")
	rows["tidegate.policy.waited"] = "tidegate.wait.duration [DEBUG]"
	rows["tidegate.policy.rejected"] = "tidegate.retry_after tidegate.breaker.opened_by error.type [WARN]" // the row has its own test
	maps.DeleteFunc(severities, func(name string, _ []string) bool {
		row, ok := rows[name]
		if !ok {
			t.Errorf("%s has no row", name)
			return true
		}
		_, brackets, _ := strings.Cut(row, "[")
		brackets, _, _ = strings.Cut(brackets, "]")
		if got, want := severities[name], set(regexp.MustCompile(`[A-Z]{4,}`).FindAllString(brackets, -1)); !slices.Equal(got, want) {
			t.Errorf("%s has the severities %q, doc.go says %q", name, got, want)
		}
		if got, want := attributes[name], set(regexp.MustCompile(`tidegate\.[a-z_.]+[a-z]|error\.type`).FindAllString(row, -1)); !slices.Equal(got, want) {
			t.Errorf("%s has the attributes\n%q, doc.go says\n%q", name, got, want)
		}
		delete(rows, name)
		return true
	})
	for name := range rows {
		t.Errorf("%s has a row in doc.go and nobody made it", name)
	}
}

// Each instrument has the kind, the unit and the attributes that doc.go says, and no others.
func TestInstrumentsAreAsDocumented(t *testing.T) {
	r := newRecorder()
	chain := middleware.NewChain("x", r.observer(), policies.NewBreaker(policies.BreakerConfig{}), policies.NewBulkhead(policies.BulkheadConfig{}), adaptive(), emit(
		middleware.Event{Kind: middleware.Waited, Policy: "breaker", Key: "k", Reason: "reason", Wait: time.Second},
		middleware.Event{Kind: middleware.TimedOut, Policy: "breaker", Key: "k", Attempt: 1, Err: errors.New(canary)},
		middleware.Event{Kind: middleware.Transition, Policy: "breaker", Key: "k", From: "open", To: "closed", Reason: "reason"}))
	_ = chain.Do(middleware.WithOperation(t.Context(), middleware.Operation{Name: "o", Key: "k"}), fail503)
	rows := table(t, "instrument ")
	for _, m := range r.metrics(t) {
		kind, attributes := kindOf(t, m)
		for i, a := range attributes {
			attributes[i] = strings.TrimPrefix(a, observability.Namespace)
		}
		got := fmt.Sprintf("%s, %s %s", kind, m.Unit, strings.Join(set(attributes), " "))
		fields := strings.Fields(strings.ReplaceAll(rows[m.Name], ",", ""))
		if len(fields) < 2 || m.Description == "" {
			t.Errorf("%s has no row in doc.go, or no description", m.Name)
			continue
		}
		if want := fmt.Sprintf("%s, %s %s", fields[0], fields[1], strings.Join(set(fields[2:]), " ")); got != want {
			t.Errorf("%s is\n%s, doc.go says\n%s", m.Name, got, want)
		}
		delete(rows, m.Name)
	}
	for name := range rows {
		t.Errorf("%s has a row in doc.go and nobody measured it", name)
	}
	runtime.KeepAlive(chain)
}

func kindOf(t *testing.T, m metricdata.Metrics) (kind string, attributes []string) {
	t.Helper()
	add := func(s attribute.Set) {
		for _, a := range s.ToSlice() {
			attributes = append(attributes, string(a.Key))
		}
	}
	counter := map[bool]string{true: "counter", false: "up-down"}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		kind = counter[data.IsMonotonic]
		for _, p := range data.DataPoints {
			add(p.Attributes)
		}
	case metricdata.Sum[float64]:
		kind = counter[data.IsMonotonic]
		for _, p := range data.DataPoints {
			add(p.Attributes)
		}
	case metricdata.Gauge[float64]:
		kind = "gauge"
		for _, p := range data.DataPoints {
			add(p.Attributes)
		}
	case metricdata.Histogram[int64]:
		kind = "histogram"
		for _, p := range data.DataPoints {
			add(p.Attributes)
		}
	case metricdata.Histogram[float64]:
		kind = "histogram"
		for _, p := range data.DataPoints {
			add(p.Attributes)
		}
	default:
		t.Fatalf("%s is a %T", m.Name, m.Data)
	}
	return kind, attributes
}
