package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// A circuit is a policy whose report a test sets.
type circuit struct {
	mu     sync.Mutex
	report middleware.Report
}

func (c *circuit) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (c *circuit) Reports(yield func(middleware.Report) bool) {
	c.mu.Lock()
	r := c.report
	c.mu.Unlock()
	yield(r)
}

// is sets the state of the circuit.
func (c *circuit) is(state string, since, opened time.Time, opener string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report = middleware.Report{
		Type: "breaker", Name: "breaker",
		Breaker: &middleware.Circuit{State: state, Since: since, Opened: opened, Opener: opener},
	}
}

// A staff is a Manager of the chains that a test makes.
type staff struct{ chains []*middleware.Chain }

func (s *staff) Chains() []*middleware.Chain { return s.chains }
func (*staff) ForceOpen(string) error        { return nil }
func (*staff) Release(string) error          { return nil }
func (*staff) Reset(string) error            { return nil }

// withCircuits returns a Manager with a chain for each name, and their circuits.
func withCircuits(names ...string) (*staff, map[string]*circuit) {
	m, all := &staff{}, make(map[string]*circuit)
	for _, name := range names {
		all[name] = &circuit{}
		all[name].is("closed", noon, time.Time{}, "")
		m.chains = append(m.chains, middleware.NewChain(name, all[name]))
	}
	return m, all
}

// lines are alerts as text.
func lines(alerts []Alert) (all []string) {
	for _, a := range alerts {
		all = append(all, fmt.Sprintf("%s %s %s since %s: %s", a.Severity, a.Name, place(a.Chain, a.Policy, a.Key), a.Since.Sub(noon), a.Text))
	}
	return all
}

func named(alerts []Alert) (names []string) {
	for _, a := range alerts {
		names = append(names, a.Name)
	}
	return names
}

// reporting returns the report of a policy with one reading.
func reporting(kind, reading string, value float64) middleware.Report {
	return middleware.Report{Type: kind, Name: kind, Readings: []middleware.Reading{{Name: reading, Value: value}}}
}

// Of each condition about calls: where it does not hold yet, where it does, and what it says.
func TestConditionsHoldBeyondTheirThreshold(t *testing.T) {
	id := trace.TraceID{0xab}
	by := func(c cause, policy string) (w [causes]witness) {
		w[c] = witness{policy: policy, trace: id, at: noon}
		return w
	}
	waits := func(n int, short, long time.Duration) (h histogram) {
		for i := range n {
			if i*20 < n { // one in twenty
				h.add(long)
			} else {
				h.add(short)
			}
		}
		return h
	}
	openings := func(n int) (all []opened) {
		for range n {
			all = append(all, opened{noon, "breaker", "eu", id})
		}
		return all
	}
	calls := func(c counts, by cause, policy string) chainState {
		w := [causes]witness{}
		if policy != "" {
			w[by] = witness{policy: policy, trace: id, at: noon}
		}
		return chainState{recent: figures{counts: c, span: 5 * time.Minute, witness: w}}
	}
	for _, row := range []struct {
		name  string
		below []chainState
		above chainState
		text  string
		trace bool
	}{
		{
			retryStorm,
			[]chainState{
				calls(counts{successes: 400, attempts: 600}, byRetry, "retry"),
				calls(counts{successes: 299, attempts: 3000}, byRetry, "retry"), // too few
				calls(counts{}, byRetry, "retry"),
			},
			calls(counts{successes: 300, failures: 40, attempts: 612}, byRetry, "retry"),
			"x/retry: 1.8 attempts for each of 340 operations in the last 5 minutes (threshold 1.5)", true,
		},
		{
			retryBudgetExhausted,
			[]chainState{calls(counts{successes: 10}, byBudget, "")},
			calls(counts{overBudget: 1}, byBudget, "retry"),
			"x/retry: 1 retries were refused by the budget in the last 5 minutes (threshold 0)", true,
		},
		{
			rateLimiterSaturated,
			[]chainState{
				calls(counts{successes: 19, rejections: 1, overRate: 1}, byRate, "limit"),
				calls(counts{rejections: 19, overRate: 19}, byRate, "limit"), // too few
			},
			calls(counts{successes: 18, rejections: 2, overRate: 2}, byRate, "limit"),
			"x/limit: 10 % of 20 operations were refused by rate limits in the last 5 minutes (threshold 5 %)", true,
		},
		{
			loadShedding,
			[]chainState{
				calls(counts{successes: 19, rejections: 1, shed: 1}, byLoad, "throttle"),
				calls(counts{rejections: 19, shed: 19}, byLoad, "throttle"), // too few
				calls(counts{rejections: 50, overRate: 50, spared: 50}, byLoad, "throttle"),
			},
			calls(counts{successes: 18, rejections: 2, shed: 2}, byLoad, "throttle"),
			"x/throttle: 10 % of 20 operations were refused to take load off in the last 5 minutes (threshold 5 %)", true,
		},
		{
			chaosActive,
			[]chainState{
				calls(counts{disturbed: 9}, byChaos, "chaos"), // and is disarmed by now
				{reports: []middleware.Report{reporting("chaos", "armed", 0), reporting("other", "armed", 1), {Type: "chaos", Name: "chaos"}}},
			},
			func() chainState {
				s := calls(counts{disturbed: 9}, byChaos, "chaos")
				s.reports = []middleware.Report{reporting("chaos", "armed", 1), reporting("chaos", "armed", 1)}
				return s
			}(),
			"x/chaos is armed and disturbs calls on purpose, 9 disturbances in the last 5 minutes (threshold 0s)", true,
		},
		{
			chaosActive, nil,
			chainState{reports: []middleware.Report{reporting("chaos", "armed", 1)}},
			"x/chaos is armed and disturbs calls on purpose (threshold 0s)", false,
		},
		{
			queueWaitHigh,
			[]chainState{
				{recent: figures{waits: waits(40, 500*time.Millisecond, time.Minute), witness: by(byWait, "bulkhead")}},
				{recent: figures{waits: waits(19, time.Second, time.Minute), witness: by(byWait, "bulkhead")}}, // too few
			},
			chainState{recent: figures{waits: waits(20, 800*time.Millisecond, time.Minute), witness: by(byWait, "bulkhead")}},
			"x/bulkhead: of 20 waits for a turn in the last 5 minutes 95 % took up to 800ms (threshold 500ms)", true,
		},
		{
			operationErrorsHigh,
			[]chainState{
				calls(counts{successes: 95, failures: 2, rejections: 2, timeouts: 1}, byFailure, "retry"),
				calls(counts{successes: 18, failures: 1, cancellations: 500}, byFailure, "retry"), // too few
			},
			calls(counts{successes: 94, failures: 2, rejections: 2, timeouts: 2, cancellations: 1000}, byFailure, "retry"),
			"x: 6 % of 100 operations failed in the last 5 minutes (threshold 5 %)", true,
		},
		{
			operationErrorsHigh, nil,
			func() chainState { s := calls(counts{failures: 20}, byFailure, ""); s.failed = id.String(); return s }(),
			"x: 100 % of 20 operations failed in the last 5 minutes (threshold 5 %)", true,
		},
		{
			timeoutsHigh,
			[]chainState{
				calls(counts{attempts: 100, cut: 5}, byLimit, "attempt"),
				calls(counts{attempts: 19, cut: 19}, byLimit, "attempt"), // too few
			},
			calls(counts{attempts: 100, cut: 6}, byLimit, "attempt"),
			"x/attempt: 6 % of 100 attempts ended by a time limit in the last 5 minutes (threshold 5 %)", true,
		},
		{
			breakerFlapping,
			[]chainState{{openings: openings(2)}},
			chainState{openings: openings(3)},
			"x/breaker of eu opened 3 times in the last 10 minutes (threshold 2)", true,
		},
	} {
		thresholds := Thresholds{}.complete()
		held := func(s chainState) (finding, bool) {
			s.name = "x"
			found := thresholds.findings([]chainState{s}, noon)
			if i := slices.IndexFunc(found, func(f finding) bool { return f.id.name == row.name }); i >= 0 {
				return found[i], true
			}
			return finding{}, false
		}
		for i, s := range row.below {
			if f, holds := held(s); holds {
				t.Errorf("%s, state %d: %s", row.name, i, f.text)
			}
		}
		f, holds := held(row.above)
		if !holds || f.text != row.text || (f.trace == id.String()) != row.trace || f.id.chain != "x" {
			t.Errorf("%s: got %+v, want %q", row.name, f, row.text)
		}
	}
}

// Negative thresholds switch alerts off, others move them.
func TestThresholds(t *testing.T) {
	bad := chainState{
		name:     "x",
		reports:  []middleware.Report{{Name: "breaker", Breaker: &middleware.Circuit{State: "open", Since: noon}}, reporting("chaos", "armed", 1)},
		recent:   figures{counts: counts{failures: 1000, attempts: 9000, overBudget: 7, overRate: 900, shed: 900, cut: 900}, span: 5 * time.Minute},
		openings: make([]opened, 9),
	}
	for range 30 {
		bad.recent.waits.add(time.Minute)
	}
	states := []chainState{bad, bad, bad}
	defaults := Thresholds{}.complete()
	if n := len(defaults.findings(states, noon)); n != 3*11+1 {
		t.Errorf("%d findings, want all", n)
	}
	never := Thresholds{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0}.complete()
	if found := never.findings(states, noon); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	lenient := Thresholds{time.Hour, time.Hour, 10, 4, 10, 7, 0.95, 0.95, 2 * time.Minute, 1, 0.5, time.Hour, 0}.complete()
	for _, f := range lenient.findings(states, noon) {
		if f.id.name != breakerOpen && f.id.name != breakerStuckOpen && f.id.name != chaosActive { // they are for the evaluator
			t.Errorf("%+v", f)
		}
	}
	if got := alertRules(lenient)[0].hold; got != time.Hour {
		t.Errorf("BreakerOpen holds for %v", got)
	}
	if rules := alertRules(lenient); rules[len(rules)-1].hold != time.Hour {
		t.Errorf("the last rule is %+v, want one of chaos that holds for an hour", rules[len(rules)-1])
	}
	few := Thresholds{MinCalls: 2000}.complete()
	for _, f := range few.findings(states, noon) {
		if f.id.name == operationErrorsHigh || f.id.name == rateLimiterSaturated || f.id.name == loadShedding || f.id.name == queueWaitHigh {
			t.Errorf("%+v", f)
		}
	}
}

// Breakers that are not closed: which states count, from when on, and until when.
func TestAlertsOfOpenBreakers(t *testing.T) {
	m, all := withCircuits("a", "b", "c", "d")
	e := newEvaluator(m, Thresholds{})
	at := noon.Add
	const open, stuck, several = "BreakerOpen", "BreakerStuckOpen", "SeveralBreakersOpen"
	for _, step := range []struct {
		at   time.Duration
		do   func()
		want []string // names, and chains
	}{
		{0, func() {}, nil},
		{10 * time.Second, func() { all["a"].is("open", at(10*time.Second), at(10*time.Second), "one") }, nil},
		{69 * time.Second, func() {}, nil},
		{70 * time.Second, func() {}, []string{open + " a"}},
		{80 * time.Second, func() { all["a"].is("half_open", at(80*time.Second), at(10*time.Second), "one") }, []string{open + " a"}},
		{90 * time.Second, func() { all["b"].is("forced_open", at(90*time.Second), time.Time{}, "") }, []string{open + " a"}},
		{100 * time.Second, func() { all["c"].is("open", at(100*time.Second), at(100*time.Second), "") }, []string{open + " a"}},
		{150 * time.Second, func() {}, []string{open + " a", open + " b"}},
		{159 * time.Second, func() {}, []string{open + " a", open + " b"}},
		{160 * time.Second, func() {}, []string{several + " ", open + " a", open + " b", open + " c"}},
		// Another one takes the place of the third: there are still three.
		{170 * time.Second, func() {
			all["c"].is("closed", at(170*time.Second), time.Time{}, "")
			all["d"].is("open", at(170*time.Second), at(170*time.Second), "")
		}, []string{several + " ", open + " a", open + " b"}},
		{180 * time.Second, func() { all["d"].is("closed", at(180*time.Second), time.Time{}, "") }, []string{open + " a", open + " b"}},
		{609 * time.Second, func() {}, []string{open + " a", open + " b"}},
		{610 * time.Second, func() {}, []string{stuck + " a", open + " a", open + " b"}},
		// Closed and open again since the evaluation before: another outage.
		{620 * time.Second, func() { all["a"].is("open", at(615*time.Second), at(615*time.Second), "two") }, []string{open + " b"}},
		{674 * time.Second, func() {}, []string{open + " b"}},
		{675 * time.Second, func() {}, []string{open + " b", open + " a"}},
		{680 * time.Second, func() {
			for _, state := range []string{"forced_closed", "disabled", "observed_open", "observed_half_open"} {
				all["a"].is(state, noon, time.Time{}, "")
				if got := e.evaluate(at(680 * time.Second)); len(got) != 1 {
					t.Errorf("%s: %v", state, named(got))
				}
			}
			all["b"].is("closed", at(680*time.Second), time.Time{}, "")
		}, nil},
	} {
		step.do()
		active := e.evaluate(at(step.at))
		var got []string
		for _, a := range active {
			got = append(got, a.Name+" "+a.Chain)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("at %v: %q, want %q", step.at, got, step.want)
		}
		switch int(step.at.Seconds()) {
		case 160:
			want := []string{
				"critical SeveralBreakersOpen  since 1m40s: breakers of 3 chains are not closed: a, b, c (threshold 3)",
				"warning BreakerOpen a/breaker since 10s: a/breaker has not been closed for 2m30s, it is half open (threshold 1m)",
				"warning BreakerOpen b/breaker since 1m30s: b/breaker has not been closed for 1m10s, it is forced open (threshold 1m)",
				"warning BreakerOpen c/breaker since 1m40s: c/breaker has not been closed for 1m, it is open (threshold 1m)",
			}
			if !slices.Equal(lines(active), want) || active[1].TraceID != "one" || active[2].TraceID != "" {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(lines(active), "\n"), strings.Join(want, "\n"))
			}
		case 675:
			if a := active[1]; a.TraceID != "two" || a.Since != at(615*time.Second) || a.Runbook != "docs/runbook.md#breakeropen" {
				t.Errorf("%+v", a)
			}
		}
	}
}

// What has begun and what has ended comes once each.
func TestAlertsBeginAndEndOnce(t *testing.T) {
	m, all := withCircuits("a")
	e := newEvaluator(m, Thresholds{})
	var told []string
	for i := range 30 {
		now := noon.Add(time.Duration(i) * 10 * time.Second)
		switch i {
		case 1:
			all["a"].is("open", now, now, "")
		case 9, 25: // in between, it is closed and opens again
			all["a"].is("closed", now, time.Time{}, "")
		case 12:
			all["a"].is("open", now, now, "")
		case 20:
			all["a"].is("open", now, now, "")
		}
		_, begun, ended := e.step(now)
		for _, a := range ended {
			told = append(told, fmt.Sprintf("%d ended, since %v, at %v", i, a.Since.Sub(noon), a.Ended.Sub(noon)))
		}
		for _, a := range begun {
			told = append(told, fmt.Sprintf("%d begun, since %v, ended %v", i, a.Since.Sub(noon), !a.Ended.IsZero()))
		}
	}
	want := []string{
		"7 begun, since 10s, ended false", "9 ended, since 10s, at 1m30s",
		"18 begun, since 2m0s, ended false", "20 ended, since 2m0s, at 3m20s",
	}
	if !slices.Equal(told, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// Of very many keys those have alerts whose circuits have been open for the longest time.
func TestAlertsOfManyKeys(t *testing.T) {
	m := &staff{}
	var policies []middleware.Policy
	for i := range 2 * maxListedKeys {
		c := new(circuit)
		c.is("open", noon.Add(-time.Duration(i)*time.Second), time.Time{}, "")
		c.report.Key = fmt.Sprint(i)
		policies = append(policies, c)
	}
	m.chains = append(m.chains, middleware.NewChain("x", policies...))
	alerts := newEvaluator(m, Thresholds{BreakerStuckOpen: -1}).evaluate(noon.Add(time.Minute))
	if len(alerts) != maxListedKeys || alerts[0].Key != "199" || alerts[maxListedKeys-1].Key != "100" {
		t.Errorf("%d alerts: %v", len(alerts), lines(alerts))
	}
}

// The alert of chaos begins when it is armed, ends when it is not, and needs no statistics.
func TestAlertsOfChaos(t *testing.T) {
	m, all := withCircuits("a")
	for _, hold := range []time.Duration{0, time.Minute} {
		e := newEvaluator(m, Thresholds{ChaosActive: hold})
		for _, step := range []struct {
			at    time.Duration
			armed float64
			want  bool
		}{{0, 0, false}, {time.Second, 1, hold == 0}, {time.Minute, 1, hold == 0}, {61 * time.Second, 1, true}, {62 * time.Second, 0, false}} {
			all["a"].report = reporting("chaos", "armed", step.armed)
			alerts := e.evaluate(noon.Add(step.at))
			if (len(alerts) == 1) != step.want {
				t.Errorf("held for %v, at %v: %v", hold, step.at, lines(alerts))
			}
			if len(alerts) == 1 && (alerts[0].Policy != "chaos" || alerts[0].Severity != Warning || alerts[0].Runbook != "docs/runbook.md#chaosactive") {
				t.Errorf("%+v", alerts[0])
			}
		}
	}
}

func TestTheListOfAlerts(t *testing.T) {
	want := `BreakerOpen warning 1m0s breakeropen
BreakerStuckOpen critical 10m0s breakerstuckopen
BreakerFlapping warning 0s breakerflapping
SeveralBreakersOpen critical 1m0s severalbreakersopen
RetryStorm warning 0s retrystorm
RetryBudgetExhausted warning 0s retrybudgetexhausted
RateLimiterSaturated warning 0s ratelimitersaturated
LoadShedding warning 0s loadshedding
QueueWaitHigh warning 0s queuewaithigh
OperationErrorsHigh warning 0s operationerrorshigh
TimeoutsHigh warning 0s timeoutshigh
ChaosActive warning 0s chaosactive
`
	var got strings.Builder
	for _, r := range alertRules(Thresholds{}) {
		fmt.Fprintln(&got, r.name, r.severity, r.hold, r.anchor)
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestAnAlertAsJSON(t *testing.T) {
	for want, a := range map[string]Alert{
		`{"name":"BreakerOpen","severity":"warning","chain":"x","policy":"breaker","key":"eu","text":"t","runbook":"r","trace_id":"ab",` +
			`"since":"2026-11-30T12:00:00Z","ended":"2026-11-30T12:01:00Z"}`: {
			"BreakerOpen", Warning, "x", "breaker", "eu", "t", "r", "ab", noon, noon.Add(time.Minute),
		},
		`{"name":"SeveralBreakersOpen","severity":"critical","text":"t","runbook":"r","since":"2026-11-30T12:00:00Z"}`: {
			Name: "SeveralBreakersOpen", Severity: Critical, Text: "t", Runbook: "r", Since: noon,
		},
	} {
		got, err := json.Marshal(a)
		if err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
}

func TestTheAlertsHandlerOfNoMonitor(t *testing.T) {
	w := httptest.NewRecorder()
	AlertsHandler(nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/alerts", nil))
	if w.Code != http.StatusOK || w.Body.String() != "{\"alerts\":[]}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestShortDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 20 * time.Minute: "20m",
		1234 * time.Millisecond: "1s", 500 * time.Millisecond: "500ms", 123456 * time.Microsecond: "120ms",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
