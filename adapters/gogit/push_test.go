package gogit

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

func refspecs(specs ...string) []config.RefSpec {
	var all []config.RefSpec
	for _, s := range specs {
		all = append(all, config.RefSpec(s))
	}
	return all
}

// cloned returns a server and a clone of what it serves.
func cloned(t *testing.T) (s *gittest.Server, repo *git.Repository, dir string) {
	t.Helper()
	s = gittest.NewServer(t, gittest.NewRepository(t))
	dir = filepath.Join(t.TempDir(), "app")
	gittest.Git(t, "", "clone", "-q", s.Repo, dir)
	s.Script()
	return s, open(t, dir), dir
}

func open(t *testing.T, dir string) *git.Repository {
	t.Helper()
	repo, err := git.PlainOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// emptied lets git do a push and answers with nothing at all.
func emptied(w http.ResponseWriter, r *http.Request, h http.Handler) {
	if r.Method != http.MethodPost {
		h.ServeHTTP(w, r)
		return
	}
	h.ServeHTTP(discard{http.Header{}}, r)
}

// swallowed does not do a push and answers with nothing at all.
func swallowed(w http.ResponseWriter, r *http.Request, h http.Handler) {
	if r.Method != http.MethodPost {
		h.ServeHTTP(w, r)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func TestPush(t *testing.T) {
	for _, row := range []struct {
		name    string
		fault   gittest.Fault // of the first attempt
		always  gittest.Fault
		options git.PushOptions
		want    string // what main is then: "first", "second" or "other"
		changed bool
		kind    Kind
		runs    int
	}{
		{name: "forward", options: git.PushOptions{RefSpecs: refspecs("refs/heads/main:refs/heads/main")}, want: "second", changed: true, runs: 1},
		{name: "by an object id", options: git.PushOptions{RefSpecs: refspecs("SECOND:refs/heads/main")}, want: "second", changed: true, runs: 1},
		{name: "all branches", options: git.PushOptions{}, want: "second", changed: true, runs: 1},
		{name: "the answer is lost", fault: gittest.Lost, options: git.PushOptions{}, want: "second", changed: true, runs: 2},
		{name: "what does not exist", options: git.PushOptions{RefSpecs: refspecs("refs/heads/nope:refs/heads/main")}, want: "first", kind: KindUsage},

		{name: "G19 an empty answer, and it was done", fault: emptied, options: git.PushOptions{}, want: "second", changed: true, runs: 1},
		{name: "G19 an empty answer, and it was not done", fault: swallowed, options: git.PushOptions{}, want: "second", changed: true, runs: 2},
		{name: "G19 never anything but an empty answer", always: swallowed, options: git.PushOptions{}, want: "first", kind: KindServer, runs: 3},
		{name: "G19 an empty answer to a forced push", fault: swallowed, options: git.PushOptions{Force: true}, want: "first", kind: KindServer, runs: 1},

		{name: "forced", options: git.PushOptions{Force: true}, want: "second", changed: true, runs: 1},
		{name: "forced, unavailable", fault: gittest.Answer(503), options: git.PushOptions{Force: true}, want: "first", kind: KindServer, runs: 1},
		{name: "forced, the answer is lost", fault: gittest.Lost, options: git.PushOptions{Force: true}, want: "second", kind: KindTransfer, runs: 1},
		{name: "forced by a plus, the answer is lost", fault: gittest.Lost, options: git.PushOptions{RefSpecs: refspecs("+refs/heads/*:refs/heads/*")}, want: "second", kind: KindTransfer, runs: 1},
		{name: "with prune, the answer is lost", fault: gittest.Lost, options: git.PushOptions{Prune: true}, want: "second", kind: KindTransfer, runs: 1},

		{name: "a lease, the answer is lost", fault: gittest.Lost, options: git.PushOptions{ForceWithLease: &git.ForceWithLease{}}, want: "second", changed: true, runs: 2},
		{name: "a lease for another ref, the answer is lost", fault: gittest.Lost, options: git.PushOptions{ForceWithLease: &git.ForceWithLease{RefName: "refs/heads/x"}}, want: "second", kind: KindTransfer, runs: 1},
		{name: "a broken lease", options: git.PushOptions{ForceWithLease: &git.ForceWithLease{RefName: "refs/heads/main", Hash: plumbing.NewHash(strings.Repeat("1", 40))}}, want: "first", kind: KindRejected, runs: 1},
		{name: "a required value, the answer is lost", fault: gittest.Lost, options: git.PushOptions{Force: true, RequireRemoteRefs: refspecs("FIRST:refs/heads/main")}, want: "second", changed: true, runs: 2},
		{name: "a required value that is not there", options: git.PushOptions{RequireRemoteRefs: refspecs("SECOND:refs/heads/main")}, want: "first", kind: KindRejected, runs: 1},
		{name: "a hook says no", options: git.PushOptions{RefSpecs: refspecs("refs/heads/main:refs/heads/forbidden")}, want: "first", kind: KindPolicy, runs: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, repo, dir := cloned(t)
			ids := map[string]string{"first": s.Head(t), "second": gittest.Commit(t, dir, "second")}
			hook := filepath.Join(s.Bare, "hooks", "update")
			if err := os.MkdirAll(filepath.Dir(hook), 0o700); err != nil {
				t.Fatal(err)
			}
			gittest.WriteScript(t, hook, "#!/bin/sh\ncase $1 in *forbidden) exit 1;; esac\n")
			for _, specs := range [][]config.RefSpec{row.options.RefSpecs, row.options.RequireRemoteRefs} {
				for i, spec := range specs {
					specs[i] = config.RefSpec(strings.NewReplacer("FIRST", ids["first"], "SECOND", ids["second"]).Replace(string(spec)))
				}
			}
			s.Script(row.fault)
			s.Always(row.always)
			var seen verdicts
			changed, err := New(retry(&seen), Config{}).Push(bounded(t), repo, &row.options)
			if KindOf(err) != row.kind || changed != row.changed {
				t.Errorf("got %v, %v (%s), want %v, %q", changed, err, KindOf(err), row.changed, row.kind)
			}
			if len(seen.seen) != row.runs {
				t.Errorf("%d attempts, want %d: %+v", len(seen.seen), row.runs, seen.seen)
			}
			if s.Head(t) != ids[row.want] {
				t.Errorf("the remote has %s, want the %s of %v", s.Head(t), row.want, ids)
			}
			gittest.Git(t, s.Bare, "fsck", "--full")
		})
	}
}

// What is pushed was settled at the call: a branch that moves between two
// attempts does not change it.
func TestPushIsSettledAtTheCall(t *testing.T) {
	s, repo, dir := cloned(t)
	wanted := gittest.Commit(t, dir, "second")
	s.Script(func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		gittest.Commit(t, dir, "third")
		gittest.Answer(503)(w, r, h)
	})
	options := git.PushOptions{RefSpecs: refspecs("HEAD:refs/heads/main")}
	if _, err := New(retry(), Config{}).Push(bounded(t), repo, &options); err != nil {
		t.Fatal(err)
	}
	if s.Head(t) != wanted {
		t.Errorf("the remote has %s, want %s", s.Head(t), wanted)
	}
	if options.RemoteName != "" || options.RefSpecs[0] != "HEAD:refs/heads/main" {
		t.Errorf("the options were changed: %+v", options)
	}
}

func TestPushDeletesAndTags(t *testing.T) {
	s, repo, dir := cloned(t)
	gittest.Git(t, dir, "tag", "-a", "-m", "two", "v2")
	gittest.Git(t, s.Bare, "branch", "topic", "main")
	s.Script(nil, gittest.Lost) // the refs are listed first
	var seen verdicts
	changed, err := New(retry(&seen), Config{}).Push(bounded(t), repo, &git.PushOptions{RefSpecs: refspecs(":refs/heads/topic", "refs/tags/v2:refs/tags/v2")})
	if err != nil || !changed || len(seen.seen) != 2 {
		t.Errorf("got %v, %v after %+v", changed, err, seen.seen)
	}
	if refs := gittest.Git(t, s.Bare, "for-each-ref", "--format=%(refname)"); refs != "refs/heads/main\nrefs/tags/v1\nrefs/tags/v2" {
		t.Errorf("the remote has %s", refs)
	}
}

func TestPullIntoNothing(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	dir := t.TempDir()
	gittest.Git(t, dir, "init", "-q", "-b", "main")
	gittest.Git(t, dir, "remote", "add", "origin", s.Repo)
	changed, err := New(nil, Config{}).Pull(bounded(t), open(t, dir), nil)
	if err != nil || !changed {
		t.Fatalf("got %v, %v", changed, err)
	}
	gittest.Whole(t, dir, s.Head(t))
	_, err = New(nil, Config{}).Pull(bounded(t), open(t, dir), &git.PullOptions{ReferenceName: "refs/heads/nope"})
	if !errors.Is(err, plumbing.ErrReferenceNotFound) || KindOf(err) != KindRefMissing {
		t.Errorf("got %v", err)
	}
	// Changes that are not committed stay.
	gittest.Git(t, dir, "branch", "--set-upstream-to=origin/main")
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	head := s.Head(t)
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	gittest.Commit(t, work, "second")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	if _, err := New(nil, Config{}).Pull(bounded(t), open(t, dir), nil); !errors.Is(err, git.ErrUnstagedChanges) {
		t.Errorf("got %v, want a refusal", err)
	}
	if got := gittest.Git(t, dir, "rev-parse", "HEAD"); got != head {
		t.Errorf("HEAD moved to %s although the work tree did not", got)
	}
}

// Somebody's push on top of ours does not make ours a failure.
func TestG19PushedOnTop(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string // how they push to main
		done bool     // whether our push was done
		kind Kind
	}{
		{"on top", nil, true, ""},
		{"away", []string{"--force"}, true, KindRejected},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, repo, dir := cloned(t)
			gittest.Commit(t, dir, "ours")
			work := filepath.Join(t.TempDir(), "work")
			gittest.Git(t, "", "clone", "-q", s.Bare, work)
			posts := 0
			s.Always(func(w http.ResponseWriter, r *http.Request, h http.Handler) {
				h.ServeHTTP(w, r)
				if !isPush(r) || posts > 0 {
					return
				}
				posts++
				if row.args == nil {
					gittest.Git(t, work, "pull", "-q")
				}
				gittest.Commit(t, work, "theirs")
				gittest.Git(t, work, append([]string{"push", "-q", "origin", "main"}, row.args...)...)
			})
			changed, err := New(retry(), Config{}).Push(bounded(t), repo, nil)
			if KindOf(err) != row.kind || changed != (row.kind == "") {
				t.Errorf("got %v, %v (%s), want %q", changed, err, KindOf(err), row.kind)
			}
			if got := gittest.Git(t, work, "rev-parse", "HEAD"); s.Head(t) != got {
				t.Errorf("the remote has %s, want theirs, %s", s.Head(t), got)
			}
		})
	}
}

// A repeated push does not delete what somebody has made since.
func TestPushDeletesNothingOfOthers(t *testing.T) {
	for _, fault := range []gittest.Fault{gittest.Lost, nil} {
		s, repo, dir := cloned(t)
		theirs := gittest.Commit(t, dir, "theirs")
		gittest.Git(t, dir, "push", "-q", "origin", "HEAD:refs/heads/other")
		gittest.Git(t, s.Bare, "branch", "topic", "main")
		posts := 0
		s.Always(func(w http.ResponseWriter, r *http.Request, h http.Handler) {
			if isPush(r) && posts == 0 {
				posts++
				defer gittest.Git(t, s.Bare, "branch", "topic", "other")
				if fault != nil {
					fault(w, r, h)
				}
			}
			h.ServeHTTP(w, r)
		})
		_, err := New(retry(), Config{}).Push(bounded(t), repo, &git.PushOptions{RefSpecs: refspecs(":refs/heads/topic")})
		if want := map[bool]Kind{true: KindRejected, false: ""}[fault != nil]; KindOf(err) != want {
			t.Errorf("got %v, %s, want %q", err, KindOf(err), want)
		}
		if got := gittest.Git(t, s.Bare, "rev-parse", "refs/heads/topic"); got != theirs {
			t.Errorf("topic is %s, want theirs, %s", got, theirs)
		}
	}
}
