package timeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidegate-go/tidegate/middleware"
)

// Observe prints an event of a chain, save for rejections: who was rejected says so,
// and how long it took.
func (t *Timeline) Observe(_ context.Context, e middleware.Event) {
	if text := Describe(e); text != "" {
		mood := Policy
		if e.Kind == middleware.Transition && e.To == "closed" {
			mood = Good
		}
		t.Line(mood, e.Chain, strings.TrimPrefix(e.Policy, "attempt_"), "%s", text)
	}
}

// Describe says in one line what a policy did, or nothing for a rejection.
func Describe(e middleware.Event) string {
	switch e.Kind {
	case middleware.RetryScheduled:
		source := "backoff"
		if e.Reason == "retry_after" {
			source = "as the server asked"
		}
		return fmt.Sprintf("attempt %d failed (%s), next in %s (%s)", e.Attempt, Brief(e.Err), Duration(e.Wait), source)
	case middleware.RetryStopped:
		return stopped(e)
	case middleware.HedgeStarted:
		return fmt.Sprintf("no answer after %s, so attempt %d begins beside it", Duration(e.Wait), e.Attempt)
	case middleware.HedgeWon:
		return fmt.Sprintf("attempt %d was answered first", e.Attempt)
	case middleware.Transition:
		text := fmt.Sprintf("%s -> %s: %s", upper(e.From), upper(e.To), words(e.Reason))
		if e.Wait > 0 {
			text += ", next probe in " + Duration(e.Wait)
		}
		return text
	case middleware.TimedOut:
		if strings.HasPrefix(e.Policy, "attempt_") {
			return fmt.Sprintf("attempt %d cut off after %s", e.Attempt, Duration(e.Wait))
		}
		return fmt.Sprintf("cut off after %s", Duration(e.Wait))
	case middleware.Waited:
		return "held back for " + Duration(e.Wait)
	default:
		return ""
	}
}

func stopped(e middleware.Event) string {
	switch e.Reason {
	case "exhausted":
		return fmt.Sprintf("attempt %d failed (%s), the last one", e.Attempt, Brief(e.Err))
	case "not_retryable":
		return fmt.Sprintf("attempt %d: %s, so no more attempts", e.Attempt, Brief(e.Err))
	default:
		return fmt.Sprintf("attempt %d failed (%s), stopped: %s", e.Attempt, Brief(e.Err), words(e.Reason))
	}
}

func upper(state string) string { return strings.ToUpper(state) }

func words(reason string) string { return strings.ReplaceAll(reason, "_", " ") }
