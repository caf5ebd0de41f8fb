package gogit

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Two at once, be they calls or attempts of one call, take turns on a repository.
func TestG9OneAtATime(t *testing.T) {
	for _, row := range []struct {
		name string
		call func(t *testing.T, dir string) error
	}{
		{"two calls", func(t *testing.T, dir string) error {
			var both sync.WaitGroup
			errs := make([]error, 2)
			for i := range errs {
				both.Go(func() { _, errs[i] = New(nil, Config{}).Fetch(bounded(t), open(t, dir), nil) })
			}
			both.Wait()
			return errors.Join(errs...)
		}},
		{"two attempts", func(t *testing.T, dir string) error {
			hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, When: func(context.Context) bool { return true }, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})})
			_, err := New(middleware.NewChain("git", hedge), Config{}).Fetch(bounded(t), open(t, dir), nil)
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, repo, dir := cloned(t)
			name := nameOf(repo)
			var inside, most atomic.Int32
			s.Always(func(w http.ResponseWriter, r *http.Request, h http.Handler) {
				most.Store(max(most.Load(), inside.Add(1)))
				defer inside.Add(-1)
				waiting := func() bool {
					writers.Lock()
					defer writers.Unlock()
					return writers.held[name] != nil && writers.held[name].used > 1
				}
				for s.Served() == 1 && !waiting() && inside.Load() == 1 && r.Context().Err() == nil {
					runtime.Gosched()
				}
				h.ServeHTTP(w, r)
			})
			if err := row.call(t, dir); err != nil {
				t.Error(err)
			}
			if most.Load() != 1 {
				t.Errorf("%d at once, want 1", most.Load())
			}
		})
	}
}

// Who waits for a turn does not wait for longer than his context.
func TestG9WaitEnds(t *testing.T) {
	repo, err := git.Init(memory.NewStorage(), nil)
	if err != nil {
		t.Fatal(err)
	}
	release, err := write(bounded(t), "x", repo)
	if err != nil {
		t.Fatal(err)
	}
	for cause, want := range map[error]Kind{middleware.ErrTimeout: KindLock, errors.New("stop"): KindCanceled} {
		ctx, cancel := context.WithCancelCause(bounded(t))
		cancel(cause)
		_, err := write(ctx, "x", repo)
		if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || KindOf(err) != want {
			t.Errorf("got %v, %s, want %s", err, KindOf(err), want)
		}
	}
	other, err := git.Init(memory.NewStorage(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if nameOf(repo) == nameOf(other) {
		t.Error("two storages have one name")
	}
	release()
	if len(writers.held) != 0 {
		t.Errorf("turns are left: %v", writers.held)
	}
}
