package gogit

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/memfs"
	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// stages are where a server falls silent. It calls reached then.
var stages = map[string]func(reached func()) gittest.Fault{
	"before the refs": func(reached func()) gittest.Fault {
		return func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			reached()
			gittest.Hang(w, r, h)
		}
	},
	"before the answer": func(reached func()) gittest.Fault {
		return func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if r.Method != http.MethodPost {
				h.ServeHTTP(w, r)
				return
			}
			reached()
			gittest.Hang(w, r, h)
		}
	},
	"in the answer": func(reached func()) gittest.Fault {
		return func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if r.Method != http.MethodPost {
				h.ServeHTTP(w, r)
				return
			}
			recorded := httptest.NewRecorder()
			h.ServeHTTP(recorded, r)
			w.Header().Set("Content-Type", recorded.Header().Get("Content-Type"))
			_, _ = w.Write(recorded.Body.Bytes()[:recorded.Body.Len()/2])
			w.(http.Flusher).Flush()
			reached()
			gittest.Hang(w, r, h)
		}
	},
}

func TestG11CallsEndAtEveryStage(t *testing.T) {
	for name, stage := range stages {
		t.Run(name, func(t *testing.T) {
			s, repo, dir := cloned(t)
			work := filepath.Join(t.TempDir(), "work")
			gittest.Git(t, "", "clone", "-q", s.Bare, work)
			gittest.Commit(t, work, "theirs")
			gittest.Git(t, work, "push", "-q", "origin", "HEAD:refs/heads/topic")
			gittest.Commit(t, dir, "ours")
			parent := t.TempDir()
			for op, call := range map[string]func(ctx context.Context, c *Client) error{
				"clone": func(ctx context.Context, c *Client) error {
					_, err := c.Clone(ctx, filepath.Join(parent, "app"), false, &git.CloneOptions{URL: s.Repo})
					return err
				},
				"fetch": func(ctx context.Context, c *Client) error { _, err := c.Fetch(ctx, repo, nil); return err },
				"pull":  func(ctx context.Context, c *Client) error { _, err := c.Pull(ctx, repo, nil); return err },
				"push":  func(ctx context.Context, c *Client) error { _, err := c.Push(ctx, repo, nil); return err },
			} {
				stop := errors.New("the operator said stop")
				ctx, cancel := context.WithCancelCause(bounded(t))
				s.Always(stage(func() { cancel(stop) }))
				var seen verdicts
				err := call(ctx, New(retry(&seen), Config{}))
				if !errors.Is(err, context.Canceled) || !errors.Is(err, stop) || KindOf(err) != KindCanceled {
					t.Errorf("%s: got %v (%T), %s", op, err, err, KindOf(err))
				}
				if len(seen.seen) != 1 || seen.seen[0].Class != middleware.Ignored {
					t.Errorf("%s: the verdicts are %+v", op, seen.seen)
				}
			}
			left, err := filepath.Glob(filepath.Join(dir, ".git", "objects", "pack", "tmp_*"))
			entries, dirErr := os.ReadDir(parent)
			if err != nil || dirErr != nil || len(left)+len(entries) != 0 {
				t.Errorf("left behind: %v, %v, %v, %v", left, entries, err, dirErr)
			}
			s.Always(nil)
			if _, err := New(nil, Config{}).Fetch(bounded(t), repo, nil); err != nil {
				t.Error(err)
			}
			gittest.Git(t, dir, "fsck", "--full")
		})
	}
}

// wrapping hides what a storage has besides what it must have.
type wrapping struct {
	storage.Storer

	_ []int // nor can it be compared
}

// Repositories in memory, and storages of others, do as well.
func TestOtherStorages(t *testing.T) {
	for name, s := range map[string]storage.Storer{"memory": memory.NewStorage(), "a wrapped one": wrapping{Storer: memory.NewStorage()}} {
		t.Run(name, func(t *testing.T) {
			server := gittest.NewServer(t, gittest.NewRepository(t))
			files := memfs.New()
			repo, err := git.CloneContext(bounded(t), s, files, &git.CloneOptions{URL: server.Repo})
			if err != nil {
				t.Fatal(err)
			}
			work := filepath.Join(t.TempDir(), "work")
			gittest.Git(t, "", "clone", "-q", server.Bare, work)
			gittest.Commit(t, work, "theirs")
			gittest.Git(t, work, "push", "-q", "origin", "main")
			server.Script(gittest.CutPack())
			c := New(retry(), Config{})
			if changed, err := c.Pull(bounded(t), repo, nil); err != nil || !changed {
				t.Fatalf("pull: got %v, %v", changed, err)
			}
			f, err := files.Create("file")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(f, "ours")
			f.Close()
			tree, err := repo.Worktree()
			if err != nil {
				t.Fatal(err)
			}
			id, err := tree.Commit("ours", &git.CommitOptions{All: true, Author: &object.Signature{Name: "Tests", Email: "tests@example.com"}})
			if err != nil {
				t.Fatal(err)
			}
			server.Script(gittest.Lost)
			if changed, err := c.Push(bounded(t), repo, nil); err != nil || !changed || server.Head(t) != id.String() {
				t.Errorf("push: got %v, %v", changed, err)
			}
			if changed, err := c.Fetch(bounded(t), repo, nil); err != nil {
				t.Errorf("fetch: got %v, %v", changed, err)
			}
		})
	}
}

// A call leaves no request open when it ends, although go-git does not read an
// answer to its end.
func TestG18NoRequestOutlivesItsCall(t *testing.T) {
	s, repo, dir := cloned(t)
	gittest.Commit(t, dir, "second")
	ended := make(chan struct{})
	s.Always(func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		if !isPush(r) {
			h.ServeHTTP(w, r)
			return
		}
		defer close(ended)
		recorded := httptest.NewRecorder()
		h.ServeHTTP(recorded, r)
		w.Header().Set("Content-Type", recorded.Header().Get("Content-Type"))
		_, _ = w.Write(recorded.Body.Bytes())
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	// The context of the call must not be what ends the request.
	if changed, err := New(nil, Config{}).Push(t.Context(), repo, nil); err != nil || !changed {
		t.Errorf("got %v, %v", changed, err)
	}
	patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case <-ended:
	case <-patience.Done():
		t.Error("the request is still open")
	}
}

// Do gives errors that say that the context has ended, as the other methods do.
func TestDoSaysThatTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(bounded(t))
	stop := errors.New("the operator said stop")
	err := New(retry(), Config{}).Do(ctx, Op{Name: "x", Repeatable: true}, func(context.Context) error {
		cancel(stop)
		return unexpected(errors.New("https://ann:" + canary + "@example.com: context canceled"))
	})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, stop) || KindOf(err) != KindCanceled || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v (%T)", err, err)
	}
	if err := New(nil, Config{}).Do(bounded(t), Op{}, func(context.Context) error { return git.NoErrAlreadyUpToDate }); !errors.Is(err, git.NoErrAlreadyUpToDate) {
		t.Errorf("got %v", err)
	}
}
