package git

import (
	"context"
	"fmt"
	"strconv"
	"time"
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

	noTags bool // not even those of what is fetched
	strict bool // no ref but those of the refspecs, whatever the configuration says
}

// A FetchResult says what a fetch has changed.
type FetchResult struct {
	// Updated are the refs of the repository that changed, also by another program
	// in the meantime. It is empty when everything was up to date.
	Updated []RefUpdate
	// Bytes is the size of the objects that were received, as they are kept here.
	Bytes int64
	// Duration is how long the call took, waits and repeats included.
	Duration time.Duration
}

// A RefUpdate is a change of a ref. Old is empty when it is new, New when it was
// removed.
type RefUpdate struct{ Name, Old, New string }

// Fetch updates the repository at dir, the top of a work tree or a bare
// repository. After an error some refs may have been updated; the result says
// which.
func (c *Client) Fetch(ctx context.Context, dir string, o FetchOptions) (FetchResult, error) {
	const op = "fetch"
	if err := o.validate(op); err != nil {
		return FetchResult{}, err
	}
	dir, err := directory(op, dir)
	if err != nil {
		return FetchResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return FetchResult{}, err
	}
	defer release()
	r, err := c.remoteOf(ctx, op, dir, o.Remote, false)
	if err != nil {
		return FetchResult{}, err
	}
	return c.fetch(ctx, op, dir, r, o)
}

func (o FetchOptions) validate(op string) error {
	if o.Depth < 0 {
		return usage(op, fmt.Errorf("the depth is %d: it must be positive, or 0 for what is missing", o.Depth))
	}
	for _, s := range o.Refspecs {
		if err := checkText(s); err != nil {
			return usage(op, fmt.Errorf("the refspec %q %w", s, err))
		}
	}
	return nil
}

// fetch is Fetch for a caller who writes to dir alone.
func (c *Client) fetch(ctx context.Context, op, dir string, r remote, o FetchOptions) (FetchResult, error) {
	start := time.Now()
	before, err := c.refs(ctx, op, dir)
	if err != nil {
		return FetchResult{}, err
	}
	args := []string{"fetch", "--progress", "--recurse-submodules=no"}
	if o.Depth > 0 {
		args = append(args, "--depth="+strconv.Itoa(o.Depth))
	}
	if o.Prune {
		args = append(args, "--prune")
	}
	if o.noTags {
		args = append(args, "--no-tags")
	}
	if o.strict {
		args = append(args, "--refmap=")
	}
	args = append(append(args, "--", r.arg), o.Refspecs...)
	left, had := watchLeftovers(dir), objectsOf(dir)
	inside, chain := c.enter(ctx, "fetch", r)
	err = chain.Do(inside, func(ctx context.Context) error {
		err := left.after(func() error {
			return c.do(ctx, command{op: op, dir: dir, remote: &r, args: args, meter: c.meter(ctx, op)})
		})
		return judge(ctx, err, true)
	})
	// What was fetched counts, whether or not the caller still waits.
	last, cancel := outlast(ctx, c.config.Grace)
	defer cancel()
	after, failed := c.refs(last, op, dir)
	if failed != nil {
		after = before
	}
	if err == nil {
		err = failed
	}
	return FetchResult{Updated: compare(before, after), Bytes: had.added(), Duration: time.Since(start)}, err
}

// fetched is the ref that keeps what the client fetched last: FETCH_HEAD would be
// overwritten by a fetch of somebody else. Each work tree has its own. It has no part
// of a name of the remote's: a branch a/b could not be kept beside an a that was there
// before.
const fetched = "refs/worktree/tidegate"

// fetchCommit fetches what source names, a ref or an id, and returns its commit,
// empty if it is none.
func (c *Client) fetchCommit(ctx context.Context, op, dir string, r remote, source string, strict bool) (FetchResult, string, error) {
	result, err := c.fetch(ctx, op, dir, r, FetchOptions{Refspecs: []string{"+" + source + ":" + fetched}, noTags: true, strict: strict})
	if err != nil {
		return result, "", err
	}
	commit, err := c.resolve(ctx, op, dir, fetched+"^{commit}")
	if err == nil && commit == "" {
		err = &Error{Op: op, Kind: KindRefMissing, Err: fmt.Errorf("%q is no commit", source)}
	}
	return result, commit, err
}

// outlast returns a context that ends a while after ctx.
func outlast(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(while)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-last.Done():
		}
	})
	return last, func() {
		stop()
		cancel()
	}
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
