package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidegate-go/tidegate/middleware"
)

// Run runs a git command of your own in the repository at dir, as the client runs
// its own: in a process group, with its environment and settings, and with errors
// that are an [*Error]. The output goes to stdout, as it comes; nil drops it. The
// arguments begin with the name of the command; what they mean is not checked, so
// put "--end-of-options" or "--" before what comes from others.
//
// It passes no policy, is not repeated, waits for no other call and gets no
// credentials: it is for commands that stay on this machine, such as log or diff.
// Inside of [Client.Do] it may be one that does not.
func (c *Client) Run(ctx context.Context, dir string, stdout io.Writer, args ...string) error {
	const op = "run"
	if len(args) == 0 {
		return usage(op, errors.New("there is no command"))
	}
	if err := checkText(args[0]); err != nil {
		return usage(op, fmt.Errorf("the command %q %w", args[0], err))
	}
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return usage(op, fmt.Errorf("an argument of %q has a NUL character", args[0]))
		}
	}
	dir, err := directory(op, dir)
	if err != nil {
		return err
	}
	if stdout == nil {
		stdout = io.Discard
	}
	to := &sink{to: stdout}
	_, err = c.run(ctx, command{op: args[0], dir: dir, args: args, stdout: to})
	if to.err == nil || err != nil && ctx.Err() != nil {
		return err
	}
	e := &Error{Op: args[0], Attempt: middleware.Attempt(ctx)} // git may have ended well before it could notice
	errors.As(err, &e)
	e.Kind, e.Err = KindUnknown, fmt.Errorf("writing its output: %w", to.err)
	return e
}

// A sink remembers why the output could not be written.
type sink struct {
	to  io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.to.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	s.err = err
	return n, err
}
