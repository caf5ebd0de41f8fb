package main

import (
	"net/url"
	"slices"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tidegate-go/tidegate/observability"
)

// One span for each call of the host, and one for a refusal, which names the host.
func TestSpans(t *testing.T) {
	exported := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported))
	w := newWorld(t, observability.New(observability.WithTracerProvider(provider)))
	l := w.start()
	spans := func() (names, keys []string) {
		for _, s := range exported.GetSpans() {
			names = append(names, s.SpanKind.String()+" "+s.Name)
			for _, a := range s.Attributes {
				if a.Key == observability.Namespace+"policy.key" {
					keys = append(keys, a.Value.AsString())
				}
			}
		}
		exported.Reset()
		return names, keys
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func() error
		want   []string
		keys   []string
	}{
		{name: "the first round", want: []string{
			"internal ls-remote attempt", "internal git ls-remote", "internal fetch attempt", "internal git fetch",
			"internal clone attempt", "internal git clone", "internal push attempt", "internal git push",
		}},
		{name: "nothing new", want: []string{"internal ls-remote attempt", "internal git ls-remote"}},
		{name: "a change", change: func() error { return w.push("web 3\n") }, want: []string{
			"internal ls-remote attempt", "internal git ls-remote", "internal fetch attempt", "internal git fetch",
			"internal push attempt", "internal git push",
		}},
		{
			name: "the breaker is open", change: func() error { w.host.breaker.ForceOpen(); return nil },
			want: []string{"internal breaker rejected", "internal git ls-remote"}, keys: []string{u.Host},
		},
	} {
		if row.change != nil {
			if err := row.change(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.round(bounded(t)); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		if names, keys := spans(); !slices.Equal(names, row.want) || !slices.Equal(keys, row.keys) {
			t.Errorf("%s: spans %q with the keys %q, want %q with %q", row.name, names, keys, row.want, row.keys)
		}
	}
}
