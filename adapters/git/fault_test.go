//go:build unix

package git

import (
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A site is what one call of TestFaults works on.
type site struct {
	client *Client
	url    string
	parent string // app is a clone that is one commit behind and has one of its own, super has a submodule
	branch string // of the server, for what is pushed
}

func (s site) at(name string) string { return filepath.Join(s.parent, name) }

// The calls, and the directory that they leave whole.
var calls = []struct {
	name string
	dir  string
	run  func(ctx context.Context, s site) error
}{
	{"clone", "new", func(ctx context.Context, s site) error {
		_, err := s.client.Clone(ctx, s.url, s.at("new"), CloneOptions{})
		return err
	}},
	{"fetch", "app", func(ctx context.Context, s site) error {
		_, err := s.client.Fetch(ctx, s.at("app"), FetchOptions{})
		return err
	}},
	{"shallow", "app", func(ctx context.Context, s site) error {
		_, err := s.client.Fetch(ctx, s.at("app"), FetchOptions{Depth: 1})
		return err
	}},
	{"push", "app", func(ctx context.Context, s site) error {
		_, err := s.client.Push(ctx, s.at("app"), PushOptions{Refspecs: []string{"main:" + s.branch}})
		return err
	}},
	{"pull", "app", func(ctx context.Context, s site) error {
		_, err := s.client.Pull(ctx, s.at("app"), PullOptions{})
		return err
	}},
	{"sync new", "new", func(ctx context.Context, s site) error {
		_, err := s.client.Sync(ctx, s.url, s.at("new"), "main")
		return err
	}},
	{"sync", "app", func(ctx context.Context, s site) error {
		_, err := s.client.Sync(ctx, s.url, s.at("app"), "main")
		return err
	}},
	{"commit", "app", func(ctx context.Context, s site) error {
		_, err := s.client.CommitAndPush(ctx, s.at("app"), CommitOptions{Message: "More", Author: bot, Branch: s.branch})
		return err
	}},
	{"submodules", "super/lib", func(ctx context.Context, s site) error {
		_, err := s.client.Submodules(ctx, s.at("super"), SubmoduleOptions{})
		return err
	}},
}

// Whatever goes wrong: what a call makes is whole or absent, what was there is as
// it was, no process lives on, no lock and no part of a pack is left, nothing is
// pushed twice, and nothing shows the password.
func TestFaults(t *testing.T) {
	// An answer that dies before git gets the request.
	deaf := func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}
		git.ServeHTTP(w, r)
	}
	const (
		reads = " clone fetch shallow pull sync new sync submodules "
		all   = reads + "push commit "
	)
	for _, row := range []struct {
		name   string
		fault  gittest.Fault
		url    string // in place of the server's
		script string // before git
		lock   string // that somebody holds
		hook   string // of the server, before it takes a push
		once   bool   // no repeat: it would wait long
		stall  time.Duration
		limit  time.Duration // of the chain, for each attempt
		cancel string        // at the request of this method whose path ends so
		kind   Kind
		of     string // the calls that meet it
	}{
		{name: "none"},
		{name: "no such host", url: "http://does-not-exist.invalid/repo.git", kind: KindDNS, of: all},
		{name: "refused", url: "http://127.0.0.1:1/repo.git", kind: KindConnect, of: all},
		{name: "401", fault: gittest.Answer(401), kind: KindAuth, of: all},
		{name: "403", fault: gittest.Answer(403), kind: KindAuth, of: all},
		{name: "404", fault: gittest.Answer(404), kind: KindNotFound, of: all},
		{name: "429", fault: gittest.Answer(429), once: true, kind: KindThrottled, of: all},
		{name: "503", fault: gittest.Answer(503), kind: KindServer, of: all},
		{name: "stall", fault: gittest.Hang, once: true, stall: time.Second, kind: KindSlow, of: all},
		{name: "timeout of the chain", fault: gittest.Hang, once: true, limit: 300 * time.Millisecond, kind: KindTimeout, of: all},
		{name: "cut in the refs", fault: gittest.Cut("command=ls-refs"), kind: KindTransfer, of: reads},
		{name: "cut in the pack", fault: gittest.Cut("command=fetch"), kind: KindTransfer, of: reads},
		{name: "dies before it takes the push", fault: deaf, kind: KindTransfer, of: all},
		{name: "dies after it took the push", fault: gittest.Lost, kind: KindTransfer, of: reads},
		{name: "killed in the push", hook: killOnce},
		// A limit for files in place of a disk that is full: TestRealFullDisk has that.
		{name: "disk full", script: "trap '' XFSZ; ulimit -f 64", kind: KindDisk, of: reads + "commit "},
		{name: "index.lock", lock: "index.lock", kind: KindLock, of: " pull sync commit "},
		{name: "shallow.lock", lock: "shallow.lock", kind: KindLock, of: " shallow "},
		{name: "cancelled", cancel: "GET /info/refs", kind: KindCanceled, of: all},
		{name: "cancelled in the pack", cancel: "POST /git-upload-pack", kind: KindCanceled, of: reads},
		{name: "cancelled in the push", cancel: "POST /git-receive-pack", kind: KindCanceled, of: " push commit "},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			world := newWorld(t)
			if row.hook != "" {
				gittest.WriteScript(t, filepath.Join(world.server.Bare, "hooks", "pre-receive"), row.hook)
			}
			for _, call := range calls {
				if row.lock != "" && !strings.Contains(row.of, " "+call.name+" ") {
					continue
				}
				t.Run(call.name, func(t *testing.T) {
					ctx, cancel := context.WithCancel(bounded(t))
					defer cancel()
					s := world.site(t, row.url, strings.ReplaceAll(call.name, " ", "-"))
					w := newWrapper(t, "exec 3>FIFO", row.script)
					most := 2
					if row.once {
						most = 1
					}
					stack := []middleware.Policy{policies.NewRetry(policies.RetryConfig{Attempts: most, Delay: time.Millisecond, Jitter: -1})}
					if row.limit > 0 {
						stack = append(stack, policies.NewTimeout(policies.TimeoutConfig{Limit: row.limit}))
					}
					chain := middleware.NewChain("git", stack...)
					s.client = newClient(t, chain, Config{Path: w.path, Stall: row.stall, Credentials: Credentials{Username: "ann", Password: canary}})
					world.server.Always(row.fault)
					if method, path, ok := strings.Cut(row.cancel, " "); ok {
						world.server.Always(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
							if r.Method != method || !strings.HasSuffix(r.URL.Path, path) {
								git.ServeHTTP(w, r)
								return
							}
							cancel()
							gittest.Hang(w, r, git)
						})
					}
					if row.lock != "" {
						write(t, s.at("app"), ".git/"+row.lock, "theirs")
					}
					before := leftIn(t, s.parent)

					err := call.run(ctx, s)
					met := strings.Contains(row.of, " "+call.name+" ")
					switch {
					case !met && err != nil:
						t.Fatalf("got %v, want success", err)
					case met && row.limit > 0: // an error of the chain's own
						if KindOf(err) != row.kind {
							t.Fatalf("got %v, want the kind %s", err, row.kind)
						}
						silent(t, "the error", err.Error())
					case met && row.limit == 0:
						failure(t, err, row.kind)
					}
					w.witness.gone(t)
					equal(t, "locks and parts", leftIn(t, s.parent), before)
					if row.lock != "" {
						if err := os.Remove(filepath.Join(s.at("app"), ".git", row.lock)); err != nil {
							t.Error(err)
						}
					}
					noCanary(t, s.parent)
					noCanary(t, filepath.Dir(w.log)) // with the arguments of all commands
					world.check(t, s, call.dir, met)
				})
			}
		})
	}
}

// killOnce kills the git that takes a push, once for each ref.
const killOnce = `#!/bin/sh
while read -r old new ref; do
	mark=killed-$(echo "$ref" | tr / -)
	[ -e "$mark" ] || { : > "$mark"; kill -9 $PPID; }
done
`

// A world is what the calls under one fault share.
type world struct {
	server        *gittest.Server
	template      string
	first, second string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	source := gittest.NewRepository(t)
	w := &world{server: gittest.NewServer(t, source), template: t.TempDir(), first: gittest.Git(t, source, "rev-parse", "HEAD")}
	gittest.Git(t, w.server.Bare, "config", "core.logAllRefUpdates", "true")
	app := filepath.Join(w.template, "app")
	gittest.Git(t, "", "clone", "-q", w.server.Repo, app)
	write(t, source, "big", noise())
	gittest.Git(t, source, "add", "-A")
	gittest.Git(t, source, "commit", "-qm", "second")
	gittest.Git(t, source, "push", "-q", w.server.Bare, "main")
	w.second = w.server.Head(t)
	super := filepath.Join(w.template, "super")
	gittest.Git(t, "", "init", "-q", super)
	gittest.Git(t, super, "update-index", "--add", "--cacheinfo", "160000,"+w.second+",lib")
	gittest.Git(t, super, "commit", "-qm", "lib")
	gittest.Git(t, super, "remote", "add", "origin", w.server.Repo) // whose password its submodules get
	w.server.Ask(gittest.Login{Username: "ann", Password: canary})
	return w
}

// noise does not compress: it fills a disk.
func noise() string {
	b := make([]byte, 128<<10)
	_, _ = rand.Read(b)
	return string(b)
}

// site returns a copy of the template, whose remote is at url.
func (w *world) site(t *testing.T, url, branch string) site {
	t.Helper()
	s := site{url: url, parent: t.TempDir(), branch: "refs/heads/" + branch}
	if url == "" {
		s.url = w.server.Repo
	}
	if err := os.CopyFS(s.parent, os.DirFS(w.template)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app", "super"} {
		config := filepath.Join(s.at(name), ".git", "config")
		b, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(b), w.server.Repo, s.url)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s.at("super"), ".gitmodules", "[submodule \"lib\"]\n\tpath = lib\n\turl = "+s.url+"\n")
	if branch == "commit" {
		s.branch = branch
		write(t, s.at("app"), "mine", noise())
	}
	return s
}

// check looks at what a call has left.
func (w *world) check(t *testing.T, s site, dir string, failed bool) {
	t.Helper()
	equal(t, "beside", names(t, s.parent), func() []string {
		if dir == "new" && !failed {
			return []string{"app", "new", "super"}
		}
		return []string{"app", "super"}
	}())
	gittest.Git(t, s.at("app"), "fsck", "--full")
	head := gittest.Git(t, s.at("app"), "log", "-1", "--format=%H %s")
	if id, subject, _ := strings.Cut(head, " "); id != w.first && id != w.second && subject != "More" {
		t.Errorf("HEAD is %s", head)
	}
	if changes := gittest.Git(t, s.at("app"), "status", "--porcelain"); changes != "" && (s.branch != "commit" || !failed) {
		t.Errorf("the work tree differs from HEAD: %s", changes)
	}
	switch {
	case dir == "super/lib" && failed:
		if modules := filepath.Join(s.at("super"), ".git", "modules", "lib"); isDir(modules) {
			t.Error("half a submodule is left")
		}
	case dir != "app" && !failed:
		gittest.Whole(t, s.at(dir), w.second)
	}
	name := strings.TrimPrefix(s.branch, "refs/heads/")
	log, _ := os.ReadFile(filepath.Join(w.server.Bare, "logs", "refs", "heads", name))
	want := 0
	if (name == "push" || name == "commit") && !failed {
		want = 1
	}
	if got := strings.Count(string(log), "\n"); got != want {
		t.Errorf("the server's branch was changed %d times, want %d", got, want)
	}
}

// leftIn returns the locks and parts of packs and objects below dir.
func leftIn(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp_") || strings.Contains(name, ".tmp-") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
