package tidegate

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// YAML returns the file that [ParseConfig] makes c of, sorted by name, with the settings
// that are given and no others. What files have no keys for (a HealthCheck, a Budget, the names
// of policies) is not in it.
func (c Config) YAML() []byte {
	var root, retries yaml.Node
	all := ServiceConfig{Breaker: c.Breaker}
	for _, v := range forEveryBreaker {
		if s := all.group("breaker").find(v.setting); s.given() {
			put(&retries, v.key, s.node())
		}
	}
	put(&root, "retries", &retries)
	put(&root, "templates", servicesNode(c.Templates))
	put(&root, "services", servicesNode(c.Services))
	if len(root.Content) == 0 {
		return nil
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(&root); err != nil {
		panic(fmt.Sprintf("tidegate: a configuration that is no YAML: %v", err)) // it consists of scalars and mappings
	}
	return text.Bytes()
}

// put adds an entry to a mapping. One of an empty mapping is left out.
func put(to *yaml.Node, key string, value *yaml.Node) {
	to.Kind = yaml.MappingNode
	if value == nil || value.Kind == 0 {
		return
	}
	var name yaml.Node
	name.SetString(key)
	to.Content = append(to.Content, &name, value)
}

func servicesNode(services map[string]ServiceConfig) *yaml.Node {
	if len(services) == 0 {
		return nil
	}
	n := new(yaml.Node)
	for _, name := range sortedKeys(services) {
		c := services[name]
		put(n, name, c.node())
	}
	return n
}

func (c *ServiceConfig) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, entry := range [][2]string{{"base", c.Base}, {"preset", string(c.Preset)}} {
		if entry[1] != "" {
			put(n, entry[0], text(entry[1]))
		}
	}
	for _, g := range c.groups() {
		put(n, g.key, g.node())
	}
	return n
}

// node returns nil for what gives no setting.
func (g group) node() *yaml.Node {
	first := g.settings[0]
	switch {
	case g.off():
		return text("off")
	case g.flag, g.short != "" && len(g.settings) > 1 && !g.has(g.settings[1]):
		if !g.has(first) {
			return nil
		}
		return first.node()
	}
	n := new(yaml.Node)
	for i, key := range g.keys() {
		if s := g.settings[i]; g.has(s) {
			put(n, key, s.node())
		}
	}
	return n
}

// node returns the value of a setting as a file has it.
func (s setting) node() *yaml.Node {
	if s.none && s.elem().CanInt() && s.elem().Int() == Off || s.none && s.elem().CanFloat() && s.elem().Float() == Off {
		return plainNode("0")
	}
	switch v := s.value.(type) {
	case *time.Duration:
		return plainNode(v.String())
	case *int:
		return plainNode(strconv.Itoa(*v))
	case *uint64:
		return plainNode(strconv.FormatUint(*v, 10))
	case *float64:
		return plainNode(numberText(*v))
	case *bool:
		return plainNode(strconv.FormatBool(*v))
	default:
		return text(s.words[s.elem().Uint()])
	}
}

// numberText writes a number as people do, if it is not very large or small, and without the
// plus of an exponent, which a file must not have.
func numberText(v float64) string {
	if v >= 1e-6 && v < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strings.Replace(strconv.FormatFloat(v, 'g', -1, 64), "e+", "e", 1)
}

func plainNode(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

// text returns a string, in quotes if it would be something else without.
func text(value string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(value)
	return n
}
