package git

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// PullOptions say what to pull. The zero value brings the current branch forward
// to the branch of the same name of "origin".
type PullOptions struct {
	// Remote is the name of a remote of the repository, or a URL. Empty means
	// "origin".
	Remote string
	// Branch is the name of the remote's branch, such as "main". Empty means the name
	// of the current one.
	Branch string
	// Reset makes the current branch and the work tree what the remote has, whatever
	// was committed or changed here, but for files that git does not know. Without it
	// the branch only moves forward: when both have commits of their own, the error
	// is of KindRejected.
	Reset bool
}

// A PullResult says what a pull has changed.
type PullResult struct {
	// Commit is the id of the commit that is checked out, Previous of the one before.
	Commit, Previous string
	// Bytes is the size of the objects that were received, as they are kept here.
	Bytes int64
	// Duration is how long the call took, waits and repeats included.
	Duration time.Duration
}

// Pull fetches a branch and brings the current branch of the work tree at dir to
// it. The fetch is a call of the remote, which may be repeated; what follows stays
// on this machine and is done once, or again while another git holds a lock. Only in
// a repository that was cloned with a Filter it may have to fetch more.
func (c *Client) Pull(ctx context.Context, dir string, o PullOptions) (PullResult, error) {
	const op = "pull"
	start := time.Now()
	if o.Branch != "" {
		if err := checkBranch(o.Branch); err != nil {
			return PullResult{}, usage(op, err)
		}
	}
	dir, err := directory(op, dir)
	if err != nil {
		return PullResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return PullResult{}, err
	}
	defer release()
	if o.Branch, err = c.current(ctx, op, dir, o.Branch); err != nil {
		return PullResult{}, err
	}
	result := PullResult{}
	if result.Previous, err = c.resolve(ctx, op, dir, "HEAD"); err != nil {
		return PullResult{}, err
	}
	r, err := c.remoteOf(ctx, op, dir, o.Remote, false)
	if err != nil {
		return PullResult{}, err
	}
	got, commit, err := c.fetchCommit(ctx, op, dir, r, "refs/heads/"+o.Branch, false)
	result.Bytes, result.Commit = got.Bytes, result.Previous
	result.Duration = time.Since(start)
	if err != nil {
		return result, err
	}
	args := []string{"merge", "--quiet", "--ff-only", commit}
	if o.Reset {
		args = []string{"reset", "--quiet", "--hard", "--no-recurse-submodules", commit}
	}
	var origin *remote // whose credentials filters may need
	if o.Remote == "" || o.Remote == standardRemote {
		origin = &r
	}
	err = c.inTree(ctx, origin, command{op: op, dir: dir, args: args})
	if err == nil {
		result.Commit, err = c.resolve(ctx, op, dir, "HEAD")
	}
	result.Duration = time.Since(start)
	return result, err
}

// current returns branch, or the name of the current one if it is empty.
func (c *Client) current(ctx context.Context, op, dir, branch string) (string, error) {
	if branch != "" {
		return branch, nil
	}
	branch, err := c.branch(ctx, op, dir)
	if err == nil && branch == "" {
		err = usage(op, errors.New("no branch is current: name one in the options"))
	}
	return branch, err
}

// checkBranch refuses what cannot be the name of a branch or would be a pattern.
func checkBranch(name string) error {
	if err := checkText(name); err != nil {
		return fmt.Errorf("the branch %q %w", name, err)
	}
	if badRef.MatchString(name) {
		return fmt.Errorf("the branch %q is not a name: see git check-ref-format", name)
	}
	return nil
}
