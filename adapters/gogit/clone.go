package gogit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/tidegate-go/tidegate/middleware"
)

// Clone makes a clone in dir, which must not exist or be an empty directory, but
// not the working directory or a mount point; its parent must exist. After an
// error dir is as it was: each attempt works in a directory beside it, dir.tmp-…,
// which becomes dir when everything is there and is removed otherwise.
//
// The checkout of the files does not look at the context. Submodules, if the
// options ask for them, do not pass the chain, and go-git gives the Auth of the
// options to each, whatever its host; credentials of the URL go to its host only.
//
// The remote of the clone has the URL without credentials. An empty remote is
// transport.ErrEmptyRemoteRepository, as in go-git.
func (c *Client) Clone(ctx context.Context, dir string, bare bool, o *git.CloneOptions) (*git.Repository, error) {
	const op = "clone"
	if o == nil {
		return nil, usage(op, errors.New("there are no options: name the URL to clone"))
	}
	options := *o
	r, err := remoteAt(op, options.URL, options.Auth)
	if err != nil {
		return nil, err
	}
	if r.local() && !strings.Contains(r.url, "://") {
		// The clone is not made where a relative path leads to the same place.
		if r.url, err = filepath.Abs(r.url); err != nil {
			return nil, local(op, err)
		}
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, local(op, err)
	}
	if err := vacant(op, dir); err != nil {
		return nil, err
	}
	ctx, in := c.enter(ctx, op, r, options.ProxyOptions)
	// As a stream, so that a clone which nobody wants, the slower of two, is removed.
	made, end, err := middleware.Stream(ctx, in.chain, func(ctx context.Context) (clone, error) {
		made, err := in.clone(ctx, dir, bare, options)
		return made, judge(ctx, err, true)
	}, clone.remove)
	defer end()
	if err != nil {
		return nil, err
	}
	if err := made.moveTo(dir); err != nil {
		made.remove()
		return nil, local(op, err)
	}
	repo, err := git.PlainOpen(dir)
	if err != nil {
		return nil, local(op, err)
	}
	return repo, nil
}

// A clone is complete but not yet where it belongs. The zero clone does not exist.
type clone struct{ dir string }

// clone clones into a new directory beside dir.
func (in *call) clone(ctx context.Context, dir string, bare bool, o git.CloneOptions) (made clone, err error) {
	temporary := dir + ".tmp-" + strings.ToLower(rand.Text()[:10])
	if err := os.Mkdir(temporary, 0o777); err != nil { //nolint:gosec // the user's umask decides, as in git
		return clone{}, local("clone", err)
	}
	if there, err := os.Stat(dir); err == nil { // it may be more private than that
		_ = os.Chmod(temporary, there.Mode().Perm())
	}
	defer func() {
		if made.dir == "" {
			_ = os.RemoveAll(temporary)
		}
	}()
	o.URL, o.Auth = in.remote.url, in.remote.auth
	err = in.run(ctx, func(ctx context.Context, proxy transport.ProxyOptions) error {
		o.ProxyOptions = proxy
		repo, err := git.PlainCloneContext(ctx, temporary, bare, &o)
		if err == nil {
			err = restore(repo, nil)
		}
		return err
	})
	if Is(err, plumbing.ErrObjectNotFound) && ctx.Err() == nil {
		// The repository is new: it is not damaged, something was not sent.
		err = &refusal{"clone", KindTransfer, err}
	}
	if err != nil {
		return clone{}, err
	}
	return clone{dir: temporary}, nil
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
	parent, err := os.Stat(filepath.Dir(dir))
	if err != nil || !parent.IsDir() {
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
		return &refusal{op, KindTargetExists, fmt.Errorf("%q exists and is not an empty directory", dir)}
	case err != nil:
		return local(op, err)
	}
	return nil
}

func isWorkingDirectory(info fs.FileInfo) bool {
	here, err := os.Stat(".")
	return err == nil && os.SameFile(here, info)
}
