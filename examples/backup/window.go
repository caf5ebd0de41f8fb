package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/observability"
)

// A window is where others can look into the demonstration while it runs. The zero
// window is closed.
type window struct {
	meters  metric.MeterProvider // nil, which is off, when it is closed
	address string
	mux     *http.ServeMux
	server  *http.Server
	served  chan error
}

// openWindow serves on address. If that is empty the window stays closed.
func openWindow(ctx context.Context, address string) (*window, error) {
	if address == "" {
		return new(window), nil
	}
	meters, page, err := newMetrics()
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	w := &window{meters: meters, address: listener.Addr().String(), served: make(chan error, 1), mux: http.NewServeMux()}
	w.mux.Handle("GET /metrics", page)
	w.server = &http.Server{Handler: w.mux, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { w.served <- w.server.Serve(listener) }()
	return w, nil
}

// options are those of the observer that can be looked at.
func (w *window) options() []observability.Option {
	if w.server == nil {
		return nil
	}
	return []observability.Option{observability.WithMeterProvider(w.meters), observability.WithLive()}
}

// show shows the services on the live page.
func (w *window) show(m *tidegate.Manager) {
	if w.server != nil {
		w.mux.Handle("/", observability.Page(m))
	}
}

// close cuts all connections.
func (w *window) close() error {
	if w.server == nil {
		return nil
	}
	err := w.server.Close()
	if served := <-w.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
