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

// A gate holds the attempts that reach a server.
type gate struct{ arrived, open chan struct{} }

func newGate(s *gittest.Server) gate {
	g := gate{make(chan struct{}), make(chan struct{})}
	s.Always(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == http.MethodGet {
			select {
			case g.arrived <- struct{}{}:
			case <-r.Context().Done():
				return
			}
			select {
			case <-g.open:
			case <-r.Context().Done():
				return
			}
		}
		git.ServeHTTP(w, r)
	})
	return g
}

func (g gate) arrives(t *testing.T) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-bounded(t).Done():
		t.Fatal("no call arrives")
	}
}

// waiting reports whether a call waits for another one.
func waiting() bool {
	writers.mu.Lock()
	defer writers.mu.Unlock()
	for _, l := range writers.held {
		if l.used > 1 {
			return true
		}
	}
	return false
}

// nobody asserts that no call holds or wants a repository.
func nobody(t *testing.T) {
	t.Helper()
	writers.mu.Lock()
	defer writers.mu.Unlock()
	if len(writers.held) > 0 {
		t.Errorf("%d repositories are still held", len(writers.held))
	}
}

// start runs the call in a goroutine of its own.
func start(call func() error) <-chan error {
	end := make(chan error, 1)
	go func() { end <- call() }()
	return end
}

func TestG9OneWriterOfARepository(t *testing.T) {
	s, dir := cloned(t)
	t.Chdir(filepath.Dir(dir))
	link, linked, parent := filepath.Join(t.TempDir(), "link"), filepath.Join(t.TempDir(), "linked"), filepath.Join(t.TempDir(), "parent")
	for to, path := range map[string]string{dir: link, filepath.Dir(dir): parent} {
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	gittest.Git(t, dir, "worktree", "add", "-q", "-b", "linked", linked)
	away := filepath.Join(t.TempDir(), "away")
	apart, second := filepath.Join(t.TempDir(), "apart"), filepath.Join(t.TempDir(), "second")
	gittest.Git(t, "", "clone", "-q", "--separate-git-dir="+away, s.Repo, apart)
	gittest.Git(t, apart, "worktree", "add", "-q", "-b", "second", second)
	fetch := func(dir string) func(context.Context, *Client) error {
		return func(ctx context.Context, c *Client) error {
			_, err := c.Fetch(ctx, dir, FetchOptions{})
			return err
		}
	}
	for _, row := range []struct {
		name          string
		first, second func(context.Context, *Client) error
	}{
		{"the same path", fetch(dir), fetch(dir)},
		{"a link", fetch(dir), fetch(link)},
		{"a link to its parent", fetch(filepath.Join(parent, "app")), fetch(dir)},
		{"a relative path", fetch(dir), fetch("./app/../app/")},
		{"a linked work tree", fetch(dir), fetch(linked)},
		{"the git directory", fetch(linked), fetch(filepath.Join(dir, ".git"))},
		{"a git directory elsewhere", fetch(apart), fetch(second)},
		{"a push", fetch(dir), func(ctx context.Context, c *Client) error {
			_, err := c.Push(ctx, link, PushOptions{Refspecs: []string{"HEAD:refs/heads/main"}})
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			g, ctx := newGate(s), bounded(t)
			first := start(func() error { return row.first(ctx, newClient(t, nil, Config{})) })
			g.arrives(t)
			second := start(func() error { return row.second(ctx, newClient(t, nil, Config{})) })
			until(t, "waiting", func() bool {
				select {
				case <-g.arrived:
					t.Error("two calls write at the same time")
					close(g.open)
					return true
				case err := <-second:
					t.Errorf("the second call ended first: %v", err)
					return true
				default:
					return waiting()
				}
			})
			if t.Failed() {
				t.FailNow()
			}
			g.open <- struct{}{}
			if err := <-first; err != nil {
				t.Error(err)
			}
			g.arrives(t)
			g.open <- struct{}{}
			if err := <-second; err != nil {
				t.Error(err)
			}
			nobody(t)
		})
	}
}

func TestG9TwoClonesToOnePlace(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	g, ctx, parent := newGate(s), bounded(t), t.TempDir()
	dir, link := filepath.Join(parent, "app"), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(parent, link); err != nil {
		t.Fatal(err)
	}
	clone := func(dir string) <-chan error {
		return start(func() error {
			_, err := newClient(t, nil, Config{}).Clone(ctx, s.Repo, dir, CloneOptions{})
			return err
		})
	}
	first := clone(dir)
	g.arrives(t)
	second := clone(filepath.Join(link, "app"))
	until(t, "waiting", waiting)
	g.open <- struct{}{}
	if err := <-first; err != nil {
		t.Error(err)
	}
	failure(t, <-second, KindTargetExists) // it did not ask the server
	gittest.Whole(t, dir, s.Head(t))
	nobody(t)
}

func TestG9RepositoriesDoNotWaitForEachOther(t *testing.T) {
	s, dir := cloned(t)
	other := filepath.Join(t.TempDir(), "app")
	gittest.Git(t, "", "clone", "-q", s.Repo, other)
	g, ctx, client := newGate(s), bounded(t), newClient(t, nil, Config{})
	var ends []<-chan error
	for _, dir := range []string{dir, other} {
		ends = append(ends, start(func() error {
			_, err := client.Fetch(ctx, dir, FetchOptions{})
			return err
		}))
	}
	g.arrives(t)
	g.arrives(t) // both are there
	close(g.open)
	for _, end := range ends {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	nobody(t)
}

func TestG9WaitingEndsWithItsContext(t *testing.T) {
	s, dir := cloned(t)
	g := newGate(s)
	first := start(func() error {
		_, err := newClient(t, nil, Config{}).Fetch(bounded(t), dir, FetchOptions{})
		return err
	})
	g.arrives(t)
	for _, row := range []struct {
		cause error
		kind  Kind
	}{{errors.New("the operator said stop"), KindCanceled}, {middleware.ErrTimeout, KindTimeout}} {
		ctx, cancel := context.WithCancelCause(bounded(t))
		entered := false
		chain := middleware.NewChain("git", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			entered = true
			return next.Do(ctx)
		}))
		git := newClient(t, chain, Config{Path: filepath.Join(t.TempDir(), "none")}) // a git that ran would be KindNoGit
		second := start(func() error {
			_, err := git.Fetch(ctx, dir, FetchOptions{})
			return err
		})
		until(t, "waiting", waiting)
		cancel(row.cause)
		err := <-second // while the first call goes on
		e := failure(t, err, row.kind)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, row.cause) || e.Op != "fetch" || e.ExitCode != 0 || e.Attempt != 0 {
			t.Errorf("got %+v", e)
		}
		if entered {
			t.Error("it waited inside of the chain")
		}
		if waiting() {
			t.Error("it is still waiting")
		}
	}
	close(g.open)
	if err := <-first; err != nil {
		t.Error(err)
	}
	nobody(t)
}

// A call that waits for another one holds nothing of the chain.
func TestG9WaitingIsOutsideOfTheChain(t *testing.T) {
	s, dir := cloned(t)
	other := filepath.Join(t.TempDir(), "app")
	gittest.Git(t, "", "clone", "-q", s.Repo, other)
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2})
	g, ctx := newGate(s), bounded(t)
	client := newClient(t, middleware.NewChain("git", bulkhead), Config{})
	fetch := func(dir string) <-chan error {
		return start(func() error {
			_, err := client.Fetch(ctx, dir, FetchOptions{})
			return err
		})
	}
	ends := []<-chan error{fetch(dir)}
	g.arrives(t)
	ends = append(ends, fetch(dir))
	until(t, "waiting", waiting)
	third := fetch(other)
	select {
	case <-g.arrived:
	case err := <-third:
		t.Fatalf("the permit is taken: %v", err)
	}
	go func() { <-g.arrived }() // of the second, later
	close(g.open)
	for _, end := range append(ends, third) {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	nobody(t)
}

func TestG9PanicReleasesTheRepository(t *testing.T) {
	s, dir := cloned(t)
	chain := middleware.NewChain("git", middleware.PolicyFunc(func(context.Context, middleware.Next) error { panic("oh") }))
	for name, call := range map[string]func(c *Client) error{
		"fetch": func(c *Client) error { _, err := c.Fetch(bounded(t), dir, FetchOptions{}); return err },
		"push": func(c *Client) error {
			_, err := c.Push(bounded(t), dir, PushOptions{Refspecs: []string{"main"}})
			return err
		},
		"clone": func(c *Client) error {
			_, err := c.Clone(bounded(t), s.Repo, filepath.Join(t.TempDir(), "new"), CloneOptions{})
			return err
		},
	} {
		func() {
			defer func() {
				if r := recover(); r != "oh" {
					t.Errorf("%s: recovered %v", name, r)
				}
			}()
			t.Errorf("%s: no panic but %v", name, call(newClient(t, chain, Config{})))
		}()
		nobody(t)
	}
	_, err := newClient(t, nil, Config{}).Fetch(bounded(t), filepath.Join(t.TempDir(), "no", "such"), FetchOptions{})
	failure(t, err, KindUsage)
	if _, err := newClient(t, nil, Config{}).Fetch(bounded(t), dir, FetchOptions{}); err != nil {
		t.Error(err)
	}
	nobody(t)
}

func TestLocksAreHeldByOne(t *testing.T) {
	var l locks
	count, ends := 0, []<-chan error{}
	for range 50 {
		ends = append(ends, start(func() error {
			release, err := l.take(bounded(t), "x")
			if err == nil {
				count++ // which the race detector watches
				release()
			}
			return err
		}))
	}
	for _, end := range ends {
		if err := <-end; err != nil {
			t.Error(err)
		}
	}
	if count != 50 || len(l.held) != 0 {
		t.Errorf("%d times, %d left", count, len(l.held))
	}
	// The paths of what does not exist yet are told apart.
	top := from("", t.TempDir())
	for _, name := range []string{"a", "b", "a/deep/er"} {
		if got := canonical(filepath.Join(top, name)); !strings.HasSuffix(got, name) {
			t.Errorf("got %q for %q", got, name)
		}
	}
}
