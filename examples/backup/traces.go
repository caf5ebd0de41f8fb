package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const (
	endpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	serviceName      = "tidegate-backup"
	exportLimit      = 5 * time.Second
)

// traces are where the spans of the demonstration go: to a collector when the
// environment names one, and otherwise into memory.
type traces struct {
	provider *sdktrace.TracerProvider
	memory   *tracetest.SpanRecorder // nil with a collector
	sent     *watched                // nil without
	endpoint string
}

func newTraces(ctx context.Context, endpoint string) (*traces, error) {
	t := &traces{endpoint: endpoint}
	var sink sdktrace.TracerProviderOption
	if endpoint == "" {
		t.memory = tracetest.NewSpanRecorder()
		sink = sdktrace.WithSpanProcessor(t.memory)
	} else {
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%s is not a URL with http or https and a host, such as http://localhost:4318", endpointVariable)
		}
		exporter, err := newExporter(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", endpointVariable, err)
		}
		t.sent = &watched{SpanExporter: exporter}
		sink = sdktrace.WithBatcher(t.sent)
	}
	t.provider = sdktrace.NewTracerProvider(sink,
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", serviceName))))
	return t, nil
}

func (t *traces) tracer() trace.Tracer { return t.provider.Tracer(project + "/examples/backup") }

// close sends what was not sent yet. An error says that spans did not arrive. The
// context may have ended.
func (t *traces) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportLimit)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	if t.sent != nil {
		err = errors.Join(err, t.sent.err())
	}
	return err
}

// address returns the endpoint without what may be secret in it.
func (t *traces) address() string {
	u, err := url.Parse(t.endpoint)
	if err != nil {
		return "the collector"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// watched is an exporter that remembers its first error, which a provider would
// hand to a global function.
type watched struct {
	sdktrace.SpanExporter
	mu    sync.Mutex
	first error
}

// ExportSpans implements [sdktrace.SpanExporter].
func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := w.SpanExporter.ExportSpans(ctx, spans); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.first == nil {
			w.first = err
		}
	}
	return nil
}

func (w *watched) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}
