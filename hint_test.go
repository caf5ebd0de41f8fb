package tidegate

import (
	"errors"
	"strings"
	"testing"
)

// An error says what was probably meant.
func TestHints(t *testing.T) {
	const service = "services:\n  a:\n    "
	for _, row := range []struct{ text, key, want string }{
		// Keys that stand in the wrong place.
		{"timeout: 5s", "timeout", "unknown key (it belongs to a service: indent it below the name of one, under services)"},
		{"preset: http", "preset", "unknown key (it belongs to a service: indent it below the name of one, under services)"},
		{"minio:\n  timeout: 5s", "minio", "unknown key (if it is a service, indent it below services)"},
		{"minio: &m\n  timeout: 5s\nservices: {b: *m}", "minio", "unknown key (if it is a service, indent it below services)"},
		{"servces: {}", "servces", `unknown key (did you mean "services"?)`},
		{"minio: 3", "minio", "unknown key"},
		{"attempts: 3", "attempts", "unknown key (it is a setting of retry, which belongs to a service)"},
		{service + "colour: red", "services.a.colour", "unknown key"},
		{service + "attempts: 3", "services.a.attempts", "unknown key (it is a setting of retry: indent it below that)"},
		{service + "rate: 3", "services.a.rate", "unknown key (it is a setting of rate_limit: indent it below that)"},
		{service + "delay: 3s", "services.a.delay", "unknown key (it is a setting of retry or hedge: indent it below that)"},
		{service + "limit: 3s", "services.a.limit", "unknown key (it is a setting of timeout or attempt_timeout: indent it below that)"},
		{service + "retry: {breaker: off}", "services.a.retry.breaker", "unknown key (it is a key of a service, not of retry)"},
		{service + "retry: {ramp: 1m}", "services.a.retry.ramp", "unknown key (it is a setting of breaker, not of retry)"},
		{"templates: {t: {retry: {ramp: 1m}}}", "templates.t.retry.ramp", "unknown key (it is a setting of breaker, not of retry)"},
		{"retries: {timeout: 1m}", "retries.timeout", `unknown key (did you mean "circuit_breaker_timeout"?)`},
		{"retries: {attempts: 3}", "retries.attempts", "unknown key (it is a setting of retry, not of retries)"},
		{"retries: {breaker: {}}", "retries.breaker", "unknown key (it is a key of a service, not of retries)"},

		// A service without a name.
		{"services: {timeout: 5s}", "services.timeout", `"5s" is not a mapping (the name of a service must stand between services and timeout)`},
		{"services: {retries: 3}", "services.retries", `"3" is not a mapping (the name of a service must stand between services and retries)`},
		{"services: {breaker: {failure_threshold: 3}}", "services.breaker.failure_threshold", "unknown key (the name of a service must stand between services and breaker)"},
		{"services: {a: 3}", "services.a", `"3" is not a mapping`},

		// What others call it.
		{service + "retries: 3", "services.a.retries", `unknown key (did you mean "retry"?)`},
		{service + "circuit_breaker: {}", "services.a.circuit_breaker", `unknown key (did you mean "breaker"?)`},
		{service + "retry: {backoff: 1s}", "services.a.retry.backoff", `unknown key (did you mean "delay"?)`},
		{service + "breaker: {open_timeout: 1s}", "services.a.breaker.open_timeout", `unknown key (did you mean "timeout"?)`},
		{service + "breaker: {failureThreshold: 1}", "services.a.breaker.failureThreshold", `unknown key (did you mean "failure_threshold"?)`},
		{service + "preset: S3", "services.a.preset", `"S3" is no preset (did you mean "minio"?)`},
		{service + "preset: MinIO", "services.a.preset", `"MinIO" is no preset (did you mean "minio"?)`},

		// Values of policies.
		{service + "retry: 3", "services.a.retry", `"3" is not a mapping, write {attempts: 3} if that is meant`},
		{service + "rate_limit: 0.5", "services.a.rate_limit", `"0.5" is not a mapping, write {rate: 0.5} if that is meant`},
		{service + "retry: many", "services.a.retry", `"many" is not a mapping`},
		{service + "retry: -3", "services.a.retry", `"-3" is not a mapping`},
		{service + "retry: true", "services.a.retry", `"true" is not a mapping, and a policy is on when one of its settings is given`},
		{service + "retry: a:3", "services.a.retry", `"a:3" is not a mapping`},
		{service + "retry: 'attempts: 3'", "services.a.retry", `"attempts: 3" is not a mapping, because it stands in quotes`},
		{service + `retry: "{attempts: 3}"`, "services.a.retry", `"{attempts: 3}" is not a mapping, because it stands in quotes`},

		// Percent.
		{service + "breaker: {failure_rate: 50%, min_calls: 3}", "services.a.breaker.failure_rate", `"50%" is not a number, write 0.5 for 50 percent`},
		{service + "breaker: {failure_rate: half%, min_calls: 3}", "services.a.breaker.failure_rate", `"half%" is not a number`},
		{service + "breaker: {failure_rate: 50, min_calls: 3}", "services.a.breaker.failure_rate", "50 is out of range, write 0.5 for 50 percent"},
		{service + "breaker: {failure_rate: 1.5, min_calls: 3}", "services.a.breaker.failure_rate", "1.5 is out of range"},
		{service + "rate_limit: {rate: 50%}", "services.a.rate_limit.rate", `"50%" is not a number`},

		// Units.
		{service + "timeout: 1e3", "services.a.timeout", `"1e3" is not a duration`},
		{service + "timeout: .5", "services.a.timeout", `".5" has no unit, write ".5s" for seconds or ".5ms" for milliseconds`},
	} {
		_, err := parse(row.text, nil)
		errs := configErrors(err)
		if len(errs) != 1 || errs[0].Key != row.key || errs[0].Problem != row.want {
			t.Errorf("%s\ngives %v\nwant  %s: %s", row.text, err, row.key, row.want)
		}
	}
}

func configErrors(err error) []*ConfigError {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var errs []*ConfigError
	for _, e := range joined.Unwrap() {
		if e, ok := errors.AsType[*ConfigError](e); ok {
			errs = append(errs, e)
		}
	}
	return errs
}

// What there is by that name comes before what the name stands for.
func TestSuggestionsPreferTheName(t *testing.T) {
	if got, want := suggest("S3", []string{"minio", "s3"}), ` (did you mean "s3"?)`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The errors of a text that is not YAML name what newcomers do, and the line.
func TestSyntaxHints(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"services:\n  a:\n\ttimeout: 5s", "x.yaml:3:1: not YAML: a tab indents this line; allowed: spaces"},
		{"services:\n  a:\n  \ttimeout: 5s\n", "x.yaml:3:3: not YAML: a tab indents this line; allowed: spaces"},
		{
			"services:\n  a:\n    preset:http\n    timeout: 5s",
			"x.yaml:4:12: not YAML: mapping values are not allowed in this context (is there a space missing behind the colon in line 3?)",
		},
		{"services: {a: {}\n\n\n", "x.yaml:1:11: not YAML: did not find expected ',' or '}', while parsing a flow mapping that began at line 1"},
	} {
		_, err := parse(row.text, nil)
		if err == nil || err.Error() != row.want {
			t.Errorf("%q\ngives %v\nwant  %s", row.text, err, row.want)
		}
	}
}

// Every word that others use stands for one that there is.
func TestMisnomersHaveMeanings(t *testing.T) {
	words := append(serviceKeys(), presetNames()...)
	var c ServiceConfig
	for _, g := range c.groups() {
		words = append(words, g.keys()...)
	}
	for word, meant := range misnomers {
		if got, want := suggest(word, words), `"`+meant+`"`; !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %s", word, got, want)
		}
	}
}
