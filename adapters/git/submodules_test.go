//go:build unix

package git

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// operations records the operation of every attempt.
type operations struct {
	mu   sync.Mutex
	seen []middleware.Operation
}

func (o *operations) Execute(ctx context.Context, next middleware.Next) error {
	o.mu.Lock()
	o.seen = append(o.seen, middleware.OperationOf(ctx))
	o.mu.Unlock()
	return next.Do(ctx)
}

// link makes a commit that has a submodule at path, as a repository that means no
// good may do by hand.
func link(t *testing.T, dir, name, path, url, id string) {
	t.Helper()
	file := filepath.Join(dir, ".gitmodules")
	b, _ := os.ReadFile(file)
	if err := os.WriteFile(file, fmt.Appendf(b, "[submodule %q]\n\tpath = %q\n\turl = %q\n", name, path, url), 0o600); err != nil {
		t.Fatal(err)
	}
	gittest.Git(t, dir, "add", ".gitmodules")
	if id != "" {
		gittest.Git(t, dir, "update-index", "--add", "--cacheinfo", "160000,"+id+","+path)
	}
	gittest.Git(t, dir, "commit", "-qm", "link "+name)
}

// super returns a repository with a first commit.
func super(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	gittest.Git(t, dir, "init", "-q", "-b", "main")
	gittest.Git(t, dir, "commit", "-q", "--allow-empty", "-m", "super")
	return dir
}

// Each submodule is a call of its own host, relative URLs and those in submodules
// too, and only the host that the clone came from gets the credentials.
func TestG15SubmodulesOfTwoHosts(t *testing.T) {
	far := gittest.NewServer(t, gittest.NewRepository(t))
	lib := super(t)
	link(t, lib, "deep", "deep/er", far.Repo, far.Head(t))
	s := gittest.NewServer(t, super(t))
	libID := gittest.Git(t, lib, "rev-parse", "HEAD")
	gittest.Git(t, "", "clone", "-q", "--bare", lib, filepath.Join(filepath.Dir(s.Bare), "lib.git"))
	login := gittest.Login{Username: "ann", Password: canary}
	s.Ask(login)
	far.Look(func(r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the other host got credentials")
		}
	})
	parent := t.TempDir()
	dir := filepath.Join(parent, "app")
	var seen operations
	client := newClient(t, retry(&seen), Config{Credentials: Credentials{Username: "ann", Password: canary}})
	ctx := bounded(t)
	if _, err := client.Sync(ctx, s.Repo, dir, "main"); err != nil {
		t.Fatal(err)
	}
	home, away := s.Listener.Addr().String(), far.Listener.Addr().String()
	equal(t, "operations", seen.seen, []middleware.Operation{{Name: "ls-remote", Key: home, Idempotent: true}, {Name: "fetch", Key: home}})
	if got, err := client.Submodules(ctx, dir, SubmoduleOptions{}); err != nil || len(got.Submodules) > 0 {
		t.Errorf("without submodules: got %+v, %v", got, err)
	}
	work := pusher(t, s)
	link(t, work, "lib", "lib", "../lib.git", libID)
	link(t, work, "zero", "a b/zero", s.Repo, s.Head(t))
	id := gittest.Git(t, work, "rev-parse", "HEAD")
	gittest.Git(t, work, "push", "-q", "origin", "HEAD:main")
	seen.seen = nil
	if _, err := client.Sync(ctx, s.Repo, dir, "main"); err != nil {
		t.Fatal(err)
	}
	seen.seen = nil
	got, err := client.Submodules(ctx, dir, SubmoduleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	zero := gittest.Git(t, work, "rev-parse", "HEAD~2")
	equal(t, "submodules", got.Submodules, []Submodule{{"a b/zero", zero}, {"lib", libID}, {"lib/deep/er", far.Head(t)}})
	equal(t, "operations", seen.seen, []middleware.Operation{{Name: "submodules", Key: home}, {Name: "submodules", Key: home}, {Name: "submodules", Key: away}})
	gittest.Whole(t, dir, id)
	gittest.Whole(t, filepath.Join(dir, "lib"), libID)
	gittest.Whole(t, filepath.Join(dir, "lib", "deep", "er"), far.Head(t))
	noCanary(t, parent)

	// Another host that asks gets nothing, and the error and the result say so.
	far.Ask(login)
	if err := os.RemoveAll(filepath.Join(dir, ".git", "modules", "lib", "modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "lib", "deep")); err != nil {
		t.Fatal(err)
	}
	got, err = client.Submodules(ctx, dir, SubmoduleOptions{})
	failure(t, err, KindAuth)
	equal(t, "submodules", got.Submodules, []Submodule{{"a b/zero", zero}, {"lib", libID}})
}

// A login in the clone's own URL opens a relative submodule, and is not kept.
func TestG10SubmodulesWithALogin(t *testing.T) {
	s := gittest.NewServer(t, super(t))
	gittest.Git(t, "", "clone", "-q", "--bare", gittest.NewRepository(t), filepath.Join(filepath.Dir(s.Bare), "lib.git"))
	id := gittest.Git(t, filepath.Join(filepath.Dir(s.Bare), "lib.git"), "rev-parse", "HEAD")
	work := pusher(t, s)
	link(t, work, "lib", "lib", "../lib.git", id)
	gittest.Git(t, work, "push", "-q", "origin", "HEAD:main")
	s.Ask(gittest.Login{Username: "ann", Password: canary})
	dir := filepath.Join(t.TempDir(), "app")
	gittest.Git(t, "", "clone", "-q", strings.Replace(s.Repo, "//", "//ann:"+canary+"@", 1), dir)
	w := newWrapper(t, `ps -eo args >> FIFO.ps 2>/dev/null; (sleep 0; :)`)
	got, err := newClient(t, retry(), Config{Path: w.path}).Submodules(bounded(t), dir, SubmoduleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "submodules", got.Submodules, []Submodule{{"lib", id}})
	noCanary(t, filepath.Join(dir, ".git", "modules"))
	noCanary(t, filepath.Dir(w.log))
}

func TestG1HostileSubmodules(t *testing.T) {
	good := gittest.NewServer(t, gittest.NewRepository(t))
	id := good.Head(t)
	secret := gittest.NewRepository(t) // of this machine
	for _, row := range []struct {
		name, module, path, url string
		arrange                 func(t *testing.T, dir string)
		fine                    bool // it is left out
	}{
		{name: "a file of this machine", module: "lib", path: "lib", url: "file://" + secret},
		{name: "a path of this machine", module: "lib", path: "lib", url: secret},
		{name: "a program", module: "lib", path: "lib", url: "ext::sh -c touch% ran"},
		{name: "another program", module: "lib", path: "lib", url: "fd::17"},
		{name: "a scheme that is not allowed", module: "lib", path: "lib", url: "git://127.0.0.1:1/x"},
		{name: "an option", module: "lib", path: "lib", url: "--upload-pack=touch ran"},
		{name: "an option of ssh", module: "lib", path: "lib", url: "ssh://-oProxyCommand=touch ran/x"},
		{name: "a name outside", module: "../../x", path: "lib", url: good.Repo},
		{name: "through a link", module: "lib", path: "link/lib", url: good.Repo, arrange: func(t *testing.T, dir string) {
			if err := os.Symlink("../outside", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a path that is a pattern", module: "lib", path: "*", url: good.Repo, fine: true},
		{name: "a path that is none", module: "lib", path: "lib", url: good.Repo, fine: true, arrange: func(t *testing.T, dir string) {
			gittest.Git(t, dir, "rm", "-q", "--cached", "lib")
		}},
		{name: "update by a command", module: "lib", path: "lib", url: good.Repo, fine: true, arrange: func(t *testing.T, dir string) {
			gittest.Git(t, dir, "config", "-f", ".gitmodules", "submodule.lib.update", "none")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "app")
			outside := filepath.Join(parent, "outside")
			for _, d := range []string{dir, outside} {
				if err := os.Mkdir(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			gittest.Git(t, dir, "init", "-q")
			gittest.Git(t, dir, "remote", "add", "origin", good.Repo)
			link(t, dir, row.module, row.path, row.url, id)
			if row.arrange != nil {
				row.arrange(t, dir)
			}
			client := newClient(t, retry(), Config{Schemes: []string{"http"}})
			got, err := client.Submodules(bounded(t), dir, SubmoduleOptions{})
			if !row.fine {
				failure(t, err, KindUsage)
			} else if err != nil {
				t.Errorf("got %v", err)
			}
			for _, m := range got.Submodules {
				if m.Commit != id || m.Path != row.path {
					t.Errorf("got %+v", m)
				}
			}
			equal(t, "outside", names(t, outside), nil)
			equal(t, "beside", names(t, parent), []string{"app", "outside"})
			if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
				t.Error("a command ran")
			}
		})
	}
}

// A fault of one submodule's remote repeats that one alone; a call that ends in
// the middle leaves nothing of it; and what the next commit says is followed: a
// new commit, another URL, none at all.
func TestSubmodulesAreFollowed(t *testing.T) {
	source := gittest.NewRepository(t)
	first := gittest.Git(t, source, "rev-parse", "HEAD")
	gittest.Commit(t, source, "second")
	a, b := gittest.NewServer(t, source), gittest.NewServer(t, source)
	dir := super(t)
	gittest.Git(t, dir, "remote", "add", "origin", a.Repo)
	link(t, dir, "a", "a", a.Repo, a.Head(t))
	link(t, dir, "b", "b", b.Repo, first)
	client := newClient(t, retry(), Config{})

	ctx, cancel := context.WithCancel(bounded(t))
	b.Always(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == http.MethodPost {
			cancel()
			_, _ = io.Copy(io.Discard, r.Body) // then the end of the connection is noticed
			gittest.Hang(w, r, git)
		}
		git.ServeHTTP(w, r)
	})
	got, err := client.Submodules(ctx, dir, SubmoduleOptions{})
	failure(t, err, KindCanceled)
	equal(t, "submodules", got.Submodules, []Submodule{{"a", a.Head(t)}})
	if _, err := os.Stat(filepath.Join(dir, ".git", "modules", "b")); err == nil {
		t.Error("half a submodule is left")
	}
	b.Always(nil)
	a.Script()
	b.Script(gittest.Answer(503), gittest.Cut("command=fetch"))
	got, err = client.Submodules(bounded(t), dir, SubmoduleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "submodules", got.Submodules, []Submodule{{"a", a.Head(t)}, {"b", first}})
	if a.Served() != 0 || b.Served() != 3 {
		t.Errorf("%d and %d attempts, want 0 and 3", a.Served(), b.Served())
	}
	gittest.Whole(t, filepath.Join(dir, "b"), first)

	// b goes to another URL, that has a commit which the old one lacks.
	work := pusher(t, a)
	third := advance(t, work, "third")
	if err := os.Remove(filepath.Join(dir, ".gitmodules")); err != nil {
		t.Fatal(err)
	}
	link(t, dir, "b", "b", a.Repo, third)
	gittest.Git(t, dir, "rm", "-q", "--cached", "a")
	b.Script()
	got, err = client.Submodules(bounded(t), dir, SubmoduleOptions{})
	if err != nil || b.Served() != 0 {
		t.Fatalf("got %v after %d calls of the old URL", err, b.Served())
	}
	equal(t, "submodules", got.Submodules, []Submodule{{"b", third}})
	gittest.Whole(t, filepath.Join(dir, "b"), third)
	// What is changed there is not lost.
	write(t, dir, "b/file", "mine")
	gittest.Git(t, dir, "update-index", "--cacheinfo", "160000,"+first+",b")
	_, err = client.Submodules(bounded(t), dir, SubmoduleOptions{})
	failure(t, err, KindDirty)
	if data, err := os.ReadFile(filepath.Join(dir, "b", "file")); string(data) != "mine" {
		t.Errorf("the file is %q, %v", data, err)
	}
}

func TestSubmodulesDepth(t *testing.T) {
	source := gittest.NewRepository(t)
	first := gittest.Git(t, source, "rev-parse", "HEAD")
	gittest.Commit(t, source, "second")
	s := gittest.NewServer(t, source)
	dir := super(t)
	gittest.Git(t, dir, "remote", "add", "origin", s.Repo)
	link(t, dir, "tip", "tip", s.Repo, s.Head(t))
	link(t, dir, "old", "old", s.Repo, first)
	client := newClient(t, retry(), Config{})
	if _, err := client.Submodules(bounded(t), dir, SubmoduleOptions{Depth: 1}); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{"tip": s.Head(t), "old": first} {
		inner := filepath.Join(dir, name)
		gittest.Whole(t, inner, id)
		if n := gittest.Git(t, inner, "rev-list", "--count", "HEAD"); n != "1" {
			t.Errorf("%s has %s commits", name, n)
		}
	}
	_, err := client.Submodules(bounded(t), dir, SubmoduleOptions{Depth: -1})
	failure(t, err, KindUsage)
	_, err = client.Submodules(bounded(t), t.TempDir(), SubmoduleOptions{})
	if err != nil {
		failure(t, err, KindNoRepository)
	}
}
