package gogit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/memory"
	"github.com/go-git/go-git/v5/storage/transactional"

	"github.com/tidegate-go/tidegate/middleware"
)

// Push updates refs of a remote and reports whether it has changed any. Nil
// options are the zero ones.
//
// It pushes what the refs of the repository stood for when it was called, so that
// a repeated attempt asks for the same. When an attempt ended without an answer,
// the next one finds what that one had done, and the push counts as a change. A
// push that could overwrite what came in between is not repeated then: one with
// Prune, or with Force or a refspec that begins with "+" unless a ForceWithLease or
// RequireRemoteRefs says for each ref what it must be. A repeated push deletes a
// ref only if that is what it was at the first attempt. A rejected push is never
// repeated.
//
// Over HTTP go-git takes an empty answer for a success. So Push then lists the
// branches and tags of the remote, and fails when one is neither what it pushed
// nor comes after that. Before it deletes it lists them too. The credentials must
// be good for reading then.
func (c *Client) Push(ctx context.Context, repo *git.Repository, o *git.PushOptions) (changed bool, err error) {
	const op = "push"
	var options git.PushOptions
	if o != nil {
		options = *o
	}
	options.RefSpecs = slices.Clone(options.RefSpecs)
	if err := options.Validate(); err != nil {
		return false, usage(op, err)
	}
	r, err := remoteOf(op, repo, options.RemoteName, options.RemoteURL, options.Auth, true)
	if err != nil {
		return false, err
	}
	p, err := plan(repo, options)
	if err != nil {
		return false, err
	}
	p.repo = repo
	ctx, p.call = c.enter(ctx, op, r, options.ProxyOptions)
	return middleware.Call(ctx, p.call.chain, func(ctx context.Context) (bool, error) {
		changed, err := p.once(ctx)
		repeatable := true
		if err != nil && rules[kindIn(ctx, err)].unsure {
			p.unsure.Store(true)
			repeatable = !p.blind
		}
		return changed, judge(ctx, err, repeatable)
	})
}

// A push is one call of Push.
type push struct {
	call    *call
	repo    *git.Repository
	from    *git.Remote
	options git.PushOptions
	wanted  []*plumbing.Reference // what the remote is to have; a zero hash: nothing
	blind   bool                  // a repeated push could overwrite what came in between
	before  refs                  // of the remote, if some are to be deleted; nil: not known yet
	unsure  atomic.Bool           // an attempt may have succeeded without our knowing
}

// plan fixes what the refspecs stand for.
func plan(repo *git.Repository, o git.PushOptions) (*push, error) {
	have, err := pin(repo.Storer)
	if err != nil {
		return nil, local("push", err)
	}
	c := &config.RemoteConfig{Name: o.RemoteName}
	if known, err := repo.Remote(o.RemoteName); err == nil {
		c = known.Config()
	}
	p := &push{from: git.NewRemote(have.storer(), c), options: o, blind: o.Prune}
	for _, spec := range o.RefSpecs {
		wanted := have.wanted(repo, spec)
		if len(wanted) == 0 && !spec.IsWildcard() {
			return nil, usage("push", fmt.Errorf("the refspec %q names no ref and no commit of this repository: %w", spec, plumbing.ErrReferenceNotFound))
		}
		p.wanted = append(p.wanted, wanted...)
		// With a lease go-git forces also the refs that the lease does not name.
		if !spec.IsDelete() && (o.Force || spec.IsForceUpdate() || o.ForceWithLease != nil) {
			for _, w := range wanted {
				p.blind = p.blind || !guarded(o, spec, w.Name())
			}
		}
	}
	return p, nil
}

// guarded reports whether the options say what the ref of the remote must be.
func guarded(o git.PushOptions, spec config.RefSpec, name plumbing.ReferenceName) bool {
	if slices.ContainsFunc(o.RequireRemoteRefs, func(r config.RefSpec) bool { return r.Dst("") == name }) {
		return true
	}
	lease := o.ForceWithLease
	// go-git does not look at the lease for a source that is an object id.
	return lease != nil && !spec.IsExactSHA1() && (lease.RefName == "" || lease.RefName == name)
}

func (p *push) once(ctx context.Context) (changed bool, err error) {
	release, err := write(ctx, "push", p.repo)
	if err != nil {
		return false, err
	}
	defer release()
	unsure := p.unsure.Load()
	if unsure && len(p.options.RequireRemoteRefs) > 0 {
		// What is required is no more, if that attempt succeeded. All else go-git
		// itself finds to be up to date.
		if there, err := p.list(ctx); err != nil || len(p.missing(there)) == 0 {
			return err == nil, err
		}
	}
	if p.deletes() {
		if err := p.mayDelete(ctx); err != nil {
			return false, err
		}
	}
	o := p.options
	o.RefSpecs = slices.Clone(o.RefSpecs) // go-git writes to it
	o.RemoteURL, o.Auth = p.call.remote.url, p.call.remote.auth
	err = p.call.run(ctx, func(ctx context.Context, proxy transport.ProxyOptions) error {
		o.ProxyOptions = proxy
		return p.from.PushContext(ctx, &o)
	})
	if errors.Is(err, git.NoErrAlreadyUpToDate) {
		return unsure, nil
	}
	if err != nil || !p.call.remote.http() {
		return err == nil, err
	}
	p.unsure.Store(true) // until it has been seen
	there, err := p.list(ctx)
	if err != nil {
		return false, err
	}
	for _, missing := range p.missing(there) {
		if !p.overtaken(ctx, there, missing) {
			return false, &refusal{"push", KindServer, fmt.Errorf("the remote does not have %s as it was pushed, although it reported no error", missing.Name())}
		}
	}
	return true, nil
}

func (p *push) deletes() bool {
	return slices.ContainsFunc(p.wanted, func(w *plumbing.Reference) bool { return w.Hash().IsZero() })
}

// mayDelete returns an error when somebody has made a ref anew, or moved it, since
// the first attempt, which may have deleted it.
func (p *push) mayDelete(ctx context.Context) error {
	there, err := p.list(ctx)
	if err != nil {
		return err
	}
	if p.before == nil {
		p.before = there
	}
	for _, w := range p.wanted {
		if now, ok := there[w.Name()]; ok && w.Hash().IsZero() && now != p.before[w.Name()] {
			return &refusal{"push", KindRejected, fmt.Errorf("%s is not what it was to be deleted as: somebody has pushed it meanwhile", w.Name())}
		}
	}
	return nil
}

// overtaken reports whether somebody has already pushed on top of what was pushed,
// or made anew what was deleted.
func (p *push) overtaken(ctx context.Context, there refs, w *plumbing.Reference) bool {
	now, ok := there[w.Name()]
	if !ok || w.Hash().IsZero() {
		return ok && now != p.before[w.Name()]
	}
	o := p.options
	// What is fetched for this stays out of the repository.
	s := transactional.NewStorage(p.repo.Storer, memory.NewStorage())
	from := git.NewRemote(s, &config.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{p.call.remote.url}})
	err := p.call.run(ctx, func(ctx context.Context, proxy transport.ProxyOptions) error {
		return from.FetchContext(ctx, &git.FetchOptions{
			RemoteURL: p.call.remote.url, Auth: p.call.remote.auth, Tags: git.NoTags, ProxyOptions: proxy,
			RefSpecs:        []config.RefSpec{config.RefSpec("+" + w.Name().String() + ":refs/overtaken")},
			InsecureSkipTLS: o.InsecureSkipTLS, ClientCert: o.ClientCert, ClientKey: o.ClientKey, CABundle: o.CABundle,
		})
	})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return false
	}
	repo, err := git.Open(s, nil)
	if err != nil {
		return false
	}
	after, err := isAncestor(repo, w.Hash(), now)
	return err == nil && after
}

// refs are those of the remote.
type refs map[plumbing.ReferenceName]plumbing.Hash

func (p *push) list(ctx context.Context) (refs, error) {
	o := p.options
	all, err := p.call.list(ctx, git.ListOptions{InsecureSkipTLS: o.InsecureSkipTLS, ClientCert: o.ClientCert, ClientKey: o.ClientKey, CABundle: o.CABundle})
	if err != nil {
		return nil, err
	}
	there := refs{}
	for _, r := range all {
		there[r.Name()] = r.Hash()
	}
	return there, nil
}

// missing returns the branches and tags that the remote does not have as they are
// wanted. Other refs, which a server may take as a request for something else, are
// not looked at.
func (p *push) missing(there refs) []*plumbing.Reference {
	return slices.DeleteFunc(slices.Clone(p.wanted), func(w *plumbing.Reference) bool {
		return !w.Name().IsBranch() && !w.Name().IsTag() || there[w.Name()] == w.Hash()
	})
}

// pinned is a storage whose refs are read as they were at one time.
type pinned struct {
	storage.Storer

	refs []*plumbing.Reference
}

func pin(s storage.Storer) (*pinned, error) {
	all, err := s.IterReferences()
	if err != nil {
		return nil, err
	}
	defer all.Close()
	p := &pinned{Storer: s}
	err = all.ForEach(func(r *plumbing.Reference) error {
		// go-git pushes no ref that stands for another one, and does not say so.
		if r.Name() == plumbing.HEAD && r.Type() == plumbing.SymbolicReference {
			if there, err := storer.ResolveReference(s, plumbing.HEAD); err == nil {
				r = plumbing.NewHashReference(plumbing.HEAD, there.Hash())
			}
		}
		p.refs = append(p.refs, r)
		return nil
	})
	return p, err
}

// IterReferences implements [storer.ReferenceStorer].
func (p *pinned) IterReferences() (storer.ReferenceIter, error) {
	return storer.NewReferenceSliceIter(p.refs), nil
}

// Reference implements [storer.ReferenceStorer].
func (p *pinned) Reference(name plumbing.ReferenceName) (*plumbing.Reference, error) {
	for _, r := range p.refs {
		if r.Name() == name {
			return r, nil
		}
	}
	return nil, plumbing.ErrReferenceNotFound
}

// storer returns p with what go-git asks a storage for to make small packs, if
// it has that.
func (p *pinned) storer() storage.Storer {
	if deltas, ok := p.Storer.(storer.DeltaObjectStorer); ok {
		return struct {
			*pinned
			storer.DeltaObjectStorer
		}{p, deltas}
	}
	return p
}

// wanted returns what the remote is to have by spec.
func (p *pinned) wanted(repo *git.Repository, spec config.RefSpec) []*plumbing.Reference {
	if spec.IsDelete() {
		return []*plumbing.Reference{plumbing.NewHashReference(spec.Dst(""), plumbing.ZeroHash)}
	}
	var wanted []*plumbing.Reference
	for _, r := range p.refs {
		if r.Type() == plumbing.HashReference && spec.Match(r.Name()) {
			wanted = append(wanted, plumbing.NewHashReference(spec.Dst(r.Name()), r.Hash()))
		}
	}
	if len(wanted) == 0 && spec.IsExactSHA1() {
		if commit, err := repo.CommitObject(plumbing.NewHash(spec.Src())); err == nil {
			wanted = append(wanted, plumbing.NewHashReference(spec.Dst(""), commit.Hash))
		}
	}
	return wanted
}
