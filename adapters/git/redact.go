package git

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mark stands where a secret stood.
const mark = "***"

var (
	// A URL up to the next space; more than one line of git's ends in punctuation.
	anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://\S*`)
	// A URL whose scheme was forgotten.
	bareLogin = regexp.MustCompile(`[^\s:/@'"]+:[^\s/@]+@`)

	// What looks like a secret without its surroundings.
	token = regexp.MustCompile(strings.Join([]string{
		`\bgh[a-z]_[A-Za-z0-9_]{10,}`,            // GitHub
		`\bgithub_pat_[A-Za-z0-9_]{10,}`,         // GitHub
		`\bgl[a-z]{2,8}-[A-Za-z0-9_=.-]{10,}`,    // GitLab
		`\bAT[A-Z]{2}[A-Za-z0-9_=.-]{16,}`,       // Atlassian
		`\bA[KS]IA[A-Z0-9]{16}`,                  // AWS
		`\bey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+`, // JSON web tokens
	}, "|"))
	// What is said to be one.
	named = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization\s*[:=]\s*|(?:private|access|auth|refresh|deploy|api)[_-]?(?:token|key)\s*[:=]\s*|(?:token|password|passwd|secret)\s*[:=]\s*|(?:basic|bearer)\s+)(?:(?:basic|bearer|token)\s+)?[^\s'",;&]+`)
)

// redact returns s without the given secrets, the user names, passwords and
// queries of URLs, and what looks like a token. It rather takes too much.
func redact(s string, secrets ...string) string {
	// The longest first: one may be a part of another.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, mark)
		}
	}
	s = anyURL.ReplaceAllStringFunc(s, redactURL)
	s = bareLogin.ReplaceAllString(s, mark+"@")
	s = token.ReplaceAllString(s, mark)
	return named.ReplaceAllString(s, "${1}"+mark)
}

// redactURL takes all up to the last @ for the login, since a password may hold
// anything when nobody has escaped it.
func redactURL(u string) string {
	scheme, rest, _ := strings.Cut(u, "://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = mark + rest[i:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		end := len(strings.TrimRight(rest, `'":,.;)`))
		rest = rest[:i+1] + mark + rest[max(end, i+1):]
	}
	return scheme + "://" + rest
}

// printable returns s without what could change how it is shown: another machine
// has written some of it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
}

// maxStderr is the size of [Error.Stderr] at the most.
const maxStderr = 4 << 10

// shorten returns the beginning and the end of s, maxStderr in all.
func shorten(s string) string {
	if len(s) <= maxStderr {
		return s
	}
	const keep = maxStderr/2 - 32
	head, tail := keep, len(s)-keep
	for !utf8.RuneStart(s[head]) {
		head--
	}
	for !utf8.RuneStart(s[tail]) {
		tail++
	}
	return fmt.Sprintf("%s\n... %d bytes ...\n%s", s[:head], tail-head, s[tail:])
}
