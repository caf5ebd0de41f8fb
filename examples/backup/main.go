// Command backup is Tidegate's demonstration: it backs up a git repository to S3
// and tells an HTTP service of it, while each of the three fails in four ways, and
// then restores the backup and compares every file.
//
// It needs Go and git, starts its servers itself, on loopback, and leaves nothing
// behind.
//
//	go run ./backup
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
)

func main() { os.Exit(command()) }

// command returns the exit code.
func command() int {
	o := options{
		colour:   timeline.Coloured(os.Stdout, os.Getenv),
		module:   project,
		endpoint: os.Getenv(endpointVariable),
	}
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: backup [flags]\n\n"+
			"Backs up a git repository through Tidegate while the services that it uses fail.\n"+
			"With %s set, its traces go there. NO_COLOR turns colours off.\n\n", endpointVariable)
		flag.PrintDefaults()
	}
	flag.StringVar(&o.source, "repo", "", "back up the git repository around this `folder` (default: Tidegate's own when run inside it, and else a generated one)")
	flag.StringVar(&o.listen, "listen", "", "show the live page at this `address`, such as 127.0.0.1:9464, and under /metrics what Prometheus reads")
	flag.BoolVar(&o.hold, "hold", false, "with -listen, go on showing them at the end, until interrupted")
	flag.IntVar(&o.slack, "slack", 1, "make all time limits `n` times as long, on a slow machine")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "backup: unexpected argument %q: there are only flags, see -h\n", flag.Arg(0))
		return 2
	}
	if o.slack < 1 {
		fmt.Fprintf(os.Stderr, "backup: -slack is %d: it must be 1 or more\n", o.slack)
		return 2
	}
	if o.hold && o.listen == "" {
		fmt.Fprintln(os.Stderr, "backup: -hold is of no use without -listen")
		return 2
	}
	if o.source != "" {
		o.module = ""
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	// Nobody reads on: without this the program would die at once and clean nothing up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	out := &listened{Writer: os.Stdout, stop: stop}
	o.out = out
	err := run(ctx, o)
	if out.err != nil && !errors.Is(out.err, syscall.EPIPE) {
		err = fmt.Errorf("write the timeline: %w", out.err)
	}
	return exitCode(os.Stderr, err)
}

// A listened is an output that stops the program when it cannot be written to.
type listened struct {
	io.Writer
	stop func()
	err  error
}

// Write implements [io.Writer].
func (l *listened) Write(p []byte) (int, error) {
	n, err := l.Writer.Write(p)
	if err != nil {
		l.stop()
		l.err = err
	}
	return n, err
}

// exitCode says on w what went wrong.
func exitCode(w io.Writer, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "backup: interrupted:", err)
		return 130
	default:
		fmt.Fprintln(w, "backup:", err)
		return 1
	}
}
