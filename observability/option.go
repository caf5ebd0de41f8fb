package observability

import (
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// DefaultHistory is how many records the history of an [Observer] keeps unless
// [WithHistory] says otherwise.
const DefaultHistory = 256

// An Option configures an [Observer].
type Option func(*config)

type config struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	history    int
}

// WithTracerProvider turns spans on. A nil provider leaves them off; there is no
// fallback to the global one, which is otel.GetTracerProvider for who wants it.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *config) { c.tracers = p }
}

// WithMeterProvider turns metrics on. A nil provider leaves them off; there is no
// fallback to the global one, which is otel.GetMeterProvider for who wants it.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(c *config) { c.meters = p }
}

// WithPropagator sets how [Observer.Transport] tells a server of the trace. The
// default, also for nil, is the W3C trace context and baggage.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagator = p }
}

// WithHistory sets how many records the history keeps. Zero means DefaultHistory,
// a negative value no history.
func WithHistory(n int) Option {
	return func(c *config) { c.history = n }
}

func newConfig(opts []Option) config {
	var c config
	for _, opt := range opts {
		if opt != nil {
			opt(&c)
		}
	}
	if c.history == 0 {
		c.history = DefaultHistory
	}
	if c.propagator == nil {
		c.propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	return c
}
