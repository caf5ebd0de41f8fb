package git

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

func TestSync(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	first := s.Head(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "app")
	client := newClient(t, retry(), Config{})
	ctx := bounded(t)
	got, err := client.Sync(ctx, s.Repo, dir, "main")
	if err != nil || got.Commit != first || got.Previous != "" || !got.Changed || got.Stale || got.Bytes == 0 || got.Duration == 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	gittest.Whole(t, dir, first)
	equal(t, "beside the copy", names(t, parent), []string{"app"})

	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	second := gittest.Commit(t, work, "second")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	s.Script()
	got, err = client.Sync(ctx, s.Repo, dir, "main")
	if err != nil || got.Commit != second || got.Previous != first || !got.Changed {
		t.Fatalf("got %+v, %v", got, err)
	}
	if s.Served() != 2 {
		t.Errorf("%d calls, want 2: ls-remote and fetch", s.Served())
	}
	gittest.Whole(t, dir, second)
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Script()
	got, err = client.Sync(ctx, s.Repo, dir, "")
	if err != nil || got.Commit != second || got.Changed || s.Served() != 1 {
		t.Fatalf("got %+v, %v, %d calls", got, err, s.Served())
	}
	gittest.Whole(t, dir, second)
	for _, ref := range []string{"v1", "refs/tags/v1", first} {
		got, err = client.Sync(ctx, s.Repo, dir, ref)
		if err != nil || got.Commit != first {
			t.Fatalf("got %+v, %v", got, err)
		}
		gittest.Whole(t, dir, first)
	}
}

func TestCommitAndPush(t *testing.T) {
	s, dir := cloned(t)
	client := newClient(t, retry(), Config{})
	ctx := bounded(t)
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	gittest.Commit(t, work, "theirs")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := client.CommitAndPush(ctx, dir, CommitOptions{Message: "Add mine", Author: Author{Name: "Bot", Email: "bot@example.com"}})
	if err != nil || got.Pushes != 2 || !got.Changed || got.Commit != s.Head(t) {
		t.Fatalf("got %+v, %v", got, err)
	}
	gittest.Whole(t, dir, s.Head(t))
	if who := gittest.Git(t, dir, "log", "-1", "--format=%an %ce %s"); who != "Bot bot@example.com Add mine" {
		t.Error(who)
	}
	got, err = client.CommitAndPush(ctx, dir, CommitOptions{Message: "Nothing"})
	if err != nil || got.Pushes != 1 || got.Changed || got.Commit != s.Head(t) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestSubmodules(t *testing.T) {
	inner := gittest.NewServer(t, gittest.NewRepository(t))
	outer := gittest.NewRepository(t)
	gittest.Git(t, outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.Repo, "lib/inner")
	gittest.Git(t, outer, "commit", "-qm", "inner")
	s := gittest.NewServer(t, outer)
	dir := filepath.Join(t.TempDir(), "app")
	client := newClient(t, retry(), Config{})
	ctx := bounded(t)
	if _, err := client.Sync(ctx, s.Repo, dir, "main"); err != nil {
		t.Fatal(err)
	}
	got, err := client.Submodules(ctx, dir, SubmoduleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "submodules", got.Submodules, []Submodule{{Path: "lib/inner", Commit: inner.Head(t)}})
	if want := sizeOf(t, filepath.Join(dir, ".git", "modules", "lib", "inner", "objects", "pack", "*.pack")); got.Bytes != want || want == 0 {
		t.Errorf("got %d bytes, want %d", got.Bytes, want)
	}
	gittest.Whole(t, filepath.Join(dir, "lib", "inner"), inner.Head(t))
	gittest.Whole(t, dir, s.Head(t))
	p, err := client.Pull(ctx, filepath.Join(dir, "lib", "inner"), PullOptions{Branch: "main"})
	if err != nil || p.Commit != inner.Head(t) {
		t.Fatal(p, err)
	}
}
