package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// PushOptions say what to push.
type PushOptions struct {
	// Remote is the name of a remote of the repository, or a URL. Empty means
	// "origin".
	Remote string

	// Refspecs are what to push: "main", "main:release", "HEAD:refs/heads/x", or
	// ":refs/heads/x" to delete. There must be one; patterns and a leading "+" are
	// not allowed. Of several refs all are updated or none.
	Refspecs []string

	// Leases allow a ref of the remote, by its full name, to be changed in any way
	// as long as it still has the given object id; an empty id means that it must
	// not exist. Without a lease a branch only moves forward.
	Leases map[string]string
}

// A PushResult says what the remote made of a push.
type PushResult struct {
	Refs []PushedRef // in the order of the remote's answer
	// Bytes is the size of the objects that were sent, as git rounds it; see
	// [Progress].
	Bytes int64
	// Duration is how long the call took, waits and repeats included.
	Duration time.Duration
}

// A PushedRef is the outcome for one ref of the remote.
type PushedRef struct {
	// Name is its full name, ID the object that it was to get, empty to delete it.
	Name, ID string
	// Status is "created", "updated", "forced", "deleted", "up_to_date" or
	// "rejected".
	Status string
}

// Push updates refs of a remote from the repository at dir, the top of a work
// tree or a bare repository.
//
// It pushes the objects that the refspecs stood for when it was called, so that
// a repeated attempt asks for the same. When an attempt ended without an answer,
// the next one finds what that one had done: the result is then "up_to_date".
// A rejected push is not repeated; with the error comes what the remote
// answered, if it did.
func (c *Client) Push(ctx context.Context, dir string, o PushOptions) (PushResult, error) {
	const op = "push"
	dir, err := directory(op, dir)
	if err != nil {
		return PushResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return PushResult{}, err
	}
	defer release()
	p, err := c.plan(ctx, op, dir, o)
	if err != nil {
		return PushResult{}, err
	}
	p.remote, err = c.remoteOf(ctx, op, dir, o.Remote, true)
	if err != nil {
		return PushResult{}, err
	}
	return c.push(ctx, op, p)
}

// push is Push for a caller who writes to the repository alone.
func (c *Client) push(ctx context.Context, op string, p *push) (PushResult, error) {
	start := time.Now()
	left := watchLeftovers(p.dir)
	ctx, chain := c.enter(ctx, "push", p.remote)
	result, err := middleware.Call(ctx, chain, func(ctx context.Context) (PushResult, error) {
		var result PushResult
		err := left.after(func() (err error) {
			result, err = c.pushOnce(ctx, op, p)
			return err
		})
		if rules[KindOf(err)].unsure {
			p.unsure.Store(true)
		}
		return result, judge(ctx, err, true)
	})
	result.Duration = time.Since(start)
	return result, err
}

// A push is one call of Push.
type push struct {
	dir    string
	remote remote
	wanted []Ref // an empty ID deletes
	leases map[string]string
	unsure atomic.Bool // an attempt may have succeeded without our knowing
}

func (c *Client) pushOnce(ctx context.Context, op string, p *push) (PushResult, error) {
	if p.unsure.Load() && p.deletes() {
		// What is gone cannot be deleted again under a lease. All else git itself
		// finds to be up to date.
		if done, err := c.isDone(ctx, op, p); err != nil {
			return PushResult{}, err
		} else if done {
			return p.upToDate(), nil
		}
	}
	progress := c.meter(ctx, op)
	out, err := c.run(ctx, command{op: op, dir: p.dir, remote: &p.remote, args: p.args(), meter: progress})
	result := parsePush(string(out))
	result.Bytes = progress.sent
	return result, err
}

func (p *push) args() []string {
	args := []string{"push", "--porcelain", "--progress", "--no-follow-tags", "--recurse-submodules=no"}
	if len(p.wanted) > 1 {
		args = append(args, "--atomic")
	}
	for _, name := range slices.Sorted(maps.Keys(p.leases)) {
		args = append(args, "--force-with-lease="+name+":"+p.leases[name])
	}
	args = append(args, "--", p.remote.arg)
	for _, w := range p.wanted {
		args = append(args, w.ID+":"+w.Name)
	}
	return args
}

func (p *push) deletes() bool {
	return slices.ContainsFunc(p.wanted, func(w Ref) bool { return w.ID == "" })
}

// isDone reports whether the remote is as it was to become.
func (c *Client) isDone(ctx context.Context, op string, p *push) (bool, error) {
	var names []string
	for _, w := range p.wanted {
		names = append(names, w.Name)
	}
	refs, err := c.lsRemote(ctx, op, p.remote, p.dir, names)
	if err != nil {
		return false, err
	}
	ids := map[string]string{}
	for _, r := range refs {
		ids[r.Name] = r.ID
	}
	for _, w := range p.wanted {
		if ids[w.Name] != w.ID {
			return false, nil
		}
	}
	return true, nil
}

func (p *push) upToDate() PushResult {
	var result PushResult
	for _, w := range p.wanted {
		result.Refs = append(result.Refs, PushedRef{Name: w.Name, ID: w.ID, Status: "up_to_date"})
	}
	return result
}

var objectID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// plan reads the options and finds what the refspecs stand for.
func (c *Client) plan(ctx context.Context, op, dir string, o PushOptions) (*push, error) {
	if len(o.Refspecs) == 0 {
		return nil, usage(op, errors.New("there is no refspec: name what to push"))
	}
	p := &push{dir: dir, leases: map[string]string{}}
	names := map[string]bool{}
	for _, spec := range o.Refspecs {
		ref, err := c.wanted(ctx, op, dir, spec)
		if err != nil {
			return nil, err
		}
		if names[ref.Name] {
			return nil, usage(op, fmt.Errorf("the ref %q is to be pushed twice", ref.Name))
		}
		names[ref.Name] = true
		p.wanted = append(p.wanted, ref)
	}
	for name, id := range o.Leases {
		if !names[name] {
			return nil, usage(op, fmt.Errorf("the lease is for %q, which is not the full name of a ref that is pushed", name))
		}
		if id != "" && !objectID.MatchString(id) {
			return nil, usage(op, fmt.Errorf("the lease for %q is %q: it must be an object id, or empty for a ref that must not exist", name, id))
		}
		p.leases[name] = id
	}
	return p, nil
}

// wanted returns the ref of the remote that spec names and the object it is to
// get.
func (c *Client) wanted(ctx context.Context, op, dir, spec string) (Ref, error) {
	bad := func(format string, args ...any) (Ref, error) {
		return Ref{}, usage(op, fmt.Errorf("the refspec %q "+format, append([]any{spec}, args...)...))
	}
	if err := checkText(spec); err != nil {
		return bad("%w", err)
	}
	source, name, split := strings.Cut(spec, ":")
	switch {
	case strings.HasPrefix(spec, "+"):
		return bad("would force the push: use Leases")
	case strings.ContainsAny(spec, "*?["):
		return bad("is a pattern: name each ref")
	case strings.HasPrefix(source, "-"), strings.HasPrefix(name, "-"):
		return bad("has a part that begins with \"-\"")
	case split && name == "":
		return bad("has nothing after the colon")
	case source == "" && !strings.HasPrefix(name, "refs/"):
		return bad("deletes: write the full name, as in :refs/heads/x")
	case source == "":
		return Ref{Name: name}, nil
	}
	id, err := c.resolve(ctx, op, dir, source)
	if err != nil {
		return Ref{}, err
	}
	both, err := c.isBranchAndTag(ctx, op, dir, source)
	if err != nil {
		return Ref{}, err
	}
	if both { // the id is that of the tag
		return bad("names a branch and a tag: write the full name, as in refs/heads/%s", source)
	}
	if id == "" {
		return bad("names nothing in this repository")
	}
	if strings.HasPrefix(name, "refs/") {
		return Ref{Name: name, ID: id}, nil
	}
	full, err := c.fullName(ctx, op, dir, source)
	if err != nil {
		return Ref{}, err
	}
	switch {
	case !strings.HasPrefix(full, "refs/"):
		return bad("does not say what kind of ref to make: write the full name, as in %s:refs/heads/x", source)
	case !split:
		name = full
	case strings.HasPrefix(full, "refs/tags/"):
		name = "refs/tags/" + name
	default:
		name = "refs/heads/" + name
	}
	return Ref{Name: name, ID: id}, nil
}

var pushStatus = map[string]string{
	" ": "updated", "+": "forced", "-": "deleted", "*": "created", "=": "up_to_date", "!": "rejected",
}

// parsePush reads the output of git push --porcelain: lines of a flag, what went
// where, and a summary.
func parsePush(s string) PushResult {
	var result PushResult
	for line := range strings.Lines(s) {
		parts := strings.SplitN(line, "\t", 3)
		if len(parts) < 3 || pushStatus[parts[0]] == "" {
			continue
		}
		id, name, _ := strings.Cut(parts[1], ":")
		result.Refs = append(result.Refs, PushedRef{Name: name, ID: id, Status: pushStatus[parts[0]]})
	}
	return result
}
