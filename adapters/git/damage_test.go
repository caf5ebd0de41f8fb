//go:build unix

package git

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A copy that a power cut has damaged is told from one that is used wrongly.
func TestSyncOfADamagedCopy(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	client, template := newClient(t, nil, Config{}), filepath.Join(t.TempDir(), "app")
	if _, err := client.Sync(bounded(t), s.Repo, template, "main"); err != nil {
		t.Fatal(err)
	}
	advance(t, pusher(t, s), "second")
	for name, content := range map[string]string{
		"HEAD": "", "index": "", "config": "[x", fetched: "", "objects": "",
	} {
		dir := filepath.Join(t.TempDir(), "app")
		if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, ".git", name)); err != nil {
			t.Fatal(err)
		}
		write(t, dir, ".git/"+name, content)
		t.Run(name, func(t *testing.T) {
			_, err := client.Sync(bounded(t), s.Repo, dir, "main")
			failure(t, err, KindCorrupt)
			// What the documentation says helps.
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if got, err := client.Sync(bounded(t), s.Repo, dir, "main"); err != nil || !got.Changed {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// What is no repository is called so, and not one without a remote.
func TestDirectoriesThatAreNoRepository(t *testing.T) {
	client, ctx, dir := newClient(t, nil, Config{}), bounded(t), t.TempDir()
	_, fetched := client.Fetch(ctx, dir, FetchOptions{})
	_, submodules := client.Submodules(ctx, dir, SubmoduleOptions{})
	for name, err := range map[string]error{"fetch": fetched, "submodules": submodules} {
		if e := failure(t, err, KindNoRepository); e.ExitCode != 128 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A git that is killed in the middle of a checkout leaves a mixture, which the
// next call mends: the lock of the killed one is gone.
func TestSyncAfterAKilledCheckout(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	dir := filepath.Join(t.TempDir(), "app")
	plain := newClient(t, retry(), Config{})
	if _, err := plain.Sync(bounded(t), s.Repo, dir, "main"); err != nil {
		t.Fatal(err)
	}
	first := s.Head(t)
	second := advance(t, pusher(t, s), "second")
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	w := newWrapper(t, `case " $* " in *" checkout "*) echo half > file; touch .git/index.lock; exec 3>`+"FIFO"+`; echo x >&3; exec sleep 1000;; esac`)
	go func() {
		w.wait(t)
		cancel()
	}()
	client := newClient(t, retry(), Config{Path: w.path, Grace: time.Millisecond})
	got, err := client.Sync(ctx, s.Repo, dir, "main")
	failure(t, err, KindCanceled)
	if got.Commit != first || !got.Stale {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, ".git", "index.lock")); err == nil {
		t.Error("the lock of the dead git is still there")
	}
	// A copy that is served stale is whole too.
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	got, err = newClient(t, middleware.NewChain("git", breaker), Config{}).Sync(bounded(t), s.Repo, dir, "main")
	if err != nil || !got.Stale || got.Commit != first {
		t.Errorf("got %+v, %v", got, err)
	}
	gittest.Whole(t, dir, first)
	write(t, dir, "file", "half")
	if _, err := plain.Sync(bounded(t), s.Repo, dir, "main"); err != nil {
		t.Fatal(err)
	}
	gittest.Whole(t, dir, second)
}
