package git

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// cloned returns a server and a clone of what it serves.
func cloned(t *testing.T) (*server, string) {
	t.Helper()
	s := newServer(t, newRepository(t))
	dir := filepath.Join(t.TempDir(), "app")
	git(t, "", "clone", "-q", s.url, dir)
	s.script()
	return s, dir
}

func TestLsRemote(t *testing.T) {
	s := newServer(t, newRepository(t))
	head, tag := s.head(t), git(t, s.bare, "rev-parse", "v1")
	for _, row := range []struct {
		name     string
		patterns []string
		faults   []fault
		want     []Ref
	}{
		{name: "all", want: []Ref{{"HEAD", head}, {"refs/heads/main", head}, {"refs/tags/v1", tag}, {"refs/tags/v1^{}", head}}},
		{name: "some", patterns: []string{"main", "HEAD"}, want: []Ref{{"HEAD", head}, {"refs/heads/main", head}}},
		{name: "none", patterns: []string{"refs/heads/nope"}},
		{name: "after faults", patterns: []string{"main"}, faults: []fault{answer(503), cut("command=ls-refs")}, want: []Ref{{"refs/heads/main", head}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.script(row.faults...)
			got, err := newClient(t, retry(), Config{}).LsRemote(bounded(t), s.url, row.patterns...)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "refs", got, row.want)
		})
	}
}

func TestG14WellButNothingThere(t *testing.T) {
	s, dir := cloned(t)
	empty := t.TempDir()
	git(t, empty, "init", "-q", "--bare")
	hollow := newServer(t, empty)
	var seen verdicts
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	client := newClient(t, retry(&seen, breaker), Config{})
	ctx := bounded(t)

	if got, err := client.Fetch(ctx, dir, FetchOptions{}); err != nil || len(got.Updated) > 0 {
		t.Errorf("up to date: got %+v, %v", got, err)
	}
	if got, err := client.LsRemote(ctx, hollow.url); err != nil || len(got) > 0 {
		t.Errorf("an empty remote: got %v, %v", got, err)
	}
	if got, err := client.Clone(ctx, hollow.url, filepath.Join(t.TempDir(), "app"), CloneOptions{}); err != nil || got.Commit != "" {
		t.Errorf("an empty remote: got %v, %v", got, err)
	}
	_, err := client.Fetch(ctx, dir, FetchOptions{Refspecs: []string{"nope"}})
	failure(t, err, KindRefMissing)
	_, err = client.Fetch(ctx, dir, FetchOptions{Refspecs: []string{strings.Repeat("1", 40)}})
	failure(t, err, KindRefMissing)
	if got, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"main"}}); err != nil || got.Refs[0].Status != "up_to_date" {
		t.Errorf("up to date: got %+v, %v", got, err)
	}
	if len(seen.seen) != 6 {
		t.Errorf("%d attempts, want 6", len(seen.seen))
	}
	for _, v := range seen.seen {
		if v.Class != middleware.Success || v.Retry {
			t.Errorf("got the verdict %+v, want a success", v)
		}
	}
	if breaker.State() != policies.Closed || s.served() == 0 {
		t.Errorf("the breaker is %s", breaker.State())
	}
}

func TestBreakerOpensOnFailuresAlone(t *testing.T) {
	for _, row := range []struct {
		status, calls int
		state         policies.State
	}{
		{404, 9, policies.Closed},
		{401, 9, policies.Closed},
		{403, 9, policies.Closed},
		{429, 9, policies.Closed},
		{503, 2, policies.Closed},
		{503, 3, policies.Open},
	} {
		s := newServer(t, newRepository(t))
		s.always(answer(row.status))
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, Timeout: time.Hour})
		client := newClient(t, middleware.NewChain("git", breaker), Config{})
		for range row.calls {
			if _, err := client.LsRemote(bounded(t), s.url); err == nil {
				t.Errorf("%d: no error", row.status)
			}
		}
		if breaker.State() != row.state {
			t.Errorf("%d times %d: the breaker is %s, want %s", row.calls, row.status, breaker.State(), row.state)
		}
		if row.state == policies.Open {
			parent := t.TempDir()
			before := s.served()
			_, err := client.Clone(bounded(t), s.url, filepath.Join(parent, "app"), CloneOptions{})
			if !errors.Is(err, middleware.ErrOpen) || s.served() != before {
				t.Errorf("got %v, want the breaker's rejection and no call", err)
			}
			equal(t, "left behind", names(t, parent), nil)
		}
	}
}

func TestG15LocalPathsPassByTheChain(t *testing.T) {
	repository := newRepository(t)
	dir := filepath.Join(t.TempDir(), "app")
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	client := newClient(t, middleware.NewChain("git", breaker), Config{})
	ctx := bounded(t)
	if _, err := client.Clone(ctx, repository, dir, CloneOptions{}); err != nil {
		t.Fatal(err)
	}
	whole(t, dir, git(t, repository, "rev-parse", "HEAD"))
	for _, url := range []string{repository, "file://" + repository} {
		if _, err := client.LsRemote(ctx, url); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.Fetch(ctx, dir, FetchOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.LsRemote(ctx, "http://127.0.0.1:1/a"); !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("got %v, want a rejection", err)
	}
	if _, err := newClient(t, nil, Config{Schemes: []string{"https"}}).LsRemote(ctx, repository); KindOf(err) != KindUsage {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestG16ThrottledWaitsLong(t *testing.T) {
	s := newServer(t, newRepository(t))
	s.always(answer(429))
	var seen verdicts
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	_, err := newClient(t, retry(&seen), Config{}).LsRemote(ctx, s.url)
	var rejection *middleware.Rejection
	if !errors.As(err, &rejection) || !errors.Is(err, middleware.ErrDeadline) || rejection.RetryAfter < 5*time.Second {
		t.Errorf("got %v, want a rejection: 5 s do not fit", err)
	}
	if e := failure(t, err, KindThrottled); e.HTTPStatus != 429 {
		t.Errorf("got %+v", e)
	}
	equal(t, "verdicts", seen.seen, []middleware.Verdict{{Class: middleware.Throttled, Retry: true, After: 5 * time.Second, Reason: "throttled"}})
}

func TestG4SilentServer(t *testing.T) {
	s := newServer(t, newRepository(t))
	s.always(hang)
	_, err := newClient(t, retry(), Config{Stall: time.Second}).LsRemote(bounded(t), s.url)
	failure(t, err, KindSlow)
	if s.served() != 2 {
		t.Errorf("%d attempts, want 2", s.served())
	}
}
