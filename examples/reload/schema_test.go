package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/tidegate-go/tidegate"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(tidegate.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(tidegate.SchemaID, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(tidegate.SchemaID) // checks it against the meta-schema too
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// accepts reports whether the schema and the loader take a document.
func accepts(t *testing.T, s *jsonschema.Schema, text string) (bySchema, byLoader error) {
	t.Helper()
	var document any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	_, byLoader = tidegate.ParseConfig("x.yaml", []byte(text), nil)
	return s.Validate(value), byLoader
}

// needs are settings that others mean nothing without.
var needs = map[string]string{
	"breaker.slow_rate": "slow_call: 1m, min_calls: 5", "breaker.min_calls": "failure_rate: 0.5",
	"breaker.window": "failure_rate: 0.5, min_calls: 5", "breaker.buckets": "failure_rate: 0.5, min_calls: 5",
	"breaker.window_calls": "failure_rate: 0.5, min_calls: 1", "breaker.failure_rate": "min_calls: 5, slow_call: 1m",
	"breaker.slow_call": "min_calls: 5, failure_rate: 0.5", "bulkhead.max_wait": "max_queue: 5",
	"adaptive_limit.max_wait": "max_queue: 5", "rate_limit.decrease": "min_rate: 0.001", "rate_limit.recovery": "min_rate: 0.001",
	"per_key.max": "breaker: true", "per_key.idle": "breaker: true", "adaptive_limit.min": "max: 2147483647", "adaptive_limit.slow_call": "algorithm: aimd",
	"per_key.rate_limit": "breaker: true", "per_key.bulkhead": "breaker: true", "per_key.adaptive_limit": "breaker: true",
	"per_key.breaker":    "bulkhead: true",
	"chaos.latency_rate": "for: 1m, latency: 1s", "chaos.latency": "for: 1m, latency_rate: 0.5",
	"chaos.error_rate": "for: 1m", "chaos.hang_rate": "for: 1m", "chaos.seed": "for: 1m, error_rate: 0.5",
	"chaos.cut_rate": "for: 1m, cut_after: 1s", "chaos.cut_after": "for: 1m, cut_rate: 0.5", "chaos.for": "error_rate: 0.5",
}

var values = []string{
	"0", "1", "2", "5", "65536", "65537", "2147483647", "2147483648", "-1", "0.5", "1.5", "-0.5", "0.999", "1000", "1001",
	"5s", "1h30m", "1.5h", ".5s", "5", "5 s", "-5s", "0s", "1d", "soon", "''", "true", "false", "off", "on", "[]", "[1]", "{}",
	"fifo", "lifo", "LIFO", "vegas", "until_end", "+5s",
}

// For each setting and many values the schema and the loader agree.
func TestTheSchemaAgreesWithTheLoader(t *testing.T) {
	s := schema(t)
	var document struct {
		Defs struct {
			Service struct {
				Properties map[string]struct {
					AnyOf []struct {
						Properties map[string]any `json:"properties"`
					} `json:"anyOf"`
				} `json:"properties"`
			} `json:"service"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(tidegate.Schema(), &document); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for group, forms := range document.Defs.Service.Properties {
		if group == "base" { // whether there is such a template is not in its words
			continue
		}
		paths := []string{group}
		for _, form := range forms.AnyOf {
			for key := range form.Properties {
				paths = append(paths, group+"."+key)
			}
		}
		for _, path := range paths {
			for _, value := range values {
				inside := value
				if _, key, ok := strings.Cut(path, "."); ok {
					inside = "{" + strings.TrimPrefix(needs[path]+", ", ", ") + key + ": " + value + "}"
				}
				text := "services: {a: {" + group + ": " + inside + around(group) + "}}"
				bySchema, byLoader := accepts(t, s, text)
				checked++
				if (bySchema == nil) != (byLoader == nil) && !slices.Contains(differing, path+" "+value) {
					t.Errorf("%s: %s\n  schema: %v\n  loader: %v", path, value, short(bySchema), byLoader)
				}
			}
		}
	}
	if checked < 3000 {
		t.Errorf("only %d values were checked", checked)
	}
}

func short(err error) string {
	if err == nil {
		return "accepts it"
	}
	return "refuses it"
}

// around returns further settings of the service, so that no time limit is in the way.
func around(group string) string {
	if strings.HasSuffix(group, "timeout") {
		return ""
	}
	return ", attempt_timeout: off"
}

// differing are values about which they differ, because it depends on other settings.
var differing = []string{"breaker.min_calls 0", "chaos.for 0", "chaos.for 0s", "chaos.latency 0", "chaos.latency 0s"}

// The schema in the repository, which editors load, is the one of the package.
func TestTheSchemaInTheRepository(t *testing.T) {
	text, err := os.ReadFile("../../tidegate.schema.json")
	if err != nil || !bytes.Equal(text, tidegate.Schema()) {
		t.Errorf("tidegate.schema.json is not the schema: go run ./cmd/tidegate schema >tidegate.schema.json (%v)", err)
	}
}

func TestTheFileOfTheExampleFitsTheSchema(t *testing.T) {
	text, err := os.ReadFile("tidegate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if bySchema, byLoader := accepts(t, schema(t), string(text)); bySchema != nil || byLoader != nil {
		t.Errorf("schema: %v; loader: %v", bySchema, byLoader)
	}
}

// Documents as a whole.
func TestDocuments(t *testing.T) {
	s := schema(t)
	for _, row := range []struct {
		text string
		want bool
	}{
		{"{}", true},
		{"services: {}", true},
		{"services:\nretries:\ntemplates:\n", true},
		{"services: {a: , b: {}}", true},
		{"retries: {circuit_breaker_threshold: 5, circuit_breaker_timeout: 1s, circuit_breaker_recovery_time: 2s}", true},
		{"retries: {circuit_breaker_threshold: off}", false},
		{"retries: {threshold: 5}", false},
		{"service: {}", false},
		{"services: []", false},
		{"services: {a: 5}", false},
		{"services: {a: {retires: {}}}", false},
		{"services: {a: {retry: }}", true},
		{"services: {'': {}}", false},
		{"services: {" + strconv.Quote(strings.Repeat("x", 65)) + ": {}}", false},
		{"services: {a: {preset: Minio}}", false},
		{"services: {a: {preset: minio}}", true},
		{"templates: {t: {base: u}, u: {}}\nservices: {a: {base: t}}", true},
		{"hello", false},
	} {
		bySchema, byLoader := accepts(t, s, row.text)
		if got := [2]bool{bySchema == nil, byLoader == nil}; got != [2]bool{row.want, row.want} {
			t.Errorf("%s: schema and loader accept: %v, want %v (%v)", row.text, got, row.want, fmt.Sprint(byLoader))
		}
	}
}
