//go:build unix

package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
	"github.com/tidegate-go/tidegate/middleware"
)

// The program that tells git what has changed is one of the repository's too.
func TestG5FileSystemMonitorsDoNotRun(t *testing.T) {
	for _, run := range []bool{false, true} {
		_, dir := cloned(t)
		touched := filepath.Join(t.TempDir(), "touched")
		gittest.Git(t, dir, "config", "core.fsmonitor", "touch '"+touched+"'; true")
		client := newClient(t, nil, Config{Hooks: run})
		if _, err := client.Checkout(bounded(t), dir, "v1", CheckoutOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		if isFile(touched) != run {
			t.Errorf("Hooks %v: it ran: %v", run, isFile(touched))
		}
	}
}

func TestG5HooksDoNotRun(t *testing.T) {
	for _, run := range []bool{false, true} {
		s, dir := cloned(t)
		template, marks := t.TempDir(), t.TempDir()
		for _, hooks := range []string{filepath.Join(dir, ".git", "hooks"), filepath.Join(template, "hooks")} {
			if err := os.MkdirAll(hooks, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"post-checkout", "pre-push", "reference-transaction", "post-merge", "pre-commit"} {
				gittest.WriteScript(t, filepath.Join(hooks, name), "#!/bin/sh\ntouch '"+filepath.Join(marks, name)+"'\n")
			}
		}
		ran := func(name string) {
			t.Helper()
			path := filepath.Join(marks, name)
			if isFile(path) != run {
				t.Errorf("Hooks %v: %s ran: %v", run, name, isFile(path))
			}
			os.Remove(path)
		}
		ctx := bounded(t)
		client := newClient(t, nil, Config{Hooks: run, Settings: []string{"init.templateDir=" + template}})
		if _, err := client.Clone(ctx, s.Repo, filepath.Join(t.TempDir(), "new"), CloneOptions{}); err != nil {
			t.Fatal(err)
		}
		ran("post-checkout")
		os.Remove(filepath.Join(marks, "reference-transaction"))
		work := filepath.Join(t.TempDir(), "work")
		gittest.Git(t, "", "clone", "-q", s.Bare, work)
		gittest.Commit(t, work, "theirs")
		gittest.Git(t, work, "push", "-q", "origin", "main")
		if _, err := client.Fetch(ctx, dir, FetchOptions{}); err != nil {
			t.Fatal(err)
		}
		ran("reference-transaction")
		if _, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"v1:refs/heads/x"}}); err == nil {
			t.Error("a tag object is no branch")
		}
		if _, err := client.Push(ctx, dir, PushOptions{Refspecs: []string{"HEAD:refs/heads/x"}}); err != nil {
			t.Fatal(err)
		}
		ran("pre-push")
		if err := client.Run(ctx, dir, nil, "commit", "--quiet", "--allow-empty", "-m", "x"); err != nil {
			t.Fatal(err)
		}
		ran("pre-commit")
	}
}

func TestG2SystemConfigurationByOption(t *testing.T) {
	file := filepath.Join(t.TempDir(), "system")
	if err := os.WriteFile(file, []byte("[tidegate]\n\tmark = seen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_SYSTEM", file)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "0")
	dir := gittest.NewRepository(t)
	for _, row := range []struct {
		env  []string
		want string
	}{{nil, "seen\n"}, {[]string{"GIT_CONFIG_NOSYSTEM=1"}, ""}} {
		var out strings.Builder
		err := newClient(t, nil, Config{Env: row.env}).Run(bounded(t), dir, &out, "config", "--get", "tidegate.mark")
		if out.String() != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%v: got %q, %v", row.env, out.String(), err)
		}
	}
}

func TestG17ClonesThatTakeTooLongGetAHint(t *testing.T) {
	const hint = "a longer limit, or less to fetch (CloneOptions.Depth or Filter), may help"
	for _, row := range []struct {
		op   string
		kind Kind
		want bool
	}{
		{"clone", KindTimeout, true},
		{"clone", KindSlow, true},
		{"clone", KindTransfer, false},
		{"clone", KindCanceled, false},
		{"fetch", KindTimeout, false},
	} {
		e := &Error{Op: row.op, Kind: row.kind, Err: middleware.ErrTimeout}
		if strings.Contains(e.Error(), hint) != row.want {
			t.Errorf("%s %s: %q", row.op, row.kind, e)
		}
	}
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Always(gittest.Hang)
	var seen verdicts
	ends := endEach(middleware.ErrTimeout)
	_, err := newClient(t, retry(&seen, ends), Config{}).Clone(bounded(t), s.Repo, filepath.Join(t.TempDir(), "app"), CloneOptions{})
	e := failure(t, err, KindTimeout)
	if !strings.Contains(e.Error(), hint) || !errors.Is(err, middleware.ErrTimeout) || e.Attempt != 2 {
		t.Errorf("got %q, attempt %d", e, e.Attempt)
	}
	if len(seen.seen) != 2 || !seen.seen[0].Retry || seen.seen[1].Retry {
		t.Errorf("the verdicts are %+v, want one repeat", seen.seen)
	}
}

func TestG11AttemptOfAnError(t *testing.T) {
	s := gittest.NewServer(t, gittest.NewRepository(t))
	s.Always(gittest.Answer(503))
	_, err := newClient(t, retry(), Config{}).LsRemote(bounded(t), s.Repo)
	if e := failure(t, err, KindServer); e.Attempt != 3 {
		t.Errorf("in a retry: attempt %d, want the third", e.Attempt)
	}
	_, err = newClient(t, nil, Config{}).LsRemote(bounded(t), s.Repo)
	if e := failure(t, err, KindServer); e.Attempt != 1 {
		t.Errorf("without a retry: attempt %d, want the first", e.Attempt)
	}
	_, err = newClient(t, retry(), Config{}).LsRemote(bounded(t), "ext::id")
	if e := failure(t, err, KindUsage); e.Attempt != 0 {
		t.Errorf("of a refused argument: attempt %d, want none", e.Attempt)
	}
}

// endEach ends each attempt before it gets far.
func endEach(cause error) middleware.PolicyFunc {
	return func(ctx context.Context, next middleware.Next) error {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(cause)
		return next.Do(ctx)
	}
}

func TestG5HooksOfACommitDoNotRun(t *testing.T) {
	s, dir := cloned(t)
	advance(t, pusher(t, s), "theirs")
	ran := filepath.Join(t.TempDir(), "ran")
	for _, name := range []string{"pre-commit", "commit-msg", "post-commit", "prepare-commit-msg", "pre-push", "pre-rebase", "post-checkout", "post-merge", "post-rewrite", "reference-transaction"} {
		gittest.WriteScript(t, filepath.Join(dir, ".git", "hooks", name), "#!/bin/sh\ntouch '"+ran+"'; exit 1\n")
	}
	write(t, dir, "mine", "mine")
	client := newClient(t, retry(), Config{})
	if got, err := client.CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot}); err != nil || got.Pushes != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := client.Pull(bounded(t), dir, PullOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.Checkout(bounded(t), dir, "v1", CheckoutOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.Sync(bounded(t), s.Repo, dir, "main"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a hook ran")
	}
}
