// Package advice says what a finding about the policies of a service means for its settings,
// in the words of a configuration file.
package advice

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/tidegate-go/tidegate/middleware"
)

// adjusts lists for the rules of [middleware.Chain.Check] the settings of a service that one
// would change. One that begins with a dot is of each policy concerned that has it. Of other
// rules the policies concerned are the settings.
var adjusts = map[string][]string{
	"limit_never_fires":     {"attempt_timeout", "timeout"},
	"attempts_do_not_fit":   {"timeout", "attempt_timeout", "retry.attempts"},
	"no_timeout":            {"attempt_timeout", "timeout"},
	"no_attempt_timeout":    {"attempt_timeout", "timeout"},
	"wait_beyond_limit":     {".max_wait"},
	"slow_call_never":       {".slow_call"},
	"slow_call_counts_wait": {".slow_call", ".max_wait"},
	"lease_too_short":       {"bulkhead.lease"},
	"hedge_never_begins":    {"hedge.delay"},
	"budget_off":            {"budget"},
	"nothing_judges":        {"breaker"},
	"breaker_sees_too_few":  {"breaker.min_calls", "breaker.window"},
}

// owners are the policies that have a setting that adjusts does not name with its policy.
var owners = map[string][]string{
	".max_wait":  {"rate_limit", "bulkhead", "adaptive_limit"},
	".slow_call": {"breaker", "adaptive_limit"},
}

// Rules returns the rules that have settings of their own, sorted.
func Rules() []string { return slices.Sorted(maps.Keys(adjusts)) }

// Settings returns the keys in a service of the settings that a finding is about, those that
// one would change first before the others.
func Settings(f middleware.Finding) []string {
	adjusted, known := adjusts[f.Rule]
	if !known {
		return f.Policies
	}
	var keys []string
	for _, key := range adjusted {
		if !strings.HasPrefix(key, ".") {
			keys = append(keys, key)
			continue
		}
		for _, policy := range f.Policies {
			if slices.Contains(owners[key], policy) {
				keys = append(keys, policy+key)
			}
		}
	}
	return keys
}

// inFiles says what is no setting of a policy in the words of a file.
var inFiles = strings.NewReplacer(
	"put a Timeout innermost, for each attempt, or outermost, for the whole call", "set attempt_timeout, for each attempt, or timeout, for the whole call",
	"put a Timeout of at most ", "set attempt_timeout to at most ", " innermost, for each attempt", "",
	"put a Breaker inside of retry", "leave breaker on", "put a Breaker inside of hedge", "leave breaker on",
	"a Budget, or leave it nil for one with the defaults", "a budget",
	"or its Window longer", "or breaker.window longer",
)

// setting is one in code.
var setting = regexp.MustCompile(`the ([A-Z]\w+) of (\w+)`)

// Fix returns what to do about a finding.
func Fix(f middleware.Finding) string {
	return setting.ReplaceAllStringFunc(inFiles.Replace(f.Fix), func(s string) string {
		part := setting.FindStringSubmatch(s)
		if part[1] == "Limit" { // which the policy is written as
			return part[2]
		}
		return part[2] + "." + key(part[1])
	})
}

// key returns the key in a file of a field of settings.
func key(field string) string {
	var b strings.Builder
	for i, r := range field {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
