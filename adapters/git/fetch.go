package git

import (
	"context"
	"fmt"
	"strconv"
)

// FetchOptions say what to fetch. The zero value fetches from "origin" what its
// configuration says.
type FetchOptions struct {
	// Remote is the name of a remote of the repository, or a URL. Empty means
	// "origin".
	Remote string
	// Refspecs are what to fetch and where to keep it. None means those of the
	// remote's configuration.
	Refspecs []string
	// Depth is how many commits of the history to take. Zero means those that are
	// missing.
	Depth int
	// Prune removes refs that the remote has no more.
	Prune bool
}

// A FetchResult says what a fetch has changed.
type FetchResult struct {
	// Updated are the refs of the repository that changed, also by another program
	// in the meantime. It is empty when everything was up to date.
	Updated []RefUpdate
}

// A RefUpdate is a change of a ref. Old is empty when it is new, New when it was
// removed.
type RefUpdate struct{ Name, Old, New string }

// Fetch updates the repository at dir, the top of a work tree or a bare
// repository. After an error some refs may have been updated; the result says
// which.
func (c *Client) Fetch(ctx context.Context, dir string, o FetchOptions) (FetchResult, error) {
	const op = "fetch"
	args := []string{"fetch", "--no-progress", "--recurse-submodules=no"}
	if o.Depth < 0 {
		return FetchResult{}, usage(op, fmt.Errorf("the depth is %d: it must be positive, or 0 for what is missing", o.Depth))
	}
	if o.Depth > 0 {
		args = append(args, "--depth="+strconv.Itoa(o.Depth))
	}
	if o.Prune {
		args = append(args, "--prune")
	}
	for _, s := range o.Refspecs {
		if err := checkText(s); err != nil {
			return FetchResult{}, usage(op, fmt.Errorf("the refspec %q %w", s, err))
		}
	}
	dir, err := directory(op, dir)
	if err != nil {
		return FetchResult{}, err
	}
	before, err := c.refs(ctx, op, dir)
	if err != nil {
		return FetchResult{}, err
	}
	r, err := c.remoteOf(ctx, op, dir, o.Remote, false)
	if err != nil {
		return FetchResult{}, err
	}
	args = append(append(args, "--", r.arg), o.Refspecs...)
	inside, chain := c.enter(ctx, op, r)
	err = chain.Do(inside, func(ctx context.Context) error {
		_, err := c.run(ctx, command{op: op, dir: dir, remote: &r, args: args})
		return judge(ctx, err, true)
	})
	// What was fetched counts, whether or not the caller still waits.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Grace)
	defer cancel()
	after, failed := c.refs(last, op, dir)
	if failed != nil {
		after = before
	}
	if err == nil {
		err = failed
	}
	return FetchResult{Updated: compare(before, after)}, err
}

// compare returns the differences between two lists of refs, each in the order
// of names.
func compare(before, after []Ref) []RefUpdate {
	var updates []RefUpdate
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Name < after[0].Name:
			updates = append(updates, RefUpdate{Name: before[0].Name, Old: before[0].ID})
			before = before[1:]
		case len(before) == 0 || after[0].Name < before[0].Name:
			updates = append(updates, RefUpdate{Name: after[0].Name, New: after[0].ID})
			after = after[1:]
		default:
			if before[0].ID != after[0].ID {
				updates = append(updates, RefUpdate{Name: after[0].Name, Old: before[0].ID, New: after[0].ID})
			}
			before, after = before[1:], after[1:]
		}
	}
	return updates
}
