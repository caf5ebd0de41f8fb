package middleware

import (
	"fmt"
	"slices"
	"strings"
)

// Mermaid returns the chain as a flowchart in the language of Mermaid, which GitHub and
// others draw: the policies, outermost first, what each does, how long it may take
// with what is inside of it, and how often the operation runs. Policies with a finding
// have a colour.
func (e Explanation) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	node := func(id, open, text, end string) { fmt.Fprintf(&b, "  %s%s\"%s\"%s\n", id, open, text, end) }
	node("call", "([", mermaidText("a call of "+orText(e.Chain, "the chain")), "])")
	var doubtful, impossible []string
	last := "call"
	for i := range e.Policies {
		p := &e.Policies[i]
		id := fmt.Sprintf("p%d", i+1)
		lines := []string{"<b>" + mermaidText(p.title()) + "</b>"}
		if p.Effect != "" {
			lines = append(lines, mermaidText(p.Effect))
		}
		node(id, "[", strings.Join(lines, "<br/>"), "]")
		fmt.Fprintf(&b, "  %s -->|\"%s\"| %s\n", last, mermaidText(most(text(p.Latency), p.Latency != Unbounded)), id)
		last = id
		switch e.severity(i) {
		case Impossible:
			impossible = append(impossible, id)
		case Doubtful:
			doubtful = append(doubtful, id)
		default:
		}
	}
	node("operation", "([", mermaidText("the operation, "+most(count(e.Runs, "run"), true)), "])")
	fmt.Fprintf(&b, "  %s --> operation\n", last)
	class := func(name, style string, ids []string) {
		if ids != nil {
			fmt.Fprintf(&b, "  classDef %s %s\n  class %s %s\n", name, style, strings.Join(ids, ","), name)
		}
	}
	class("doubtful", "fill:#fff3cd,stroke:#b58900,color:#333", doubtful)
	class("impossible", "fill:#f8d7da,stroke:#dc322f,color:#333", impossible)
	return b.String()
}

// severity returns that of the worst finding about a policy, or 0.
func (e Explanation) severity(i int) Severity {
	var worst Severity
	for _, f := range e.Findings {
		if slices.Contains(f.at, i) {
			worst = max(worst, f.Severity)
		}
	}
	return worst
}

// mermaidText writes what Mermaid would take for its own as the entities that it knows.
func mermaidText(s string) string {
	return strings.NewReplacer(
		"&", "#amp;", "#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "`", "#96;", "\n", " ", "\r", " ",
	).Replace(s)
}

func orText(s, byDefault string) string {
	if s == "" {
		return byDefault
	}
	return s
}
