package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v4"

	"github.com/tidegate-go/tidegate"
)

// A setting is one that a service may have.
type setting struct {
	policy, key string // the key is empty for a policy as a whole
	zero        string // what it is where nobody says anything
	limit       bool   // a policy that may be a mapping with a limit
}

// path returns the key of the setting in a service.
func (s setting) path() []string {
	if s.key == "" {
		return []string{s.policy}
	}
	return []string{s.policy, s.key}
}

// everyBreaker lists the settings of breakers that the section retries has, with the keys
// there.
var everyBreaker = map[string]string{
	"failure_threshold": "circuit_breaker_threshold",
	"timeout":           "circuit_breaker_timeout",
	"recovery_time":     "circuit_breaker_recovery_time",
}

// limit is the key of a timeout within its mapping.
const limit = "limit"

// A schema is the part of a JSON Schema that says which keys there are.
type schema struct {
	Properties map[string]schema `json:"properties"`
	AnyOf      []schema          `json:"anyOf"`
	Enum       []any             `json:"enum"`
	Type       any               `json:"type"`
	Defs       map[string]schema `json:"$defs"`
}

// settings returns those of a service, sorted, each policy before its own.
func settings() ([]setting, error) {
	var root schema
	if err := json.Unmarshal(tidegate.Schema(), &root); err != nil {
		return nil, err
	}
	var all []setting
	service := root.Defs["service"]
	for _, policy := range slices.Sorted(maps.Keys(service.Properties)) {
		of := service.Properties[policy]
		whole := setting{policy: policy}
		if policy != "preset" { // a service may have none
			whole.zero = of.zero()
		}
		var within []setting
		for _, form := range of.AnyOf {
			for _, key := range slices.Sorted(maps.Keys(form.Properties)) {
				if key == limit { // it is the policy itself
					whole.limit = true
					continue
				}
				within = append(within, setting{policy: policy, key: key, zero: form.Properties[key].zero()})
			}
		}
		all = append(append(all, whole), within...)
	}
	return all, nil
}

// zero returns what a setting that nothing gives is, if it is no number.
func (s schema) zero() string {
	if word, ok := slices.Concat(s.Enum, []any{""})[0].(string); ok && word != "" && s.AnyOf == nil {
		return word
	}
	if s.Type == "boolean" {
		return "false"
	}
	return ""
}

// writeSettings writes the settings of services: what each is, where that comes from and
// which variable changes it.
func (f *file) writeSettings(out io.Writer, config tidegate.Config, services []*tidegate.Service) error {
	all, err := settings()
	if err != nil {
		return err
	}
	written := f.outline()
	for i, service := range services {
		if i > 0 {
			fmt.Fprintln(out)
		}
		values, err := valuesOf(service)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, service.Name())
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		layers := layersOf(config, service.Name())
		for _, s := range all {
			value, byDefault := values.value(s), "default"
			if value == "" && s.zero != "" && !values.off(s) {
				value = s.zero
			} else if p := service.Config().Preset; p != "" && s.policy != "preset" {
				byDefault = "preset " + string(p)
			}
			from := ""
			if value != "" {
				from = cmp.Or(f.origin(written, layers, s), byDefault)
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", strings.Join(s.path(), "."), cmp.Or(value, "-"), cmp.Or(from, "-"), variable(layers[0], s))
		}
		_ = w.Flush() // run hears of it
	}
	return nil
}

// variable returns the name of the variable of a setting.
func variable(l layer, s setting) string {
	return tidegate.Variable(keyOf(append([]string{l.section, l.name}, s.path()...)...))
}

// values are the settings in force of one service.
type values struct{ root *yaml.Node }

func valuesOf(service *tidegate.Service) (values, error) {
	config := tidegate.Config{Services: map[string]tidegate.ServiceConfig{service.Name(): service.Config()}}
	var document yaml.Node
	if err := yaml.Unmarshal(config.YAML(), &document); err != nil {
		return values{}, err
	}
	o := outline{document.Content[0]}
	_, n := o.find("services", service.Name())
	return values{n}, nil
}

// value returns a setting as a file has it, or nothing when it is zero.
func (v values) value(s setting) string {
	_, policy := entry(v.root, s.policy)
	switch {
	case policy == nil:
		return ""
	case s.key == "" && policy.Kind == yaml.ScalarNode:
		return policy.Value
	case s.key == "":
		if _, n := entry(policy, limit); n != nil {
			return n.Value
		}
		return "on"
	}
	if _, n := entry(policy, s.key); n != nil {
		return n.Value
	}
	return ""
}

// off reports whether the policy of a setting is off.
func (v values) off(s setting) bool {
	_, policy := entry(v.root, s.policy)
	return policy != nil && policy.Kind == yaml.ScalarNode && policy.Value == "off"
}

// origin returns where the value of a setting is given, or nothing where it is not.
func (f *file) origin(written outline, layers []layer, s setting) string {
	if set(variable(layers[0], s)) {
		return "environment"
	}
	forAll := ""
	if s.policy == "breaker" {
		forAll = everyBreaker[s.key]
	}
	if forAll != "" {
		for _, v := range []string{strings.ToUpper(forAll), tidegate.Variable("retries." + forAll)} {
			if set(v) {
				return v
			}
		}
	}
	for i, l := range layers {
		if v := variable(l, s); i > 0 && set(v) {
			return v
		}
		if at, n := written.find(append([]string{l.section, l.name}, s.path()...)...); n != nil {
			return fmt.Sprintf("%s:%d", f.name, at.line)
		}
	}
	if at, n := written.find("retries", forAll); forAll != "" && n != nil {
		return fmt.Sprintf("%s:%d", f.name, at.line)
	}
	return ""
}

// set reports whether an environment variable says something.
func set(variable string) bool { return os.Getenv(variable) != "" }
