//go:build unix

package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A crowd are the fetches that a server has at the same time: each from its first
// request on until its attempt is over. No request is answered before all fetches
// have entered the chain and as many as are wanted are at the server.
type crowd struct {
	fetches, wanted int
	open            chan struct{} // closed when all are where they belong

	mu      sync.Mutex
	entered int
	there   map[string]bool
	most    int
	done    int
}

type fetchKey struct{}

// enter is the outermost policy.
func (c *crowd) enter(ctx context.Context, next middleware.Next) error {
	c.change(func() { c.entered++ })
	return next.Do(ctx)
}

// attempt is the innermost policy.
func (c *crowd) attempt(ctx context.Context, next middleware.Next) error {
	defer c.change(func() {
		delete(c.there, ctx.Value(fetchKey{}).(string))
		c.done++
	})
	return next.Do(ctx)
}

func (c *crowd) answer(w http.ResponseWriter, r *http.Request, git http.Handler) {
	c.change(func() {
		c.there[r.Header.Get("X-Fetch")] = true
		c.most = max(c.most, len(c.there))
	})
	select {
	case <-c.open:
		git.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}

func (c *crowd) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	select {
	case <-c.open:
	default:
		if c.entered == c.fetches && len(c.there) >= c.wanted {
			close(c.open)
		}
	}
}

func TestFiftyFetchesHoldOneBulkhead(t *testing.T) {
	for _, row := range []struct {
		name                 string
		fetches, limit, most int
	}{
		{"with a bulkhead", 50, 8, 8},
		{"without", 10, 0, 10}, // that the server counts right
	} {
		t.Run(row.name, func(t *testing.T) {
			s := gittest.NewServer(t, gittest.NewRepository(t))
			first, clones := filepath.Join(t.TempDir(), "first"), t.TempDir()
			gittest.Git(t, "", "clone", "-q", "--template=", s.Repo, first)
			gittest.Git(t, s.Bare, "branch", "side", "main")
			want := RefUpdate{"refs/remotes/origin/side", "", s.Head(t)}
			s.Script()
			c := &crowd{fetches: row.fetches, wanted: row.most, open: make(chan struct{}), there: map[string]bool{}}
			s.Always(c.answer)

			bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: row.limit, MaxQueue: row.fetches, MaxWait: time.Hour})
			inside := []middleware.Policy{middleware.PolicyFunc(c.enter)}
			if row.limit > 0 {
				inside = append(inside, bulkhead)
			}
			chain := middleware.NewChain("git", append(inside, middleware.PolicyFunc(c.attempt))...)
			processes := newWitness(t)
			client := newClient(t, chain, Config{Path: witnessed(t, processes)})

			// These are hundreds of processes.
			ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Minute, errors.New("the test took too long"))
			defer cancel()
			var running sync.WaitGroup
			for i := range row.fetches {
				name := strconv.Itoa(i)
				dir := filepath.Join(clones, name)
				if err := os.CopyFS(dir, os.DirFS(first)); err != nil {
					t.Fatal(err)
				}
				tag(t, dir, name)
				running.Go(func() {
					got, err := client.Fetch(context.WithValue(ctx, fetchKey{}, name), dir, FetchOptions{})
					if err != nil || len(got.Updated) != 1 || got.Updated[0] != want {
						t.Errorf("fetch %s: got %+v, %v", name, got, err)
					}
				})
			}
			running.Wait()
			if c.most != row.most || c.done != row.fetches || s.Served() != row.fetches {
				t.Errorf("%d fetches at the same time, %d attempts, %d of them at the server: want %d, %d and %[5]d", c.most, c.done, s.Served(), row.most, row.fetches)
			}
			if b := bulkhead.Status(); b.Running != 0 || b.Waiting != 0 {
				t.Errorf("%d permits are not back, %d calls wait", b.Running, b.Waiting)
			}
			if err := processes.r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			processes.gone(t)
		})
	}
}

// witnessed returns a git that holds the witness open, as all its helpers do.
func witnessed(t *testing.T, w *witness) string {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "git")
	gittest.WriteScript(t, path, fmt.Sprintf("#!/bin/sh\nexec 3>%s\nexec %s \"$@\"\n", w.path, git))
	return path
}

// tag makes git name the fetch in its requests.
func tag(t *testing.T, dir, name string) {
	t.Helper()
	config, err := os.OpenFile(filepath.Join(dir, ".git", "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close()
	if _, err := fmt.Fprintf(config, "[http]\n\textraHeader = X-Fetch: %s\n", name); err != nil {
		t.Fatal(err)
	}
}
