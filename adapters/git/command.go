package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// maxOutput bounds what a command may write for the client to read: the refs of
// a repository that has half a million of them.
const maxOutput = 64 << 20

// A command is one run of git.
type command struct {
	op      string
	dir     string  // where it runs; empty for a command that needs no repository
	remote  *remote // nil for a command that needs no credentials
	offline bool    // it must not fetch the objects that a repository lacks
	args    []string
	env     []string  // more variables
	stdout  io.Writer // takes the output in place of the client
	meter   *meter    // reads the progress
}

// run runs git and returns what it wrote to its standard output, also with an
// error, which is an *Error. Credentials that the server refuses are renewed, once.
func (c *Client) run(ctx context.Context, cmd command) ([]byte, error) {
	if err := c.checkVersion(ctx, cmd.op); err != nil {
		return nil, err
	}
	if r := cmd.remote; r != nil && r.lent { // they may have been renewed since
		cmd.remote = r.with(c.login())
	}
	out, err := c.execute(ctx, cmd)
	fresh, failed := c.renew(ctx, cmd.remote, err)
	switch {
	case failed != nil:
		e := *err.(*Error) //nolint:errorlint // it is never wrapped here
		e.Err = failed
		return out, &e
	case fresh == Credentials{}:
		return out, err
	}
	cmd.remote = cmd.remote.with(fresh)
	return c.execute(ctx, cmd)
}

// do is run for a command of which the output does not matter.
func (c *Client) do(ctx context.Context, cmd command) error {
	_, err := c.run(ctx, cmd)
	return err
}

// execute runs git once.
func (c *Client) execute(ctx context.Context, cmd command) ([]byte, error) {
	var secrets []string
	if cmd.remote != nil {
		secrets = append(cmd.remote.login.secrets(), c.config.SSH.secrets()...)
	}
	fail := func(e Error) error {
		e.Op, e.Attempt = cmd.op, middleware.Attempt(ctx)
		return &e
	}
	id, err := c.identity(cmd)
	if err != nil {
		return nil, err
	}
	defer id.remove()
	options, env := c.options(cmd)
	running, stop := context.WithCancel(ctx)
	defer stop()
	p := exec.CommandContext(running, c.config.Path, append(options, cmd.args...)...) //nolint:gosec // to run the git that the user chose is the purpose; arguments are checked
	p.Dir, p.Env = cmd.dir, c.environment(ctx, cmd, append(env, id.env...))
	stdout, stderr := &output{limit: maxOutput}, &transcript{progress: cmd.meter}
	var to io.Writer = stdout
	if cmd.stdout != nil {
		to = cmd.stdout
	}
	code, err := c.supervise(p, stop, to, stderr)

	stderr.end()
	if err == nil && code == 0 && !stdout.over {
		return stdout.kept.Bytes(), nil
	}
	lines := stderr.lines()
	show := func(s string) string { return redact(printable(s), secrets...) }
	e := Error{ExitCode: code, Stderr: shorten(show(strings.Join(lines, "\n"))), Err: err}
	switch {
	case ctx.Err() != nil:
		end := ended(ctx)
		e.Kind, e.Err = end.Kind, end.Err
	case stdout.over:
		e.Kind, e.Err = KindUnknown, fmt.Errorf("git wrote more than %d MiB", maxOutput>>20)
	case p.Process == nil && !errors.Is(err, exec.ErrNotFound) && !isDir(cmd.dir):
		e.Kind, e.Err = KindUsage, fmt.Errorf("%q is not a directory", cmd.dir)
	case p.Process == nil:
		e.Kind = KindNoGit
	default:
		if cmd.args[0] == "push" { // whose outcome stands in its standard output
			lines = append(strings.Split(stdout.kept.String(), "\n"), lines...)
		}
		d := diagnose(code, lines)
		e.Kind, e.HTTPStatus, e.line = d.kind, d.status, shorten(show(d.line))
	}
	return stdout.kept.Bytes(), fail(e)
}

// options returns the options that stand before the name of the command, and
// the variables that they refer to.
func (c *Client) options(cmd command) (args, env []string) {
	if cmd.args[0] == "version" {
		return nil, nil
	}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	// A detached clean-up would outlive the call and hold locks.
	set("gc.auto", "0")
	set("maintenance.auto", "false")
	if !c.config.Hooks {
		set("core.hooksPath", os.DevNull)
		set("core.fsmonitor", "") // a program too, or a daemon that outlives the call
	}
	if r := cmd.remote; r != nil {
		if seconds := c.stallSeconds(); seconds > 0 && r.base != "" {
			set("http.lowSpeedLimit", "1")
			set("http.lowSpeedTime", strconv.Itoa(seconds))
		}
		if r.base != "" {
			login, variables := r.login.arguments(r.base)
			args, env = append(args, login...), append(env, variables...)
		}
		if r.stored != "" {
			// Git puts the URL among the arguments of its helpers.
			args = append(args, "--config-env=url."+r.url+".insteadOf="+storedVariable)
			env = append(env, storedVariable+"="+r.stored)
		}
	}
	for _, s := range c.config.Settings {
		args = append(args, "-c", s)
	}
	set("protocol.ext.allow", "never")
	return args, env
}

const storedVariable = "TIDEGATE_GIT_STORED_URL"

func (c *Client) stallSeconds() int {
	if c.config.Stall < 0 {
		return 0
	}
	const most = math.MaxInt32 / 1000 // ssh counts milliseconds
	return int(min(max(1, c.config.Stall/time.Second), most))
}

// ended returns the error of a context that has ended.
func ended(ctx context.Context) Error {
	err, cause := ctx.Err(), context.Cause(ctx)
	e := Error{Kind: KindCanceled, Err: cause}
	if errors.Is(cause, middleware.ErrTimeout) {
		e.Kind = KindTimeout
	}
	if !errors.Is(cause, err) {
		e.Err = fmt.Errorf("%w: %w", err, cause)
	}
	return e
}

func isDir(path string) bool {
	if path == "" {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
