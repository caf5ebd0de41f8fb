package gittest

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func cloneIsWhole(t *testing.T, backend NewBackend) {
	for _, row := range []struct {
		name   string
		faults []Fault
	}{
		{"none", nil},
		{"unavailable twice", []Fault{Answer(503), Answer(503)}},
		{"cut in the refs, then in the pack", []Fault{CutRefs(), CutPack()}},
		{"bad gateway, then cut in the pack", []Fault{Answer(502), CutPack()}},
		{"request timeout", []Fault{Answer(408)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := NewServer(t, NewRepository(t))
			s.Script(row.faults...)
			parent := t.TempDir()
			var seen record
			head, err := backend(t, retry(&seen), Login{}).Clone(bounded(t), s.Repo, filepath.Join(parent, "app"))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "head", head, s.Head(t))
			Whole(t, filepath.Join(parent, "app"), s.Head(t))
			same(t, "beside the clone", names(t, parent), "app")
			same(t, "attempts", s.Served(), len(row.faults)+1)
			for _, v := range seen.verdicts[:len(row.faults)] {
				same(t, "a fault's class", v.Class, middleware.Failure)
				same(t, "a fault is repeated", v.Retry, true)
			}
			same(t, "the operation", seen.op, middleware.Operation{Name: "clone", Key: s.Listener.Addr().String()}) // G15
		})
	}
}

func cloneLeavesNothing(t *testing.T, backend NewBackend) {
	for _, row := range []struct {
		name     string
		fault    Fault
		kind     string
		class    middleware.Class
		attempts int
	}{
		{"unauthorised", Answer(401), "auth", middleware.Success, 1},
		{"forbidden", Answer(403), "auth", middleware.Success, 1},
		{"not found", Answer(404), "not_found", middleware.Success, 1},
		{"gone", Answer(410), "not_found", middleware.Success, 1},
		{"bad request", Answer(400), "unknown", middleware.Ignored, 1},
		{"request timeout", Answer(408), "server", middleware.Failure, 3},
		{"unavailable", Answer(503), "server", middleware.Failure, 3},
		{"cut in the refs", CutRefs(), "transfer", middleware.Failure, 3},
		{"cut in the pack", CutPack(), "transfer", middleware.Failure, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := NewServer(t, NewRepository(t))
			s.Always(row.fault)
			for _, empty := range []bool{false, true} {
				parent, want := t.TempDir(), ""
				dir := filepath.Join(parent, "app")
				if empty {
					if err := os.Mkdir(dir, 0o700); err != nil {
						t.Fatal(err)
					}
					want = "app"
				}
				var seen record
				b := backend(t, retry(&seen), Login{})
				before := s.Served()
				_, err := b.Clone(bounded(t), s.Repo, dir)
				failed(t, b, err, row.kind)
				same(t, "the class", seen.verdicts[0].Class, row.class)
				same(t, "the reason", seen.verdicts[0].Reason, row.kind)
				same(t, "the verdict", b.Classify(err).Class, row.class)
				same(t, "attempts", s.Served()-before, row.attempts)
				same(t, "left behind", names(t, parent), want)
			}
		})
	}
}

func unreachable(t *testing.T, backend NewBackend) {
	for _, row := range []struct{ url, kind string }{
		{"http://does-not-exist.invalid/repo.git", "dns"},
		{"http://127.0.0.1:1/repo.git", "connect"},
	} {
		_, dir := cloned(t)
		Git(t, dir, "remote", "set-url", "origin", row.url)
		head := Git(t, dir, "rev-parse", "HEAD")
		parent := t.TempDir()
		for name, call := range map[string]func(b Backend) error{
			"ls-remote": func(b Backend) error { _, err := b.LsRemote(bounded(t), row.url); return err },
			"clone": func(b Backend) error {
				_, err := b.Clone(bounded(t), row.url, filepath.Join(parent, "app"))
				return err
			},
			"fetch": func(b Backend) error { _, err := b.Fetch(bounded(t), dir); return err },
			"pull":  func(b Backend) error { _, err := b.Pull(bounded(t), dir); return err },
			"push":  func(b Backend) error { return b.Push(bounded(t), dir, "main") },
		} {
			var seen record
			b := backend(t, retry(&seen), Login{})
			failed(t, b, call(b), row.kind)
			same(t, name+": attempts", len(seen.verdicts), 3)
			for _, v := range seen.verdicts {
				same(t, name+": the class", v.Class, middleware.Failure)
			}
		}
		same(t, "left behind", names(t, parent), "")
		Whole(t, dir, head)
	}
}

func cloneTouchesNothing(t *testing.T, backend NewBackend) {
	s := NewServer(t, NewRepository(t))
	parent := t.TempDir()
	for _, name := range []string{"used/mine", "empty"} {
		if err := os.MkdirAll(filepath.Join(parent, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(parent, "file"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("empty", filepath.Join(parent, "link")); err != nil {
		t.Fatal(err)
	}
	b := backend(t, retry(), Login{})
	for _, row := range [][2]string{{"used", "target_exists"}, {"file", "target_exists"}, {"link", "target_exists"}, {"no/parent", "usage"}} {
		_, err := b.Clone(bounded(t), s.Repo, filepath.Join(parent, row[0]))
		failed(t, b, err, row[1])
	}
	same(t, "calls that reached the server", s.Served(), 0)

	// What appears while the clone is on its way stays too.
	for name, appear := range map[string]func(path string) error{
		"late":     func(path string) error { return os.MkdirAll(filepath.Join(path, "theirs"), 0o700) },
		"precious": func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) },
	} {
		s.Script(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
			if err := appear(filepath.Join(parent, name)); err != nil {
				t.Error(err)
			}
			git.ServeHTTP(w, r)
		})
		_, err := b.Clone(bounded(t), s.Repo, filepath.Join(parent, name))
		failed(t, b, err, "target_exists")
	}
	same(t, "the parent", names(t, parent), "empty file late link precious used")
	same(t, "the directory in use", names(t, filepath.Join(parent, "used")), "mine")
	same(t, "the directory that appeared", names(t, filepath.Join(parent, "late")), "theirs")
}

func cloneCancelled(t *testing.T, backend NewBackend) {
	s := NewServer(t, NewRepository(t))
	stop := errors.New("the operator said stop")
	ctx, cancel := context.WithCancelCause(bounded(t))
	defer cancel(nil)
	s.Always(func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		cancel(stop)
		Hang(w, r, git)
	})
	parent := t.TempDir()
	b := backend(t, retry(), Login{})
	_, err := b.Clone(ctx, s.Repo, filepath.Join(parent, "app"))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, stop) {
		t.Errorf("%v (%T) is not the end of the context and its cause", err, err)
	}
	failed(t, b, err, "canceled")
	same(t, "attempts", s.Served(), 1)
	same(t, "left behind", names(t, parent), "")
}

func cloneTimedOut(t *testing.T, backend NewBackend) {
	s := NewServer(t, NewRepository(t))
	s.Always(Hang)
	parent := t.TempDir()
	var seen record
	b := backend(t, retry(&seen, policies.NewTimeout(policies.TimeoutConfig{Limit: 300 * time.Millisecond})), Login{})
	_, err := b.Clone(bounded(t), s.Repo, filepath.Join(parent, "app"))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, middleware.ErrTimeout) {
		t.Errorf("%v (%T) is not the timeout", err, err)
	}
	failed(t, b, err, "timeout")
	same(t, "attempts", len(seen.verdicts), 2) // G17
	same(t, "left behind", names(t, parent), "")
}
