//go:build unix

package git

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// pusher returns a clone of what the server has, past the server, to push from.
func pusher(t *testing.T, s *gittest.Server) string {
	t.Helper()
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	return work
}

// advance pushes a new commit to main and returns its id.
func advance(t *testing.T, work, what string) string {
	t.Helper()
	id := gittest.Commit(t, work, what)
	gittest.Git(t, work, "push", "-q", "origin", "HEAD:refs/heads/main")
	return id
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each kind of ref stands for what git says, the copy is whole, and what changes
// on the remote is followed, whatever it was before.
func TestSyncRefs(t *testing.T) {
	source := gittest.NewRepository(t)
	first := gittest.Git(t, source, "rev-parse", "HEAD")
	gittest.Git(t, source, "tag", "light")
	gittest.Git(t, source, "branch", "both")
	second := gittest.Commit(t, source, "second")
	gittest.Git(t, source, "tag", "both")
	gittest.Git(t, source, "tag", "-a", "-m", "of a tag", "nested", "v1")
	gittest.Git(t, source, "tag", "tree", "HEAD^{tree}")
	gittest.Git(t, source, "branch", "x/main", first)
	gittest.Git(t, source, "update-ref", "refs/pull/1/head", first)
	s := gittest.NewServer(t, source)
	gittest.Git(t, s.Bare, "fetch", "-q", source, "refs/pull/*:refs/pull/*")
	tree, tag := gittest.Git(t, source, "rev-parse", "HEAD^{tree}"), gittest.Git(t, source, "rev-parse", "v1")
	client := newClient(t, retry(), Config{})
	dir := filepath.Join(t.TempDir(), "kept")
	for _, row := range []struct {
		ref, want string
		kind      Kind
	}{
		{ref: "", want: second},
		{ref: "HEAD", want: second},
		{ref: "main", want: second}, // and not x/main
		{ref: "refs/heads/main", want: second},
		{ref: "x/main", want: first},
		{ref: "both", want: first},
		{ref: "refs/tags/both", want: second},
		{ref: "v1", want: first},
		{ref: "nested", want: first},
		{ref: "light", want: first},
		{ref: "refs/pull/1/head", want: first},
		{ref: second, want: second},
		{ref: first, want: first},
		{ref: tag, want: first},
		{ref: "nope", kind: KindRefMissing},
		{ref: "ain", kind: KindRefMissing},
		{ref: "refs/heads/v1", kind: KindRefMissing},
		{ref: "refs/tags/tree", kind: KindRefMissing},
		{ref: tree, kind: KindRefMissing},
		{ref: strings.Repeat("1", 40), kind: KindRefMissing},
		{ref: "mai*", kind: KindUsage},
		{ref: "main^{}", kind: KindUsage},
		{ref: "main~1", kind: KindUsage},
		{ref: "a:b", kind: KindUsage},
		{ref: "-x", kind: KindUsage},
		{ref: "a\nb", kind: KindUsage},
	} {
		t.Run(row.ref, func(t *testing.T) {
			parent := t.TempDir()
			fresh := filepath.Join(parent, "fresh")
			for _, d := range []string{fresh, dir} {
				got, err := client.Sync(bounded(t), s.Repo, d, row.ref)
				if row.kind != "" {
					failure(t, err, row.kind)
					continue
				}
				if err != nil || got.Commit != row.want || got.Stale {
					t.Fatalf("got %+v, %v, want %s", got, err, row.want)
				}
				gittest.Whole(t, d, row.want)
			}
			if row.kind != "" {
				equal(t, "left behind", names(t, parent), nil)
				gittest.Whole(t, dir, first)
			}
		})
	}
}

// A commit that no ref stands for is fetched by its id.
func TestSyncToACommit(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	work := pusher(t, s)
	first := s.Head(t)
	second, third := advance(t, work, "second"), advance(t, work, "third")
	client := newClient(t, retry(), Config{})
	dir := filepath.Join(t.TempDir(), "app")
	for i, id := range []string{second, third, first, second} {
		s.Script()
		got, err := client.Sync(bounded(t), s.Repo, dir, id)
		if err != nil || got.Commit != id || !got.Changed {
			t.Fatalf("got %+v, %v", got, err)
		}
		gittest.Whole(t, dir, id)
		if asked := s.Served() > 0; asked != (i < 2) {
			t.Errorf("commit %d: the remote was asked: %v", i, asked)
		}
	}
}

func TestSyncOfAnEmptyRepository(t *testing.T) {
	empty := t.TempDir()
	gittest.Git(t, empty, "init", "-q", "--bare", "-b", "main")
	s := gittest.NewServer(t, empty)
	parent := t.TempDir()
	dir := filepath.Join(parent, "app")
	client := newClient(t, retry(), Config{})
	for _, ref := range []string{"", "main"} {
		_, err := client.Sync(bounded(t), s.Repo, dir, ref)
		failure(t, err, KindRefMissing)
		equal(t, "left behind", names(t, parent), nil)
	}
	// HEAD to a branch that is not born, with others there.
	source := gittest.NewRepository(t)
	gittest.Git(t, source, "push", "-q", s.Bare, "HEAD:refs/heads/other")
	gittest.Git(t, s.Bare, "symbolic-ref", "HEAD", "refs/heads/unborn")
	_, err := client.Sync(bounded(t), s.Repo, dir, "")
	if e := failure(t, err, KindRefMissing); !strings.Contains(e.Error(), "HEAD") {
		t.Errorf("got %v", e)
	}
	if got, err := client.Sync(bounded(t), s.Repo, dir, "other"); err != nil || got.Commit == "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Upstream, "a" becomes "a/b" and back, tags too: what was kept before is not in
// the way.
func TestSyncNamesThatExcludeEachOther(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	work := pusher(t, s)
	client := newClient(t, retry(), Config{})
	made := filepath.Join(t.TempDir(), "made")
	gittest.Git(t, work, "push", "-q", "origin", "HEAD:refs/heads/a", "HEAD:refs/tags/t")
	synced := filepath.Join(t.TempDir(), "synced")
	if _, err := client.Clone(bounded(t), s.Repo, made, CloneOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, names := range [][2]string{{"a", "t"}, {"a/b", "t/u"}, {"a", "t"}} {
		if i > 0 {
			before := []string{"", "a", "a/b"}[i]
			gittest.Git(t, work, "push", "-q", "origin", ":refs/heads/"+before, ":refs/tags/"+[]string{"", "t", "t/u"}[i])
			gittest.Commit(t, work, before)
			gittest.Git(t, work, "push", "-q", "origin", "HEAD:refs/heads/"+names[0], "HEAD:refs/tags/"+names[1])
		}
		want := gittest.Git(t, work, "rev-parse", "HEAD")
		for _, dir := range []string{made, synced} {
			for _, ref := range names {
				got, err := client.Sync(bounded(t), s.Repo, dir, ref)
				if err != nil || got.Commit != want {
					t.Fatalf("%s: got %+v, %v", ref, got, err)
				}
			}
			gittest.Whole(t, dir, want)
		}
	}
}

func TestSyncFollowsWhateverHappensToABranch(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	client := newClient(t, retry(), Config{})
	dir := filepath.Join(t.TempDir(), "app")
	if _, err := client.Clone(bounded(t), s.Repo, dir, CloneOptions{Depth: 1}); err != nil {
		t.Fatal(err)
	}
	work := pusher(t, s)
	id := advance(t, work, "second")
	sync := func(ref, want string) {
		t.Helper()
		got, err := client.Sync(bounded(t), s.Repo, dir, ref)
		if err != nil || got.Commit != want || !got.Changed {
			t.Fatalf("got %+v, %v, want %s", got, err, want)
		}
		gittest.Whole(t, dir, want)
	}
	sync("main", id)
	// An unrelated history, in which the file is a directory.
	gittest.Git(t, work, "checkout", "-q", "--orphan", "new")
	gittest.Git(t, work, "rm", "-qrf", ".")
	write(t, work, "file/inside", "new")
	gittest.Git(t, work, "add", "-A")
	gittest.Git(t, work, "commit", "-qm", "unrelated")
	gittest.Git(t, work, "push", "-qf", "origin", "new:main")
	sync("main", gittest.Git(t, work, "rev-parse", "HEAD"))
	// The branch moves between the two calls.
	gittest.Git(t, work, "commit", "-q", "--allow-empty", "-m", "announced")
	gittest.Git(t, work, "push", "-q", "origin", "new:main")
	gittest.Git(t, work, "commit", "-q", "--allow-empty", "-m", "meanwhile")
	latest := gittest.Git(t, work, "rev-parse", "HEAD")
	s.Script(nil, func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			gittest.Git(t, work, "push", "-q", "origin", "new:main")
		}
		git.ServeHTTP(w, r)
	})
	sync("main", latest)
	// Or it goes away.
	gittest.Git(t, work, "push", "-q", "origin", "new:keep", "new:gone")
	gittest.Git(t, work, "commit", "-q", "--allow-empty", "-m", "more")
	gittest.Git(t, work, "push", "-q", "origin", "new:gone")
	s.Script(nil, func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			gittest.Git(t, s.Bare, "update-ref", "-d", "refs/heads/gone")
		}
		git.ServeHTTP(w, r)
	})
	got, err := client.Sync(bounded(t), s.Repo, dir, "gone")
	failure(t, err, KindRefMissing)
	if !got.Stale || got.Commit != latest || !errors.Is(got.Cause, err) {
		t.Errorf("got %+v", got)
	}
	gittest.Whole(t, dir, latest)
}

// The files of the commit are as it says; those that git does not know stay.
func TestSyncHealsTheWorkTree(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	work := pusher(t, s)
	write(t, work, "sub/x", "x")
	write(t, work, ".gitignore", "ignored\n")
	gittest.Git(t, work, "add", "-A")
	id := advance(t, work, "second")
	client := newClient(t, retry(), Config{})
	dir := filepath.Join(t.TempDir(), "app")
	sync := func() {
		t.Helper()
		if got, err := client.Sync(bounded(t), s.Repo, dir, "main"); err != nil || got.Commit != id {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	sync()
	write(t, dir, "file", "tampered")
	write(t, dir, "new", "theirs")
	write(t, dir, "ignored", "theirs")
	write(t, dir, "staged", "theirs")
	gittest.Git(t, dir, "add", "staged")
	if err := os.RemoveAll(filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "sub", "a file")
	sync()
	if got := gittest.Git(t, dir, "diff", "HEAD", "--name-only"); got != "" {
		t.Errorf("these differ: %s", got)
	}
	for _, name := range []string{"new", "ignored"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != "theirs" {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
	// In the way of the next commit.
	write(t, work, "new/below", "x")
	gittest.Git(t, work, "add", "-A")
	id = advance(t, work, "third")
	write(t, dir, "new", "theirs")
	sync()
	// A commit and a branch of somebody's own.
	gittest.Git(t, dir, "checkout", "-q", "-b", "mine")
	gittest.Commit(t, dir, "mine")
	sync()
	gittest.Whole(t, dir, id)
	if b := gittest.Git(t, dir, "branch", "--show-current"); b != "" {
		t.Errorf("the branch %q is current", b)
	}
}

func TestSyncRefusesWhatIsNoCopy(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	parent := t.TempDir()
	write(t, parent, "plain/file", "mine")
	write(t, parent, "file", "mine")
	other := filepath.Join(parent, "other")
	gittest.Git(t, "", "clone", "-q", gittest.NewRepository(t), other)
	bare := filepath.Join(parent, "noremote")
	gittest.Git(t, "", "init", "-q", bare)
	before := names(t, parent)
	client := newClient(t, retry(), Config{})
	for name, kind := range map[string]Kind{"plain": KindTargetExists, "file": KindTargetExists, "other": KindTargetExists, "noremote": KindUsage, "no/parent": KindUsage} {
		got, err := client.Sync(bounded(t), s.Repo, filepath.Join(parent, name), "main")
		if failure(t, err, kind); got.Stale || got.Commit != "" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	equal(t, "the directory", names(t, parent), before)
	equal(t, "the plain one", names(t, filepath.Join(parent, "plain")), []string{"file"})
	if s.Served() != 0 {
		t.Errorf("%d calls", s.Served())
	}
	t.Chdir(t.TempDir())
	_, err := client.Sync(bounded(t), s.Repo, ".", "main")
	if e := failure(t, err, KindUsage); !strings.Contains(e.Error(), "working directory") {
		t.Errorf("got %v", e)
	}
	// A copy may be the working directory, be behind a link, or be made in an empty one.
	dir := filepath.Join(parent, "empty")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sync(bounded(t), s.Repo, dir, "main"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(parent, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sync(bounded(t), s.Repo, filepath.Join(parent, "link"), "main"); err != nil {
		t.Error(err)
	}
	t.Chdir(dir)
	if _, err := client.Sync(bounded(t), s.Repo, ".", "main"); err != nil {
		t.Error(err)
	}
}

// The login in a URL opens the remote and is kept nowhere; a copy whose own
// configuration has one is read without showing it.
func TestG10SyncWithALogin(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Ask(gittest.Login{Username: "ann", Password: canary})
	with := strings.Replace(s.Repo, "http://", "http://ann:"+canary+"@", 1)
	parent := t.TempDir()
	dir := filepath.Join(parent, "app")
	client := newClient(t, retry(), Config{})
	for range 2 {
		if _, err := client.Sync(bounded(t), with, dir, "main"); err != nil {
			t.Fatal(err)
		}
		noCanary(t, parent)
		advance(t, pusher(t, s), s.Head(t))
	}
	if got := gittest.Git(t, dir, "config", "remote.origin.url"); got != s.Repo {
		t.Errorf("the remote is %s", got)
	}
	_, err := client.Sync(bounded(t), s.Repo, dir, "main")
	failure(t, err, KindAuth)
	_, err = client.Sync(bounded(t), strings.Replace(with, "repo", "other", 1), dir, "main")
	failure(t, err, KindTargetExists)
	gittest.Git(t, dir, "config", "remote.origin.url", with)
	got, err := newClient(t, retry(), Config{Credentials: Credentials{Username: "ann", Password: canary}}).Sync(bounded(t), s.Repo, dir, "main")
	if err != nil || got.Commit != s.Head(t) {
		t.Errorf("got %+v, %v", got, err)
	}
}
