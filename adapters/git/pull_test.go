//go:build unix

package git

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// A tag of the same name makes the name of a branch ambiguous to git.
func TestTheCurrentBranchBesideATagOfItsName(t *testing.T) {
	s, dir := cloned(t)
	gittest.Git(t, dir, "tag", "main")
	second := advance(t, pusher(t, s), "second")
	client := newClient(t, nil, Config{})
	if got, err := client.Pull(bounded(t), dir, PullOptions{}); err != nil || got.Commit != second {
		t.Fatalf("got %+v, %v", got, err)
	}
	write(t, dir, "mine", "mine")
	got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Add mine"})
	if err != nil || got.Commit != s.Head(t) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// Another program that fetches at the same time changes FETCH_HEAD.
func TestPullBesideAFetchOfSomebodyElse(t *testing.T) {
	s, dir := cloned(t)
	work := pusher(t, s)
	gittest.Git(t, work, "push", "-q", "origin", "HEAD:refs/heads/other")
	second := advance(t, work, "second")
	w := newWrapper(t, `case " $* " in *" fetch "*) git "$@" && git fetch -q origin refs/heads/other; exit;; esac`)
	got, err := newClient(t, nil, Config{Path: w.path}).Pull(bounded(t), dir, PullOptions{Reset: true})
	if err != nil || got.Commit != second {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// Settings of the user's do not widen a reset to the submodules.
func TestPullResetLeavesSubmodules(t *testing.T) {
	inner := gittest.NewRepository(t)
	s, dir := cloned(t)
	gittest.Git(t, dir, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "inner")
	gittest.Git(t, dir, "commit", "-qm", "inner")
	gittest.Git(t, dir, "push", "-q", "origin", "main")
	write(t, dir, "inner/file", "mine")
	client := newClient(t, nil, Config{Settings: []string{"submodule.recurse=true"}})
	if got, err := client.Pull(bounded(t), dir, PullOptions{Reset: true}); err != nil || got.Commit != s.Head(t) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "inner", "file")); string(b) != "mine" {
		t.Errorf("the submodule has %.20q, %v", b, err)
	}
}

func TestPull(t *testing.T) {
	s, dir := cloned(t)
	first := s.Head(t)
	work := pusher(t, s)
	second := advance(t, work, "second")
	w := newWrapper(t)
	client := newClient(t, retry(), Config{Path: w.path})
	// Forward, after faults: the fetch is repeated, what follows is done once.
	s.Script(gittest.Answer(503), gittest.Cut("command=fetch"))
	got, err := client.Pull(bounded(t), dir, PullOptions{})
	if err != nil || got.Commit != second || got.Previous != first || got.Bytes == 0 || got.Duration == 0 || s.Served() != 3 {
		t.Fatalf("got %+v, %v after %d calls", got, err, s.Served())
	}
	if f, m := w.count(t, "fetch"), w.count(t, "merge"); f != 3 || m != 1 {
		t.Errorf("%d fetches and %d merges, want 3 and 1", f, m)
	}
	gittest.Whole(t, dir, second)
	// A change that is not in the way stays; one that is stops the pull.
	write(t, dir, "new", "mine")
	third := advance(t, work, "third")
	if got, err := client.Pull(bounded(t), dir, PullOptions{Remote: s.Repo, Branch: "main"}); err != nil || got.Commit != third {
		t.Fatalf("got %+v, %v", got, err)
	}
	write(t, dir, "file", "mine")
	fourth := advance(t, work, "fourth")
	got, err = client.Pull(bounded(t), dir, PullOptions{})
	failure(t, err, KindDirty)
	if got.Commit != third {
		t.Errorf("got %+v", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "file")); string(b) != "mine" || gittest.Git(t, dir, "rev-parse", "HEAD") != third {
		t.Errorf("the file is %q, %v", b, err)
	}
	// Two histories.
	gittest.Git(t, dir, "commit", "-qam", "mine")
	mine := gittest.Git(t, dir, "rev-parse", "HEAD")
	got, err = client.Pull(bounded(t), dir, PullOptions{})
	failure(t, err, KindRejected)
	if got.Commit != mine || got.Previous != mine || gittest.Git(t, dir, "rev-parse", "main") != mine || gittest.Git(t, dir, "status", "--porcelain") != "?? new" {
		t.Errorf("got %+v", got)
	}
	write(t, dir, "file", "more")
	got, err = client.Pull(bounded(t), dir, PullOptions{Reset: true})
	if err != nil || got.Commit != fourth || got.Previous != mine {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got := gittest.Git(t, dir, "status", "--porcelain", "--branch"); got != "## main...origin/main\n?? new" {
		t.Errorf("the state is %q", got)
	}
	// What is here alone is nothing to pull.
	mine = gittest.Commit(t, dir, "ahead")
	if got, err := client.Pull(bounded(t), dir, PullOptions{}); err != nil || got.Commit != mine {
		t.Errorf("got %+v, %v", got, err)
	}
	// A failed fetch changes nothing.
	s.Always(gittest.Answer(503))
	got, err = client.Pull(bounded(t), dir, PullOptions{Reset: true})
	failure(t, err, KindServer)
	if got.Commit != mine || gittest.Git(t, dir, "rev-parse", "HEAD") != mine {
		t.Errorf("got %+v", got)
	}
	s.Always(nil)
	for _, row := range []struct {
		options PullOptions
		kind    Kind
	}{
		{PullOptions{Branch: "nope"}, KindRefMissing},
		{PullOptions{Branch: "-x"}, KindUsage},
		{PullOptions{Branch: "*"}, KindUsage},
		{PullOptions{Branch: "a:b"}, KindUsage},
		{PullOptions{Remote: "ext::id"}, KindUsage},
		{PullOptions{Remote: "--upload-pack=id"}, KindUsage},
	} {
		_, err := client.Pull(bounded(t), dir, row.options)
		failure(t, err, row.kind)
	}
	gittest.Git(t, dir, "checkout", "-q", "--detach", first)
	_, err = client.Pull(bounded(t), dir, PullOptions{})
	failure(t, err, KindUsage)
	if got, err := client.Pull(bounded(t), dir, PullOptions{Branch: "main"}); err != nil || got.Commit != fourth {
		t.Errorf("got %+v, %v", got, err)
	}
	// Into a repository without a commit.
	fresh := t.TempDir()
	gittest.Git(t, fresh, "init", "-q", "-b", "main")
	_, err = client.Pull(bounded(t), fresh, PullOptions{})
	failure(t, err, KindUsage)
	gittest.Git(t, fresh, "remote", "add", "origin", s.Repo)
	if got, err := client.Pull(bounded(t), fresh, PullOptions{}); err != nil || got.Commit != fourth || got.Previous != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	gittest.Whole(t, fresh, fourth)
}
