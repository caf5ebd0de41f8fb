//go:build unix

package git

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestG20StaleCopyWhileTheBreakerIsOpen(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	first := s.Head(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "app")
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, Timeout: time.Hour})
	client := newClient(t, retry(breaker), Config{})
	ctx := bounded(t)
	if _, err := client.Sync(ctx, s.Repo, dir, "main"); err != nil {
		t.Fatal(err)
	}
	second := advance(t, pusher(t, s), "second")
	// The failures that open it.
	s.Script()
	s.Always(gittest.Answer(503))
	got, err := client.Sync(ctx, s.Repo, dir, "main")
	if breaker.State() != policies.Open || s.Served() != 2 {
		t.Fatalf("the breaker is %s after %d calls", breaker.State(), s.Served())
	}
	if err != nil || !got.Stale || !errors.Is(got.Cause, middleware.ErrOpen) || got.Commit != first || got.Changed {
		t.Errorf("got %+v, %v", got, err)
	}
	s.Script()
	for range 2 {
		got, err = client.Sync(ctx, s.Repo, dir, "main")
		if err != nil || !got.Stale || got.Commit != first || got.Previous != first || got.Changed || !errors.Is(got.Cause, middleware.ErrOpen) {
			t.Errorf("got %+v, %v", got, err)
		}
		gittest.Whole(t, dir, first)
	}
	if s.Served() != 0 {
		t.Errorf("%d calls reached the server", s.Served())
	}
	got, err = client.Sync(ctx, s.Repo, filepath.Join(parent, "new"), "main")
	if !errors.Is(err, middleware.ErrOpen) || got.Stale || got.Commit != "" {
		t.Errorf("without a copy: got %+v, %v", got, err)
	}
	equal(t, "left behind", names(t, parent), []string{"app"})
	// Other failures are errors, with the copy.
	breaker.ForceClose()
	got, err = newClient(t, retry(), Config{}).Sync(ctx, s.Repo, dir, "main")
	failure(t, err, KindServer)
	if !got.Stale || got.Cause == nil || got.Commit != first {
		t.Errorf("got %+v", got)
	}
	s.Always(nil)
	breaker.Reset()
	got, err = client.Sync(ctx, s.Repo, dir, "main")
	if err != nil || got.Stale || got.Cause != nil || got.Commit != second || !got.Changed {
		t.Errorf("got %+v, %v", got, err)
	}
	gittest.Whole(t, dir, second)
}

func TestSyncTwiceAtOnce(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	parent := t.TempDir()
	dir := filepath.Join(parent, "app")
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if got, err := newClient(t, retry(), Config{}).Sync(bounded(t), s.Repo, dir, "main"); err != nil || got.Commit != s.Head(t) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	group.Wait()
	gittest.Whole(t, dir, s.Head(t))
	equal(t, "beside it", names(t, parent), []string{"app"})
	if s.Served() != 3 {
		t.Errorf("%d calls, want 3: the second fetches nothing", s.Served())
	}
}

func TestSyncWhenAPolicyPanics(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	parent := t.TempDir()
	calls := 0
	chain := middleware.NewChain("git", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if calls++; calls == 2 { // the fetch
			panic("broken")
		}
		return next.Do(ctx)
	}))
	client := newClient(t, chain, Config{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = client.Sync(bounded(t), s.Repo, filepath.Join(parent, "app"), "main")
	}()
	equal(t, "left behind", names(t, parent), nil)
	if _, err := client.Sync(bounded(t), s.Repo, filepath.Join(parent, "app"), "main"); err != nil {
		t.Error(err) // and the directory is not held
	}
}
