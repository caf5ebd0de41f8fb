// Command live shows the live page of Tidegate with services that are simulated and that
// fail in turns. Open the address that it prints.
//
//	go run ./live                  a dozen services
//	go run ./live -services 200    many
//	go run ./live -control         with buttons that force open, release and reset
//
// With OTEL_EXPORTER_OTLP_ENDPOINT its traces go there, and the page links to them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/tidegate-go/tidegate/observability"
)

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8088", "address of the page; everybody who reaches it can read it")
	flag.IntVar(&o.services, "services", len(dozen), "how many services there are")
	flag.BoolVar(&o.control, "control", false, "let everybody who can read the page force open, release and reset services")
	flag.StringVar(&o.traceLink, "trace-link", observability.DefaultTraceLink, "where the traces can be seen, with {trace_id}; empty for no links")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		log.Print(err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

type options struct {
	listen    string
	services  int
	control   bool
	traceLink string
}

// run simulates services and serves the page about them until ctx ends.
func run(ctx context.Context, w io.Writer, o options) (err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	tracers, flush, err := exporter(ctx)
	if err != nil {
		return err
	}
	site, err := newSite(ctx, o, tracers)
	if err != nil {
		return errors.Join(err, flush())
	}
	defer func() { err = errors.Join(err, site.close(), flush()) }()

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           site.handler,
		ReadHeaderTimeout: 5 * time.Second,
		// The streams of open pages end with this context. Shutdown would wait for them.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(listener)
		end()
	}()
	fmt.Fprintf(w, "the live page is at http://%s/tidegate/\n", listener.Addr())

	site.world.run(ctx)
	err = server.Close()
	if cause := <-served; !errors.Is(cause, http.ErrServerClosed) {
		err = errors.Join(err, cause)
	}
	return err
}
