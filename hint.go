package tidegate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidegate-go/tidegate/internal/spelling"
)

// misnomers are what other tools call the keys and the presets.
var misnomers = map[string]string{
	"retries": "retry", "circuit_breaker": "breaker", "circuitbreaker": "breaker", "request_timeout": "timeout", "total_timeout": "timeout",
	"max_attempts": "attempts", "max_retries": "attempts", "backoff": "delay", "initial_delay": "delay", "initial_interval": "delay",
	"max_backoff": "max_delay", "max_interval": "max_delay", "threshold": "failure_threshold", "max_failures": "failure_threshold",
	"open_timeout": "timeout", "reset_timeout": "timeout", "max_requests": "max_probes", "rps": "rate", "concurrency": "max_concurrent",
	"extends": "base", "inherits": "base", "template": "base", "type": "preset", "kind": "preset",
	"s3": "minio", "k8s": "kubernetes", "rest": "http", "github": "git", "gitlab": "git", "trivy": "scanner",
}

// suggest returns the one of the words that was probably meant, as part of a
// sentence, or nothing.
func suggest(word string, words []string) string {
	word = strings.ToLower(word)
	best, distance := "", 3
	for _, w := range words {
		if d := spelling.Edits(word, strings.ToLower(w)); d < distance && d < len(w)/2+1 {
			best, distance = w, d
		}
	}
	if meant := misnomers[word]; distance > 0 && slices.Contains(words, meant) {
		best = meant
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + strconv.Quote(best) + "?)"
}

// misplaced says where a key belongs that is not known where it stands, as part of a
// sentence, or nothing. known are the keys that are.
func misplaced(path, key string, value *yaml.Node, known []string) string {
	var c ServiceConfig
	var owners []string // the policies that have such a setting
	for _, g := range c.groups() {
		if slices.Contains(g.keys(), key) && !g.flag {
			owners = append(owners, g.key)
		}
	}
	ofService, inService := slices.Contains(serviceKeys(), key), isService(known)
	switch at := last(path); {
	case path == "" && ofService:
		return " (it belongs to a service: indent it below the name of one, under services)"
	case path == "" && follow(value).Kind == yaml.MappingNode && suggest(key, known) == "":
		return " (if it is a service, indent it below services)"
	case inService && slices.Contains(owners, at):
		return noName(at)
	case path == "retries" && slices.Contains(known, "circuit_breaker_"+key):
		return " (did you mean " + strconv.Quote("circuit_breaker_"+key) + "?)"
	case inService && owners != nil:
		return " (it is a setting of " + strings.Join(owners, " or ") + ": indent it below that)"
	case path == "" && owners != nil:
		return " (it is a setting of " + strings.Join(owners, " or ") + ", which belongs to a service)"
	case ofService:
		return " (it is a key of a service, not of " + at + ")"
	case owners != nil:
		return " (it is a setting of " + strings.Join(owners, " or ") + ", not of " + at + ")"
	}
	return suggest(key, known)
}

// serviceKeys returns the keys of a service.
func serviceKeys() []string {
	var c ServiceConfig
	keys := []string{"base", "preset"}
	for _, g := range c.groups() {
		keys = append(keys, g.key)
	}
	return keys
}

// isService reports whether keys are those of a service.
func isService(keys []string) bool { return slices.Contains(keys, "preset") }

// noName is a hint for settings where the name of a service is expected.
func noName(key string) string {
	return fmt.Sprintf(" (the name of a service must stand between services and %s)", key)
}

// unnamed gives that hint for what is no mapping, or nothing.
func unnamed(path string, known []string) string {
	at := last(path)
	if isService(known) && (slices.Contains(serviceKeys(), at) || slices.Contains(serviceKeys(), misnomers[at])) {
		return noName(at)
	}
	return ""
}

// last returns the last key of a path.
func last(path string) string { return path[strings.LastIndex(path, ".")+1:] }

// meant says what a value of a policy was probably meant to be that is no mapping, as part of
// a sentence, or nothing.
func (g group) meant(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	var c ServiceConfig
	first := c.group(g.key).settings[0]
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && strings.ContainsAny(n.Value, ":[{"):
		return ", because it stands in quotes"
	case slices.Contains([]string{"on", "true", "yes"}, n.Value):
		return ", and a policy is on when one of its settings is given"
	case first.key != "" && first.parse(n.Value) == "":
		return fmt.Sprintf(", write {%s: %s} if that is meant", first.key, n.Value)
	default:
		return ""
	}
}

// isPart reports whether the setting is a share of 1.
func (s setting) isPart() bool { return slices.Contains([]string{aShare, aPart, upToOne}, s.allowed) }

// percent says how a share is written that was given in percent, as part of a sentence, or
// nothing.
func (s setting) percent(v float64) string {
	if !s.isPart() || !(v >= 10 && v <= 100) { // less was hardly meant so
		return ""
	}
	return fmt.Sprintf(", write %v for %v percent", v/100, v)
}
