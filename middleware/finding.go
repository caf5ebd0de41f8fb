package middleware

import (
	"fmt"
	"strings"
)

// A Severity says how sure it is that a [Finding] is a mistake.
type Severity uint8

const (
	// Doubtful: it works, but hardly as somebody wants it. There may be reasons for it.
	Doubtful Severity = iota + 1
	// Impossible: a policy or a setting can never do what it is there for.
	Impossible
)

// String returns the name of the severity in lower case.
func (s Severity) String() string {
	switch s {
	case Doubtful:
		return "doubtful"
	case Impossible:
		return "impossible"
	default:
		return "unknown"
	}
}

// A Finding is something that [Chain.Check] does not like about a chain.
type Finding struct {
	Severity Severity
	Rule     string   // a word that stays the same, to leave out what one knows better
	Policies []string // the names of those concerned, outermost first
	Problem  string   // what happens, with the numbers
	Fix      string   // what to do

	at []int // where the policies are in the explanation
}

// String returns the finding as one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s (%s): %s; %s", f.Severity, f.Rule, strings.Join(f.Policies, ", "), f.Problem, f.Fix)
}
