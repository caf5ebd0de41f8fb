package git

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Ref is a name in a repository and the object that it stands for.
type Ref struct {
	// Name is the full name, such as "HEAD" or "refs/heads/main". An annotated tag
	// has a second Ref, whose name ends in "^{}", for the commit that it points to.
	Name string
	// ID is the object id in hexadecimal.
	ID string
}

// LsRemote returns the refs of the repository at url, those that match one of
// the patterns (see git ls-remote) if any are given. It is not an error when
// there are none.
func (c *Client) LsRemote(ctx context.Context, url string, patterns ...string) ([]Ref, error) {
	const op = "ls-remote"
	for _, p := range patterns {
		if err := checkText(p); err != nil {
			return nil, usage(op, fmt.Errorf("the pattern %q %w", p, err))
		}
	}
	r, err := c.remote(op, url)
	if err != nil {
		return nil, err
	}
	ctx, chain := c.enter(ctx, op, r)
	return middleware.Call(ctx, chain, func(ctx context.Context) ([]Ref, error) {
		refs, err := c.lsRemote(ctx, op, r, "", patterns)
		return refs, judge(ctx, err, true)
	})
}

func (c *Client) lsRemote(ctx context.Context, op string, r remote, dir string, patterns []string) ([]Ref, error) {
	// By its URL: a name could have another one to push to.
	args := append([]string{"ls-remote", "--", r.url}, patterns...)
	out, err := c.run(ctx, command{op: op, dir: dir, remote: &r, args: args})
	if err != nil {
		return nil, err
	}
	return parseRefs(string(out), "\t"), nil
}

// parseRefs reads lines of an id, the separator and a name.
func parseRefs(s, separator string) []Ref {
	refs := make([]Ref, 0, strings.Count(s, "\n"))
	for line := range strings.Lines(s) {
		if id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), separator); ok {
			refs = append(refs, Ref{Name: name, ID: id})
		}
	}
	return refs
}
