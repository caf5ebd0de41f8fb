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

// fullName returns the full name of the ref that the revision stands for, empty
// if it is none.
func (c *Client) fullName(ctx context.Context, op, dir, revision string) (string, error) {
	return c.ask(ctx, command{op: op, dir: dir, args: []string{"rev-parse", "--symbolic-full-name", "--verify", "--quiet", "--end-of-options", revision}})
}

// ask runs a command that answers with one line, or with the exit status 1 for
// no.
func (c *Client) ask(ctx context.Context, cmd command) (string, error) {
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
