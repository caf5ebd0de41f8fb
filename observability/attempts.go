package observability

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/tidegate-go/tidegate/middleware"
)

// attempts is the part of an observer that stands innermost in a chain: it measures each
// attempt, and makes the span of one that had none on the wire.
type attempts struct{ observer *Observer }

// Execute implements [middleware.Policy].
func (a *attempts) Execute(ctx context.Context, next middleware.Next) error {
	inner := a.observer.callOf(ctx)
	c := inner.through(next.Chain().Name())
	if c == nil {
		return next.Do(ctx)
	}
	c.ran.Add(1)
	if !c.records() || c != inner { // a chain among the policies of this one has made the row
		return c.measure(ctx, next)
	}
	t := &try{Context: ctx, attempts: a, call: c, number: c.number(ctx)}
	return t.follow(next)
}

// measure runs next as an attempt whose span nobody sees.
func (c *call) measure(ctx context.Context, next middleware.Next) (err error) {
	o, start := panicked, time.Now()
	defer func() { c.attempted(o, time.Since(start)) }()
	err = next.Do(ctx)
	o = tryOutcome(ctx, err)
	return err
}

func (c *call) attempted(o outcome, took time.Duration) {
	if i := c.observer.instruments; i != nil {
		i.attempted(c, c.profile.chain, o, took)
	}
	c.observer.live.attempt(c.profile.chain)
}

// A try is an attempt whose span somebody sees. It is also the context of the attempt,
// so that the transport under the chain finds it.
type try struct {
	context.Context

	attempts *attempts
	call     *call
	number   int         // from 1
	wired    atomic.Bool // it was on the wire and has its spans from there
}

// Value returns the try itself to its observer.
func (t *try) Value(key any) any {
	if key == t.attempts {
		return t
	}
	return t.Context.Value(key)
}

// tryOf returns the attempt that ctx belongs to, or nil.
func (o *Observer) tryOf(ctx context.Context) *try {
	t, _ := ctx.Value(o.innermost).(*try)
	return t
}

// follow runs next as the attempt.
func (t *try) follow(next middleware.Next) (err error) {
	o, start := panicked, time.Now()
	defer func() { t.done(o, start, time.Now()) }()
	err = next.Do(t)
	o = tryOutcome(t.Context, err)
	return err
}

func (t *try) done(o outcome, start, end time.Time) {
	c := t.call
	c.attempted(o, end.Sub(start))
	if t.wired.Load() || c.observer.attemptSpans == AttemptSpansOff || c.ran.Load() > maxEvents {
		return
	}
	name := "attempt"
	if operation := middleware.OperationOf(c).Name; operation != "" {
		name = operation + " attempt"
	}
	l := c.observer.row(t.Context, c.line, name, start)
	attributes := append(make([]attribute.KeyValue, 0, 6), keyChain.String(c.profile.chain))
	l.conclude(o, append(attributes, t.numbers(false)...))
	l.endAt(end)
}

// numbers tell which attempt of its call it is, and, of a request, how many came before.
func (t *try) numbers(request bool) []attribute.KeyValue {
	attributes := numberAttributes(t.number, request)
	if t.call.hedged(t.number) {
		attributes = append(attributes, keyHedge.Bool(true))
	}
	return attributes
}

// tryOutcome judges what an attempt with the context ctx came to.
func tryOutcome(ctx context.Context, err error) outcome {
	switch {
	case errors.Is(err, middleware.ErrSuperseded):
		return outcome{word: cancelled}
	case ctx.Err() != nil && middleware.VerdictOf(err).Class != middleware.Success:
		return attemptOutcome(ctx, err)
	default:
		return outcomeOf(ctx, err)
	}
}
