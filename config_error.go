package tidegate

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A ConfigError says what is wrong with one setting. Loading and [New] report all
// of them, joined by [errors.Join].
type ConfigError struct {
	// Source is the file, or "environment", or empty for a Config made in code.
	Source string

	// Line and Column are the position in the file, counted from 1; 0 elsewhere.
	Line, Column int

	// Key is the setting, such as "services.minio.breaker.timeout", or the
	// variable. It is empty when the file as a whole is wrong.
	Key string

	// Problem says what is wrong, with the value.
	Problem string

	// Allowed says what is allowed instead, or Fix what to do. Either may be empty.
	Allowed, Fix string

	// Rule is that of [middleware.Chain.Check] if the policies of a service cannot work
	// together, and Settings are the keys in the service of what one would change.
	Rule     string
	Settings []string

	// Err is the error behind it, if any, such as a *policies.SettingError.
	Err error
}

// Error is one line: where, which setting, what is wrong and what is allowed.
func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString(cmp.Or(e.Source, "tidegate"))
	for _, n := range []int{e.Line, e.Column} {
		if n > 0 {
			b.WriteString(":" + strconv.Itoa(n))
		}
	}
	for _, part := range []string{e.Key, e.Problem} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if e.Allowed != "" {
		b.WriteString("; allowed: " + e.Allowed)
	}
	if e.Fix != "" {
		b.WriteString("; " + e.Fix)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// ErrorType returns a low-cardinality name, for the attribute error.type.
func (e *ConfigError) ErrorType() string { return "configuration" }

func compareLines(a, b *ConfigError) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

const (
	maxName     = 64
	allowedName = "up to 64 printable characters, no space at either end"
)

// checkName returns what is wrong with the name of a service.
func checkName(name string) string {
	switch {
	case name == "":
		return "the name of the service is empty"
	case strings.TrimSpace(name) != name:
		return "the name of the service begins or ends with a space"
	case strings.ContainsFunc(name, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }):
		return "the name of the service has a character that is not printable"
	case utf8.RuneCountInString(name) > maxName:
		return "the name of the service is too long"
	default:
		return ""
	}
}

// quote returns a value of a user as it can stand in one line of an error.
func quote(s string) string {
	if utf8.RuneCountInString(s) > maxName {
		s = string([]rune(s)[:maxName]) + "..."
	}
	return strconv.Quote(s)
}

// plain returns s unchanged where it reads as one word, and quoted elsewhere.
func plain(s string) string {
	if checkName(s) == "" && !strings.ContainsAny(s, ` ".:;,`) {
		return s
	}
	return quote(s)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
