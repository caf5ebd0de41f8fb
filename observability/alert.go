package observability

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Severity says how soon somebody should look at an [Alert].
type Severity string

// The severities, as in the rules for Prometheus.
const (
	Warning  Severity = "warning"  // in working hours
	Critical Severity = "critical" // now
)

// An Alert says what is wrong with a chain. The conditions are those of the rules for
// Prometheus in this repository, where the names begin with "Tidegate" besides. There a
// policy with one policy for each key is one; here each key has alerts of its own, of not
// more than a hundred keys of a chain.
type Alert struct {
	Name     string   `json:"name"` // such as "BreakerOpen"
	Severity Severity `json:"severity"`

	Chain  string `json:"chain,omitzero"`  // empty when it is about several
	Policy string `json:"policy,omitzero"` // empty when it is about none in particular
	Key    string `json:"key,omitzero"`    // that the policy stands for, if there is one for each key

	// Text says in a sentence what was measured, and what the threshold is.
	Text string `json:"text"`

	// Runbook is where the runbook says what to do: a file of this repository and an anchor.
	Runbook string `json:"runbook"`

	// TraceID is a trace that shows the cause, the newest there is: of a breaker that of the
	// call that opened it. It is empty if none is sampled.
	TraceID string `json:"trace_id,omitzero"`

	Since time.Time `json:"since"`          // when the condition began to hold
	Ended time.Time `json:"ended,omitzero"` // when it was found to be over
}

// An alertRule is one of the closed list of alerts. The rules for Prometheus have the same.
type alertRule struct {
	name     string
	severity Severity
	hold     time.Duration // how long the condition must hold
	anchor   string        // in the runbook
}

// alertRules returns the list of alerts for some thresholds.
func alertRules(t Thresholds) []alertRule {
	t = t.complete()
	rules := []alertRule{
		{name: breakerOpen, severity: Warning, hold: t.BreakerOpen},
		{name: breakerStuckOpen, severity: Critical, hold: t.BreakerStuckOpen},
		{name: breakerFlapping, severity: Warning},
		{name: severalBreakersOpen, severity: Critical, hold: severalOpenFor},
		{name: retryStorm, severity: Warning},
		{name: retryBudgetExhausted, severity: Warning},
		{name: rateLimiterSaturated, severity: Warning},
		{name: loadShedding, severity: Warning},
		{name: queueWaitHigh, severity: Warning},
		{name: operationErrorsHigh, severity: Warning},
		{name: timeoutsHigh, severity: Warning},
		{name: chaosActive, severity: Warning, hold: max(0, t.ChaosActive)},
	}
	for i := range rules {
		rules[i].anchor = strings.ToLower(rules[i].name)
	}
	return rules
}

// Names of the alerts.
const (
	breakerOpen          = "BreakerOpen"
	breakerStuckOpen     = "BreakerStuckOpen"
	breakerFlapping      = "BreakerFlapping"
	severalBreakersOpen  = "SeveralBreakersOpen"
	retryStorm           = "RetryStorm"
	retryBudgetExhausted = "RetryBudgetExhausted"
	rateLimiterSaturated = "RateLimiterSaturated"
	loadShedding         = "LoadShedding"
	queueWaitHigh        = "QueueWaitHigh"
	operationErrorsHigh  = "OperationErrorsHigh"
	timeoutsHigh         = "TimeoutsHigh"
	chaosActive          = "ChaosActive"
)

// runbook is the file that says what to do about alerts.
const runbook = "docs/runbook.md"

// An alarm is an alert as it goes from one evaluation to the next.
type alarm struct {
	Alert

	firing bool
	latest time.Time // the beginning that was found last, of several the newest
}

// An alarmID tells alerts apart. Of one that is about a chain the policy is only a hint.
type alarmID struct{ name, chain, policy, key string }

// An evaluator finds the alerts of a Manager when it is asked. It remembers since when the
// conditions hold, has no goroutine, and is safe for concurrent use.
type evaluator struct {
	manager    Manager
	thresholds Thresholds // complete
	rules      map[string]alertRule

	mu     sync.Mutex
	alarms map[alarmID]*alarm
}

func newEvaluator(m Manager, t Thresholds) *evaluator {
	e := &evaluator{manager: m, thresholds: t.complete(), rules: make(map[string]alertRule), alarms: make(map[alarmID]*alarm)}
	for _, r := range alertRules(t) {
		e.rules[r.name] = r
	}
	return e
}

// evaluate returns the alerts there are now, the most important ones first.
func (e *evaluator) evaluate(now time.Time) []Alert {
	active, _, _ := e.step(now)
	return active
}

// step is evaluate that also returns which alerts have begun and which have ended since the
// evaluation before.
func (e *evaluator) step(now time.Time) (active, begun, ended []Alert) {
	found := merge(e.thresholds.findings(statesOf(e.manager), now)) // asks policies, so without the lock
	e.mu.Lock()
	defer e.mu.Unlock()
	still := make(map[alarmID]*alarm, len(found))
	for _, f := range found {
		a := e.alarms[f.id]
		if a != nil && f.exact && f.since.After(a.latest) { // it was over between two evaluations
			ended = a.end(ended, now)
			a = nil
		}
		if a == nil {
			a = &alarm{Alert: Alert{Since: now}}
		}
		r := e.rules[f.id.name]
		a.renew(f, r)
		a.latest = f.latest
		still[f.id] = a
		if !a.firing && now.Sub(a.Since) >= r.hold {
			a.firing = true
			begun = append(begun, a.Alert)
		}
		if a.firing {
			active = append(active, a.Alert)
		}
	}
	for id, a := range e.alarms {
		if still[id] == nil {
			ended = a.end(ended, now)
		}
	}
	e.alarms = still
	for _, list := range [][]Alert{active, begun, ended} {
		sortAlerts(list)
	}
	return active, begun, ended
}

// merge leaves one finding of each id. Two breakers of one name in a chain are one to an alert,
// as they are to a metric: that which was found first, or has lasted longer.
func merge(found []finding) []finding {
	first := make(map[alarmID]int)
	merged := found[:0]
	for _, f := range found {
		f.latest = f.since
		i, ok := first[f.id]
		if !ok {
			first[f.id] = len(merged)
			merged = append(merged, f)
			continue
		}
		latest := merged[i].latest
		if f.since.Before(merged[i].since) {
			merged[i] = f
		}
		if merged[i].latest = latest; f.latest.After(latest) {
			merged[i].latest = f.latest
		}
	}
	return merged
}

// end appends the alarm to those that have ended, if it was an alert.
func (a *alarm) end(ended []Alert, now time.Time) []Alert {
	if !a.firing {
		return ended
	}
	over := a.Alert
	over.Ended = now
	return append(ended, over)
}

// renew makes the alarm say what has been found now.
func (a *alarm) renew(f finding, r alertRule) {
	since := a.Since
	if !f.since.IsZero() && f.since.Before(since) {
		since = f.since
	}
	a.Alert = Alert{
		Name: r.name, Severity: r.severity, Chain: f.id.chain, Policy: f.policy, Key: f.id.key,
		Text: f.text, Runbook: runbook + "#" + r.anchor, TraceID: cmp.Or(f.trace, a.TraceID), Since: since,
	}
}

// sortAlerts puts critical alerts before warnings, and among them the oldest first.
func sortAlerts(alerts []Alert) {
	slices.SortStableFunc(alerts, func(a, b Alert) int {
		return cmp.Or(
			cmp.Compare(a.Severity, b.Severity), // "critical" is before "warning"
			a.Since.Compare(b.Since),
			cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Key, b.Key),
		)
	})
}

// AlertsHandler returns a handler that answers with the alerts of monitor as JSON. A nil
// monitor has none.
func AlertsHandler(monitor *Monitor) http.Handler {
	return readOnly(func(w http.ResponseWriter, _ *http.Request) {
		alerts := monitor.Alerts()
		if alerts == nil {
			alerts = []Alert{}
		}
		answer(w, http.StatusOK, "application/json", struct {
			Alerts []Alert `json:"alerts"`
		}{alerts})
	})
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no value that is passed here can fail
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// readOnly lets only GET and HEAD through to a handler.
func readOnly(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET or HEAD", http.StatusMethodNotAllowed)
			return
		}
		handler(w, r)
	})
}
