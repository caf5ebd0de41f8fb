// Command soak makes calls as fast as the machine can, for an hour, through a chain of every
// policy, to a server that fails in turns, with chaos on, while the settings change and a person
// gives orders. No call may be lost and nothing may leak; it says what it measured, and fails
// if that is not so.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"
)

func main() {
	duration := flag.Duration("for", time.Hour, "how long to make calls")
	workers := flag.Int("workers", 32*runtime.GOMAXPROCS(0), "how many calls at the same time")
	every := flag.Duration("report", time.Minute, "how often to report")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := soak(ctx, os.Stdout, *duration, *workers, *every)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak: failed:", err)
		os.Exit(1)
	}
}
