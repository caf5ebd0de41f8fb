package middleware

import (
	"fmt"
	"strings"
)

// effect says in words what a policy does.
func (p *Plan) effect() string {
	var says []string
	say := func(format string, args ...any) { says = append(says, fmt.Sprintf(format, args...)) }
	if p.Replaces {
		say("does something else when the call failed")
	}
	if p.Sheds {
		say("refuses a share of the calls while the dependency refuses many")
	}
	if p.Foresees {
		say("refuses a call that has too little time left")
	}
	if p.Judges {
		say("stops calls to a dependency that fails")
	}
	if p.Rate > 0 {
		say("lets %s calls a second begin, %d at once", number(p.Rate), p.Burst)
	}
	if p.Places > 0 {
		say("lets %s run at the same time", count(p.Places, "call"))
	}
	if p.Lease > 0 {
		say("for %s each", text(p.Lease))
	}
	if p.Disturbs {
		say("disturbs calls")
	}
	switch {
	case p.Wait == Unbounded:
		say("may hold a call back for ever")
	case p.Wait > 0:
		say("holds a call back for up to %s", text(p.Wait))
	}
	if p.Attempts > 1 {
		say("runs it up to %d times, with waits of up to %s in all", p.Attempts, text(p.Backoff))
		if p.LongestBackoff > p.Backoff {
			say("or %s if the dependency asks for it", text(p.LongestBackoff))
		}
	}
	if p.Hedges > 0 {
		often, after := "once", "when it takes long"
		if p.Hedges > 1 {
			often = fmt.Sprintf("up to %d times", p.Hedges)
		}
		if p.HedgeDelay > 0 {
			after = "after " + text(p.HedgeDelay)
		}
		say("runs it %s more beside itself, %s", often, after)
	}
	if p.Limit > 0 {
		say("ends it after %s", text(p.Limit))
	}
	if p.EachRead {
		say("and each read of the result too")
	}
	if p.UntilEnd {
		say("until the result has been read")
	}
	if p.Classifies {
		say("says what errors mean")
	}
	if p.Unknown {
		say("nothing is known before there is a key")
	}
	if p.Observes && says != nil {
		return "only observes: " + strings.Join(says, ", ")
	}
	return strings.Join(says, ", ")
}
