package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/middleware"
)

// A loop keeps what runs the way that a repository says.
type loop struct {
	git            *git.Client
	url            string
	desired, state string // directories: copies of the branches main and status
	w              io.Writer

	runs    manifest
	applied string // the commit that runs
	told    string // the commit that the branch status speaks of
	counts  counts
}

// counts are what has become of the rounds.
type counts struct{ syncs, unchanged, stale, failures, applied, reported int }

func newLoop(client *git.Client, url, dir string, w io.Writer) *loop {
	return &loop{git: client, url: url, desired: filepath.Join(dir, "main"), state: filepath.Join(dir, "status"), w: w, runs: manifest{}}
}

// round is one turn of the loop, for a ticker to call. It works with the last copy when
// there is no newer one to be had; the error is why there is nothing to work with.
func (l *loop) round(ctx context.Context) error {
	synced, err := l.git.Sync(ctx, l.url, l.desired, "main")
	l.counts.syncs++
	if err != nil {
		l.counts.failures++
	}
	switch {
	case synced.Stale: // the copy is whole, and as good as it was a minute ago
		l.counts.stale++
		l.say("stale copy of %.7s: %s", synced.Commit, reason(synced.Cause))
	case err != nil:
		l.say("no copy: %s", reason(err))
		return err
	case !synced.Changed:
		l.counts.unchanged++
		l.say("unchanged")
	}
	// In every round, because what runs may change too.
	if err := l.apply(synced.Commit); err != nil {
		l.say("%.7s is not applied: %v", synced.Commit, err)
		return err
	}
	if l.told != l.applied {
		l.report(ctx)
	}
	return nil
}

// apply makes what runs what the commit says.
func (l *loop) apply(commit string) error {
	wanted, err := readManifest(filepath.Join(l.desired, "manifest"))
	if err != nil {
		return err
	}
	if commit == l.applied {
		return nil
	}
	l.say("apply %.7s: %s", commit, strings.Join(changes(l.runs, wanted), ", "))
	l.runs, l.applied = wanted, commit
	l.counts.applied++
	return nil
}

// report writes to the branch status what is applied. What fails is done in a later
// round: the commit is kept, and pushed then.
func (l *loop) report(ctx context.Context) {
	err := l.commit(ctx)
	if err != nil {
		l.counts.failures++
		l.say("status not pushed: %s", reason(err))
		return
	}
	l.told = l.applied
	l.counts.reported++
	l.say("status pushed")
}

func (l *loop) commit(ctx context.Context) error {
	if _, err := os.Stat(l.state); errors.Is(err, fs.ErrNotExist) {
		if _, err := l.git.Clone(ctx, l.url, l.state, git.CloneOptions{Branch: "status"}); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(l.state, "applied"), []byte(l.applied+"\n"), 0o600); err != nil {
		return err
	}
	_, err := l.git.CommitAndPush(ctx, l.state, git.CommitOptions{
		Message: "Apply " + l.applied,
		Author:  git.Author{Name: "GitOps", Email: "gitops@example.com"},
	})
	return err
}

func (l *loop) say(format string, args ...any) { fmt.Fprintf(l.w, "  "+format+"\n", args...) }

// reason says in a word or two why a call failed.
func reason(err error) string {
	if errors.Is(err, middleware.ErrOpen) {
		return "the breaker is open"
	}
	return string(git.KindOf(err))
}
