package observability

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// An Observer shows what the policies of chains decide. Put it first into
// [middleware.NewChain], once:
//
//	chain := middleware.NewChain("billing", observer, retry, breaker)
//
// It hears the events of the whole chain wherever it stands, but its span and its
// duration cover the policies after it. One Observer may be part of many chains.
//
// It is a [middleware.Tracer], so that a breaker can name the trace of the call that
// opened it.
//
// What it was given no provider for is off. The zero Observer and a nil one show
// nothing at all. An Observer is safe for concurrent use.
type Observer struct {
	tracer      trace.Tracer // nil is off
	propagator  propagation.TextMapPropagator
	instruments *instruments // nil is off
	history     *history     // nil is off
	profiles    cache[*middleware.Chain, *profile]
}

// New returns an Observer. Without options it keeps a history and does nothing
// else.
func New(opts ...Option) *Observer {
	c := newConfig(opts)
	o := &Observer{
		propagator:  c.propagator,
		instruments: newInstruments(c.meters),
		history:     newHistory(c.history),
	}
	if c.tracers != nil {
		o.tracer = c.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	}
	return o
}

// Execute implements [middleware.Policy]: it makes the span of the call and
// measures the call.
//
// A streamed result (see [middleware.Stream]) belongs to the call: the span ends
// with it. The attributes and the measured duration are those of the return, when
// the policies have decided; a result that fails later changes neither.
func (o *Observer) Execute(ctx context.Context, next middleware.Next) error {
	if o.tracer == nil && o.instruments == nil {
		return next.Do(ctx)
	}
	p := o.profile(next.Chain())
	var span trace.Span
	if o.tracer != nil {
		n := p.name(middleware.OperationOf(ctx).Name)
		ctx, span = o.tracer.Start(ctx, n.text, n.start...)
		if !span.IsRecording() {
			span.End()
			span = nil
		}
	}
	if span == nil && o.instruments == nil {
		return next.Do(ctx)
	}
	return o.follow(&call{Context: ctx, observer: o, profile: p, span: span, start: time.Now()}, next)
}

// follow runs next as the call c.
func (o *Observer) follow(c *call, next middleware.Next) (err error) {
	returned := false
	defer func() { c.done(err, returned) }()
	if c.span == nil {
		err = next.Do(c)
	} else {
		c.open.Store(2)
		err = next.DoThen(c, c.release)
	}
	returned = true
	return err
}

// Observe implements [middleware.Observer].
func (o *Observer) Observe(ctx context.Context, e middleware.Event) {
	if o.history != nil {
		o.history.observe(ctx, e)
	}
	if o.instruments != nil {
		o.instruments.observe(ctx, e)
	}
	if o.tracer == nil && o.instruments == nil {
		return
	}
	c := o.callOf(ctx)
	if c != nil && c.profile.chain != e.Chain { // a call that this one is part of
		c = nil
	}
	if c != nil {
		c.note(e)
	}
	if o.tracer != nil {
		o.trace(ctx, c, e)
	}
}

// TraceID implements [middleware.Tracer]: it returns the trace that ctx belongs to,
// in hexadecimal, or "" if there is none or it is not sampled. It needs no provider.
func (o *Observer) TraceID(ctx context.Context) string {
	if id := sampledTrace(ctx); id.IsValid() {
		return id.String()
	}
	return ""
}

// History returns the newest records of all chains, oldest first. It needs no
// provider.
func (o *Observer) History() []Record {
	if o == nil || o.history == nil {
		return nil
	}
	return o.history.snapshot()
}

func (o *Observer) profile(c *middleware.Chain) *profile {
	if p, ok := o.profiles.load(c); ok {
		return p
	}
	return o.profiles.store(c, newProfile(c))
}
