package git

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// CheckoutOptions say how to check out. The zero value keeps what was changed in
// the work tree, and fails when that is in the way.
type CheckoutOptions struct {
	// Force drops changes of files that git knows.
	Force bool
	// Clean removes files that git does not know, except those that it ignores.
	Clean bool
}

// A CheckoutResult says what was checked out.
type CheckoutResult struct {
	// Commit is the id of the commit that is checked out, Previous of the one before.
	Commit, Previous string
	// Duration is how long the call took.
	Duration time.Duration
}

// Checkout makes the work tree at dir that of the revision: a branch of this
// repository, which becomes the current one, or a tag, a commit or any other
// revision, which leaves no branch current. A branch goes before a tag of the same
// name.
//
// It is a call of this machine, passes no policy and gives no credentials to
// filters; when another git holds a lock, it is repeated up to 3 times within a
// second. In a repository that was cloned with a Filter it fetches what is missing,
// and is a call of the remote "origin" like [Client.Fetch].
func (c *Client) Checkout(ctx context.Context, dir, revision string, o CheckoutOptions) (CheckoutResult, error) {
	const op = "checkout"
	start := time.Now()
	if err := checkText(revision); err != nil {
		return CheckoutResult{}, usage(op, fmt.Errorf("the revision %q %w", revision, err))
	}
	dir, err := directory(op, dir)
	if err != nil {
		return CheckoutResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return CheckoutResult{}, err
	}
	defer release()
	result := CheckoutResult{}
	if result.Previous, err = c.resolve(ctx, op, dir, "HEAD"); err != nil {
		return CheckoutResult{}, err
	}
	// An id or the name of a branch can be nothing else to git.
	var target []string
	if name := strings.TrimPrefix(revision, "refs/heads/"); checkBranch(name) == nil {
		target = []string{name}
		if result.Commit, err = c.resolve(ctx, op, dir, "refs/heads/"+name+"^{commit}"); err != nil {
			return CheckoutResult{}, err
		}
	}
	if result.Commit == "" {
		if result.Commit, err = c.resolve(ctx, op, dir, revision+"^{commit}"); err != nil {
			return CheckoutResult{}, err
		}
		target = []string{"--detach", result.Commit}
	}
	if result.Commit == "" {
		return CheckoutResult{}, &Error{Op: op, Kind: KindRefMissing, Err: fmt.Errorf("the revision %q names no commit of this repository", revision)}
	}
	if err := c.checkout(ctx, op, dir, nil, o, target...); err != nil {
		return CheckoutResult{}, err
	}
	result.Duration = time.Since(start)
	return result, nil
}

// checkout is Checkout for a caller who writes to dir alone. The remote is that of
// the repository; nil: it is looked up when it is needed.
func (c *Client) checkout(ctx context.Context, op, dir string, r *remote, o CheckoutOptions, target ...string) error {
	err := c.inTree(ctx, r, command{op: op, dir: dir, args: checkoutArgs(o.Force, target...)})
	if err == nil && o.Clean {
		err = c.locally(ctx, command{op: op, dir: dir, args: []string{"clean", "--quiet", "--force", "-d"}})
	}
	return err
}

func checkoutArgs(force bool, target ...string) []string {
	args := []string{"checkout", "--quiet", "--no-recurse-submodules"}
	if force {
		args = append(args, "--force")
	}
	return append(append(args, target...), "--")
}

// inTree runs a command that writes to the work tree and may be repeated. It stays
// on this machine, unless the repository lacks objects.
func (c *Client) inTree(ctx context.Context, r *remote, cmd command) error {
	promisor, err := c.promisor(ctx, cmd.op, cmd.dir, r)
	if err != nil {
		return err
	}
	if promisor == nil {
		cmd.remote = r // filters may need its credentials
		return c.locally(ctx, cmd)
	}
	cmd.remote = promisor
	left := watchLeftovers(cmd.dir)
	inside, chain := c.enter(ctx, cmd.args[0], *promisor)
	return chain.Do(inside, func(ctx context.Context) error {
		return judge(ctx, left.after(func() error { return c.do(ctx, cmd) }), true)
	})
}

// promisor returns the remote that has what the repository lacks, nil if it lacks
// nothing. It is origin, if that is given.
func (c *Client) promisor(ctx context.Context, op, dir string, origin *remote) (*remote, error) {
	partial, err := c.ask(ctx, command{op: op, dir: dir, args: []string{"config", "--get-regexp", `^(extensions\.partialclone|remote\..*\.promisor)$`}})
	if err != nil || partial == "" {
		return nil, err
	}
	if origin != nil {
		return origin, nil
	}
	r, err := c.remoteOf(ctx, op, dir, "", false)
	return &r, err
}

// lockWaits are how long a command that stays on this machine waits for the lock
// of another git, on the average.
var lockWaits = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// locally runs a command that stays on this machine, again when another git holds
// a lock, and removes what it leaves behind when it is killed.
func (c *Client) locally(ctx context.Context, cmd command) error {
	left := watchLeftovers(cmd.dir)
	for _, wait := range append(slices.Clip(lockWaits), 0) {
		err := left.after(func() error { return c.do(ctx, cmd) })
		var e *Error
		if wait == 0 || !errors.As(err, &e) || e.Kind != KindLock {
			return err
		}
		// Spread by half, so that two do not meet again.
		wait += time.Duration((rand.Float64() - 0.5) * float64(wait))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			end := ended(ctx)
			end.Op = cmd.op
			return &end
		}
	}
	return nil
}
