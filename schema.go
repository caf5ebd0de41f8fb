package tidegate

import (
	"encoding/json"
	"maps"
	"math"
	"time"
)

// SchemaID is the $id of [Schema].
const SchemaID = "https://github.com/tidegate-go/tidegate/tidegate.schema.json"

// A schema is a JSON Schema, or a part of one.
type schema = map[string]any

// Schema returns a JSON Schema (draft 2020-12) of the configuration file, for editors. It says
// which keys there are and what each value may be. What one setting means for another, and
// whether a base exists, is for [ParseConfig] to say: what the schema refuses is wrong, what it
// accepts may still be. Tests in examples/reload compare the two value by value.
func Schema() []byte {
	defaults := schema{}
	var c ServiceConfig
	for _, v := range forEveryBreaker {
		defaults[v.key] = c.group("breaker").find(v.setting).schema()
	}
	services := schema{
		"type": []string{"object", "null"}, "additionalProperties": schema{"$ref": "#/$defs/service"},
		"propertyNames": schema{"minLength": 1, "maxLength": maxName},
	}
	root := schema{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SchemaID,
		"title": "Tidegate configuration", "type": []string{"object", "null"}, "additionalProperties": false,
		"properties": schema{
			"retries":   mapping(defaults, "for the breaker of every service"),
			"templates": services,
			"services":  services,
		},
		"$defs": schema{"service": mapping(c.schema(), "a service, or a template")},
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // it consists of nothing that has no JSON
	}
	return append(text, '\n')
}

func mapping(keys schema, says string) schema {
	return schema{"description": says, "type": []string{"object", "null"}, "additionalProperties": false, "properties": keys}
}

func (c *ServiceConfig) schema() schema {
	keys := schema{
		"base":   schema{"description": "a template, whose settings hold where these say nothing", "type": "string", "minLength": 1},
		"preset": schema{"description": "the settings for one kind of dependency", "enum": presetNames()},
	}
	for _, g := range c.groups() {
		keys[g.key] = g.schema()
	}
	return keys
}

func (g group) schema() schema {
	if g.flag {
		return g.settings[0].schema()
	}
	keys := schema{}
	for i, key := range g.keys() {
		keys[key] = g.settings[i].schema()
	}
	forms := []any{schema{"description": "switches the policy off", "enum": []any{"off", false}}, mapping(keys, "")}
	if g.short != "" {
		keys[g.short] = schema{"anyOf": []any{forms[0], g.settings[0].schema()}}
		forms = append(forms, g.settings[0].schema())
	}
	return schema{"anyOf": forms}
}

// ranges are what the words for numbers say.
var ranges = map[string]schema{
	aCount:  {"type": "integer", "minimum": 0, "maximum": math.MaxInt32},
	aBucket: {"type": "integer", "minimum": 0, "maximum": 1000},
	aRing:   {"type": "integer", "minimum": 0, "maximum": 1 << 16},
	aSeed:   {"type": "integer", "minimum": 0},
	aShare:  {"type": "number", "minimum": 0, "maximum": 1},
	upToOne: {"type": "number", "minimum": 0, "maximum": 1},
	aPart:   {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
	aRate:   {"type": "number", "minimum": 0, "maximum": math.MaxInt32},
	aRatio:  {"type": "number", "minimum": 0, "maximum": 1000},
}

// schema returns what the value of the setting may be. Numbers may stand in quotes, which is
// not worth a word in an editor.
func (s setting) schema() schema {
	of := schema{"description": s.allows(false, false)}
	switch _, duration := s.value.(*time.Duration); {
	case duration:
		of["anyOf"] = []any{
			schema{"type": "string", "pattern": `^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$`},
			schema{"const": 0},
		}
	case s.words != nil:
		of["enum"] = s.words
	case s.allowed == aBool:
		of["type"] = "boolean"
	case s.allowed == aFactor:
		of["anyOf"] = []any{schema{"type": "number", "minimum": 1}, schema{"const": 0}}
	default:
		maps.Copy(of, ranges[s.allowed])
	}
	return of
}
