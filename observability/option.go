package observability

import (
	"log/slog"

	"go.opentelemetry.io/otel/log"
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
	tracers      trace.TracerProvider
	meters       metric.MeterProvider
	loggers      log.LoggerProvider
	spanEvents   bool
	attemptSpans AttemptSpans
	propagator   propagation.TextMapPropagator
	history      int
	live         *live
	logger       *slog.Logger
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

// WithLoggerProvider makes the events of policies log records of OpenTelemetry, which
// belong to the span of the call, in place of span events: [WithSpanEvents] keeps both.
// A nil provider leaves it at span events.
//
// Jaeger keeps no log records. What shows them there is a log processor that makes span
// events of them; with one of those do not use WithSpanEvents, or each event stands
// there twice.
func WithLoggerProvider(p log.LoggerProvider) Option {
	return func(c *config) { c.loggers = p }
}

// WithSpanEvents makes events span events although [WithLoggerProvider] makes log
// records of them. Without that option they are anyway.
func WithSpanEvents() Option {
	return func(c *config) { c.spanEvents = true }
}

// WithAttemptSpans says which attempts have a span of their own.
func WithAttemptSpans(a AttemptSpans) Option {
	return func(c *config) { c.attemptSpans = a }
}

// WithLive keeps in memory what [Page] and [StartMonitoring] show beyond the states of
// policies: the numbers of the last minutes of each chain, and its newest traces. It
// needs no provider, and keeps traces whether or not a tracer samples them.
func WithLive() Option {
	return func(c *config) { c.live = newLive() }
}

// AttemptSpans say which attempts have a span of their own.
type AttemptSpans int

const (
	// AttemptSpansAuto gives a span to each request on the wire (see
	// [Observer.Transport]), unless package otelhttp makes one for it, and to each
	// attempt of an operation that sent none.
	AttemptSpansAuto AttemptSpans = iota
	// AttemptSpansOn gives a span to each of them, also beside those of otelhttp.
	AttemptSpansOn
	// AttemptSpansOff makes no spans of attempts. [Observer.Transport] still adds the
	// number of the attempt to the span that otelhttp has made for it, but tells the
	// server of no span: whoever makes spans does.
	AttemptSpansOff
)

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
