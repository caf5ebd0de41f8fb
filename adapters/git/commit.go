package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// DefaultPushes is the default of [CommitOptions.Pushes].
const DefaultPushes = 5

// CommitOptions say what to commit and where to push it.
type CommitOptions struct {
	// Message is the message of the commit. It must be given.
	Message string
	// Paths are the files and directories to commit, relative to the top of the work
	// tree, new and removed files too; what is neither there nor known to git is not
	// looked at. None means all that has changed. Other changes stay as they are, but
	// then what others push in between gives an error of KindDirty.
	Paths []string
	// Author is who makes the commit. The zero value means what git's configuration,
	// or Config.Env, says.
	Author Author

	// Remote is the name of a remote of the repository, or a URL. Empty means
	// "origin".
	Remote string
	// Branch is the name of the remote's branch. Empty means the name of the current
	// one.
	Branch string
	// Pushes is how often to push at the most, when others push in between. Zero means
	// DefaultPushes. What the chain repeats because a push failed otherwise does not
	// count.
	Pushes int
}

// An Author makes commits.
type Author struct{ Name, Email string }

// A CommitResult says what was pushed.
type CommitResult struct {
	// Commit is the id that the branch of the remote was given: that of the new commit
	// as it was rebased, or the one that was there when nothing was to be pushed.
	Commit string
	// Changed says that there was something to push.
	Changed bool
	// Pushes is how often it was pushed: more than 1 when others pushed in between.
	Pushes int
	// Bytes is the size of the objects that were sent, as git rounds it; see
	// [Progress].
	Bytes int64
	// Duration is how long the call took, waits and repeats included.
	Duration time.Duration
}

// CommitAndPush commits what has changed in the work tree at dir and pushes it to
// a branch. When the branch has moved in the meantime, the push is refused, and the
// commit is put on top of what is new, and pushed again.
//
// Each fetch and push is a call of the remote that passes the chain; the commit is
// made once. After an error it stays in the repository, and the next call pushes
// it, also when there is nothing else to commit. When the two changes do not
// fit together the error is of KindConflict, and the work tree is as the commit
// left it.
func (c *Client) CommitAndPush(ctx context.Context, dir string, o CommitOptions) (CommitResult, error) {
	const op = "commit-and-push"
	start := time.Now()
	if err := o.validate(); err != nil {
		return CommitResult{}, usage(op, err)
	}
	if o.Pushes == 0 {
		o.Pushes = DefaultPushes
	}
	dir, err := directory(op, dir)
	if err != nil {
		return CommitResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return CommitResult{}, err
	}
	defer release()
	if o.Branch, err = c.current(ctx, op, dir, o.Branch); err != nil {
		return CommitResult{}, err
	}
	to, err := c.remoteOf(ctx, op, dir, o.Remote, true)
	if err != nil {
		return CommitResult{}, err
	}
	from, err := c.remoteOf(ctx, op, dir, o.Remote, false)
	if err != nil {
		return CommitResult{}, err
	}
	made, err := c.commit(ctx, op, dir, o)
	if err != nil {
		return CommitResult{}, err
	}
	result, err := c.pushOnTop(ctx, op, dir, to, from, o, made)
	result.Duration = time.Since(start)
	return result, err
}

func (o CommitOptions) validate() error {
	if strings.TrimSpace(o.Message) == "" || strings.ContainsRune(o.Message, 0) {
		return errors.New("the message is empty or has a NUL: CommitOptions.Message says what the commit is for")
	}
	for _, p := range o.Paths {
		if err := checkText(p); err != nil {
			return fmt.Errorf("the path %q %w", p, err)
		}
		if !filepath.IsLocal(filepath.FromSlash(p)) {
			return fmt.Errorf("the path %q is not one in the work tree", p)
		}
	}
	if o.Author != (Author{}) && (o.Author.Name == "" || o.Author.Email == "" || strings.ContainsAny(o.Author.Name+o.Author.Email, "<>\n\x00")) {
		return fmt.Errorf("the author is %q <%s>: both must be given, without < and >", o.Author.Name, o.Author.Email)
	}
	if o.Branch != "" {
		if err := checkBranch(o.Branch); err != nil {
			return err
		}
	}
	if o.Pushes < 0 {
		return fmt.Errorf("the number of pushes is %d: it must be positive, or 0 for %d", o.Pushes, DefaultPushes)
	}
	return nil
}

// variables returns the variables of commands that make commits.
func (o CommitOptions) variables() []string {
	env := []string{"GIT_LITERAL_PATHSPECS=1", "GIT_EDITOR=:"}
	if a := o.Author; a != (Author{}) {
		env = append(env, "GIT_AUTHOR_NAME="+a.Name, "GIT_AUTHOR_EMAIL="+a.Email, "GIT_COMMITTER_NAME="+a.Name, "GIT_COMMITTER_EMAIL="+a.Email)
	}
	return env
}

// commit commits what has changed, and reports whether anything has.
func (c *Client) commit(ctx context.Context, op, dir string, o CommitOptions) (made bool, err error) {
	paths, err := c.changed(ctx, op, dir, o)
	if err != nil || len(o.Paths) > 0 && len(paths) == 0 {
		return false, err
	}
	paths = append([]string{"--"}, paths...)
	local := func(args ...string) error {
		return c.locally(ctx, command{op: op, dir: dir, args: append(args, paths...), env: o.variables()})
	}
	if err := local("add", "--all"); err != nil {
		return false, err
	}
	err = local("diff", "--cached", "--quiet", "--no-ext-diff")
	var e *Error
	if !errors.As(err, &e) || e.ExitCode != 1 { // 1: there is a difference
		return false, err
	}
	err = local("commit", "--quiet", "--cleanup=whitespace", "--message="+o.Message)
	if errors.As(err, &e) && e.Kind == KindUsage && o.Author == (Author{}) {
		e.Err = errors.New("git does not know who commits: set CommitOptions.Author, or user.name and user.email in git's configuration")
	}
	return err == nil, err
}

// changed returns the paths of the options without those that name nothing, as a
// file whose removal an earlier call has committed.
func (c *Client) changed(ctx context.Context, op, dir string, o CommitOptions) ([]string, error) {
	var paths []string
	for _, p := range o.Paths {
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(p))); err != nil {
			known, err := c.run(ctx, command{op: op, dir: dir, args: []string{"ls-files", "-z", "--", p}, env: o.variables()})
			if err != nil {
				return nil, err
			}
			if len(known) == 0 {
				continue
			}
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// pushOnTop pushes the current commit, on top of what the branch has. The remote has
// a commit that is fresh, made by this call, from this call alone.
func (c *Client) pushOnTop(ctx context.Context, op, dir string, to, from remote, o CommitOptions, fresh bool) (CommitResult, error) {
	result := CommitResult{}
	for {
		commit, err := c.resolve(ctx, op, dir, "HEAD")
		if err != nil {
			return result, err
		}
		if commit == "" {
			return result, usage(op, errors.New("there is nothing to commit, and no commit to push"))
		}
		ref := Ref{Name: "refs/heads/" + o.Branch, ID: commit}
		result.Pushes++
		pushed, err := c.push(ctx, op, &push{dir: dir, remote: to, wanted: []Ref{ref}})
		result.Bytes += pushed.Bytes
		if err == nil {
			result.Commit, result.Changed = commit, fresh
			for _, r := range pushed.Refs {
				result.Changed = result.Changed || r.Status != "up_to_date"
			}
			return result, nil
		}
		if kind := KindOf(err); kind != KindRejected && kind != KindRemoteLock || result.Pushes >= o.Pushes {
			return result, err
		}
		_, there, err := c.fetchCommit(ctx, op, dir, from, "refs/heads/"+o.Branch, false)
		if err != nil {
			return result, err
		}
		contained, err := c.isAncestor(ctx, op, dir, commit, there)
		if err != nil {
			return result, err
		}
		if contained && fresh { // an attempt came through although its answer did not
			result.Commit, result.Changed = commit, true
			return result, nil
		}
		if contained {
			result.Commit = there
			return result, nil
		}
		if fresh, err = c.rebase(ctx, op, dir, there, o); err != nil {
			return result, err
		}
	}
}

func (c *Client) isAncestor(ctx context.Context, op, dir, commit, of string) (bool, error) {
	err := c.do(ctx, command{op: op, dir: dir, args: []string{"merge-base", "--is-ancestor", commit, of}})
	var e *Error
	if errors.As(err, &e) && e.ExitCode == 1 {
		return false, nil
	}
	return err == nil, err
}

// rebase puts the commits that are not in onto on top of it, or leaves all as it
// was. It reports whether there are any: others may have made the same changes.
func (c *Client) rebase(ctx context.Context, op, dir, onto string, o CommitOptions) (made bool, err error) {
	if rebasing(dir) {
		return false, &Error{Op: op, Kind: KindConflict, Err: errors.New("a rebase of somebody else, or of a call that was killed, is in progress: git rebase --abort ends it")}
	}
	args := []string{"-c", "commit.cleanup=whitespace", "rebase", "--quiet", "--no-autostash", onto}
	cmd := command{op: op, dir: dir, args: args, env: o.variables()}
	promisor, err := c.promisor(ctx, op, dir, nil)
	if err != nil {
		return false, err
	}
	var chain *middleware.Chain
	inside := ctx
	if promisor != nil {
		cmd.remote = promisor
		inside, chain = c.enter(ctx, "rebase", *promisor)
	}
	left := watchLeftovers(dir)
	err = chain.Do(inside, func(ctx context.Context) error {
		return judge(ctx, left.after(func() error { return c.do(ctx, cmd) }), false)
	})
	if err == nil {
		commit, err := c.resolve(ctx, op, dir, "HEAD")
		return commit != onto, err
	}
	if !rebasing(dir) {
		return false, err
	}
	last, cancel := outlast(ctx, c.config.Grace)
	defer cancel()
	_ = c.do(last, command{op: op, dir: dir, args: []string{"rebase", "--abort"}, env: o.variables()})
	return false, err
}

// rebasing reports whether a rebase is in progress.
func rebasing(dir string) bool {
	own, _ := gitDirectories(dir)
	for _, name := range []string{"rebase-merge", "rebase-apply"} {
		if _, err := os.Lstat(filepath.Join(own, name)); err == nil {
			return true
		}
	}
	return false
}
