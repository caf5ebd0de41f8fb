package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SubmoduleOptions say how to update submodules. The zero value takes their
// whole history.
type SubmoduleOptions struct {
	// Depth is how many commits of the history to take. Zero means all.
	Depth int
}

// A SubmodulesResult says what submodules there are.
type SubmodulesResult struct {
	// Submodules are in the order of their paths, those of a submodule after it.
	Submodules []Submodule
	// Bytes is the size of the objects that were received, as they are kept here.
	Bytes int64
	// Duration is how long the call took, waits and repeats included.
	Duration time.Duration
}

// A Submodule is a repository in the work tree of another.
type Submodule struct {
	// Path is where it is, relative to the top of the work tree, with slashes.
	Path string
	// Commit is the id of the commit that is checked out.
	Commit string
}

// Submodules makes the submodules of the work tree at dir, and theirs, what the
// current commit says, at the URLs that it says. Each is a call of its own remote,
// which may be repeated; after an error some are updated, and the result says which.
//
// The repository names the remotes. Only the allowed schemes are used, and
// credentials, those of the remote "origin" of dir, are given to its host alone: a
// submodule on another host, or by another scheme, gets none. The key of [SSH] is
// used for all that are reached by ssh; it does not leave this machine.
func (c *Client) Submodules(ctx context.Context, dir string, o SubmoduleOptions) (SubmodulesResult, error) {
	const op = "submodules"
	start := time.Now()
	if o.Depth < 0 {
		return SubmodulesResult{}, usage(op, fmt.Errorf("the depth is %d: it must be positive, or 0 for all", o.Depth))
	}
	dir, err := directory(op, dir)
	if err != nil {
		return SubmodulesResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return SubmodulesResult{}, err
	}
	defer release()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return SubmodulesResult{}, usage(op, fmt.Errorf("%q is not a directory", dir))
	}
	if _, err := c.resolve(ctx, op, dir, "HEAD"); err != nil { // it is no repository
		return SubmodulesResult{}, err
	}
	u := submodules{client: c, op: op, top: dir, args: []string{"submodule", "update", "--progress", "--checkout"}}
	if o.Depth > 0 {
		u.args = append(u.args, "--depth="+strconv.Itoa(o.Depth))
	}
	if origin, err := c.remoteOf(ctx, op, dir, "", false); err == nil {
		u.trusted = origin
	}
	err = u.update(ctx, dir, 0)
	return SubmodulesResult{Submodules: u.done, Bytes: u.bytes, Duration: time.Since(start)}, err
}

// literalPaths keeps git from reading a path as a pattern.
var literalPaths = []string{"GIT_LITERAL_PATHSPECS=1"}

// submodules is one call of Submodules.
type submodules struct {
	client  *Client
	op      string
	top     string
	args    []string
	trusted remote // whose host gets its credentials
	done    []Submodule
	bytes   int64
}

// maxNesting bounds submodules that contain each other.
const maxNesting = 32

// update updates the submodules of the work tree at dir.
func (u *submodules) update(ctx context.Context, dir string, depth int) error {
	if _, err := os.Lstat(filepath.Join(dir, ".gitmodules")); err != nil {
		return nil //nolint:nilerr // there are none
	}
	if depth > maxNesting {
		return usage(u.op, fmt.Errorf("there are submodules in submodules, %d deep", depth))
	}
	for _, args := range [][]string{
		{"submodule", "--quiet", "init"},
		{"submodule", "--quiet", "sync"}, // the URL of one that is known may have changed
	} {
		if err := u.client.locally(ctx, command{op: u.op, dir: dir, args: args}); err != nil {
			return err
		}
	}
	modules, err := u.list(ctx, dir)
	if err != nil {
		return err
	}
	for _, m := range modules {
		inner := filepath.Join(dir, filepath.FromSlash(m.path))
		if err := u.updateOne(ctx, dir, m); err != nil {
			return err
		}
		// A link would lead out of the work tree.
		if resolved, err := filepath.EvalSymlinks(inner); err != nil || resolved != inner {
			return usage(u.op, fmt.Errorf("the submodule %q is not a directory of the work tree", m.path))
		}
		commit, err := u.client.resolve(ctx, u.op, inner, "HEAD")
		if err != nil {
			return err
		}
		path, err := filepath.Rel(u.top, inner)
		if err != nil {
			return local(u.op, err)
		}
		u.done = append(u.done, Submodule{Path: filepath.ToSlash(path), Commit: commit})
		if err := u.update(ctx, inner, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// A module is a submodule as the repository names it.
type module struct{ name, path, url string }

// list returns the submodules that git has made known, in the order of paths.
func (u *submodules) list(ctx context.Context, dir string) ([]module, error) {
	paths, err := u.settings(ctx, dir, "path", "--file", ".gitmodules")
	if err != nil {
		return nil, err
	}
	urls, err := u.settings(ctx, dir, "url", "--local")
	if err != nil {
		return nil, err
	}
	var modules []module
	for name, path := range paths {
		if urls[name] == "" {
			continue // not active
		}
		if err := checkText(path); err != nil || !filepath.IsLocal(filepath.FromSlash(path)) || !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, usage(u.op, fmt.Errorf("the submodule %q has the path %q, which is not allowed", name, path))
		}
		entry, err := u.client.ask(ctx, command{op: u.op, dir: dir, args: []string{"ls-files", "--stage", "--", path}, env: literalPaths})
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(entry, "160000 ") {
			continue // this commit has none there
		}
		modules = append(modules, module{name: name, path: path, url: urls[name]})
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return modules, nil
}

// settings returns the values of submodule.NAME.key, by name.
func (u *submodules) settings(ctx context.Context, dir, key string, from ...string) (map[string]string, error) {
	args := append(append([]string{"config", "-z"}, from...), "--get-regexp", `^submodule\..*\.`+key+`$`)
	out, err := u.client.run(ctx, command{op: u.op, dir: dir, args: args})
	var e *Error
	if errors.As(err, &e) && e.ExitCode == 1 {
		return nil, nil //nolint:nilnil // there are none
	}
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "\n")
		name = strings.TrimSuffix(strings.TrimPrefix(name, "submodule."), "."+key)
		values[name] = value
	}
	return values, nil
}

func (u *submodules) updateOne(ctx context.Context, dir string, m module) error {
	c := u.client
	r, err := parseRemote(m.url, c.config.Schemes)
	if err != nil {
		return usage(u.op, fmt.Errorf("the submodule %q: %w", m.name, err))
	}
	if r.key == u.trusted.key && r.scheme == u.trusted.scheme {
		own := r.login
		r.login, r.lent = own.over(u.trusted.login), own == Credentials{} && u.trusted.lent
	}
	var settings []string
	if r.url != m.url && !r.local() {
		// Git puts the URL among the arguments of its helpers, and keeps it.
		r.stored = m.url
		if strings.ContainsAny(m.name, "=\n") {
			return usage(u.op, fmt.Errorf("the submodule %q has a name that is not allowed for one with a login in its URL", m.name))
		}
		settings = []string{"-c", "submodule." + m.name + ".url=" + r.url}
	}
	work := filepath.Join(dir, filepath.FromSlash(m.path))
	_, common := gitDirectories(dir)
	home := filepath.Join(common, "modules", filepath.FromSlash(m.name))
	_, absent := os.Lstat(home)
	left, had := watchLeftovers(work), objectsIn(home)
	defer func() { u.bytes += had.added() }()
	inside, chain := c.enter(ctx, u.op, r)
	return chain.Do(inside, func(ctx context.Context) error {
		args := slices.Concat(settings, u.args, []string{"--", m.path})
		err := left.after(func() error {
			return c.do(ctx, command{op: u.op, dir: dir, remote: &r, args: args, env: literalPaths, meter: c.meter(ctx, u.op)})
		})
		if err != nil && absent != nil && isHalf(ctx, err) {
			// Half a clone would be taken for a whole one.
			_ = os.RemoveAll(home)
			_ = os.Remove(filepath.Join(work, ".git"))
		}
		return judge(ctx, err, true)
	})
}

// isHalf reports whether git may have been unable to remove a clone that failed.
func isHalf(ctx context.Context, err error) bool {
	var e *Error
	return ctx.Err() != nil || errors.As(err, &e) && e.ExitCode < 0
}
