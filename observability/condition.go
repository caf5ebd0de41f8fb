package observability

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// What the conditions look back on, and what has no threshold.
const (
	alertWindow    = 5 * time.Minute
	flapWindow     = 10 * time.Minute
	severalOpenFor = time.Minute
	stormRate      = 1.0 // operations a second
	waitQuantile   = 0.95
)

// A chainState is what the conditions look at.
type chainState struct {
	name     string
	reports  []middleware.Report
	recent   figures  // over the alertWindow
	openings []opened // in the flapWindow
	failed   string   // the newest trace of a call that failed; empty if none is known
}

// statesOf returns the state of all chains of m.
func statesOf(m Manager) []chainState {
	chains := chainsOf(m)
	states := make([]chainState, len(chains))
	for i, c := range chains {
		s := &states[i]
		s.name, s.reports = c.Name(), reportsOf(c)
		if o := observerOf(c); o != nil && o.live != nil {
			s.recent = o.live.figures(s.name, alertWindow)
			s.openings = o.live.figures(s.name, flapWindow).openings
			s.failed = o.live.traces.failed(s.name)
		}
	}
	return states
}

// failed returns the newest trace of a call through the chain that failed and that a tracer
// has, or "".
func (t *traces) failed(chain string) string {
	for _, kept := range slices.Backward(t.newer(0)) {
		if kept.chain != chain || kept.id == "" {
			continue
		}
		if spans := kept.snapshot(); spans[0].red {
			return kept.id
		}
	}
	return ""
}

// A finding is a condition that holds.
type finding struct {
	id     alarmID
	policy string // what the alert says
	text   string
	trace  string

	// since is when the condition began to hold, as far as it is known. If it is exact, it is
	// so whatever was found before.
	since  time.Time
	exact  bool
	latest time.Time // since, of several that are one alert the newest; merge sets it
}

// findings returns which conditions hold. It looks at nothing but its arguments.
func (t *Thresholds) findings(states []chainState, now time.Time) []finding {
	var found []finding
	for i := range states {
		s := &states[i]
		found = append(found, t.openBreakers(s, now)...)
		found = append(found, t.flapping(s)...)
		found = append(found, t.chaos(s)...)
		for _, condition := range []func(*chainState) (finding, bool){
			t.storm, t.budget, t.saturated, t.shedding, t.queueWait, t.errors, t.timeouts,
		} {
			if f, holds := condition(s); holds {
				f.id.chain = s.name
				found = append(found, f)
			}
		}
	}
	if f, holds := t.severalOpen(states); holds {
		found = append(found, f)
	}
	return found
}

// openSince returns since when a circuit has not been closed, if it is not: since the
// beginning of the outage, or since somebody opened it.
func openSince(c *middleware.Circuit) (since time.Time, open bool) {
	if c == nil {
		return since, false
	}
	switch c.State {
	case "open", "half_open", "forced_open":
	default:
		return since, false
	}
	if c.Opened.IsZero() {
		return c.Since, true
	}
	return c.Opened, true
}

// notClosed returns the reports of circuits that are not closed. Of those with a key it is
// maxListedKeys at the most, those that have been so for the longest time.
func (s *chainState) notClosed() (found []middleware.Report) {
	var keyed []middleware.Report
	for _, r := range s.reports {
		switch _, open := openSince(r.Breaker); {
		case open && r.Key == "":
			found = append(found, r)
		case open:
			keyed = append(keyed, r)
		}
	}
	if len(keyed) > maxListedKeys {
		slices.SortStableFunc(keyed, func(a, b middleware.Report) int {
			first, _ := openSince(a.Breaker)
			second, _ := openSince(b.Breaker)
			return first.Compare(second)
		})
		keyed = keyed[:maxListedKeys]
	}
	return append(found, keyed...)
}

func (t *Thresholds) openBreakers(s *chainState, now time.Time) (found []finding) {
	for _, r := range s.notClosed() {
		since, _ := openSince(r.Breaker)
		for _, row := range []struct {
			name      string
			threshold time.Duration
		}{{breakerOpen, t.BreakerOpen}, {breakerStuckOpen, t.BreakerStuckOpen}} {
			if row.threshold < 0 {
				continue
			}
			found = append(found, finding{
				id: alarmID{row.name, s.name, r.Name, r.Key}, policy: r.Name,
				text: fmt.Sprintf("%s has not been closed for %s, it is %s (threshold %s)",
					place(s.name, r.Name, r.Key), short(now.Sub(since)), strings.ReplaceAll(r.Breaker.State, "_", " "), short(row.threshold)),
				trace: r.Breaker.Opener, since: since, exact: true,
			})
		}
	}
	return found
}

func (t *Thresholds) severalOpen(states []chainState) (finding, bool) {
	var names []string
	var since []time.Time
	for _, s := range states {
		var first time.Time
		for _, r := range s.reports {
			if at, open := openSince(r.Breaker); open && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		if !first.IsZero() {
			names, since = append(names, s.name), append(since, first)
		}
	}
	n := t.SeveralBreakersOpen
	if n < 0 || len(names) < n {
		return finding{}, false
	}
	slices.SortFunc(since, time.Time.Compare)
	return finding{
		id:    alarmID{name: severalBreakersOpen},
		text:  fmt.Sprintf("breakers of %d chains are not closed: %s (threshold %d)", len(names), listed(names), n),
		since: since[n-1],
	}, true
}

// flapping looks at the breakers that the openings came from, which need not be there any
// more.
func (t *Thresholds) flapping(s *chainState) (found []finding) {
	if t.BreakerFlapping < 0 {
		return nil
	}
	type breaker struct{ policy, key string }
	count := make(map[breaker]int)
	last := make(map[breaker]trace.TraceID)
	for _, o := range s.openings {
		b := breaker{o.policy, o.key}
		count[b]++
		if o.trace.IsValid() {
			last[b] = o.trace
		}
	}
	for b, n := range count {
		if n > t.BreakerFlapping {
			found = append(found, finding{
				id: alarmID{breakerFlapping, s.name, b.policy, b.key}, policy: b.policy,
				text: fmt.Sprintf("%s opened %d times in the last 10 minutes (threshold %d)",
					place(s.name, b.policy, b.key), n, t.BreakerFlapping),
				trace: hex(last[b]),
			})
		}
	}
	return found
}

func (t *Thresholds) storm(s *chainState) (finding, bool) {
	r := &s.recent
	if t.RetryStorm < 0 || r.calls() == 0 || float64(r.calls()) < stormRate*r.span.Seconds() {
		return finding{}, false
	}
	each := float64(r.attempts) / float64(r.calls())
	return s.finding(retryStorm, byRetry, fmt.Sprintf("%.3g attempts for each of %d operations in the last 5 minutes (threshold %.3g)",
		each, r.calls(), t.RetryStorm)), each > t.RetryStorm
}

func (t *Thresholds) budget(s *chainState) (finding, bool) {
	n := s.recent.overBudget
	return s.finding(retryBudgetExhausted, byBudget, fmt.Sprintf("%d retries were refused by the budget in the last 5 minutes (threshold %d)",
		n, t.RetryBudgetExhausted)), t.RetryBudgetExhausted >= 0 && n > int64(t.RetryBudgetExhausted)
}

func (t *Thresholds) saturated(s *chainState) (finding, bool) {
	return t.share(s, rateLimiterSaturated, byRate, s.recent.overRate, s.recent.calls(), "operations were refused by rate limits", t.RateLimiterSaturated)
}

func (t *Thresholds) shedding(s *chainState) (finding, bool) {
	return t.share(s, loadShedding, byLoad, s.recent.shed, s.recent.calls(), "operations were refused to take load off", t.LoadShedding)
}

// chaos finds the policies that disturb calls. Those of one name are one to the alert: see merge.
func (t *Thresholds) chaos(s *chainState) (found []finding) {
	if t.ChaosActive < 0 {
		return nil
	}
	for _, r := range s.reports {
		if !armed(r) {
			continue
		}
		f := finding{
			id: alarmID{chaosActive, s.name, r.Name, ""}, policy: r.Name,
			text: place(s.name, r.Name, "") + " is armed and disturbs calls on purpose",
		}
		if n := s.recent.disturbed; n > 0 {
			f.text += fmt.Sprintf(", %d disturbances in the last 5 minutes", n)
		}
		if w := s.recent.witness[byChaos]; w.policy == r.Name {
			f.trace = hex(w.trace)
		}
		f.text += fmt.Sprintf(" (threshold %s)", short(t.ChaosActive))
		found = append(found, f)
	}
	return found
}

func (t *Thresholds) errors(s *chainState) (finding, bool) {
	c := &s.recent.counts
	bad := c.failures + c.rejections + c.timeouts
	f, holds := t.share(s, operationErrorsHigh, byFailure, bad, bad+c.successes, "operations failed", t.OperationErrorsHigh)
	f.policy = "" // many have a part in it
	if f.trace == "" {
		f.trace = s.failed
	}
	return f, holds
}

func (t *Thresholds) timeouts(s *chainState) (finding, bool) {
	return t.share(s, timeoutsHigh, byLimit, s.recent.cut, s.recent.attempts, "attempts ended by a time limit", t.TimeoutsHigh)
}

// share compares some of all with a threshold.
func (t *Thresholds) share(s *chainState, name string, by cause, some, all int64, what string, threshold float64) (finding, bool) {
	if threshold < 0 || all == 0 || all < int64(t.MinCalls) {
		return finding{}, false
	}
	share := float64(some) / float64(all)
	return s.finding(name, by, fmt.Sprintf("%.3g %% of %d %s in the last 5 minutes (threshold %.3g %%)",
		100*share, all, what, 100*threshold)), share > threshold
}

func (t *Thresholds) queueWait(s *chainState) (finding, bool) {
	w := &s.recent.waits
	if t.QueueWaitHigh < 0 || w.total == 0 || w.total < int64(t.MinCalls) {
		return finding{}, false
	}
	wait := w.quantile(waitQuantile)
	return s.finding(queueWaitHigh, byWait, fmt.Sprintf("of %d waits for a turn in the last 5 minutes 95 %% took up to %s (threshold %s)",
		w.total, short(wait), short(t.QueueWaitHigh))), wait > t.QueueWaitHigh
}

// finding says what was measured of the chain, with the policy and the trace of the newest
// event of a cause.
func (s *chainState) finding(name string, by cause, measured string) finding {
	w := s.recent.witness[by]
	return finding{
		id: alarmID{name: name}, policy: w.policy, trace: hex(w.trace),
		text: place(s.name, w.policyOf(by), "") + ": " + measured,
	}
}

// policyOf returns the policy to name, of a cause that one has.
func (w *witness) policyOf(by cause) string {
	if by == byFailure {
		return ""
	}
	return w.policy
}

func hex(id trace.TraceID) string {
	if !id.IsValid() {
		return ""
	}
	return id.String()
}

// place says where something is.
func place(chain, policy, key string) string {
	if policy != "" {
		chain += "/" + policy
	}
	if key != "" {
		chain += " of " + key
	}
	return chain
}

// listed returns the names, but not very many.
func listed(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// short prints a duration to the second, or to a hundredth of it if it is shorter than
// that, without units that are zero.
func short(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(time.Second)
	} else {
		d = d.Round(10 * time.Millisecond)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
