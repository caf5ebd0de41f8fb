package observability

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/log"
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
	tracer       trace.Tracer // nil is off
	propagator   propagation.TextMapPropagator
	attemptSpans AttemptSpans
	spanEvents   bool
	records      log.Logger   // nil is off
	instruments  *instruments // nil is off
	history      *history     // nil is off
	live         *live        // nil is off
	logger       *eventLogger // nil is off
	innermost    *attempts    // nil when nothing is on that looks at calls
	chains       chains
	openers      openers
	profiles     profiles
}

// New returns an Observer. Without options it keeps a history and does nothing
// else.
func New(opts ...Option) *Observer {
	c := newConfig(opts)
	o := &Observer{
		propagator:   c.propagator,
		attemptSpans: c.attemptSpans,
		spanEvents:   c.loggers == nil || c.spanEvents,
		history:      newHistory(c.history),
		logger:       newEventLogger(c.logger),
		live:         c.live,
	}
	if c.tracers != nil {
		o.tracer = c.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	}
	if c.loggers != nil {
		o.records = c.loggers.Logger(scope, log.WithSchemaURL(semconv.SchemaURL))
	}
	o.instruments = newInstruments(c.meters, &o.chains)
	if o.tracer != nil || o.instruments != nil || o.live != nil {
		o.innermost = &attempts{o}
	}
	return o
}

// Attach implements [middleware.Attacher]: the Observer measures the states of the
// policies of all chains that it is part of and that are in use.
func (o *Observer) Attach(c *middleware.Chain) {
	o.chains.add(c)
	if o.instruments != nil {
		o.instruments.attach(c)
	}
}

// Innermost implements [middleware.Enclosing]: a part of the Observer watches each
// attempt.
func (o *Observer) Innermost() middleware.Policy {
	if o.innermost == nil {
		return nil
	}
	return o.innermost
}

// Execute implements [middleware.Policy]: it makes the span of the call and
// measures the call.
//
// A streamed result (see [middleware.Stream]) belongs to the call: the span ends
// with it. The attributes and the measured duration are those of the return, when
// the policies have decided; a result that fails later changes neither.
func (o *Observer) Execute(ctx context.Context, next middleware.Next) error {
	if o.innermost == nil {
		return next.Do(ctx)
	}
	p := o.profiles.of(next.Chain())
	operation := middleware.OperationOf(ctx)
	var l line
	if o.live != nil {
		l.kept = o.keep(ctx, p, operation)
	}
	if o.tracer != nil {
		ctx, l.span = o.tracer.Start(ctx, p.name(operation.Name))
		if !l.span.IsRecording() {
			l.span.End()
			l.span = nil
		}
	}
	if l.span == nil && o.instruments == nil && o.live == nil {
		return next.Do(ctx)
	}
	c := &call{Context: ctx, observer: o, profile: p, line: l, start: time.Now()}
	if l.records() {
		l.kept.identify(trace.SpanContextFromContext(ctx))
		c.opening = p.opening(next.Chain(), operation)
		if outer := o.tryOf(ctx); outer != nil && outer.call == o.callOf(ctx) {
			c.outer = middleware.Attempt(ctx)
		}
	}
	o.live.begin(p.chain)
	return o.follow(c, next)
}

// keep returns the copy of the span of a call: in the trace of the call that it is part
// of, or the first one of a trace.
func (o *Observer) keep(ctx context.Context, p *profile, operation middleware.Operation) *keptSpan {
	name, now := p.name(operation.Name), time.Now()
	if outer := o.callOf(ctx); outer != nil {
		return outer.kept.child(name, trace.SpanKindInternal, now)
	}
	return o.live.traces.begin(p.chain, name, now)
}

// follow runs next as the call c.
func (o *Observer) follow(c *call, next middleware.Next) (err error) {
	returned := false
	defer func() { c.done(err, returned) }()
	if !c.line.records() {
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
	o.live.observe(ctx, e)
	o.logger.observe(ctx, e)
	if o.tracer != nil && opens(e) {
		o.openers.add(trace.SpanContextFromContext(ctx))
	}
	var c *call
	if o.innermost != nil {
		if c = o.callOf(ctx).through(e.Chain); c != nil {
			c.note(e)
		}
	}
	if o.records != nil {
		o.log(ctx, c, e)
	}
	if o.tracer != nil || o.live != nil {
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
