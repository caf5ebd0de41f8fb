package observability

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/tidegate-go/tidegate/middleware"
)

// maxEvents is how many events and child spans one call may add to its trace. The
// SDK keeps 128 events of a span and drops the oldest of more.
const maxEvents = 100

// A call is what an observer keeps of one call through a chain. It is also the
// context of that call, which saves an allocation.
type call struct {
	context.Context

	line

	observer *Observer
	profile  *profile
	start    time.Time
	outer    int                  // the attempt of another call that this call is part of, if it is
	opening  []attribute.KeyValue // of the span, as known before the call

	open atomic.Int32 // what the span waits for: the return, the end of the result
	ran  atomic.Int32 // how often the operation ran

	mu        sync.Mutex
	scheduled int           // the failed attempt that another one is to follow
	resume    time.Time     // when that is due
	waited    time.Duration // in all
	repeated  bool          // another attempt has followed the first one
	stopped   string        // why no attempt followed
	hedges    []int         // attempts that began beside others
	opener    string        // the trace of the call that opened the breaker which refused this one
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

// through returns the call through the chain: c, or one that c is part of. It is nil if there
// is none.
func (c *call) through(chain string) *call {
	for c != nil && c.profile.chain != chain {
		c = c.observer.callOf(c.Context)
	}
	return c
}

// number returns which attempt of the call ctx belongs to. Until the call is repeated ctx
// has the number of the attempt that the call is part of.
func (c *call) number(ctx context.Context) int {
	n := middleware.Attempt(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == c.outer && !c.repeated {
		return 1
	}
	return n
}

// note counts e.
func (c *call) note(e middleware.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Kind {
	case middleware.RetryScheduled:
		c.scheduled, c.resume = e.Attempt, e.Time.Add(e.Wait)
		c.waited += e.Wait
		c.stopped, c.repeated = "", true
	case middleware.RetryStopped:
		c.stopped = e.Reason
		if e.Attempt == c.scheduled { // the wait was cut short
			c.waited -= max(0, c.resume.Sub(e.Time))
		}
	case middleware.HedgeStarted:
		c.hedges = append(c.hedges, e.Attempt)
	case middleware.Waited:
		c.waited += e.Wait
	case middleware.Rejected:
		c.opener = e.Opener
	default:
	}
}

// hedged reports whether the attempt began beside others.
func (c *call) hedged(attempt int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.hedges, attempt)
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

// done measures and describes the call, which has ended with err, or without
// having returned.
func (c *call) done(err error, returned bool) {
	o := panicked
	if returned {
		o = outcomeOf(c.Context, err)
	}
	took, attempts := time.Since(c.start), int(c.ran.Load())
	if i := c.observer.instruments; i != nil {
		i.called(c.Context, c.profile.chain, o, took, attempts)
	}
	c.observer.live.called(c.profile.chain, o.word, took)
	if c.records() {
		c.describe(o, attempts)
		c.release()
	}
}

// describe sets the attributes of the span. They tell what the chain decided, so
// they are complete when it has returned, though a streamed result may go on.
func (c *call) describe(o outcome, attempts int) {
	c.mu.Lock()
	attributes := c.opening
	attributes = append(attributes, c.profile.policies, keyAttempts.Int(attempts))
	if c.waited > 0 {
		attributes = append(attributes, keyWait.Float64(c.waited.Seconds()))
	}
	if c.stopped != "" {
		attributes = append(attributes, keyStopReason.String(c.stopped))
	}
	if o.word == rejected && c.opener != "" {
		attributes = append(attributes, keyOpener.String(c.opener))
	}
	if c.dropped > 0 {
		attributes = append(attributes, keyEventsDropped.Int(c.dropped))
	}
	c.mu.Unlock()
	c.conclude(o, attributes)
}

// release ends the span when both the call and its result have ended.
func (c *call) release() {
	if c.open.Add(-1) == 0 {
		c.end()
	}
}
