package observability

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
)

// maxEvents is how many events and child spans one call may add to its trace. The
// SDK keeps 128 events of a span and drops the oldest of more.
const maxEvents = 100

// A call is what an observer keeps of one call through a chain. It is also the
// context of that call, which saves an allocation.
type call struct {
	context.Context

	observer *Observer
	profile  *profile
	span     trace.Span // nil unless it records
	start    time.Time

	open atomic.Int32 // what the span waits for: the return, the end of the result

	mu        sync.Mutex
	retries   int           // attempts after the first, and hedges
	scheduled int           // the failed attempt that the last of them follows
	resume    time.Time     // when the last of them is due
	refused   int           // attempts that a policy refused
	waited    time.Duration // in all
	stopped   string        // why no attempt followed
	events    int
	dropped   int
}

// Value returns the call itself to its observer.
func (c *call) Value(key any) any {
	if key == c.observer {
		return c
	}
	return c.Context.Value(key)
}

// callOf returns the call that ctx belongs to, or nil.
func (o *Observer) callOf(ctx context.Context) *call {
	c, _ := ctx.Value(o).(*call)
	return c
}

// note counts e.
func (c *call) note(e middleware.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Kind {
	case middleware.RetryScheduled:
		c.retries++
		c.scheduled, c.resume = e.Attempt, e.Time.Add(e.Wait)
		c.waited += e.Wait
		c.stopped = ""
	case middleware.RetryStopped:
		c.stopped = e.Reason
		if e.Attempt == c.scheduled { // the wait was cut short
			c.retries--
			c.waited -= max(0, c.resume.Sub(e.Time))
		}
	case middleware.HedgeStarted:
		c.retries++
	case middleware.Waited:
		c.waited += e.Wait
	case middleware.Rejected:
		c.refused++
	default:
	}
}

// admit reports whether the call may add one more event to its trace.
func (c *call) admit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == maxEvents {
		c.dropped++
		return false
	}
	c.events++
	return true
}

// attempts returns how often the operation ran, as far as the events of the
// policies tell: an observer stands outside of the policies that repeat a call.
// The lock is held.
func (c *call) attempts() int { return max(0, 1+c.retries-c.refused) }

// done measures and describes the call, which has ended with err, or without
// having returned.
func (c *call) done(err error, returned bool) {
	o := panicked
	if returned {
		o = outcomeOf(c.Context, err)
	}
	c.mu.Lock()
	attempts := c.attempts()
	c.mu.Unlock()
	if i := c.observer.instruments; i != nil {
		i.called(c.Context, c.profile.chain, o, time.Since(c.start), attempts)
	}
	if c.span != nil {
		c.describe(o)
		c.release()
	}
}

// describe sets the attributes of the span. They tell what the chain decided, so
// they are complete when it has returned, though a streamed result may go on.
func (c *call) describe(o outcome) {
	c.mu.Lock()
	attributes := make([]attribute.KeyValue, 0, 7)
	attributes = append(attributes, c.profile.policies, keyOutcome.String(o.word), keyAttempts.Int(c.attempts()))
	if c.waited > 0 {
		attributes = append(attributes, keyWait.Float64(c.waited.Seconds()))
	}
	if c.stopped != "" {
		attributes = append(attributes, keyStopReason.String(c.stopped))
	}
	if c.dropped > 0 {
		attributes = append(attributes, keyEventsDropped.Int(c.dropped))
	}
	c.mu.Unlock()
	if o.isError() {
		attributes = append(attributes, semconv.ErrorTypeKey.String(o.errorType))
		c.span.SetStatus(codes.Error, "")
	}
	c.span.SetAttributes(attributes...)
}

// release ends the span when both the call and its result have ended.
func (c *call) release() {
	if c.open.Add(-1) == 0 {
		c.span.End()
	}
}
