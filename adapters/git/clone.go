package git

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// CloneOptions say what to clone. The zero value clones everything.
type CloneOptions struct {
	// Branch is the branch or tag to check out. Empty means what the remote's HEAD
	// points to.
	Branch string
	// Depth is how many commits of the history to take, of the branch alone. Zero
	// means all, of all branches. It needs a URL: git takes all of a local path.
	Depth int
	// Filter leaves out objects until they are needed, as in git clone --filter, such
	// as "blob:none". A checkout of other commits is then a call of the remote.
	// Empty means that all are taken. It needs a URL too.
	Filter string
}

// A CloneResult says what was cloned.
type CloneResult struct {
	// Commit is the id of the commit that was checked out. It is empty when the
	// repository has no commits.
	Commit string
	// Branch is the name of the branch that was checked out, such as "main". It is
	// empty for a tag.
	Branch string
	// Bytes is the size of the objects that were received, as they are kept here.
	Bytes int64
	// Duration is how long the call took, waits and repeats included.
	Duration time.Duration
}

// Clone makes a clone of the repository at url in dir, which must not exist or be
// an empty directory, but not the working directory or a mount point; its parent
// must exist. After an error dir is as it was: each attempt works in a directory
// beside it, dir.tmp-…, which becomes dir when everything is there and is removed
// otherwise; it stays only when this process is killed.
//
// The remote "origin" of the clone has the URL without credentials.
func (c *Client) Clone(ctx context.Context, url, dir string, o CloneOptions) (CloneResult, error) {
	const op = "clone"
	r, err := c.remote(op, url)
	if err != nil {
		return CloneResult{}, err
	}
	start := time.Now()
	args := []string{"clone", "--progress", "--origin=origin"}
	if o.Branch != "" {
		if err := checkText(o.Branch); err != nil {
			return CloneResult{}, usage(op, fmt.Errorf("the branch %q %w", o.Branch, err))
		}
		args = append(args, "--branch="+o.Branch)
	}
	if o.Depth < 0 {
		return CloneResult{}, usage(op, fmt.Errorf("the depth is %d: it must be positive, or 0 for all", o.Depth))
	}
	if o.Depth > 0 {
		args = append(args, "--depth="+strconv.Itoa(o.Depth))
	}
	if o.Filter != "" {
		if err := checkText(o.Filter); err != nil {
			return CloneResult{}, usage(op, fmt.Errorf("the filter %q %w", o.Filter, err))
		}
		args = append(args, "--filter="+o.Filter)
	}
	dir, err = directory(op, dir)
	if err != nil {
		return CloneResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return CloneResult{}, err
	}
	defer release()
	if err := vacant(op, dir); err != nil {
		return CloneResult{}, err
	}
	ctx, chain := c.enter(ctx, op, r)
	// As a stream, so that a clone which nobody wants, the slower of two, is removed.
	made, end, err := middleware.Stream(ctx, chain, func(ctx context.Context) (clone, error) {
		made, err := c.cloneOnce(ctx, r, args, dir)
		return made, judge(ctx, err, true)
	}, clone.remove)
	defer end()
	if err != nil {
		return CloneResult{}, err
	}
	if err := made.moveTo(dir); err != nil {
		made.remove()
		return CloneResult{}, local(op, err)
	}
	made.result.Duration = time.Since(start)
	return made.result, nil
}

// A clone is complete but not yet where it belongs. The zero clone does not exist.
type clone struct {
	dir    string
	result CloneResult
}

// cloneOnce clones into a new directory beside dir.
func (c *Client) cloneOnce(ctx context.Context, r remote, args []string, dir string) (made clone, err error) {
	const op = "clone"
	temporary, err := beside(dir)
	if err != nil {
		return clone{}, local(op, err)
	}
	defer func() {
		if made.dir == "" {
			_ = os.RemoveAll(temporary)
		}
	}()
	args = append(slices.Clip(args), "--", r.arg, temporary)
	if _, err := c.run(ctx, command{op: op, dir: filepath.Dir(dir), remote: &r, args: args, meter: c.meter(ctx, op)}); err != nil {
		return clone{}, err
	}
	result := CloneResult{Bytes: noObjects(temporary).added()}
	if result.Commit, result.Branch, err = c.head(ctx, op, temporary); err != nil {
		return clone{}, err
	}
	return clone{dir: temporary, result: result}, nil
}

// beside makes a new directory beside dir, to become dir.
func beside(dir string) (string, error) {
	temporary := dir + ".tmp-" + strings.ToLower(rand.Text()[:10])
	return temporary, os.Mkdir(temporary, 0o777) //nolint:gosec // the user's umask decides, as in git
}

// moveTo puts the clone where it belongs: dir does not exist or is empty.
func (m clone) moveTo(dir string) error {
	// Something else may have come there meanwhile. It is not ours.
	info, err := os.Lstat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%q: %w", dir, fs.ErrExist)
	}
	if err == nil {
		err = os.Remove(dir) // fails unless it is empty
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(m.dir, dir)
}

func (m clone) remove() {
	if m.dir != "" {
		_ = os.RemoveAll(m.dir)
	}
}

// vacant returns an error unless a clone can be put at dir.
func vacant(op, dir string) error {
	if !isDir(filepath.Dir(dir)) {
		return usage(op, fmt.Errorf("%q is not a directory: make it before the clone", filepath.Dir(dir)))
	}
	entries, err := os.ReadDir(dir)
	info, statErr := os.Lstat(dir)
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
		return nil
	case statErr != nil:
		return local(op, statErr)
	case isWorkingDirectory(info):
		return usage(op, fmt.Errorf("%q is the working directory, which a clone cannot take the place of: name a directory in it", dir))
	case !info.IsDir() || len(entries) > 0:
		return &Error{Op: op, Kind: KindTargetExists, Err: fmt.Errorf("%q exists and is not an empty directory", dir)}
	case err != nil:
		return local(op, err)
	}
	return nil
}

func isWorkingDirectory(info fs.FileInfo) bool {
	here, err := os.Stat(".")
	return err == nil && os.SameFile(here, info)
}

// directory returns the absolute path of dir.
func directory(op, dir string) (string, error) {
	if err := checkText(dir); err != nil {
		return "", usage(op, fmt.Errorf("the directory %q %w", dir, err))
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", local(op, err)
	}
	return path, nil
}

// local returns the error of a file operation of the client's own.
func local(op string, err error) error {
	kind := KindDisk
	if errors.Is(err, fs.ErrExist) {
		kind = KindTargetExists
	}
	return &Error{Op: op, Kind: kind, Err: err}
}
