package gogit

import (
	"context"
	"errors"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/tidegate-go/tidegate/middleware"
)

// LsRemote returns the refs of the repository at url. It is not an error when
// there are none. Nil options are the zero ones; their Timeout is not used.
func (c *Client) LsRemote(ctx context.Context, url string, o *git.ListOptions) ([]*plumbing.Reference, error) {
	const op = "ls-remote"
	var options git.ListOptions
	if o != nil {
		options = *o
	}
	r, err := remoteAt(op, url, options.Auth)
	if err != nil {
		return nil, err
	}
	ctx, in := c.enter(ctx, op, r, options.ProxyOptions)
	return middleware.Call(ctx, in.chain, func(ctx context.Context) ([]*plumbing.Reference, error) {
		refs, err := in.list(ctx, options)
		return refs, judge(ctx, err, true)
	})
}

func (in *call) list(ctx context.Context, o git.ListOptions) (refs []*plumbing.Reference, err error) {
	from := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{in.remote.url}})
	o.Auth = in.remote.auth
	err = in.run(ctx, func(ctx context.Context, proxy transport.ProxyOptions) error {
		o.ProxyOptions = proxy
		var err error
		refs, err = from.ListContext(ctx, &o)
		return err
	})
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, nil
	}
	return refs, err
}
