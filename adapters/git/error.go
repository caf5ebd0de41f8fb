package git

import (
	"fmt"
	"strings"
)

// An Error says how a call failed. Its texts hold no credentials and are bounded.
//
// When the context has ended, errors.Is finds its error and its cause.
type Error struct {
	Op   string // what the client was asked for, such as "clone"
	Kind Kind

	// ExitCode is the exit status of git. It is -1 when git was killed or did not
	// start, and 0 when it was not asked.
	ExitCode int
	// HTTPStatus is the status that the server answered, when git names it.
	HTTPStatus int
	// Attempt is which attempt of the call failed, from 1 on. It is 1 outside of a
	// retry too, and 0 when git was not asked.
	Attempt int
	// Stderr is what git wrote to its standard error: its beginning and its end
	// when it is longer than 4 KiB.
	Stderr string

	// Err is the cause, when there is more to know than what git said: the end of
	// the context, a git that cannot be run, an argument that is refused.
	Err error

	line string // what says best what happened
}

// Error says what was asked for, what git said, the kind, and what may help.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("git")
	if e.Op != "" {
		b.WriteString(" " + e.Op)
	}
	switch line := e.said(); {
	case e.Err != nil:
		fmt.Fprintf(&b, ": %s", e.Err)
	case line != "":
		fmt.Fprintf(&b, ": %s", line)
	default:
		b.WriteString(": failed without a message")
	}
	fmt.Fprintf(&b, " (%s", e.Kind)
	if e.ExitCode > 0 {
		fmt.Fprintf(&b, ", exit status %d", e.ExitCode)
	}
	b.WriteString(")")
	if e.Op == "clone" && (e.Kind == KindTimeout || e.Kind == KindSlow) {
		b.WriteString("; a longer limit, or less to fetch (CloneOptions.Depth or Filter), may help")
	}
	return b.String()
}

// said returns the line that was recognised or else the last one that git wrote.
func (e *Error) said() string {
	if e.line != "" {
		return e.line
	}
	return e.Stderr[strings.LastIndex(e.Stderr, "\n")+1:]
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// ErrorType returns the kind, for the attribute error.type of spans and metrics.
func (e *Error) ErrorType() string { return string(e.Kind) }

// usage returns the error of a call that cannot be right. err must not hold
// credentials.
func usage(op string, err error) error {
	return &Error{Op: op, Kind: KindUsage, Err: err}
}
