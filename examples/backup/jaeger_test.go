package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Without a word in its configuration Jaeger listens on all interfaces.
func TestJaegerListensOnLoopbackOnly(t *testing.T) {
	text, err := os.ReadFile("../../tools/jaeger/jaeger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	endpoints := regexp.MustCompile(`endpoint: "\$\{env:\w+:-([^}]+)\}"`).FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "endpoint:"); n != 4 || len(endpoints) != n {
		t.Errorf("%d of %d endpoints have an address that is readable here, want 4: OTLP and the query API, each over HTTP and gRPC", len(endpoints), n)
	}
	for _, e := range endpoints {
		if !strings.HasPrefix(e[1], "127.0.0.1:") {
			t.Errorf("it listens on %s", e[1])
		}
	}
}
