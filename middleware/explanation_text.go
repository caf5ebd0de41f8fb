package middleware

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
)

const textWidth = 100

// String returns the explanation as text for a terminal.
func (e Explanation) String() string {
	var b strings.Builder
	if e.Chain != "" {
		fmt.Fprintf(&b, "%s\n", e.Chain)
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := range e.Policies {
		p := &e.Policies[i]
		fmt.Fprintf(w, "  %s\t%s\t%s\n", p.title(), most(text(p.Latency), p.Latency != Unbounded), count(p.Runs, "run"))
	}
	fmt.Fprint(w, "  the operation\n")
	_ = w.Flush() // a strings.Builder takes all
	b.WriteString("\nat the worst\n")
	w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  time\t%s\n", e.timeText())
	fmt.Fprintf(w, "  runs\t%s\n", e.runsText())
	fmt.Fprintf(w, "  load\t%s\n", e.loadText())
	if e.Memory > 0 {
		fmt.Fprintf(w, "  memory\tabout %s\n", size(e.Memory))
	}
	if len(e.Unknown) > 0 {
		fmt.Fprintf(w, "  unknown\t%s\n", strings.Join(e.Unknown, ", "))
	}
	_ = w.Flush()
	e.writePolicies(&b)
	if len(e.Findings) > 0 {
		b.WriteString("\nfindings\n")
	}
	for _, f := range e.Findings {
		wrap(&b, f.String(), "  ")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (e Explanation) writePolicies(b *strings.Builder) {
	for i := range e.Policies {
		p := &e.Policies[i]
		if p.Effect == "" && len(p.Settings) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n%s\n", p.title())
		if p.Effect != "" {
			wrap(b, p.Effect, "  ")
		}
		var settings []string
		for _, s := range p.Settings {
			settings = append(settings, s.Name+" "+s.Value)
		}
		if settings != nil {
			wrap(b, strings.Join(settings, ", "), "  ")
		}
	}
}

// title is the name of a policy and, if that does not say it, its type.
func (p *ExplainedPolicy) title() string {
	title := p.Name
	if p.Type != "" && p.Type != p.Name {
		title += " (" + p.Type + ")"
	}
	if p.PerKey {
		title += " per key"
	}
	return title
}

func most(s string, bounded bool) string {
	if bounded {
		return "up to " + s
	}
	return s
}

func (e Explanation) timeText() string {
	switch {
	case e.Usual == Unbounded:
		return "unbounded: no policy limits it"
	case e.Latency != e.Usual:
		return fmt.Sprintf("%s, or %s if the dependency asks for the longest waits", text(e.Usual), text(e.Latency))
	default:
		return text(e.Latency)
	}
}

func (e Explanation) runsText() string {
	s := count(e.Runs, "run") + " of the operation for a call"
	if e.Parallel > 1 {
		s += fmt.Sprintf(", up to %d of them at the same time", e.Parallel)
	}
	return s
}

func (e Explanation) loadText() string {
	switch {
	case e.Runs == 1:
		return "as many runs as calls"
	case !e.Bounded || math.IsInf(e.Load, 0):
		return fmt.Sprintf("%s runs for each call while the dependency is down: no budget bounds it", number(e.Load))
	case e.LoadPerSecond > 0:
		return fmt.Sprintf("%s runs for each call in the long run while the dependency is down, or %s further runs a second, if that is more",
			number(e.Load), number(e.LoadPerSecond))
	default:
		return number(e.Load) + " runs for each call in the long run while the dependency is down"
	}
}

// wrap writes words in lines of that width at the most.
func wrap(b *strings.Builder, s, indent string) {
	at := 0
	for i, word := range strings.Fields(s) {
		switch {
		case i == 0:
			b.WriteString(indent)
			at = len(indent)
		case at+1+len(word) > textWidth:
			b.WriteString("\n" + indent + "  ")
			at = len(indent) + 2
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	if at > 0 {
		b.WriteByte('\n')
	}
}
