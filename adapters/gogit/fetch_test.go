package gogit

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	git "github.com/go-git/go-git/v5"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// A transfer that breaks leaves no pack behind, and the pack of somebody else
// stays.
func TestG8TemporaryPacks(t *testing.T) {
	s, repo, dir := cloned(t)
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	large := make([]byte, 1<<20)
	rand.Read(large)
	if err := os.WriteFile(filepath.Join(work, "large"), large, 0o600); err != nil {
		t.Fatal(err)
	}
	gittest.Git(t, work, "add", "large")
	gittest.Git(t, work, "commit", "-q", "-m", "large")
	gittest.Git(t, work, "push", "-q", "origin", "main")
	packs := filepath.Join(dir, ".git", "objects", "pack")
	for _, name := range []string{"tmp_pack_1234567890", "tmp_pack_AbCdEf"} {
		if err := os.WriteFile(filepath.Join(packs, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Always(gittest.CutPack())
	if _, err := New(retry(), Config{}).Fetch(bounded(t), repo, &git.FetchOptions{}); KindOf(err) != KindTransfer {
		t.Errorf("got %v, %s", err, KindOf(err))
	}
	left, err := filepath.Glob(filepath.Join(packs, "tmp_*"))
	if err != nil || len(left) != 2 {
		t.Errorf("there is %v, %v, want the two of others", left, err)
	}
	s.Always(nil)
	if changed, err := New(nil, Config{}).Fetch(bounded(t), repo, nil); err != nil || !changed {
		t.Errorf("got %v, %v", changed, err)
	}
	gittest.Git(t, dir, "fsck", "--full")
}

// go-git takes an empty answer for a transfer of nothing. No ref gets an object
// that is not there.
func TestG7NothingWasSent(t *testing.T) {
	empty := func(w http.ResponseWriter, r *http.Request, h http.Handler) {
		if r.Method != http.MethodPost {
			h.ServeHTTP(w, r)
		}
	}
	s, repo, dir := cloned(t)
	work := filepath.Join(t.TempDir(), "work")
	gittest.Git(t, "", "clone", "-q", s.Bare, work)
	id := gittest.Commit(t, work, "theirs")
	gittest.Git(t, work, "push", "-q", "origin", "main", "main:refs/heads/topic")
	before := gittest.Git(t, dir, "for-each-ref")
	s.Always(empty)
	if changed, err := New(retry(), Config{}).Fetch(bounded(t), repo, nil); KindOf(err) != KindTransfer || changed {
		t.Errorf("got %v, %v, %s", changed, err, KindOf(err))
	}
	if after := gittest.Git(t, dir, "for-each-ref"); after != before {
		t.Errorf("the refs are\n%s\nwant\n%s", after, before)
	}
	for _, bare := range []bool{false, true} {
		s.Always(empty)
		parent := t.TempDir()
		o := &git.CloneOptions{URL: s.Repo}
		if _, err := New(retry(), Config{}).Clone(bounded(t), filepath.Join(parent, "app"), bare, o); KindOf(err) != KindTransfer {
			t.Errorf("got %v, %s", err, KindOf(err))
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
		s.Always(nil)
		s.Script(empty)
		if _, err := New(retry(), Config{}).Clone(bounded(t), filepath.Join(parent, "app"), bare, o); err != nil {
			t.Error(err)
		}
	}
	s.Script(empty)
	if changed, err := New(retry(), Config{}).Fetch(bounded(t), repo, nil); err != nil || !changed {
		t.Errorf("got %v, %v", changed, err)
	}
	if got := gittest.Git(t, dir, "rev-parse", "refs/remotes/origin/main"); got != id {
		t.Errorf("got %s, want %s", got, id)
	}
	gittest.Git(t, dir, "fsck", "--full")
}
