package git

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// cloned returns a server and a clone of what it serves.
func cloned(t *testing.T) (*gittest.Server, string) {
	t.Helper()
	s := gittest.NewServer(t, gittest.NewRepository(t))
	dir := filepath.Join(t.TempDir(), "app")
	gittest.Git(t, "", "clone", "-q", s.Repo, dir)
	s.Script()
	return s, dir
}

func TestLsRemote(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	head, tag := s.Head(t), gittest.Git(t, s.Bare, "rev-parse", "v1")
	for _, row := range []struct {
		name     string
		patterns []string
		faults   []gittest.Fault
		want     []Ref
	}{
		{name: "all", want: []Ref{{"HEAD", head}, {"refs/heads/main", head}, {"refs/tags/v1", tag}, {"refs/tags/v1^{}", head}}},
		{name: "some", patterns: []string{"main", "HEAD"}, want: []Ref{{"HEAD", head}, {"refs/heads/main", head}}},
		{name: "none", patterns: []string{"refs/heads/nope"}},
		{name: "after faults", patterns: []string{"main"}, faults: []gittest.Fault{gittest.Answer(503), gittest.Cut("command=ls-refs")}, want: []Ref{{"refs/heads/main", head}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Script(row.faults...)
			got, err := newClient(t, retry(), Config{}).LsRemote(bounded(t), s.Repo, row.patterns...)
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
	gittest.Git(t, empty, "init", "-q", "--bare")
	hollow := gittest.NewServer(t, empty)
	var seen verdicts
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	client := newClient(t, retry(&seen, breaker), Config{})
	ctx := bounded(t)

	if got, err := client.Fetch(ctx, dir, FetchOptions{}); err != nil || len(got.Updated) > 0 {
		t.Errorf("up to date: got %+v, %v", got, err)
	}
	if got, err := client.LsRemote(ctx, hollow.Repo); err != nil || len(got) > 0 {
		t.Errorf("an empty remote: got %v, %v", got, err)
	}
	if got, err := client.Clone(ctx, hollow.Repo, filepath.Join(t.TempDir(), "app"), CloneOptions{}); err != nil || got.Commit != "" {
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
	if breaker.State() != policies.Closed || s.Served() == 0 {
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
		s := gittest.NewServer(t, gittest.NewRepository(t))
		s.Always(gittest.Answer(row.status))
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, Timeout: time.Hour})
		client := newClient(t, middleware.NewChain("git", breaker), Config{})
		for range row.calls {
			if _, err := client.LsRemote(bounded(t), s.Repo); err == nil {
				t.Errorf("%d: no error", row.status)
			}
		}
		if breaker.State() != row.state {
			t.Errorf("%d times %d: the breaker is %s, want %s", row.calls, row.status, breaker.State(), row.state)
		}
		if row.state == policies.Open {
			parent := t.TempDir()
			before := s.Served()
			_, err := client.Clone(bounded(t), s.Repo, filepath.Join(parent, "app"), CloneOptions{})
			if !errors.Is(err, middleware.ErrOpen) || s.Served() != before {
				t.Errorf("got %v, want the breaker's rejection and no call", err)
			}
			equal(t, "left behind", names(t, parent), nil)
		}
	}
}

func TestG15LocalPathsPassByTheChain(t *testing.T) {
	repository := gittest.NewRepository(t)
	dir := filepath.Join(t.TempDir(), "app")
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	client := newClient(t, middleware.NewChain("git", breaker), Config{})
	ctx := bounded(t)
	if _, err := client.Clone(ctx, repository, dir, CloneOptions{}); err != nil {
		t.Fatal(err)
	}
	gittest.Whole(t, dir, gittest.Git(t, repository, "rev-parse", "HEAD"))
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

// waits records the waits before retries, and ends the call at the first one.
type waits struct {
	seen []time.Duration
	end  func()
}

func (w *waits) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (w *waits) Observe(_ context.Context, e middleware.Event) {
	if e.Kind == middleware.RetryScheduled {
		w.seen = append(w.seen, e.Wait)
		w.end()
	}
}

func TestG16ThrottledWaitsLong(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Always(gittest.Answer(429))
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	var seen verdicts
	waited := &waits{end: cancel}
	chain := middleware.NewChain("git", waited, policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond, Jitter: -1}), &seen)
	_, err := newClient(t, chain, Config{}).LsRemote(ctx, s.Repo)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the wait", err)
	}
	if e := failure(t, err, KindThrottled); e.HTTPStatus != 429 {
		t.Errorf("got %+v", e)
	}
	equal(t, "waits", waited.seen, []time.Duration{5 * time.Second})
	equal(t, "verdicts", seen.seen, []middleware.Verdict{{Class: middleware.Throttled, Retry: true, After: 5 * time.Second, Reason: "throttled"}})
}

func TestG4SilentServer(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Always(gittest.Hang)
	_, err := newClient(t, retry(), Config{Stall: time.Second}).LsRemote(bounded(t), s.Repo)
	failure(t, err, KindSlow)
	if s.Served() != 2 {
		t.Errorf("%d attempts, want 2", s.Served())
	}
}
