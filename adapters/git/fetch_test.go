package git

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

func TestFetch(t *testing.T) {
	s, dir := cloned(t)
	old := s.Head(t)
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	id := gittest.Commit(t, work, "second")
	gittest.Git(t, work, "push", "-q", "origin", "main", "main:side")

	s.Script(gittest.Answer(500), gittest.Cut("command=fetch"))
	client := newClient(t, retry(), Config{})
	got, err := client.Fetch(bounded(t), dir, FetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "updated", got.Updated, []RefUpdate{{"refs/remotes/origin/main", old, id}, {"refs/remotes/origin/side", "", id}})
	if s.Served() != 3 {
		t.Errorf("%d attempts, want 3", s.Served())
	}
	gittest.Git(t, dir, "fsck", "--full", "--strict")

	gittest.Git(t, work, "push", "-q", "origin", ":side")
	got, err = client.Fetch(bounded(t), dir, FetchOptions{Prune: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "pruned", got.Updated, []RefUpdate{{"refs/remotes/origin/side", id, ""}})

	// By a URL, to a place of one's own.
	got, err = client.Fetch(bounded(t), dir, FetchOptions{Remote: s.Repo, Refspecs: []string{"refs/heads/main:refs/copies/main"}, Depth: 1})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "copied", got.Updated, []RefUpdate{{"refs/copies/main", "", id}})

	// A caller who gives up too late has a fetch.
	fourth := gittest.Commit(t, work, "fourth")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	ctx, cancel := context.WithCancel(bounded(t))
	late := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		defer cancel()
		return next.Do(ctx)
	})
	got, err = newClient(t, middleware.NewChain("git", late), Config{}).Fetch(ctx, dir, FetchOptions{})
	if err != nil {
		t.Error(err)
	}
	equal(t, "updated", got.Updated, []RefUpdate{{"refs/remotes/origin/main", id, fourth}})

	_, err = client.Fetch(bounded(t), dir, FetchOptions{Depth: -1})
	failure(t, err, KindUsage)
	// A folder of a repository is not the repository.
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = client.Fetch(bounded(t), sub, FetchOptions{})
	failure(t, err, KindNoRepository)
}

func TestG9LockIsWaitedForAndLeft(t *testing.T) {
	s, dir := cloned(t)
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	gittest.Commit(t, work, "second")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	lock := filepath.Join(dir, ".git", "refs", "remotes", "origin", "main.lock")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Script(nil, func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		os.Remove(lock) // its owner is done
		git.ServeHTTP(w, r)
	})
	var seen verdicts
	if _, err := newClient(t, retry(&seen), Config{}).Fetch(bounded(t), dir, FetchOptions{}); err != nil {
		t.Fatal(err)
	}
	equal(t, "verdicts", seen.seen, []middleware.Verdict{{Class: middleware.Ignored, Retry: true, Reason: "lock"}, {}})

	if err := os.WriteFile(filepath.Join(dir, ".git", "shallow.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Script()
	_, err := newClient(t, retry(), Config{}).Fetch(bounded(t), dir, FetchOptions{Depth: 1})
	failure(t, err, KindLock)
	if _, err := os.Stat(filepath.Join(dir, ".git", "shallow.lock")); err != nil {
		t.Error("the lock of somebody else is gone")
	}
}
