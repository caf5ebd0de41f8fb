package main

import (
	"context"
	"errors"
	"net/http"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/observability"
)

// A site is the simulated world and the page about it.
type site struct {
	manager *tidegate.Manager
	monitor *observability.Monitor
	world   *world
	handler http.Handler
}

// newSite makes the services and begins to watch them. Nobody calls them yet.
func newSite(ctx context.Context, o options, tracers trace.TracerProvider) (*site, error) {
	observer := observability.New(observability.WithLive(), observability.WithTracerProvider(tracers))
	manager, err := tidegate.New(tidegate.Config{}, tidegate.WithObserver(observer))
	if err != nil {
		return nil, err
	}
	world, err := newWorld(manager, o.services)
	if err != nil {
		return nil, errors.Join(err, manager.Close())
	}
	// Alerts know what was before somebody looks at the page.
	monitor := observability.StartMonitoring(ctx, manager)

	opts := []observability.PageOption{
		observability.WithMonitor(monitor),
		observability.WithTraceLink(o.traceLink),
	}
	if o.control {
		// A real program looks for the session of somebody who may do this.
		opts = append(opts, observability.AllowControl(func(*http.Request) bool { return true }))
	}
	mux := http.NewServeMux()
	mux.Handle("/tidegate/", http.StripPrefix("/tidegate", observability.Page(manager, opts...)))
	mux.Handle("/{$}", http.RedirectHandler("/tidegate/", http.StatusFound))
	return &site{manager, monitor, world, mux}, nil
}

func (s *site) close() error {
	s.monitor.Close()
	return s.manager.Close()
}
