// Command reload runs with a configuration file that may be changed meanwhile: start it, change
// rate or observe_only in tidegate.yaml, and see what becomes of the next calls.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
)

func main() {
	file := flag.String("config", "reload/tidegate.yaml", "the configuration `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *file, time.Second)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run makes ten calls in each interval and says what they came to, until ctx ends.
func run(ctx context.Context, out io.Writer, file string, interval time.Duration) error {
	config, err := tidegate.LoadConfig(file)
	if err != nil {
		return err
	}
	var would wouldReject
	manager, err := tidegate.New(config, tidegate.WithObserver(&would))
	if err != nil {
		return err
	}
	defer manager.Close()
	invoices, err := manager.Service("invoices")
	if err != nil {
		return err
	}
	watched := make(chan error, 1)
	go func() {
		watched <- manager.Watch(ctx, file, interval, func(err error) {
			if err != nil {
				fmt.Fprintln(out, "the old settings stay:", err)
			}
		})
	}()
	defer func() {
		if err := <-watched; !errors.Is(err, context.Canceled) {
			fmt.Fprintln(out, err)
		}
	}()

	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		rejected := 0
		for range 10 {
			if err := invoices.Do(ctx, send); tidegate.IsRejected(err) {
				rejected++
			}
		}
		fmt.Fprintf(out, "of 10 calls %d were rejected, %d would have been\n", rejected, would.Swap(0))
	}
}

// send stands for a call to the service.
func send(ctx context.Context) error { return ctx.Err() }

// wouldReject counts what policies that only observe would have rejected.
type wouldReject struct{ atomic.Int64 }

func (w *wouldReject) Observe(_ context.Context, e middleware.Event) {
	if e.Kind == middleware.WouldReject {
		w.Add(1)
	}
}
