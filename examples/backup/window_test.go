package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// Metrics and the live page can be read until the demonstration is interrupted.
func TestWhatIsShownUntilTheInterruption(t *testing.T) {
	clean(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	finished := make(chan struct{})
	out := &console{await: "all checksums equal", then: func() { close(finished) }}
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, options{out: out, source: t.TempDir(), module: project, slack: 4, calm: true, listen: "127.0.0.1:0", hold: true})
	}()
	select {
	case <-finished:
	case err := <-done:
		t.Fatalf("it ended: %v", err)
	}
	base := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindString(out.String())
	for path, wants := range map[string][]string{
		"metrics": {
			`tidegate_operation_duration_seconds_count{tidegate_chain_name="s3",tidegate_outcome="success"}`,
			`tidegate_breaker_status{tidegate_breaker_state="closed",tidegate_chain_name="git",tidegate_policy_name="breaker"} 1`,
		},
		"":        {"<title>Tidegate"},
		"healthz": {`"s3"`, `"standby"`},
	} {
		text, err := get(t, base+path)
		for _, want := range wants {
			if err != nil || !strings.Contains(text, want) {
				t.Errorf("%v; /%s has no %s:\n%s", err, path, want, text)
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v after the interruption, want nil: it was all done", err)
	}
}

func TestListenWhereNobodyCan(t *testing.T) {
	clean(t)
	err := run(t.Context(), options{out: new(console), source: t.TempDir(), module: project, calm: true, listen: "127.0.0.1:-1"})
	if err == nil || !strings.HasPrefix(err.Error(), "-listen: ") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
}

func get(t *testing.T, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
