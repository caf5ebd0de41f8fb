package policies

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Bulkhead bounds how many calls run at the same time, so that a dependency that has
// become slow does not take all there is of memory, connections and goroutines.
//
// A call beyond the bound waits in a queue, first come, first served, and nobody
// overtakes it. With the Order LIFO the call that came last is served first: under
// overload most calls are then either served soon or refused, instead of all being late.
// When the queue is full, or the call has waited for MaxWait, it is refused
// with a [*middleware.Rejection] whose reason is [middleware.ErrBulkheadFull]. A call
// that would have to wait and whose deadline has passed is refused at once, with the
// reason [middleware.ErrDeadline]. One whose context ends while it waits is refused with
// [middleware.ErrCanceled].
//
// A call gives its place back when it is over, in whatever way. A streamed result keeps
// the place until it has been read or closed, unless UntilResult is set: a result that
// nobody closes keeps it for good, unless there is a Lease.
//
// [Bulkhead.Acquire] takes a place for work outside of a chain.
//
// A Bulkhead starts no goroutine. A call that does not have to wait takes no lock, nor
// does one that is refused because the queue is full; with a Lease both do.
type Bulkhead struct {
	places
	settings atomic.Pointer[bulkheadSettings]
	home     atomic.Pointer[middleware.Chain] // of events without a call, see Attach
}

// bulkheadSettings are the settings in force.
type bulkheadSettings struct {
	config      BulkheadConfig // complete
	description description
}

// NewBulkhead returns a Bulkhead. It panics if the settings are not valid.
func NewBulkhead(c BulkheadConfig) *Bulkhead {
	must(c.Validate())
	c = c.complete()
	b := &Bulkhead{}
	b.settings.Store(&bulkheadSettings{config: c})
	b.start(or(c.Name, "bulkhead"), middleware.ErrBulkheadFull, "bulkhead", c.rules())
	return b
}

// Name returns the name of the policy.
func (b *Bulkhead) Name() string { return b.name }

// Apply changes the settings of a Bulkhead that is in use, but its name. Calls that run or
// wait go on, as after [Bulkhead.Resize], and those that wait do so for no longer than the
// MaxWait with which they began. A Lease holds for the calls that run only if they began
// with one. The error is that of Validate; then nothing has changed. An event tells of another
// MaxConcurrent as that of Resize does.
func (b *Bulkhead) Apply(c BulkheadConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	b.update(func(BulkheadConfig) BulkheadConfig { return c.complete() })
	return nil
}

// Resize changes MaxConcurrent to n; less than 1 counts as 1. When there are more places
// than before, calls that wait get them at once. When there are fewer, those that run go
// on, and no other begins until they are fewer than n. The event [middleware.LimitChanged],
// with the Reason "resized", goes to the observers of the chain that the Bulkhead is part of.
func (b *Bulkhead) Resize(n int) {
	b.update(func(c BulkheadConfig) BulkheadConfig {
		c.MaxConcurrent = min(max(n, 1), math.MaxInt32)
		return c
	})
}

// update makes the settings hold that to returns for those in force, which are complete, and
// tells of another limit.
func (b *Bulkhead) update(to func(BulkheadConfig) BulkheadConfig) {
	before, after := b.set(to)
	if before == after {
		return
	}
	b.home.Load().Emit(context.Background(), middleware.Event{
		Kind: middleware.LimitChanged, Policy: b.name, From: strconv.Itoa(before), To: strconv.Itoa(after), Reason: "resized",
	})
}

// set returns the limits before and after.
func (b *Bulkhead) set(to func(BulkheadConfig) BulkheadConfig) (before, after int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.settings.Load().config
	c := to(old)
	b.settings.Store(&bulkheadSettings{config: c})
	b.change(c.rules())
	return old.MaxConcurrent, c.MaxConcurrent
}

// Attach makes c the chain whose observers hear of what happens outside of calls, if it has
// any.
func (b *Bulkhead) Attach(c *middleware.Chain) {
	if c.Observed() {
		b.home.Store(c)
	}
}

// A BulkheadStatus is what a [Bulkhead] does at one moment.
type BulkheadStatus struct {
	Running int // calls that have a place
	Waiting int // calls in the queue

	MaxConcurrent int           // the bound of Running
	MaxQueue      int           // the bound of Waiting
	MaxWait       time.Duration // 0 without a queue
}

// Status returns the state of the Bulkhead. It takes no lock.
func (b *Bulkhead) Status() BulkheadStatus {
	s, r := b.state.Load(), b.rules.Load()
	return BulkheadStatus{
		Running: int(s % oneWaiter), Waiting: int(s / oneWaiter),
		MaxConcurrent: int(r.limit), MaxQueue: int(r.maxQueue), MaxWait: r.maxWait,
	}
}

// Reports implements [middleware.Reporter]. Its type is "bulkhead". The reading limit is
// MaxConcurrent, and with a Lease leases_expired is how many places were given to others because
// their lease was over. It takes no lock.
func (b *Bulkhead) Reports(yield func(middleware.Report) bool) {
	s, set := b.Status(), b.settings.Load()
	r := middleware.Report{
		Type: bulkheadType, Name: b.name, Running: s.Running, Waiting: s.Waiting,
		Settings: set.description.of(func() any { return set.config }),
		Readings: []middleware.Reading{{Name: "limit", Value: float64(s.MaxConcurrent)}},
	}
	if n := b.leases.expired.Load(); n > 0 || set.config.Lease > 0 {
		r.Readings = append(r.Readings, middleware.Reading{Name: "leases_expired", Value: float64(n)})
	}
	yield(r)
}

// Execute implements [middleware.Policy].
func (b *Bulkhead) Execute(ctx context.Context, next middleware.Next) error {
	r := b.rules.Load()
	if _, entered := b.enter(r); !entered {
		placed, err := b.wait(ctx, caller{next: next})
		if err != nil {
			return err
		}
		if !placed {
			return next.Do(ctx)
		}
		r = b.rules.Load()
	}
	switch {
	case r.lease > 0:
		return b.executeLeased(ctx, next, r)
	case r.untilResult:
		defer b.leave()
		return next.Do(ctx)
	default:
		return next.DoThen(ctx, b.release)
	}
}

func (b *Bulkhead) executeLeased(ctx context.Context, next middleware.Next, r *rules) error {
	h := b.hold()
	if r.untilResult {
		defer h.Release()
		return next.Do(ctx)
	}
	return next.DoUntil(ctx, h)
}

// idle reports whether nobody runs or waits, as in a new Bulkhead.
func (b *Bulkhead) idle() bool { return b.free() }
