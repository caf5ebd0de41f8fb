//go:build unix

package git

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

var bot = Author{Name: "Bot", Email: "bot@example.com"}

// serverHook makes the server run a script at each push.
func serverHook(t *testing.T, s *gittest.Server, name, script string) {
	t.Helper()
	gittest.WriteScript(t, filepath.Join(s.Bare, "hooks", name), "#!/bin/sh\n"+script+"\n")
}

// subjects returns those of the server's branch, the first commit first.
func subjects(t *testing.T, s *gittest.Server, branch string) []string {
	t.Helper()
	return strings.Split(gittest.Git(t, s.Bare, "log", "--reverse", "--format=%s", branch), "\n")
}

func changedIn(t *testing.T, dir, revision string) string {
	t.Helper()
	return strings.ReplaceAll(gittest.Git(t, dir, "show", "--format=", "--no-renames", "--name-status", revision), "\n", " ")
}

func TestCommitAndPushAtOnce(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	const writers = 5
	var group sync.WaitGroup
	for i := range writers {
		dir := filepath.Join(t.TempDir(), "app")
		gittest.Git(t, "", "clone", "-q", s.Repo, dir)
		write(t, dir, fmt.Sprintf("file%d", i), "mine")
		group.Go(func() {
			got, err := newClient(t, retry(), Config{}).CommitAndPush(bounded(t), dir, CommitOptions{Message: fmt.Sprint("Add ", i), Author: bot, Pushes: 30})
			if err != nil || !got.Changed || got.Pushes == 0 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	group.Wait()
	got := subjects(t, s, "main")
	slices.Sort(got)
	equal(t, "the history", got, []string{"Add 0", "Add 1", "Add 2", "Add 3", "Add 4", "first"})
	if merges := gittest.Git(t, s.Bare, "rev-list", "--merges", "main"); merges != "" {
		t.Errorf("there are merges: %s", merges)
	}
}

func TestCommitAndPushConflict(t *testing.T) {
	s, dir := cloned(t)
	theirs := advance(t, pusher(t, s), "theirs")
	write(t, dir, "file", "mine")
	client := newClient(t, retry(), Config{})
	o := CommitOptions{Message: "Mine", Author: bot}
	for i := range 2 { // the second has nothing more to commit
		got, err := client.CommitAndPush(bounded(t), dir, o)
		failure(t, err, KindConflict)
		if got.Pushes != 1 || got.Changed || got.Commit != "" {
			t.Errorf("got %+v", got)
		}
		gittest.Whole(t, dir, gittest.Git(t, dir, "rev-parse", "main"))
		if got := gittest.Git(t, dir, "log", "--format=%s"); got != "Mine\nfirst" || rebasing(dir) {
			t.Errorf("call %d: the history is %q, a rebase is in progress: %v", i, got, rebasing(dir))
		}
		if b, err := os.ReadFile(filepath.Join(dir, "file")); string(b) != "mine" {
			t.Errorf("the file is %q, %v", b, err)
		}
	}
	if s.Head(t) != theirs {
		t.Error("something was pushed")
	}
}

// What was pushed although the answer was lost is not pushed twice, also when
// somebody pushes on top of it before the repeat.
func TestCommitAndPushLostAnswer(t *testing.T) {
	for _, onTop := range []bool{false, true} {
		t.Run(fmt.Sprint(onTop), func(t *testing.T) {
			s, dir := cloned(t)
			work := pusher(t, s)
			var once sync.Once // the connection's library may repeat a request by itself
			s.Script(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
				if onTop && r.Method == http.MethodPost {
					defer once.Do(func() {
						gittest.Git(t, work, "pull", "-q")
						write(t, work, "theirs", "theirs")
						gittest.Git(t, work, "add", "-A")
						advance(t, work, "theirs")
					})
				}
				gittest.Lost(w, r, git)
			})
			write(t, dir, "mine", "mine")
			got, err := newClient(t, retry(), Config{}).CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot})
			if err != nil || got.Pushes != 1 || got.Commit != gittest.Git(t, dir, "rev-parse", "HEAD") || !got.Changed {
				t.Errorf("got %+v, %v", got, err)
			}
			want := []string{"first", "Mine"}
			if onTop {
				want = append(want, "theirs")
			}
			equal(t, "the history", subjects(t, s, "main"), want)
		})
	}
}

func TestCommitAndPushIsRefusedByAHook(t *testing.T) {
	s, dir := cloned(t)
	serverHook(t, s, "pre-receive", "echo no; exit 1")
	write(t, dir, "mine", "mine")
	client := newClient(t, retry(), Config{})
	got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot})
	failure(t, err, KindPolicy)
	if s.Served() != 1 || got.Pushes != 1 {
		t.Errorf("%d calls, got %+v", s.Served(), got)
	}
	// The next call pushes what is left.
	serverHook(t, s, "pre-receive", "exit 0")
	got, err = client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Nothing", Author: bot})
	if err != nil || !got.Changed || got.Commit != s.Head(t) {
		t.Errorf("got %+v, %v", got, err)
	}
	equal(t, "the history", subjects(t, s, "main"), []string{"first", "Mine"})
}

// With nothing to commit and nothing to push, the result is what is there.
func TestCommitAndPushNothing(t *testing.T) {
	s, dir := cloned(t)
	client := newClient(t, retry(), Config{})
	o := CommitOptions{Message: "Nothing"}
	got, err := client.CommitAndPush(bounded(t), dir, o)
	if err != nil || got.Changed || got.Commit != s.Head(t) {
		t.Errorf("got %+v, %v", got, err)
	}
	theirs := advance(t, pusher(t, s), "theirs")
	got, err = client.CommitAndPush(bounded(t), dir, o)
	if err != nil || got.Changed || got.Commit != theirs {
		t.Errorf("behind: got %+v, %v, want %s", got, err, theirs)
	}
	// Somebody else has made the very same change.
	gittest.Git(t, dir, "pull", "-q")
	work := pusher(t, s)
	write(t, work, "same", "same")
	gittest.Git(t, work, "add", "-A")
	theirs = advance(t, work, "theirs")
	write(t, dir, "same", "same")
	got, err = client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Same", Author: bot})
	if err != nil || got.Commit != s.Head(t) {
		t.Errorf("the same: got %+v, %v, want %s", got, err, theirs)
	}
	empty := t.TempDir()
	gittest.Git(t, empty, "init", "-q", "-b", "main")
	gittest.Git(t, empty, "remote", "add", "origin", s.Repo)
	_, err = client.CommitAndPush(bounded(t), empty, o)
	failure(t, err, KindUsage)
}

func TestCommitAndPushFirstCommit(t *testing.T) {
	hollow := t.TempDir()
	gittest.Git(t, hollow, "init", "-q", "--bare", "-b", "main")
	s := gittest.NewServer(t, hollow)
	client := newClient(t, retry(), Config{})
	for i := range 2 { // the second meets the first
		dir := t.TempDir()
		gittest.Git(t, dir, "init", "-q", "-b", "main")
		gittest.Git(t, dir, "remote", "add", "origin", s.Repo)
		write(t, dir, fmt.Sprint("file", i), "mine")
		got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: fmt.Sprint("Add ", i), Author: bot})
		if err != nil || got.Commit != s.Head(t) || got.Pushes != i+1 {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	equal(t, "the history", subjects(t, s, "main"), []string{"Add 0", "Add 1"})
}

func TestCommitAndPushWithoutABranch(t *testing.T) {
	s, dir := cloned(t)
	gittest.Git(t, dir, "checkout", "-q", "--detach")
	write(t, dir, "mine", "mine")
	client := newClient(t, retry(), Config{})
	before := gittest.Git(t, dir, "status", "--porcelain")
	_, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot})
	if e := failure(t, err, KindUsage); !strings.Contains(e.Error(), "name one in the options") {
		t.Errorf("got %v", e)
	}
	if gittest.Git(t, dir, "status", "--porcelain") != before {
		t.Error("the refused call has changed something")
	}
	advance(t, pusher(t, s), "theirs")
	got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot, Branch: "main"})
	if err != nil || got.Commit != s.Head(t) || got.Pushes != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	got, err = client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Branch: "new/one", Remote: s.Repo})
	if err != nil || gittest.Git(t, s.Bare, "rev-parse", "refs/heads/new/one") != got.Commit || !got.Changed {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCommitAndPushPaths(t *testing.T) {
	s, dir := cloned(t)
	for _, name := range []string{"gone", "removed", "dir/a", "dir/b", "other", "later"} {
		write(t, dir, name, "old")
	}
	client := newClient(t, retry(), Config{})
	call := func(want string, o CommitOptions) {
		t.Helper()
		o.Author = bot
		o.Message = want
		got, err := client.CommitAndPush(bounded(t), dir, o)
		if err != nil || got.Commit != s.Head(t) {
			t.Fatalf("got %+v, %v", got, err)
		}
		if got := changedIn(t, s.Bare, "main"); got != want {
			t.Errorf("the commit has %q, want %q", got, want)
		}
	}
	call("A\tdir/a A\tdir/b A\tgone A\tlater A\tother A\tremoved", CommitOptions{})
	write(t, dir, "*", "star")
	write(t, dir, "new", "new")
	write(t, dir, "other", "staged")
	gittest.Git(t, dir, "add", "other")
	call("A\t*", CommitOptions{Paths: []string{"*"}})
	got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Patterns", Author: bot, Paths: []string{"othe[r]", "o*r", ":/", ":(glob)**"}})
	if err != nil || got.Changed {
		t.Errorf("patterns: got %+v, %v", got, err)
	}
	write(t, dir, "dir/c", "new")
	for _, name := range []string{"gone", "dir/a"} {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	gittest.Git(t, dir, "rm", "-q", "removed")
	call("D\tdir/a A\tdir/c D\tgone", CommitOptions{Paths: []string{"dir", "gone", "nothing"}})
	if got := gittest.Git(t, dir, "status", "--porcelain"); got != "M  other\nD  removed\n?? new" {
		t.Errorf("what stays is %q", got)
	}
	for _, bad := range []string{"", "-x", "a\nb", "../x", "/etc/passwd", "a/../../x"} {
		_, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "x", Paths: []string{bad}})
		failure(t, err, KindUsage)
	}

	// A rebase needs a clean work tree: what was committed stays for the next call,
	// although its path names nothing any more.
	if err := os.Remove(filepath.Join(dir, "later")); err != nil {
		t.Fatal(err)
	}
	work := pusher(t, s)
	advance(t, work, "theirs")
	o := CommitOptions{Message: "Remove later", Author: bot, Paths: []string{"later"}}
	_, err = client.CommitAndPush(bounded(t), dir, o)
	failure(t, err, KindDirty)
	if got := gittest.Git(t, dir, "status", "--porcelain"); got != "M  other\nD  removed\n?? new" || rebasing(dir) {
		t.Errorf("what stays is %q", got)
	}
	gittest.Git(t, dir, "reset", "-q", "--hard")
	got, err = client.CommitAndPush(bounded(t), dir, o)
	if err != nil || !got.Changed || got.Commit != s.Head(t) || changedIn(t, s.Bare, "main") != "D\tlater" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCommitAndPushStopsAfterSoManyPushes(t *testing.T) {
	s, dir := cloned(t)
	work := pusher(t, s)
	n := 0
	s.Look(func(r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Query().Get("service") == "git-receive-pack" {
			n++
			write(t, work, fmt.Sprint("theirs", n), "x")
			gittest.Git(t, work, "add", "-A")
			gittest.Git(t, work, "commit", "-qm", fmt.Sprint("theirs", n))
			gittest.Git(t, work, "push", "-q", "origin", "main")
		}
	})
	write(t, dir, "mine", "mine")
	client := newClient(t, retry(), Config{})
	got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot, Pushes: 3})
	failure(t, err, KindRejected)
	if got.Pushes != 3 || n != 3 || got.Changed {
		t.Errorf("got %+v after %d", got, n)
	}
	s.Look(nil)
	got, err = client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Nothing", Author: bot})
	if err != nil || !got.Changed || got.Commit != s.Head(t) {
		t.Errorf("got %+v, %v", got, err)
	}
	equal(t, "the history", subjects(t, s, "main"), []string{"first", "theirs1", "theirs2", "theirs3", "Mine"})
}

func TestCommitMessagesAndAuthors(t *testing.T) {
	s, dir := cloned(t)
	client := newClient(t, retry(), Config{Settings: []string{"commit.cleanup=strip", "rebase.autoStash=true"}})
	work := pusher(t, s)
	for i, message := range []string{"-m x", "--amend", "#hash", "# a\n\n# b", "%s $(id) 'x' \"y\"", "fixup! first"} {
		gittest.Git(t, work, "pull", "-q")
		advance(t, work, fmt.Sprint("theirs", i))
		write(t, dir, "mine", message)
		got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: message, Author: bot})
		if err != nil || got.Pushes != 2 {
			t.Fatalf("%q: got %+v, %v", message, got, err)
		}
		if got := gittest.Git(t, s.Bare, "log", "-1", "--format=%B%an %ae %cn %ce", "main"); got != message+"\nBot bot@example.com Bot bot@example.com" {
			t.Errorf("%q became %q", message, got)
		}
	}
	for _, o := range []CommitOptions{
		{}, {Message: " \n"}, {Message: "a\x00b"}, {Message: "a", Author: Author{Name: "x"}}, {Message: "a", Author: Author{Name: "x\ny", Email: "z"}},
		{Message: "a", Author: Author{Name: "<x>", Email: "z"}}, {Message: "a", Pushes: -1}, {Message: "a", Branch: "a b"}, {Message: "a", Branch: "-x"}, {Message: "a", Branch: "a:b"}, {Message: "a", Remote: "ext::id"},
	} {
		write(t, dir, "mine", fmt.Sprintf("%+v", o))
		_, err := client.CommitAndPush(bounded(t), dir, o)
		failure(t, err, KindUsage)
	}
	for _, name := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+name+"_NAME", "")
		t.Setenv("GIT_"+name+"_EMAIL", "")
	}
	_, err := newClient(t, retry(), Config{Settings: []string{"user.useConfigOnly=true"}}).CommitAndPush(bounded(t), dir, CommitOptions{Message: "x"})
	if e := failure(t, err, KindUsage); !strings.Contains(e.Error(), "CommitOptions.Author") {
		t.Errorf("got %v", e)
	}
}

// Each part of a call that reaches the remote has its own name and the key of the
// host; what reaches a local path passes by the chain.
func TestG15CallsOfOneRemote(t *testing.T) {
	s, dir := cloned(t)
	advance(t, pusher(t, s), "theirs")
	write(t, dir, "mine", "mine")
	var seen operations
	client := newClient(t, retry(&seen), Config{})
	if got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot}); err != nil || got.Pushes != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := client.Pull(bounded(t), dir, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Checkout(bounded(t), dir, "v1", CheckoutOptions{}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, op := range seen.seen {
		names = append(names, op.Name)
		if op.Key != s.Listener.Addr().String() {
			t.Errorf("the key of %q is %q", op.Name, op.Key)
		}
	}
	equal(t, "operations", names, []string{"push", "fetch", "push", "fetch"})

	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	client = newClient(t, middleware.NewChain("git", breaker), Config{})
	local := filepath.Join(t.TempDir(), "local")
	if got, err := client.Sync(bounded(t), s.Bare, local, "main"); err != nil || got.Commit != s.Head(t) {
		t.Errorf("got %+v, %v", got, err)
	}
	write(t, local, "more", "more")
	if got, err := client.CommitAndPush(bounded(t), local, CommitOptions{Message: "More", Author: bot, Branch: "main"}); err != nil || got.Commit != s.Head(t) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := client.Pull(bounded(t), local, PullOptions{Branch: "main"}); err != nil {
		t.Error(err)
	}
	if len(seen.seen) != 4 {
		t.Errorf("%d calls", len(seen.seen))
	}
}
