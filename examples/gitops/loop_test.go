package main

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/middleware"
)

// A world is a server and what loops write to.
type world struct {
	*server

	host *host
	dir  string
	said strings.Builder
}

func newWorld(t *testing.T, observers ...middleware.Policy) *world {
	t.Helper()
	s, err := newServer(t.TempDir(), "web 2\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	h, err := newHost(s.repository(), observers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.breaker.Close() })
	return &world{server: s, host: h, dir: t.TempDir()}
}

// start returns a loop as it is after the program has begun.
func (w *world) start() *loop { return newLoop(w.host.Client, w.repository(), w.dir, &w.said) }

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the test took too long"))
	t.Cleanup(cancel)
	return ctx
}

func (w *world) check(t *testing.T, l *loop, runs manifest, want counts) {
	t.Helper()
	if !maps.Equal(l.runs, runs) || l.counts != want {
		t.Errorf("it runs %v after %+v, want %v after %+v:\n%s", l.runs, l.counts, runs, want, w.said.String())
	}
}

// reported returns what the branch status says, and how many commits it has.
func (w *world) reported(t *testing.T) (applied, commits string) {
	t.Helper()
	bare := filepath.Join(w.root, "app.git")
	applied, err := w.git(bare, "show", "status:applied")
	if err != nil {
		t.Fatal(err)
	}
	if commits, err = w.git(bare, "rev-list", "--count", "status"); err != nil {
		t.Fatal(err)
	}
	return applied, commits
}

// busyFor answers 503 to what has the text in its URL.
func busyFor(text string) answer {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		if strings.Contains(r.URL.String(), text) {
			busy(w, r, git)
			return
		}
		git.ServeHTTP(w, r)
	}
}

func TestStatusIsPushedLater(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	w.become(busyFor("git-receive-pack"))
	for range 2 {
		if err := l.round(bounded(t)); err != nil {
			t.Fatal(err)
		}
	}
	w.check(t, l, manifest{"web": 2}, counts{syncs: 2, unchanged: 1, failures: 2, applied: 1})
	w.become(up)
	w.host.breaker.Reset() // the failures have opened it
	for range 2 {
		if err := l.round(bounded(t)); err != nil {
			t.Fatal(err)
		}
	}
	w.check(t, l, manifest{"web": 2}, counts{syncs: 4, unchanged: 3, failures: 2, applied: 1, reported: 1})
	if applied, commits := w.reported(t); applied != l.applied || commits != "2" {
		t.Errorf("the status is %s in %s commits, want %s in 2", applied, commits, l.applied)
	}
}

// Another program pushes to the branch status too.
func TestStatusGoesOnTopOfOthers(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	if err := l.round(bounded(t)); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	for _, args := range [][]string{
		{"clone", "--quiet", "--branch=status", filepath.Join(w.root, "app.git"), other},
		{"-C", other, "commit", "--quiet", "--allow-empty", "--message=Other"},
		{"-C", other, "push", "--quiet", "origin", "status"},
	} {
		if _, err := w.git("", args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.push("web 3\n"); err != nil {
		t.Fatal(err)
	}
	if err := l.round(bounded(t)); err != nil {
		t.Fatal(err)
	}
	w.check(t, l, manifest{"web": 3}, counts{syncs: 2, applied: 2, reported: 2})
	if applied, commits := w.reported(t); applied != l.applied || commits != "4" {
		t.Errorf("the status is %s in %s commits, want %s in 4", applied, commits, l.applied)
	}
}

func TestNoCopyYet(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	w.become(busy)
	if err := l.round(bounded(t)); git.KindOf(err) != git.KindServer {
		t.Errorf("got %v", err)
	}
	w.check(t, l, manifest{}, counts{syncs: 1, failures: 1})
	w.become(up)
	if err := l.round(bounded(t)); err != nil {
		t.Fatal(err)
	}
	w.check(t, l, manifest{"web": 2}, counts{syncs: 2, failures: 1, applied: 1, reported: 1})
}

// A program that begins during an outage applies the copy that it has.
func TestBeginsWithAStaleCopy(t *testing.T) {
	w := newWorld(t)
	if err := w.start().round(bounded(t)); err != nil {
		t.Fatal(err)
	}
	w.become(down)
	l := w.start()
	if err := l.round(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if l.counts.stale != 1 || l.counts.applied != 1 || l.runs["web"] != 2 {
		t.Errorf("it runs %v after %+v", l.runs, l.counts)
	}
}

func TestWrongManifestChangesNothing(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	for _, row := range []struct {
		text  string
		wrong bool
		runs  manifest
	}{
		{"web 2\n", false, manifest{"web": 2}},
		{"web two\n", true, manifest{"web": 2}},
		{"web 5\n", false, manifest{"web": 5}},
	} {
		if row.text != "web 2\n" { // which is there
			if err := w.push(row.text); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.round(bounded(t)); (err != nil) != row.wrong {
			t.Errorf("%q: %v", row.text, err)
		}
		if !maps.Equal(l.runs, row.runs) {
			t.Errorf("%q: it runs %v, want %v", row.text, l.runs, row.runs)
		}
	}
}

func TestRunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, &strings.Builder{}); err == nil {
		t.Error("no error from a context that has ended")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}
