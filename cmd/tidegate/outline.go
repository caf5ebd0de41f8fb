package main

import (
	"bytes"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidegate-go/tidegate"
)

// An outline knows where in a file a setting stands.
type outline struct{ root *yaml.Node }

// A place is one of a file, counted from 1.
type place struct{ line, column int }

// outline returns that of a file, which has no errors.
func (f *file) outline() outline {
	var document yaml.Node
	loader, err := yaml.NewLoader(bytes.NewReader(f.text))
	if err != nil || loader.Load(&document) != nil || len(document.Content) == 0 {
		return outline{}
	}
	return outline{document.Content[0]}
}

// find returns where the key at the end of a path stands, and what is written there.
func (o outline) find(path ...string) (place, *yaml.Node) {
	n := o.root
	var at place
	for _, key := range path {
		name, value := entry(n, key)
		if name == nil {
			return place{}, nil
		}
		at, n = place{name.Line, name.Column}, value
	}
	return at, n
}

// entry returns the key and the value of an entry of a mapping, or of one that it merges.
func entry(n *yaml.Node, key string) (name, value *yaml.Node) {
	return search{key, map[*yaml.Node]bool{}}.in(n)
}

// A search is one for a key. It looks into each mapping once: one may merge itself.
type search struct {
	key  string
	seen map[*yaml.Node]bool
}

func (s search) in(n *yaml.Node) (name, value *yaml.Node) {
	if n = follow(n); n == nil || n.Kind != yaml.MappingNode || s.seen[n] {
		return nil, nil
	}
	s.seen[n] = true
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch name := follow(n.Content[i]); {
		case name.ShortTag() == "!!merge":
			list := follow(n.Content[i+1])
			if list.Kind != yaml.SequenceNode {
				merged = append(merged, list)
				continue
			}
			merged = append(merged, list.Content...)
		case name.Value == s.key:
			return n.Content[i], n.Content[i+1]
		}
	}
	for _, from := range merged {
		if name, value := s.in(from); name != nil {
			return name, value
		}
	}
	return nil, nil
}

func follow(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// A layer is a service, or a template that it has settings from.
type layer struct{ section, name string }

// layersOf returns a service and its templates, the nearest first.
func layersOf(config tidegate.Config, service string) []layer {
	layers := []layer{{"services", service}}
	seen := map[string]bool{}
	for base := config.Services[service].Base; base != "" && !seen[base]; base = config.Templates[base].Base {
		seen[base] = true
		layers = append(layers, layer{"templates", base})
	}
	return layers
}

// first returns the place of the first of the settings that is written in one of the layers,
// or else that of the service.
func (o outline) first(layers []layer, keys []string) place {
	for _, l := range layers {
		for _, key := range keys {
			if at, n := o.find(append([]string{l.section, l.name}, strings.Split(key, ".")...)...); n != nil {
				return at
			}
		}
	}
	at, _ := o.find(layers[0].section, layers[0].name)
	return at
}

// keyOf joins a path as errors of package tidegate do: with quotes around what is no word.
func keyOf(path ...string) string {
	for i, part := range path {
		if part == "" || strings.ContainsAny(part, ` ".:;,`) {
			path[i] = strconv.Quote(part)
		}
	}
	return strings.Join(path, ".")
}
