//go:build unix

package git

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// What is seen of a call tells the operation and the kind of what went wrong, and
// no secret.
func TestG10NoSecretInTelemetry(t *testing.T) {
	repository := gittest.NewRepository(t)
	s := gittest.NewServer(t, repository)
	s.Ask(gittest.Login{Username: "ann", Password: canary})
	exported := tracetest.NewInMemoryExporter()
	reader := sdkmetric.NewManualReader()
	observer := observability.New(
		observability.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported))),
		observability.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
	)
	var logged bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, nil))
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 4})
	defer breaker.Close()
	chain := middleware.NewChain("git", observer, policies.NewRetry(policies.RetryConfig{Delay: 1, Jitter: -1}), breaker)
	client := newClient(t, chain, Config{Progress: func(_ context.Context, p Progress) { log.Info("progress", "progress", p) }})
	url := strings.Replace(s.Repo, "http://", "http://ann:"+canary+"@", 1)
	ctx := bounded(t)
	dir, copied := filepath.Join(t.TempDir(), "app"), filepath.Join(t.TempDir(), "copy")

	run := func(what string, result any, err error) {
		log.Info(what, "result", result, "error", err)
		fmt.Fprintf(&logged, "%s %+v %v %+v\n", what, result, err, err)
	}
	all := func() {
		cloned, err := client.Clone(ctx, url, filepath.Join(t.TempDir(), "app"), CloneOptions{})
		run("clone", cloned, err)
		refs, err := client.LsRemote(ctx, url)
		run("ls-remote", refs, err)
		fetched, err := client.Fetch(ctx, dir, FetchOptions{Remote: url})
		run("fetch", fetched, err)
		pulled, err := client.Pull(ctx, dir, PullOptions{Remote: url, Branch: "main"})
		run("pull", pulled, err)
		synced, err := client.Sync(ctx, url, copied, "main")
		run("sync", synced, err)
		pushed, err := client.Push(ctx, dir, PushOptions{Remote: url, Refspecs: []string{"main:side"}})
		run("push", pushed, err)
		committed, err := client.CommitAndPush(ctx, dir, CommitOptions{Remote: url, Message: "x"})
		run("commit", committed, err)
	}
	if _, err := client.Clone(ctx, url, dir, CloneOptions{}); err != nil {
		t.Fatal(err)
	}
	all()
	if n := strings.Count(logged.String(), `"error":null`); n != 7 {
		t.Errorf("%d of 7 calls succeeded: the test sees too little\n%s", n, logged.String())
	}
	for _, f := range []gittest.Fault{gittest.Answer(401), gittest.Answer(503), gittest.Cut("command=fetch"), gittest.Lost} {
		s.Always(f)
		all()
	}

	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &metrics); err != nil {
		t.Fatal(err)
	}
	// With the tools that print what cannot be marshalled.
	spans := fmt.Sprintf("%+v", exported.GetSpans())
	seen := map[string]string{
		"a span": spans, "a metric": fmt.Sprintf("%+v", metrics), "the log": logged.String(),
		"the history": fmt.Sprintf("%+v", observer.History()),
	}
	for what, text := range seen {
		silent(t, what, text)
		if !strings.Contains(text, "git") {
			t.Errorf("%s is empty: nothing was looked at", what)
		}
	}
	for _, name := range []string{"git clone", "git ls-remote", "git fetch", "git push"} {
		if !strings.Contains(spans, "Name:"+name+" ") {
			t.Errorf("there is no span %q", name)
		}
	}
	kinds := map[string]bool{}
	for _, span := range exported.GetSpans() {
		for _, a := range span.Attributes {
			if a.Key == "error.type" {
				kinds[a.Value.AsString()] = true
			}
		}
	}
	if !kinds[string(KindServer)] || len(kinds) == 1 { // the breaker opens too
		t.Errorf("the spans tell these failures: %v", kinds)
	}
}
