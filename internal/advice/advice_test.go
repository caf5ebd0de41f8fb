package advice_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/advice"
	"github.com/tidegate-go/tidegate/middleware"
)

func TestSettings(t *testing.T) {
	for _, row := range []struct {
		rule     string
		policies []string
		want     string
	}{
		{"limit_never_fires", []string{"timeout", "attempt_timeout"}, "attempt_timeout, timeout"},
		{"slow_call_never", []string{"adaptive_limit", "attempt_timeout"}, "adaptive_limit.slow_call"},
		{"slow_call_counts_wait", []string{"breaker", "rate_limit", "bulkhead"}, "breaker.slow_call, rate_limit.max_wait, bulkhead.max_wait"},
		{"chaos_present", []string{"chaos"}, "chaos"},
	} {
		if got := strings.Join(advice.Settings(middleware.Finding{Rule: row.rule, Policies: row.policies}), ", "); got != row.want {
			t.Errorf("%s: got %s, want %s", row.rule, got, row.want)
		}
	}
}

func TestFix(t *testing.T) {
	for fix, want := range map[string]string{
		"set the Limit of attempt_timeout below 30s":                                  "set attempt_timeout below 30s",
		"set the SlowCall of breaker below 10s":                                       "set breaker.slow_call below 10s",
		"set the MinCalls of breaker lower, or its Window longer":                     "set breaker.min_calls lower, or breaker.window longer",
		"put a Timeout of at most 5s innermost, for each attempt":                     "set attempt_timeout to at most 5s",
		"put a Timeout innermost, for each attempt, or outermost, for the whole call": "set attempt_timeout, for each attempt, or timeout, for the whole call",
		"leave chaos out of what is not a test":                                       "leave chaos out of what is not a test",
	} {
		if got := advice.Fix(middleware.Finding{Fix: fix}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Each rule that has settings of its own here is one of Check.
func TestRules(t *testing.T) {
	doc, err := os.ReadFile("../../middleware/check.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^//   - (\w+): `).FindAllStringSubmatch(string(doc), -1) {
		all = append(all, m[1])
	}
	for _, rule := range advice.Rules() {
		if !slices.Contains(all, rule) {
			t.Errorf("Check has no rule %s", rule)
		}
	}
}
