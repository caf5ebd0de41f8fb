//go:build unix

package git

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestCheckout(t *testing.T) {
	s, dir := cloned(t)
	first := s.Head(t)
	second := gittest.Commit(t, dir, "second")
	gittest.Git(t, dir, "branch", "topic/a", first)
	gittest.Git(t, dir, "branch", "file", first) // also a file
	gittest.Git(t, dir, "branch", "both", first) // also a tag
	gittest.Git(t, dir, "tag", "both", second)
	gittest.Git(t, dir, "update-ref", "refs/heads/-x", first)
	client := newClient(t, nil, Config{})
	for _, row := range []struct {
		revision, commit, branch string
		kind                     Kind
	}{
		{revision: "v1", commit: first},
		{revision: "main", commit: second, branch: "main"},
		{revision: "topic/a", commit: first, branch: "topic/a"},
		{revision: "refs/heads/main", commit: second, branch: "main"},
		{revision: "origin/main", commit: first},
		{revision: second, commit: second},
		{revision: first[:12], commit: first},
		{revision: "main~1", commit: first},
		{revision: "file", commit: first, branch: "file"},
		{revision: "both", commit: first, branch: "both"},
		{revision: "refs/tags/both", commit: second},
		{revision: "refs/heads/-x", commit: first},
		{revision: "HEAD", commit: first},
		{revision: "@{-1}", kind: ""},
		{revision: "nope", kind: KindRefMissing},
		{revision: "v1^{tree}", kind: KindRefMissing},
		{revision: "-x", kind: KindUsage},
		{revision: "--orphan", kind: KindUsage},
		{revision: "", kind: KindUsage},
		{revision: "a\x00b", kind: KindUsage},
	} {
		before := gittest.Git(t, dir, "rev-parse", "HEAD")
		got, err := client.Checkout(bounded(t), dir, row.revision, CheckoutOptions{})
		if row.kind != "" {
			failure(t, err, row.kind)
			gittest.Whole(t, dir, before)
			continue
		}
		if err != nil || got.Previous != before || row.commit != "" && got.Commit != row.commit {
			t.Fatalf("%q: got %+v, %v", row.revision, got, err)
		}
		gittest.Whole(t, dir, got.Commit)
		if branch := gittest.Git(t, dir, "branch", "--show-current"); branch != row.branch {
			t.Errorf("%q: the branch %q is current, want %q", row.revision, branch, row.branch)
		}
	}
	if s.Served() != 0 {
		t.Errorf("%d calls of the remote", s.Served())
	}
}

func TestCheckoutForceAndClean(t *testing.T) {
	_, dir := cloned(t)
	first := gittest.Git(t, dir, "rev-parse", "HEAD")
	second := gittest.Commit(t, dir, "second")
	write(t, dir, "file", "mine")
	write(t, dir, "new/x", "mine")
	write(t, dir, "ignored", "mine")
	write(t, dir, ".git/info/exclude", "ignored\n")
	client := newClient(t, nil, Config{})
	_, err := client.Checkout(bounded(t), dir, first, CheckoutOptions{})
	failure(t, err, KindDirty)
	if got := gittest.Git(t, dir, "status", "--porcelain"); got != "M file\n?? new/" || gittest.Git(t, dir, "rev-parse", "HEAD") != second {
		t.Errorf("a refused checkout leaves %q", got)
	}
	if _, err := client.Checkout(bounded(t), dir, first, CheckoutOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	equal(t, "files", names(t, dir), []string{".git", "file", "ignored", "new"})
	if _, err := client.Checkout(bounded(t), dir, second, CheckoutOptions{Clean: true}); err != nil {
		t.Fatal(err)
	}
	equal(t, "files", names(t, dir), []string{".git", "file", "ignored"})
	gittest.Whole(t, dir, second)
}

// The lock of another git is waited for, up to 3 times, and never removed.
func TestG9LockOfAnotherGit(t *testing.T) {
	_, dir := cloned(t)
	lock := filepath.Join(dir, ".git", "index.lock")
	w := newWrapper(t, `case " $* " in *" checkout "*) exec 3>FIFO; echo x >&3;; esac`)
	client := newClient(t, nil, Config{Path: w.path})
	write(t, dir, ".git/index.lock", "theirs")
	_, err := client.Checkout(bounded(t), dir, "v1", CheckoutOptions{})
	failure(t, err, KindLock)
	if n := w.count(t, "checkout"); n != 4 {
		t.Errorf("%d runs, want 4", n)
	}
	if b, err := os.ReadFile(lock); string(b) != "theirs" {
		t.Errorf("the lock is %q, %v", b, err)
	}
	// It goes away after the first run has failed: when the second begins.
	w = newWrapper(t, `case " $* " in *" checkout "*) if [ -e FIFO.once ]; then rm -f .git/index.lock; fi; touch FIFO.once;; esac`)
	if _, err := newClient(t, nil, Config{Path: w.path}).Checkout(bounded(t), dir, "v1", CheckoutOptions{}); err != nil {
		t.Error(err)
	}
	if n := w.count(t, "checkout"); n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
	// Nobody waits longer than the caller wants.
	write(t, dir, ".git/index.lock", "theirs")
	ctx, cancel := context.WithCancel(bounded(t))
	w = newWrapper(t, `case " $* " in *" checkout "*) exec 3>FIFO; echo x >&3;; esac`)
	go func() {
		w.wait(t)
		cancel()
	}()
	_, err = newClient(t, nil, Config{Path: w.path}).Checkout(ctx, dir, "main", CheckoutOptions{})
	failure(t, err, KindCanceled)
	if _, err := os.Stat(lock); err != nil {
		t.Error(err)
	}
}

// partial returns a server and a clone of it without the objects of old commits.
func partial(t *testing.T, client *Client) (s *gittest.Server, dir, old string) {
	t.Helper()
	source := gittest.NewRepository(t)
	old = gittest.Git(t, source, "rev-parse", "HEAD")
	gittest.Commit(t, source, "second")
	s = gittest.NewServer(t, source)
	gittest.Git(t, s.Bare, "config", "uploadpack.allowFilter", "true")
	gittest.Git(t, s.Bare, "config", "uploadpack.allowAnySHA1InWant", "true")
	dir = filepath.Join(t.TempDir(), "app")
	if _, err := client.Clone(bounded(t), s.Repo, dir, CloneOptions{Filter: "blob:none"}); err != nil {
		t.Fatal(err)
	}
	s.Script()
	return s, dir, old
}

// What a partial clone lacks is fetched through the chain, with the credentials.
func TestCheckoutOfAPartialClone(t *testing.T) {
	var seen verdicts
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	client := newClient(t, retry(&seen, breaker), Config{Credentials: Credentials{Username: "ann", Password: canary}})
	s, dir, old := partial(t, client)
	s.Ask(gittest.Login{Username: "ann", Password: canary})
	head := s.Head(t)
	breaker.ForceOpen()
	_, err := client.Checkout(bounded(t), dir, old, CheckoutOptions{})
	if !errors.Is(err, middleware.ErrOpen) || s.Served() != 0 {
		t.Errorf("got %v after %d calls", err, s.Served())
	}
	breaker.ForceClose()
	gittest.Whole(t, dir, head)
	// An unknown commit is not looked for past the chain.
	s.Look(func(*http.Request) { t.Error("a request past the chain") })
	_, err = client.Checkout(bounded(t), dir, strings.Repeat("1", 40), CheckoutOptions{})
	failure(t, err, KindRefMissing)
	s.Look(nil)
	seen.seen = nil
	s.Script(gittest.Answer(503))
	got, err := client.Checkout(bounded(t), dir, old, CheckoutOptions{})
	if err != nil || got.Commit != old || s.Served() != 2 {
		t.Fatalf("got %+v, %v after %d calls", got, err, s.Served())
	}
	equal(t, "verdicts", seen.seen, []middleware.Verdict{{Class: middleware.Failure, Retry: true, Reason: "server"}, {}})
	if want := (middleware.Operation{Name: "checkout", Key: s.Listener.Addr().String()}); seen.op != want {
		t.Errorf("the operation is %+v, want %+v", seen.op, want)
	}
	gittest.Whole(t, dir, old)
	noCanary(t, dir)
	gittest.Git(t, dir, "checkout", "-q", "main")
}

// Pull, Sync and CommitAndPush too.
func TestPartialClones(t *testing.T) {
	client := newClient(t, retry(), Config{Credentials: Credentials{Username: "ann", Password: canary}})
	s, dir, _ := partial(t, client)
	s.Ask(gittest.Login{Username: "ann", Password: canary})
	work := pusher(t, s)
	id := advance(t, work, "third")
	if got, err := client.Pull(bounded(t), dir, PullOptions{}); err != nil || got.Commit != id {
		t.Fatalf("got %+v, %v", got, err)
	}
	gittest.Whole(t, dir, id)
	id = advance(t, work, "fourth")
	if got, err := client.Pull(bounded(t), dir, PullOptions{Reset: true}); err != nil || got.Commit != id {
		t.Fatalf("got %+v, %v", got, err)
	}
	advance(t, work, "fifth")
	write(t, dir, "mine", "mine")
	got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot})
	if err != nil || got.Pushes != 2 || got.Commit != s.Head(t) {
		t.Fatalf("got %+v, %v", got, err)
	}
	gittest.Git(t, work, "pull", "-q")
	id = advance(t, work, "sixth")
	if got, err := client.Sync(bounded(t), s.Repo, dir, "main"); err != nil || got.Commit != id {
		t.Fatalf("got %+v, %v", got, err)
	}
	gittest.Whole(t, dir, id)
}
