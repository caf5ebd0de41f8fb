package gogit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5"
	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/tidegate-go/tidegate/middleware"
)

// Fetch updates the repository from a remote and reports whether there was
// anything new. Nil options are the zero ones. After an error some refs may have
// been updated.
func (c *Client) Fetch(ctx context.Context, repo *git.Repository, o *git.FetchOptions) (changed bool, err error) {
	const op = "fetch"
	var options git.FetchOptions
	if o != nil {
		options = *o
	}
	r, err := remoteOf(op, repo, options.RemoteName, options.RemoteURL, options.Auth, false)
	if err != nil {
		return false, err
	}
	ctx, in := c.enter(ctx, op, r, options.ProxyOptions)
	return middleware.Call(ctx, in.chain, func(ctx context.Context) (bool, error) {
		changed, err := in.fetch(ctx, repo, options)
		return changed, judge(ctx, err, true)
	})
}

func (in *call) fetch(ctx context.Context, repo *git.Repository, o git.FetchOptions) (changed bool, err error) {
	release, err := write(ctx, "fetch", repo)
	if err != nil {
		return false, err
	}
	defer release()
	o.RefSpecs = slices.Clone(o.RefSpecs)
	o.RemoteURL, o.Auth = in.remote.url, in.remote.auth
	before := temporaryPacks(repo)
	had, err := hashes(repo)
	if err != nil {
		return false, local("fetch", err)
	}
	err = in.run(ctx, func(ctx context.Context, proxy transport.ProxyOptions) error {
		o.ProxyOptions = proxy
		return repo.FetchContext(ctx, &o)
	})
	if hollow := restore(repo, had); err == nil {
		err = hollow
	}
	switch {
	case errors.Is(err, git.NoErrAlreadyUpToDate):
		return false, nil
	case err != nil:
		before.removeNew()
		return false, err
	}
	return true, nil
}

// hashes returns the refs of a repository that stand for an object.
func hashes(repo *git.Repository) (map[plumbing.ReferenceName]*plumbing.Reference, error) {
	all, err := repo.References()
	if err != nil {
		return nil, err
	}
	had := map[plumbing.ReferenceName]*plumbing.Reference{}
	err = all.ForEach(func(r *plumbing.Reference) error {
		if r.Type() == plumbing.HashReference {
			had[r.Name()] = r
		}
		return nil
	})
	return had, err
}

// restore gives the refs back what they had if they have got objects that are not
// there, and returns an error then: go-git takes a transfer that ends before its
// first byte for one of nothing, and sets the refs.
func restore(repo *git.Repository, had map[plumbing.ReferenceName]*plumbing.Reference) (hollow error) {
	have, err := hashes(repo)
	if err != nil {
		return local("fetch", err)
	}
	for name, r := range have {
		old := had[name]
		if old != nil && old.Hash() == r.Hash() || repo.Storer.HasEncodedObject(r.Hash()) == nil {
			continue
		}
		hollow = &refusal{"fetch", KindTransfer, fmt.Errorf("the remote has sent nothing for %s", name)}
		if old != nil {
			err = repo.Storer.SetReference(old)
		} else {
			err = repo.Storer.RemoveReference(name)
		}
		if err != nil {
			return local("fetch", err)
		}
	}
	return hollow
}

// packs are the temporary packs of go-git's in a repository, which it leaves
// behind when a transfer breaks.
type packs struct {
	files billy.Filesystem // nil: the repository is not in a file system
	names []string
}

const packDir = "objects/pack"

func temporaryPacks(repo *git.Repository) packs {
	stored, ok := repo.Storer.(interface{ Filesystem() billy.Filesystem })
	if !ok {
		return packs{}
	}
	p := packs{files: stored.Filesystem()}
	p.names = p.list()
	return p
}

// list tells go-git's from git's own, which may be somebody else's, by their
// digits.
func (p packs) list() []string {
	entries, err := p.files.ReadDir(packDir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "tmp_pack_")
		if ok && len(digits) > 6 && strings.Trim(digits, "0123456789") == "" {
			names = append(names, e.Name())
		}
	}
	return names
}

func (p packs) removeNew() {
	if p.files == nil {
		return
	}
	for _, name := range p.list() {
		if !slices.Contains(p.names, name) {
			_ = p.files.Remove(path.Join(packDir, name))
		}
	}
}
