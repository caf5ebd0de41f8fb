package benchmarks

import (
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// It has no policies, and no means to be off but a provider that does nothing.
func otelTransport(base http.RoundTripper, s stack) http.RoundTripper {
	var tracers oteltrace.TracerProvider
	switch s {
	case noopStack:
		tracers = noop.NewTracerProvider()
	case unsampledStack:
		tracers = unsampled()
	default:
		return nil
	}
	return otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(tracers),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	)
}

// unsampled is a provider of the SDK that makes traces and records none.
func unsampled() oteltrace.TracerProvider {
	return trace.NewTracerProvider(trace.WithSampler(trace.NeverSample()))
}
