package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/internal/spelling"
)

// unknownVariable is the rule that a variable stands for a setting.
const unknownVariable = "unknown_variable"

// variables returns what is doubtful about the environment: variables that begin as those of
// settings do and stand for none that the file may have. Empty ones say nothing.
func (f *file) variables(config tidegate.Config) ([]diagnostic, error) {
	known, err := variablesOf(config)
	if err != nil {
		return nil, err
	}
	var all []diagnostic
	for _, entry := range slices.Sorted(slices.Values(os.Environ())) {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" || !slices.ContainsFunc([]string{"retries", "templates", "services"}, func(section string) bool {
			return strings.HasPrefix(name, tidegate.Variable(section)+"_")
		}) {
			continue
		}
		if _, ok := slices.BinarySearch(known, name); ok {
			continue
		}
		d := diagnostic{source: "environment", warning: true, key: name, says: "it stands for no setting that " + f.name + " may have, so it changes nothing"}
		if meant := closest(name, known); meant != "" {
			d.notes = append(d.notes, note{"fix", fmt.Sprintf("rename it to %s, if that is meant", meant)})
		}
		d.notes = append(d.notes, note{"rule", unknownVariable})
		all = append(all, d)
	}
	return all, nil
}

// variablesOf returns the names of all variables of a configuration, sorted.
func variablesOf(config tidegate.Config) ([]string, error) {
	all, err := settings()
	if err != nil {
		return nil, err
	}
	var layers []layer
	for name := range config.Services {
		layers = append(layers, layer{"services", name})
	}
	for name := range config.Templates {
		layers = append(layers, layer{"templates", name})
	}
	var known []string
	for _, key := range slices.Collect(maps.Values(everyBreaker)) {
		known = append(known, tidegate.Variable("retries."+key))
	}
	for _, l := range layers {
		for _, s := range all {
			known = append(known, variable(l, s))
			if s.limit {
				known = append(known, variable(l, setting{policy: s.policy, key: limit}))
			}
		}
	}
	slices.Sort(known)
	return known, nil
}

// closest returns the one of the names that was probably meant, or nothing.
func closest(name string, names []string) string {
	best, distance := "", 3
	for _, n := range names {
		a, b := name, n
		for a != "" && b != "" && a[0] == b[0] { // long words count as far from everything
			a, b = a[1:], b[1:]
		}
		if d := spelling.Edits(a, b); d < distance {
			best, distance = n, d
		}
	}
	return best
}
