//go:build unix

package git

import (
	"context"
	"testing"

	"github.com/tidegate-go/tidegate/internal/gittest"
)

// Cancelled in the middle of a rebase, everything is as the commit left it.
func TestCommitAndPushCancelledInTheRebase(t *testing.T) {
	s, dir := cloned(t)
	advance(t, pusher(t, s), "theirs")
	write(t, dir, "mine", "mine")
	for _, row := range []struct{ name, script string }{
		{"in the middle", `case " $* " in *" rebase --abort "*) ;; *" rebase "*) exec 3>FIFO; GIT_SEQUENCE_EDITOR="sed -i '1i break'" command git -c sequence.editor="sed -i '1i break'" rebase -i HEAD~1 >/dev/null 2>&1; touch .git/index.lock .git/HEAD.lock; echo x >&3; exec sleep 1000;; esac`},
		{"before it begins", `case " $* " in *" rebase --abort "*) ;; *" rebase "*) exec 3>FIFO; echo x >&3; exec sleep 1000;; esac`},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWrapper(t, row.script)
			ctx, cancel := context.WithCancel(bounded(t))
			defer cancel()
			go func() {
				w.wait(t)
				cancel()
			}()
			_, err := newClient(t, retry(), Config{Path: w.path}).CommitAndPush(ctx, dir, CommitOptions{Message: "Mine", Author: bot})
			failure(t, err, KindCanceled)
			if rebasing(dir) || gittest.Git(t, dir, "symbolic-ref", "HEAD") != "refs/heads/main" {
				t.Error("a rebase is in progress")
			}
			gittest.Whole(t, dir, gittest.Git(t, dir, "rev-parse", "main"))
			if got := gittest.Git(t, dir, "log", "--format=%s"); got != "Mine\nfirst" {
				t.Errorf("the history is %q", got)
			}
		})
	}
}

// A rebase of somebody else is not ended.
func TestCommitAndPushBesideAnotherRebase(t *testing.T) {
	s, dir := cloned(t)
	gittest.Commit(t, dir, "second")
	gittest.Git(t, dir, "-c", "sequence.editor=sed -i 1ibreak", "rebase", "-q", "-i", "HEAD~1")
	advance(t, pusher(t, s), "theirs")
	write(t, dir, "mine", "mine")
	_, err := newClient(t, retry(), Config{}).CommitAndPush(bounded(t), dir, CommitOptions{Message: "Mine", Author: bot, Branch: "main"})
	failure(t, err, KindConflict)
	if !rebasing(dir) {
		t.Error("the rebase has ended")
	}
}
