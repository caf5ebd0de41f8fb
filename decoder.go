package tidegate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidegate-go/tidegate/policies"
)

// A decoder makes a Config of YAML nodes and remembers where each setting stood.
type decoder struct {
	name    string
	written map[string]origin // by key, "services.minio.timeout"
	broken  map[string]bool   // keys whose value could not be read
	errs    []*ConfigError
	said    map[string]bool
}

func newDecoder(name string) *decoder {
	return &decoder{name: name, written: map[string]origin{}, broken: map[string]bool{}, said: map[string]bool{}}
}

func (d *decoder) report(e *ConfigError) {
	if text := e.Error(); !d.said[text] { // a variable counts for many services
		d.said[text] = true
		d.errs = append(d.errs, e)
	}
}

func (d *decoder) wrong(n *yaml.Node, key, says, allowed string) {
	d.report(&ConfigError{Source: d.name, Line: max(n.Line, 1), Column: n.Column, Key: key, Problem: says, Allowed: allowed})
}

// unread reports whether a problem is that something is missing which is there, but
// could not be read: that is said already.
func (d *decoder) unread(p problem) bool {
	return slices.ContainsFunc(p.completedBy, func(key string) bool {
		return slices.ContainsFunc(p.places(key), func(place string) bool { return d.broken[place] })
	})
}

func (d *decoder) file(text []byte) Config {
	var config Config
	root := d.parse(text)
	if root == nil {
		return config
	}
	for _, p := range d.mapping(root, "", []string{"retries", "templates", "services"}) {
		switch p.key {
		case "retries":
			config.Breaker = d.retries(p.value)
		case "templates":
			config.Templates = d.services(p.value, "templates")
		case "services":
			config.Services = d.services(p.value, "services")
		}
	}
	return config
}

// parse returns the root of the only document, or nil when there is nothing in it.
func (d *decoder) parse(text []byte) *yaml.Node {
	if line, column, ok := unreadable(text); ok {
		d.wrong(&yaml.Node{Line: line, Column: column}, "", "not a text in UTF-8, or a control character", "")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	var document, another yaml.Node
	if err == nil {
		err = loader.Load(&document)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		switch err = loader.Load(&another); {
		case err == nil:
			d.wrong(&another, "", "a second document begins here", "one document")
			return nil
		case errors.Is(err, io.EOF):
			err = nil
		}
	}
	if err != nil {
		d.syntax(text, err)
		return nil
	}
	if len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null" {
		return nil
	}
	return document.Content[0]
}

// A pair is an entry of a mapping.
type pair struct {
	key   string
	value *yaml.Node
}

// mapping returns the entries of n with known keys, aliases followed and merges
// done. Unless known is nil, other keys are reported.
func (d *decoder) mapping(n *yaml.Node, path string, known []string) []pair {
	n = follow(n)
	if n.ShortTag() == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		allowed := "a mapping of names to settings, such as billing: {preset: http}"
		if known != nil {
			allowed = "a mapping of " + strings.Join(sorted(known), ", ")
		}
		d.wrong(n, path, describe(n)+" is not a mapping"+unnamed(path, known), allowed)
		return nil
	}
	m := merge{decoder: d, path: path, known: known, first: map[string]bool{}, seen: map[*yaml.Node]bool{}}
	m.add(n)
	return m.pairs
}

// A merge collects the entries of a mapping and of those that it merges, by the
// key "<<". The first entry with a key counts.
type merge struct {
	*decoder
	path  string
	known []string
	pairs []pair
	first map[string]bool
	seen  map[*yaml.Node]bool // a mapping may merge itself
}

func (m *merge) add(n *yaml.Node) {
	if n = follow(n); m.seen[n] {
		return
	}
	m.seen[n] = true
	if n.Kind != yaml.MappingNode {
		m.wrong(n, join(m.path, "<<"), describe(n)+" cannot be merged", "a mapping, or a list of mappings")
		return
	}
	own := map[string]int{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := follow(n.Content[i]), n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			m.wrong(key, m.path, describe(key)+" is not a key", "a name")
		case key.ShortTag() == "!!merge":
			if list := follow(value); list.Kind == yaml.SequenceNode {
				merged = append(merged, list.Content...)
			} else {
				merged = append(merged, value)
			}
		case own[key.Value] > 0:
			m.wrong(n.Content[i], join(m.path, key.Value), fmt.Sprintf("the key is there twice, first at line %d", own[key.Value]), "each key once")
		default:
			own[key.Value] = max(n.Content[i].Line, 1)
			m.entry(n.Content[i], key.Value, value)
		}
	}
	for _, n := range merged {
		m.add(n)
	}
}

func (m *merge) entry(at *yaml.Node, key string, value *yaml.Node) {
	if m.first[key] {
		return
	}
	m.first[key] = true
	path, where := join(m.path, key), at
	switch {
	case m.known == nil: // a service is known by its name
	case slices.Contains(m.known, key):
		where = value
	default:
		m.wrong(at, path, "unknown key"+misplaced(m.path, key, value, m.known), strings.Join(sorted(m.known), ", "))
		return
	}
	m.written[path] = origin{source: m.name, key: path, line: max(where.Line, 1), column: where.Column}
	m.pairs = append(m.pairs, pair{key, value})
}

func (d *decoder) retries(n *yaml.Node) policies.BreakerConfig {
	var c ServiceConfig
	breaker := c.group("breaker")
	var keys []string
	for _, v := range forEveryBreaker {
		keys = append(keys, v.key)
	}
	for _, p := range d.mapping(n, "retries", keys) {
		for _, v := range forEveryBreaker {
			if v.key == p.key {
				d.scalar(p.value, join("retries", p.key), breaker.find(v.setting), false)
			}
		}
	}
	return c.Breaker
}

// services reads a section of services, or of templates.
func (d *decoder) services(n *yaml.Node, section string) map[string]ServiceConfig {
	services := map[string]ServiceConfig{}
	for _, p := range d.mapping(n, section, nil) {
		services[p.key] = d.service(p.value, join(section, p.key))
	}
	return services
}

func (d *decoder) service(n *yaml.Node, path string) ServiceConfig {
	var c ServiceConfig
	for _, p := range d.mapping(n, path, serviceKeys()) {
		switch p.key {
		case "base":
			c.Base = d.word(p.value, join(path, p.key), "the name of a template", "a name under templates")
		case "preset":
			c.Preset = Preset(d.word(p.value, join(path, p.key), "the name of a preset", strings.Join(presetNames(), ", ")))
		}
		for _, g := range c.groups() {
			if g.key == p.key {
				d.policy(p.value, join(path, p.key), g)
			}
		}
	}
	return c
}

func (d *decoder) word(n *yaml.Node, path, what, allowed string) string {
	n = follow(n)
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		d.wrong(n, path, describe(n)+" is not "+what, allowed)
		return ""
	}
	return n.Value
}

func (d *decoder) policy(n *yaml.Node, path string, g group) {
	to := follow(n)
	first, mapping := g.settings[0], to.Kind == yaml.MappingNode
	switch {
	case first.key == "" && (g.short == "" || !mapping):
		d.scalar(n, path, first, !g.flag)
		g.say(first)
		return
	case isOff(to):
		g.switchOff()
		return
	}
	keys := g.keys()
	if !mapping && to.ShortTag() != "!!null" {
		d.wrong(n, path, describe(to)+" is not a mapping"+g.meant(to), "off, or a mapping of "+strings.Join(sorted(keys), ", "))
		return
	}
	for _, p := range d.mapping(n, path, keys) {
		s, at := g.find(p.key), join(path, p.key)
		if p.key == g.short {
			s = first
			d.written[path] = d.written[at] // errors name it by the group
		}
		d.scalar(p.value, at, s, p.key == g.short)
		g.say(s)
	}
}

// keys returns the keys of the settings in a mapping.
func (g group) keys() []string {
	var keys []string
	for _, s := range g.settings {
		keys = append(keys, cmp.Or(s.key, g.short))
	}
	return keys
}

// follow returns the node that n stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias // an anchor is never an alias
	}
	return n
}

// describe names a node in an error.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "an empty value"
	default:
		return quote(n.Value)
	}
}

func join(path, key string) string {
	if path == "" {
		return plain(key)
	}
	return path + "." + plain(key)
}
