package gogit

import (
	"context"
	"errors"
	"fmt"
	"io"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/tidegate-go/tidegate/middleware"
)

// Pull fetches from a remote, then moves the branch that is checked out, and the
// work tree, forward to the ref of the remote that the options name, its HEAD if
// none. It reports whether that has changed anything. Only the fetch is repeated.
// Nil options are the zero ones.
//
// A branch that cannot move forward is git.ErrNonFastForwardUpdate. Of the
// options, SingleBranch has no effect, as in go-git, and submodules, if they are
// to be updated, do not pass the chain.
func (c *Client) Pull(ctx context.Context, repo *git.Repository, o *git.PullOptions) (changed bool, err error) {
	const op = "pull"
	var options git.PullOptions
	if o != nil {
		options = *o
	}
	r, err := remoteOf(op, repo, options.RemoteName, options.RemoteURL, options.Auth, false)
	if err != nil {
		return false, err
	}
	tree, err := repo.Worktree()
	if err != nil {
		return false, usage(op, err)
	}
	if options.ReferenceName == "" {
		options.ReferenceName = plumbing.HEAD
	}
	inner, in := c.enter(ctx, op, r, options.ProxyOptions)
	id, err := middleware.Call(inner, in.chain, func(ctx context.Context) (plumbing.Hash, error) {
		id, err := in.pull(ctx, repo, options)
		return id, judge(ctx, err, true)
	})
	if err != nil {
		return false, err
	}
	release, err := write(ctx, op, repo)
	if err != nil {
		return false, err
	}
	changed, err = forward(repo, tree, id)
	release()
	if err != nil || options.RecurseSubmodules == git.NoRecurseSubmodules {
		return changed, err
	}
	submodules, err := tree.Submodules()
	if err != nil {
		return changed, err
	}
	return changed, submodules.UpdateContext(ctx, &git.SubmoduleUpdateOptions{
		Init: true, RecurseSubmodules: options.RecurseSubmodules, Auth: in.remote.auth,
	})
}

// pull finds what the ref of the remote stands for and fetches it.
func (in *call) pull(ctx context.Context, repo *git.Repository, o git.PullOptions) (plumbing.Hash, error) {
	refs, err := in.list(ctx, git.ListOptions{InsecureSkipTLS: o.InsecureSkipTLS, ClientCert: o.ClientCert, ClientKey: o.ClientKey, CABundle: o.CABundle})
	if err != nil {
		return plumbing.ZeroHash, err
	}
	there := map[plumbing.ReferenceName]*plumbing.Reference{}
	for _, r := range refs {
		there[r.Name()] = r
	}
	ref := there[o.ReferenceName]
	if ref != nil && ref.Type() == plumbing.SymbolicReference {
		ref = there[ref.Target()]
	}
	if ref == nil {
		return plumbing.ZeroHash, &refusal{"pull", KindRefMissing, fmt.Errorf("the remote has no %s: %w", o.ReferenceName, plumbing.ErrReferenceNotFound)}
	}
	if _, err := in.fetch(ctx, repo, git.FetchOptions{
		RemoteName: o.RemoteName, Depth: o.Depth, Progress: o.Progress, Force: o.Force,
		InsecureSkipTLS: o.InsecureSkipTLS, ClientCert: o.ClientCert, ClientKey: o.ClientKey, CABundle: o.CABundle,
	}); err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := repo.CommitObject(ref.Hash()); err != nil {
		// Either it was pushed away in between, or the remote's refspecs leave it out.
		return plumbing.ZeroHash, &refusal{"pull", KindRefMissing, fmt.Errorf("%s was not fetched: %w", o.ReferenceName, err)}
	}
	return ref.Hash(), nil
}

// forward moves HEAD and the work tree to the commit id.
func forward(repo *git.Repository, tree *git.Worktree, id plumbing.Hash) (changed bool, err error) {
	head, err := repo.Head()
	switch {
	case errors.Is(err, plumbing.ErrReferenceNotFound):
		return true, begin(repo, tree, id)
	case err != nil:
		return false, err
	case head.Hash() == id:
		return false, nil
	default:
		if behind, err := isAncestor(repo, id, head.Hash()); err != nil || behind {
			return false, err
		}
		if ahead, err := isAncestor(repo, head.Hash(), id); err != nil {
			return false, err
		} else if !ahead {
			return false, git.ErrNonFastForwardUpdate
		}
	}
	// The work tree comes first: it refuses to overwrite changes, and then nothing
	// has moved.
	if err := tree.Reset(&git.ResetOptions{Mode: git.MergeReset, Commit: id}); err != nil {
		return false, err
	}
	return true, nil
}

// begin makes id the first commit of a repository that has none.
func begin(repo *git.Repository, tree *git.Worktree, id plumbing.Hash) error {
	head, err := repo.Storer.Reference(plumbing.HEAD)
	if err != nil {
		return err
	}
	branch := head.Target()
	if err := repo.Storer.SetReference(plumbing.NewHashReference(branch, id)); err != nil {
		return err
	}
	if err := tree.Reset(&git.ResetOptions{Mode: git.MergeReset, Commit: id}); err != nil {
		return errors.Join(err, repo.Storer.RemoveReference(branch))
	}
	return nil
}

func isAncestor(repo *git.Repository, old, young plumbing.Hash) (bool, error) {
	from, err := repo.CommitObject(young)
	if err != nil {
		return false, err
	}
	shallow, err := repo.Storer.Shallow()
	if err != nil {
		return false, err
	}
	iter, err := repo.Log(&git.LogOptions{From: from.Hash})
	if err != nil {
		return false, err
	}
	defer iter.Close()
	for {
		commit, err := iter.Next()
		switch {
		case err != nil && len(shallow) > 0:
			return false, nil // the history ends where it was cut
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case commit.Hash == old:
			return true, nil
		}
	}
}
