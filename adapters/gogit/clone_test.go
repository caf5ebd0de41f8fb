package gogit

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	git "github.com/go-git/go-git/v5"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// A directory that is private before the clone is private after it.
func TestG7CloneKeepsTheMode(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	dir := filepath.Join(t.TempDir(), "app")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(nil, Config{}).Clone(bounded(t), dir, true, &git.CloneOptions{URL: s.Repo}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want 0700", info.Mode(), err)
	}
}

// A policy may run the attempt more than once with success:
// one clone is delivered, the other removed.
func TestG7OneOfTwoClones(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	parent := t.TempDir()
	if _, err := New(middleware.NewChain("git", middleware.PolicyFunc(twice)), Config{}).Clone(bounded(t), filepath.Join(parent, "app"), true, &git.CloneOptions{URL: s.Repo}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want one clone", entries, err)
	}
	gittest.Git(t, filepath.Join(parent, "app"), "fsck", "--full", "--strict")
	t.Chdir(t.TempDir())
	for _, o := range []*git.CloneOptions{nil, {}, {URL: s.Repo}} {
		if _, err := New(nil, Config{}).Clone(bounded(t), ".", false, o); KindOf(err) != KindUsage {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}

func twice(ctx context.Context, next middleware.Next) error {
	if err := next.Do(ctx); err != nil {
		return err
	}
	return next.Do(ctx)
}

// A policy that panics leaves no clone and no turn behind.
func TestG7PanicLeavesNothing(t *testing.T) {
	s, repo, _ := cloned(t)
	parent := t.TempDir()
	c := New(middleware.NewChain("git", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		panic(err)
	})), Config{})
	for _, call := range []func(){
		func() {
			_, _ = c.Clone(bounded(t), filepath.Join(parent, "app"), false, &git.CloneOptions{URL: s.Repo})
		},
		func() { _, _ = c.Fetch(bounded(t), repo, nil) },
		func() { _, _ = c.Push(bounded(t), repo, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("there was no panic")
				}
			}()
			call()
		}()
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, err := New(nil, Config{}).Fetch(bounded(t), repo, nil); err != nil {
		t.Error(err)
	}
}
