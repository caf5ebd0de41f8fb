package git

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [Config].
const (
	DefaultGrace = 5 * time.Second
	DefaultStall = 30 * time.Second
)

// Config are the settings of a [Client]. The zero value is usable.
type Config struct {
	// Path is the git executable. Empty means "git", looked up in PATH.
	Path string

	// Env are further variables for git. They win over the inherited ones and over
	// those that the client sets to keep git from asking questions, but not over
	// LC_ALL, LANGUAGE and GIT_ALLOW_PROTOCOL.
	Env Variables

	// Settings are further git configuration, as "name=value", for every command.
	// They stand in git's arguments, which other users of the machine can read: no
	// secrets.
	Settings []string

	// Schemes are the kinds of remote that may be used, of "https", "ssh", "http",
	// "git" and "file", which stands for local paths too. Empty means https and ssh.
	Schemes []string

	// Credentials are for the remotes that are reached by http or https. A user
	// name or password in the URL of a remote goes before them.
	Credentials Credentials

	// SSH is for the remotes that are reached by ssh. The zero value leaves the choice
	// of keys to the user's own configuration.
	SSH SSH

	// Renew returns new credentials when a server has refused the ones that it was
	// given, as when a token has expired: the call goes on with them, once, and
	// later calls begin with them. Calls that need it at the same time share one
	// run of it, with the context of one of them. It is not asked for the credentials
	// of a URL. It must not call this client, which waits for it. Nil: a refusal is
	// the error of the call.
	Renew func(ctx context.Context) (Credentials, error) `json:"-"`

	// Hooks lets the hooks of repositories run. Without it none does: not those of
	// Git LFS either, which a push of large files needs.
	Hooks bool

	// Progress is told how far a clone, a fetch or a push has come, at most about
	// once for each percent. The context is that of the attempt. It may be called by
	// several goroutines, one for each git process, which waits for it: it must not
	// make a call that writes to the same repository. Nil: nobody is told.
	Progress func(ctx context.Context, p Progress) `json:"-"`

	// Grace is how long git may take to end and clean up when the context has
	// ended, before it is killed. Zero means DefaultGrace.
	Grace time.Duration

	// Stall is how long a connection may be silent before git gives it up, in
	// whole seconds. Zero means DefaultStall, a negative value for ever.
	Stall time.Duration
}

// Validate returns an error for each setting that is not usable.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, field string, value any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("git: Config.%s is %v: it must be %s", field, value, allowed))
		}
	}
	if c.Path != "" {
		check(checkText(c.Path) == nil, "Path", fmt.Sprintf("%q", c.Path), "the name or path of an executable")
	}
	for i, v := range c.Env {
		// The value may be a secret: it is not shown.
		name, _, ok := strings.Cut(v, "=")
		check(ok && name != "" && !strings.ContainsRune(v, 0), "Env", fmt.Sprintf("wrong at index %d", i), "KEY=value")
	}
	for i, v := range c.Settings {
		name, _, ok := strings.Cut(v, "=")
		check(ok && strings.Contains(name, ".") && !strings.ContainsRune(v, 0), "Settings", fmt.Sprintf("wrong at index %d", i), "section.name=value")
	}
	for _, s := range c.Schemes {
		check(slices.Contains(knownSchemes, s), "Schemes", fmt.Sprintf("%q", s), "of "+strings.Join(knownSchemes, ", "))
	}
	check(c.Credentials.printable(), "Credentials", "not printable", "without control characters")
	c.SSH.validate(c.Env, check)
	check(c.Grace >= 0, "Grace", c.Grace, "a positive duration, or 0 for the default")
	return errors.Join(errs...)
}

// A Client runs git commands inside of a chain. It is safe for concurrent use.
// Calls of this process that write to the same repository, by any client, wait
// for each other, before they enter the chain.
type Client struct {
	chain   *middleware.Chain
	config  *Config // with the defaults filled in; a pointer, since fmt would show what a field holds
	checked atomic.Bool
	renewal renewal
}

// New returns a Client whose remote operations pass chain; a nil chain has no
// policies. The error is that of [Config.Validate]. Git itself is looked up when
// it is run.
func New(chain *middleware.Chain, c Config) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Path == "" {
		c.Path = "git"
	}
	// A relative path would be looked up in each repository.
	if strings.ContainsRune(c.Path, filepath.Separator) || strings.Contains(c.Path, "/") {
		path, err := filepath.Abs(c.Path)
		if err != nil {
			return nil, fmt.Errorf("git: Config.Path: %w", err)
		}
		c.Path = path
	}
	if len(c.Schemes) == 0 {
		c.Schemes = []string{"https", "ssh"}
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Stall == 0 {
		c.Stall = DefaultStall
	}
	c.Env, c.Settings, c.Schemes = slices.Clone(c.Env), slices.Clone(c.Settings), slices.Clone(c.Schemes)
	return &Client{chain: chain, config: &c}, nil
}

// An Op describes a function given to [Client.Do].
type Op struct {
	// Name is the operation in spans and events, such as "gc": one of a small fixed
	// set.
	Name string
	// Key is the host and port that the function calls, for policies with a state
	// per host.
	Key string
	// Repeatable says that the function may run again after it failed.
	Repeatable bool
}

// Do runs fn inside of the chain. Its errors are judged as [Classify] says, and
// never repeated unless op is Repeatable. fn may run git in any way, or talk to a
// git host by other means.
func (c *Client) Do(ctx context.Context, op Op, fn func(ctx context.Context) error) error {
	if fn == nil {
		return usage(op.Name, errors.New("the function is nil"))
	}
	ctx = middleware.WithOperation(ctx, middleware.Operation{Name: op.Name, Key: op.Key})
	return c.chain.Do(ctx, func(ctx context.Context) error {
		return judge(ctx, fn(ctx), op.Repeatable)
	})
}

// enter prepares a call to a remote: its context and the chain that it passes.
func (c *Client) enter(ctx context.Context, op string, r remote) (context.Context, *middleware.Chain) {
	chain := c.chain
	if r.local() {
		chain = nil
	}
	// What changes nothing may be asked twice at once, by a Hedge.
	o := middleware.Operation{Name: op, Key: r.key, Idempotent: op == "ls-remote"}
	return middleware.WithOperation(ctx, o), chain
}
