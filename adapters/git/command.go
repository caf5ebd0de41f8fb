package git

import (
	"context"
	"errors"
	"fmt"
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
	op     string
	dir    string  // where it runs; empty for a command that needs no repository
	remote *remote // nil for a command that stays on this machine
	args   []string
}

// run runs git and returns what it wrote to its standard output, also with an
// error, which is an *Error.
func (c *Client) run(ctx context.Context, cmd command) ([]byte, error) {
	var secrets []string
	if cmd.remote != nil {
		secrets = cmd.remote.login.secrets()
	}
	fail := func(e Error) error {
		e.Op = cmd.op
		return &e
	}
	options, env := c.options(cmd)
	p := exec.CommandContext(ctx, c.config.Path, append(options, cmd.args...)...) //nolint:gosec // to run the git that the user chose is the purpose; arguments are checked
	p.Dir, p.Env = cmd.dir, c.environment(ctx, cmd, env)
	stdout, stderr := &output{limit: maxOutput}, &transcript{}
	code, err := c.supervise(p, stdout, stderr)

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
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	// A detached clean-up would outlive the call and hold locks.
	set("gc.auto", "0")
	set("maintenance.auto", "false")
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
	return max(1, int(c.config.Stall/time.Second))
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
