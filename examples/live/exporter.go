package main

import (
	"context"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// exporter returns where traces go, nil if nowhere, and how to send the last ones.
func exporter(ctx context.Context) (trace.TracerProvider, func() error, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
		return nil, func() error { return nil }, nil
	}
	to, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, err
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(to),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("live"))))
	return tracers, func() error {
		// What ended the program must not keep it from sending.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		return tracers.Shutdown(ctx)
	}, nil
}
