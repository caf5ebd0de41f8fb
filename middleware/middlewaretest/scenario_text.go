package middlewaretest

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// mostRows is how many rows a time line has at the most.
const mostRows = 24

// steps are lengths of rows that read well.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// String returns the result as a table: a summary, and a time line of at most 24 rows with
// what went wrong and what breakers did. Calls stand in the row in which they began. Times are
// of calls that succeeded, a # is a tenth of the calls.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d calls in %s, %s succeeded, %.2f requests for each call, at most %d at the same time\n",
		r.Calls, duration(r.scenario.Duration), percent(r.Success()), r.Amplification(), r.Peak)
	fmt.Fprintf(&b, "took: median %s, 95%% %s, 99%% %s, 99.9%% %s\n",
		duration(r.Latency(0.5)), duration(r.Latency(0.95)), duration(r.Latency(0.99)), duration(r.Latency(0.999)))
	if words := r.outcomes(); len(words) > 0 {
		for i, w := range words {
			words[i] = fmt.Sprintf("%s %d", w, r.Outcomes[w])
		}
		fmt.Fprintf(&b, "did not succeed: %s\n", strings.Join(words, ", "))
	}
	b.WriteString("\n")
	r.writeTimeline(&b)
	return b.String()
}

func (r *Result) writeTimeline(to *strings.Builder) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "from\tcalls/s\tgood/s\trequests\tmedian\t99%\t")
	notes := []string{""}
	step := r.step()
	for at, s := range r.Timeline(step) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%s\t%s\t\n", duration(at), number(s.Rate()), number(s.Goodput()), s.Amplification(),
			duration(s.Latency(0.5)), duration(s.Latency(0.99)))
		bar := strings.Repeat("#", int(math.Round(10*s.Success())))
		notes = append(notes, fmt.Sprintf("  %-10s  %s", bar, strings.Join(r.happened(at, at+step), "; ")))
	}
	w.Flush()
	for i, line := range strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n") {
		fmt.Fprintln(to, strings.TrimRight(line+notes[i], " "))
	}
}

// step returns how long a row of the time line is.
func (r *Result) step() time.Duration {
	least := (r.scenario.Duration + mostRows - 1) / mostRows
	for _, s := range steps {
		if s >= least {
			return s
		}
	}
	return least
}

// happened returns what went on outside of calls.
func (r *Result) happened(from, until time.Duration) []string {
	var texts []string
	row := window{from, until}
	for _, s := range r.scenario.Load.Surges {
		if row.contains(s.From) {
			texts = append(texts, fmt.Sprintf("load times %s", number(s.Times)))
		}
		if row.contains(s.Until) {
			texts = append(texts, "load as before")
		}
	}
	for _, o := range r.scenario.Dependency.Outages {
		if row.contains(o.From) {
			texts = append(texts, "outage begins")
		}
		if row.contains(o.Until) {
			texts = append(texts, "outage ends")
		}
	}
	return append(texts, changes(r.Transitions, row)...)
}

// changes returns the states that breakers came to in that row, each one once.
func changes(transitions []Transition, row window) []string {
	type change struct{ policy, to string }
	times := make(map[change]int)
	var order []change
	for _, t := range transitions {
		if !row.contains(t.At) {
			continue
		}
		c := change{t.Policy, t.To}
		if times[c]++; times[c] == 1 {
			order = append(order, c)
		}
	}
	texts := make([]string, len(order))
	for i, c := range order {
		texts[i] = c.policy + " " + c.to
		if n := times[c]; n > 1 {
			texts[i] += fmt.Sprintf(" (%d)", n)
		}
	}
	return texts
}

func percent(share float64) string { return fmt.Sprintf("%.4g%%", 100*share) }

// number returns three digits or so.
func number(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

// duration returns three digits or so, and hours and minutes without seconds that are 0.
func duration(d time.Duration) string {
	unit := time.Nanosecond
	for unit*1000 <= d && unit < time.Second {
		unit *= 10
	}
	switch {
	case d == 0:
		return "0"
	case d >= time.Minute:
		unit = time.Second
	case d >= time.Second:
		unit = 10 * time.Millisecond
	}
	text := d.Round(unit).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
