package git

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// refsOf returns the refs of the repository at dir that begin with prefix.
func refsOf(t *testing.T, dir, prefix string) string {
	t.Helper()
	return gittest.Git(t, dir, "for-each-ref", "--format=%(refname)=%(objectname)", prefix)
}

func TestPush(t *testing.T) {
	s, dir := cloned(t)
	first, tag := gittest.Git(t, dir, "rev-parse", "main"), gittest.Git(t, dir, "rev-parse", "v1")
	second := gittest.Commit(t, dir, "second")
	gittest.Git(t, dir, "branch", "topic")
	for _, row := range []struct {
		name     string
		faults   []gittest.Fault
		options  PushOptions
		want     []PushedRef
		kind     Kind
		attempts int
	}{
		{
			name:     "a branch",
			options:  PushOptions{Refspecs: []string{"main"}},
			want:     []PushedRef{{"refs/heads/main", second, "updated"}},
			attempts: 1,
		}, {
			name:     "again",
			options:  PushOptions{Refspecs: []string{"main"}},
			want:     []PushedRef{{"refs/heads/main", second, "up_to_date"}},
			attempts: 1,
		}, {
			name:     "under other names",
			options:  PushOptions{Refspecs: []string{"main:other", "v1:v2", "HEAD:refs/heads/head", first + ":refs/odd/x"}},
			want:     []PushedRef{{"refs/heads/other", second, "created"}, {"refs/tags/v2", tag, "created"}, {"refs/heads/head", second, "created"}, {"refs/odd/x", first, "created"}},
			attempts: 1,
		}, {
			name:     "after faults",
			faults:   []gittest.Fault{gittest.Answer(503), gittest.Answer(500)},
			options:  PushOptions{Refspecs: []string{"topic"}},
			want:     []PushedRef{{"refs/heads/topic", second, "created"}},
			attempts: 3,
		}, {
			name:     "the answer is lost",
			faults:   []gittest.Fault{gittest.Lost},
			options:  PushOptions{Refspecs: []string{"main:lost"}},
			want:     []PushedRef{{"refs/heads/lost", second, "up_to_date"}},
			attempts: 2,
		}, {
			name:     "back without a lease",
			options:  PushOptions{Refspecs: []string{first + ":refs/heads/main"}},
			want:     []PushedRef{{"refs/heads/main", first, "rejected"}},
			kind:     KindRejected,
			attempts: 1,
		}, {
			name:     "back with a lease, the answer is lost",
			faults:   []gittest.Fault{gittest.Lost},
			options:  PushOptions{Refspecs: []string{first + ":refs/heads/main"}, Leases: map[string]string{"refs/heads/main": second}},
			want:     []PushedRef{{"refs/heads/main", first, "up_to_date"}},
			attempts: 2,
		}, {
			name:     "with a lease that is over",
			options:  PushOptions{Refspecs: []string{"main", "main:fresh"}, Leases: map[string]string{"refs/heads/main": second}},
			want:     []PushedRef{{"refs/heads/main", second, "rejected"}, {"refs/heads/fresh", second, "rejected"}},
			kind:     KindRejected,
			attempts: 1,
		}, {
			name:     "all or nothing",
			options:  PushOptions{Refspecs: []string{first + ":refs/heads/other", "main:fresh"}},
			want:     []PushedRef{{"refs/heads/other", first, "rejected"}, {"refs/heads/fresh", second, "rejected"}},
			kind:     KindRejected,
			attempts: 1,
		}, {
			name:     "only if it does not exist",
			options:  PushOptions{Refspecs: []string{first + ":refs/heads/other"}, Leases: map[string]string{"refs/heads/other": ""}},
			want:     []PushedRef{{"refs/heads/other", first, "rejected"}},
			kind:     KindRejected,
			attempts: 1,
		}, {
			name:     "delete with a lease, the answer is lost",
			faults:   []gittest.Fault{gittest.Lost},
			options:  PushOptions{Refspecs: []string{":refs/heads/other"}, Leases: map[string]string{"refs/heads/other": second}},
			want:     []PushedRef{{"refs/heads/other", "", "up_to_date"}},
			attempts: 2,
		}, {
			name:     "delete",
			options:  PushOptions{Refspecs: []string{":refs/heads/head"}},
			want:     []PushedRef{{"refs/heads/head", "", "deleted"}},
			attempts: 1,
		}, {
			name:     "a hook says no",
			options:  PushOptions{Refspecs: []string{"main:refs/heads/forbidden"}},
			want:     []PushedRef{{"refs/heads/forbidden", second, "rejected"}},
			kind:     KindPolicy,
			attempts: 1,
		}, {
			name:     "what does not exist",
			options:  PushOptions{Refspecs: []string{"nope"}},
			kind:     KindUsage,
			attempts: 0,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			hook := filepath.Join(s.Bare, "hooks", "update")
			if err := os.MkdirAll(filepath.Dir(hook), 0o700); err != nil {
				t.Fatal(err)
			}
			gittest.WriteScript(t, hook, "#!/bin/sh\ncase $1 in *forbidden) echo could not resolve host; exit 1;; esac\n")
			s.Script(row.faults...)
			before := refsOf(t, s.Bare, "refs")
			got, err := newClient(t, retry(), Config{}).Push(bounded(t), dir, row.options)
			if row.kind != "" {
				failure(t, err, row.kind)
				if refsOf(t, s.Bare, "refs") != before {
					t.Error("the remote has changed")
				}
			} else if err != nil {
				t.Fatal(err)
			}
			equal(t, "refs", got.Refs, row.want)
			if s.Served() != row.attempts && (row.faults == nil || s.Served() != row.attempts+1) { // a check is one more
				t.Errorf("%d attempts, want %d", s.Served(), row.attempts)
			}
			for _, ref := range row.want {
				there := strings.Contains(refsOf(t, s.Bare, ref.Name), "="+ref.ID)
				if ref.Status != "rejected" && there != (ref.ID != "") {
					t.Errorf("after %q the remote has %s: %v", ref.Status, ref.Name, there)
				}
			}
			gittest.Git(t, s.Bare, "fsck", "--full")
		})
	}
}

// What is pushed was settled at the call: a branch that moves between two
// attempts does not change it.
func TestPushIsSettledAtTheCall(t *testing.T) {
	s, dir := cloned(t)
	wanted := gittest.Commit(t, dir, "second")
	s.Script(func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		gittest.Commit(t, dir, "third")
		gittest.Answer(503)(w, r, h)
	})
	var seen verdicts
	if _, err := newClient(t, retry(&seen), Config{}).Push(bounded(t), dir, PushOptions{Refspecs: []string{"main"}}); err != nil {
		t.Fatal(err)
	}
	if s.Head(t) != wanted {
		t.Errorf("the remote has %s, want %s", s.Head(t), wanted)
	}
	equal(t, "verdicts", seen.seen, []middleware.Verdict{{Class: middleware.Failure, Retry: true, Reason: "server"}, {}})
}

func TestPushRemotes(t *testing.T) {
	s, dir := cloned(t)
	other := gittest.NewServer(t, gittest.NewRepository(t))
	id := gittest.Commit(t, dir, "second")
	client := newClient(t, nil, Config{})
	gittest.Git(t, dir, "config", "remote.origin.pushurl", other.Repo)
	if _, err := client.Push(bounded(t), dir, PushOptions{Refspecs: []string{"main:refs/heads/pushed"}}); err != nil {
		t.Fatal(err)
	}
	if got := refsOf(t, other.Bare, "refs/heads/pushed"); got != "refs/heads/pushed="+id || s.Served() != 0 {
		t.Errorf("the URL to push to has %q, want %s", got, id)
	}
	if _, err := client.Push(bounded(t), dir, PushOptions{Remote: s.Repo, Refspecs: []string{"main"}}); err != nil || s.Head(t) != id {
		t.Errorf("to a URL: got %v", err)
	}
	gittest.Git(t, dir, "config", "--add", "remote.origin.pushurl", s.Repo)
	_, err := client.Push(bounded(t), dir, PushOptions{Refspecs: []string{"main"}})
	if e := failure(t, err, KindUsage); !strings.Contains(e.Error(), "2 URLs") {
		t.Errorf("got %v", err)
	}
	gittest.Git(t, dir, "config", "--unset-all", "remote.origin.pushurl")
	gittest.Git(t, dir, "config", "remote.origin.url", "ext::sh -c id")
	_, err = client.Push(bounded(t), dir, PushOptions{Refspecs: []string{"main"}})
	failure(t, err, KindUsage)
}

// To git too, a short name of two refs is an error; the tag would go before.
func TestPushRefusesANameOfABranchAndATag(t *testing.T) {
	s, dir := cloned(t)
	gittest.Git(t, dir, "tag", "main")
	mine := gittest.Commit(t, dir, "mine")
	client := newClient(t, nil, Config{})
	for _, spec := range []string{"main", "main:main", "main:refs/heads/main"} {
		_, err := client.Push(bounded(t), dir, PushOptions{Refspecs: []string{spec}})
		failure(t, err, KindUsage)
	}
	_, err := client.Push(bounded(t), dir, PushOptions{Refspecs: []string{"refs/heads/main"}})
	if err != nil || s.Head(t) != mine {
		t.Error(err)
	}
}
