package git

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A SyncResult says what a Sync found and did.
type SyncResult struct {
	// Commit is the id of the commit that is checked out in the directory, Previous
	// of the one before; it is empty when there was none.
	Commit, Previous string
	// Changed says that Commit is another than Previous.
	Changed bool
	// Stale says that the remote could not be asked, so that Commit is the one of the
	// last time.
	Stale bool
	// Cause is why the copy is stale.
	Cause error
	// Bytes is the size of the objects that were received, as they are kept here.
	Bytes int64
	// Duration is how long the call took, waits and repeats included.
	Duration time.Duration
}

// Sync makes dir a copy of one ref of the repository at url: the body of a loop
// that follows a repository. It asks the remote what the ref stands for, fetches
// only if that is not checked out yet, and checks it out. Changes of files that
// git knows are dropped; others are left, see [CheckoutOptions]. No branch is
// current in the copy.
//
// The ref is a branch, a tag, a full name such as "refs/heads/main", a commit id,
// or "HEAD" for what the remote points to, which is also what "" stands for. A
// branch goes before a tag of the same name. For a commit id that is there, the
// remote is not asked.
//
// dir does not exist, is an empty directory, or is a clone of url. In the first
// two cases it is made, whole or not at all; only what the ref needs is fetched. To
// keep the copy shallow, make it with [Client.Clone] and a Depth.
//
// When a breaker in the chain rejects the call and there is a copy, the result is
// that copy, Stale, with the rejection as its Cause and no error. After an error
// the result says what the directory holds: Stale is set when there is a copy. When
// the error is of KindCorrupt the copy is damaged, as after a power cut; when it stays
// of KindLock, a git that was killed with its program has left a lock. Remove the
// copy then: the next Sync makes another.
func (c *Client) Sync(ctx context.Context, url, dir, ref string) (SyncResult, error) {
	const op = "sync"
	start := time.Now()
	t, err := parseTarget(ref)
	if err != nil {
		return SyncResult{}, usage(op, err)
	}
	r, err := c.remote(op, url)
	if err != nil {
		return SyncResult{}, err
	}
	if dir, err = directory(op, dir); err != nil {
		return SyncResult{}, err
	}
	release, err := c.write(ctx, op, dir)
	if err != nil {
		return SyncResult{}, err
	}
	defer release()

	var result SyncResult
	if err = vacant(op, dir); err == nil {
		result, err = c.syncNew(ctx, op, r, dir, t)
	} else if _, absent := os.Lstat(filepath.Join(dir, ".git")); absent == nil {
		result, err = c.syncCopy(ctx, op, r, dir, t)
	} else if KindOf(err) == KindTargetExists {
		err = &Error{Op: op, Kind: KindTargetExists, Err: fmt.Errorf("%q exists, and is neither a clone nor an empty directory", dir)}
	}
	result.Duration = time.Since(start)
	return result, err
}

// syncNew makes the copy beside dir, and moves it there when it is complete.
func (c *Client) syncNew(ctx context.Context, op string, r remote, dir string, t target) (SyncResult, error) {
	f, err := c.locate(ctx, op, r, "", t)
	if err != nil {
		return SyncResult{}, err
	}
	temporary, err := beside(dir)
	if err != nil {
		return SyncResult{}, local(op, err)
	}
	defer os.RemoveAll(temporary) // nothing is there when all went well
	format := "sha1"
	if len(f.commit) == sha256.Size*2 {
		format = "sha256"
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--template=", "--object-format=" + format, "--", temporary},
		{"-C", temporary, "config", "remote.origin.url", r.url},
		{"-C", temporary, "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"},
	} {
		if _, err := c.run(ctx, command{op: op, dir: filepath.Dir(dir), args: args}); err != nil {
			return SyncResult{}, err
		}
	}
	var result SyncResult
	if err := c.bring(ctx, op, r, temporary, f, &result); err != nil {
		return SyncResult{}, err
	}
	if err := (clone{dir: temporary}).moveTo(dir); err != nil {
		return SyncResult{}, local(op, err)
	}
	return result, nil
}

// syncCopy brings the copy at dir up to date.
func (c *Client) syncCopy(ctx context.Context, op string, r remote, dir string, t target) (SyncResult, error) {
	origin, err := c.remoteOf(ctx, op, dir, "", false)
	var e *Error
	if errors.As(err, &e) && e.Kind == KindNoRepository {
		e.Kind = KindCorrupt // its .git is there
	}
	if err != nil {
		return SyncResult{}, err
	}
	if origin.url != r.url {
		return SyncResult{}, &Error{Op: op, Kind: KindTargetExists, Err: fmt.Errorf("%q is a clone of %q and not of %q: remove it, or name another directory", dir, redact(origin.url), redact(r.url))}
	}
	r.arg, r.stored = origin.arg, origin.stored
	head, err := c.resolve(ctx, op, dir, "HEAD^{commit}")
	if err != nil {
		return SyncResult{}, err
	}
	result := SyncResult{Commit: head, Previous: head}
	f, err := c.locate(ctx, op, r, dir, t)
	if err == nil {
		err = c.bring(ctx, op, r, dir, f, &result)
	}
	var broken bool
	for _, target := range []error{middleware.ErrOpen, middleware.ErrTooManyProbes, middleware.ErrRecovering} {
		broken = broken || errors.Is(err, target)
	}
	switch {
	case err == nil || result.Commit == "":
	case broken:
		result.Stale, result.Cause = true, err
		// It must be whole all the same, see bring.
		err = c.locally(ctx, command{op: op, dir: dir, args: checkoutArgs(true, "--detach", result.Commit), offline: true})
	default:
		result.Stale, result.Cause = true, err
	}
	return result, err
}

// bring brings the repository at dir to what was found.
func (c *Client) bring(ctx context.Context, op string, r remote, dir string, f found, result *SyncResult) error {
	commit := f.commit
	if commit != result.Commit {
		var err error
		if commit, err = c.obtain(ctx, op, r, dir, f, result); err != nil {
			return err
		}
	}
	// Also when nothing has changed: a process that was killed in a checkout, or
	// somebody else, may have changed files.
	if err := c.checkout(ctx, op, dir, &r, CheckoutOptions{Force: true}, "--detach", commit); err != nil {
		return err
	}
	result.Commit, result.Changed = commit, commit != result.Previous
	return nil
}

// obtain fetches what was found, unless it is there, and returns its commit.
func (c *Client) obtain(ctx context.Context, op string, r remote, dir string, f found, result *SyncResult) (string, error) {
	if f.name == "" { // a commit, which never changes
		if commit, err := c.resolve(ctx, op, dir, f.commit+"^{commit}"); err != nil || commit != "" {
			return commit, err
		}
	}
	// The ref may have moved on since it was asked for.
	got, commit, err := c.fetchCommit(ctx, op, dir, r, f.source(), true)
	result.Bytes = got.Bytes
	return commit, err
}
