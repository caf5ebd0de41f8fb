package gogit

import (
	"context"
	"errors"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/tidegate-go/tidegate/middleware"
)

// DefaultStall is the default of [Config.Stall].
const DefaultStall = time.Minute

// Config are the settings of a [Client]. The zero value is usable.
type Config struct {
	// Stall is how long an SSH connection may be silent before it is closed. A hook
	// of the server may take its time and say nothing. Zero means DefaultStall, a
	// negative value for ever.
	Stall time.Duration
}

// A Client runs calls of go-git inside of a chain. It holds no state between
// calls and is safe for concurrent use. Calls of this process on one repository
// take turns; what a function given to Do, or another process, does with it is
// nobody's turn.
//
// It does not change the options that it is given. Credentials in the URL of an
// http or https remote are used, unless there is an Auth, and stored nowhere.
type Client struct {
	chain *middleware.Chain
	stall time.Duration
}

// New returns a Client whose remote operations pass chain; a nil chain has no
// policies.
func New(chain *middleware.Chain, c Config) *Client {
	if c.Stall == 0 {
		c.Stall = DefaultStall
	}
	return &Client{chain: chain, stall: c.Stall}
}

// An Op describes a function given to [Client.Do].
type Op struct {
	// Name is the operation in spans and events, such as "submodules": one of a
	// small fixed set.
	Name string
	// Key is the host and port that the function calls, for policies with a state
	// per host.
	Key string
	// Repeatable says that the function may run again after it failed.
	Repeatable bool
}

// Do runs fn inside of the chain and returns its error. It is judged as
// [Classify] says, so git.NoErrAlreadyUpToDate is a success although the caller
// gets it, and never repeated unless op is Repeatable.
//
// fn must call go-git with its ctx. For SSH remotes use [DialWith] too.
func (c *Client) Do(ctx context.Context, op Op, fn func(ctx context.Context) error) error {
	if fn == nil {
		return usage(op.Name, errors.New("the function is nil"))
	}
	ctx = middleware.WithOperation(ctx, middleware.Operation{Name: op.Name, Key: op.Key})
	return c.chain.Do(inside(ctx, c.chain), func(ctx context.Context) error {
		return judge(ctx, settle(ctx, clean(fn(ctx), nil)), op.Repeatable)
	})
}

// A call is one use of a remote by a Client.
type call struct {
	client *Client
	chain  *middleware.Chain
	remote remote
	proxy  transport.ProxyOptions // the user's
}

// enter prepares a call to a remote: its context and the chain that it passes.
func (c *Client) enter(ctx context.Context, op string, r remote, proxy transport.ProxyOptions) (context.Context, *call) {
	in := &call{client: c, chain: c.chain, remote: r, proxy: proxy}
	if r.local() {
		in.chain = nil
	}
	ctx = middleware.WithOperation(ctx, middleware.Operation{Name: op, Key: r.key})
	return inside(ctx, in.chain), in
}

// run makes one exchange with the remote: f calls go-git with the context and the
// proxy. The error is that of go-git, ready to be shown.
func (in *call) run(ctx context.Context, f func(ctx context.Context, proxy transport.ProxyOptions) error) error {
	// go-git does not look at the context before it dials.
	if ctx.Err() != nil {
		return settle(ctx, context.Cause(ctx))
	}
	hidden := append(in.remote.secrets(), in.proxy.Password)
	if u, err := in.proxy.FullURL(); err != nil {
		return usage("proxy", errors.New("the URL of the proxy is malformed")) // err may quote a password
	} else if password, ok := u.User.Password(); ok {
		hidden = append(hidden, secretsOf(&githttp.BasicAuth{Username: u.User.Username(), Password: password})...)
	}
	// go-git leaves some bodies of responses open, and with them the connections.
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	proxy := in.proxy
	if in.remote.scheme == "ssh" {
		var end func()
		proxy, end = dialWith(ctx, proxy, in.client.stall)
		defer end()
	}
	return settle(ctx, clean(f(inner, proxy), hidden))
}

// policiesKey marks the context of a call that a chain is around already.
type policiesKey struct{}

func inside(ctx context.Context, chain *middleware.Chain) context.Context {
	if chain == nil {
		return ctx
	}
	return context.WithValue(ctx, policiesKey{}, true)
}

func isInside(ctx context.Context) bool { return ctx.Value(policiesKey{}) != nil }
