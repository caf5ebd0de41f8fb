package git

import (
	"context"
	"errors"
	"strings"
)

// resolve returns the id that the revision stands for in the repository at dir,
// empty if it stands for none.
func (c *Client) resolve(ctx context.Context, op, dir, revision string) (string, error) {
	return c.ask(ctx, command{op: op, dir: dir, args: []string{"rev-parse", "--verify", "--quiet", "--end-of-options", revision}})
}

// isBranchAndTag reports whether a branch and a tag have the short name.
func (c *Client) isBranchAndTag(ctx context.Context, op, dir, name string) (bool, error) {
	if name == "HEAD" || objectID.MatchString(name) {
		return false, nil
	}
	for _, kind := range []string{"refs/tags/", "refs/heads/"} {
		if id, err := c.resolve(ctx, op, dir, kind+name); id == "" || err != nil {
			return false, err
		}
	}
	return true, nil
}

// fullName returns the full name of the ref that the revision stands for, empty
// if it is none.
func (c *Client) fullName(ctx context.Context, op, dir, revision string) (string, error) {
	return c.ask(ctx, command{op: op, dir: dir, args: []string{"rev-parse", "--symbolic-full-name", "--verify", "--quiet", "--end-of-options", revision}})
}

// head returns the commit that is checked out and the name of its branch, empty if
// there is none.
func (c *Client) head(ctx context.Context, op, dir string) (commit, branch string, err error) {
	out, err := c.run(ctx, command{op: op, dir: dir, args: []string{"rev-parse", "HEAD", "--symbolic-full-name", "HEAD"}, offline: true})
	if err != nil { // a branch that has no commit yet, or worse
		branch, err = c.branch(ctx, op, dir)
		return "", branch, err
	}
	commit, name, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	branch, _ = strings.CutPrefix(name, "refs/heads/")
	if branch == name { // HEAD, without a branch
		branch = ""
	}
	return commit, branch, nil
}

// branch returns the name of the branch that is checked out, empty if none is.
func (c *Client) branch(ctx context.Context, op, dir string) (string, error) {
	// Not --short: beside a tag of the same name that is "heads/main".
	name, err := c.ask(ctx, command{op: op, dir: dir, args: []string{"symbolic-ref", "--quiet", "HEAD"}})
	return strings.TrimPrefix(name, "refs/heads/"), err
}

// ask runs a command that answers with one line, or with the exit status 1 for
// no. It stays on this machine.
func (c *Client) ask(ctx context.Context, cmd command) (string, error) {
	cmd.offline = true
	out, err := c.run(ctx, cmd)
	var e *Error
	if errors.As(err, &e) && e.ExitCode == 1 {
		return "", nil
	}
	return strings.TrimSuffix(string(out), "\n"), err
}

// refs returns the refs of the repository at dir, without those that stand for
// another ref.
func (c *Client) refs(ctx context.Context, op, dir string) ([]Ref, error) {
	out, err := c.run(ctx, command{op: op, dir: dir, args: []string{"for-each-ref", "--format=%(if)%(symref)%(then)%(else)%(objectname) %(refname)%(end)"}})
	return parseRefs(string(out), " "), err
}
