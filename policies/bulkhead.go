package policies

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [BulkheadConfig].
const (
	DefaultMaxConcurrent = 25
	DefaultQueueWait     = time.Second
)

// BulkheadConfig are the settings of a [Bulkhead].
type BulkheadConfig struct {
	// Name stands in errors, events and spans. Empty means "bulkhead".
	Name string

	// MaxConcurrent is how many calls may run at the same time.
	// Zero means DefaultMaxConcurrent.
	MaxConcurrent int

	// MaxQueue is how many further calls may wait until one of those that run is over.
	// Zero means that none waits.
	MaxQueue int

	// MaxWait is how long a call may wait. Zero means DefaultQueueWait. It needs a
	// MaxQueue.
	MaxWait time.Duration

	// UntilResult ends a call, as far as the Bulkhead is concerned, when its operation has
	// returned. Without it a streamed result, an HTTP response for instance, is part of
	// the call until it has been read to its end or closed. For any other operation both
	// are the same.
	UntilResult bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c BulkheadConfig) Validate() error {
	k := check{config: "BulkheadConfig"}
	k.count("MaxConcurrent", c.MaxConcurrent)
	k.that(c.MaxQueue >= 0 && c.MaxQueue <= math.MaxInt32, "MaxQueue", c.MaxQueue, "between 1 and 2147483647, or 0 for none")
	k.duration("MaxWait", c.MaxWait)
	if c.MaxQueue == 0 && c.MaxWait > 0 {
		k.that(false, "MaxWait", c.MaxWait, "0 without MaxQueue")
	}
	return k.err()
}

// A Bulkhead bounds how many calls run at the same time, so that a dependency that has
// become slow does not take all there is of memory, connections and goroutines.
//
// A call beyond the bound waits in a queue, first come, first served, and nobody
// overtakes it. When the queue is full, or the call has waited for MaxWait, it is refused
// with a [*middleware.Rejection] whose reason is [middleware.ErrBulkheadFull]. A call
// that would have to wait and whose deadline has passed is refused at once, with the
// reason [middleware.ErrDeadline]. One whose context ends while it waits is refused with
// [middleware.ErrCanceled].
//
// A call gives its place back when it is over, in whatever way. A streamed result keeps
// the place until it has been read or closed, unless UntilResult is set: a result that
// nobody closes keeps it for good.
//
// A Bulkhead starts no goroutine. A call that does not have to wait takes no lock, nor
// does one that is refused because the queue is full.
type Bulkhead struct {
	name        string
	maxRunning  uint64
	maxWaiting  uint64
	maxWait     time.Duration
	untilResult bool
	release     func() // leave, as a value

	// How many calls run, and in the upper half how many wait. While one waits all places
	// are taken: a place that becomes free is handed to it, so nobody can overtake it.
	state atomic.Uint64

	mu          sync.Mutex // for the queue, and so for the upper half of state
	first, last *waiter

	description description
}

const oneWaiter uint64 = 1 << 32 // in the state of a Bulkhead

// A waiter is a call in the queue of a Bulkhead.
type waiter struct {
	ready          chan struct{} // closed when it has got a place
	previous, next *waiter
	queued         bool
}

// NewBulkhead returns a Bulkhead. It panics if the settings are not valid.
func NewBulkhead(c BulkheadConfig) *Bulkhead {
	must(c.Validate())
	b := &Bulkhead{
		name:        or(c.Name, "bulkhead"),
		maxRunning:  uint64(or(c.MaxConcurrent, DefaultMaxConcurrent)),
		maxWaiting:  uint64(c.MaxQueue),
		untilResult: c.UntilResult,
	}
	if c.MaxQueue > 0 {
		b.maxWait = or(c.MaxWait, DefaultQueueWait)
	}
	b.release = b.leave
	return b
}

// Name returns the name of the policy.
func (b *Bulkhead) Name() string { return b.name }

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
	s := b.state.Load()
	return BulkheadStatus{
		Running: int(s % oneWaiter), Waiting: int(s / oneWaiter),
		MaxConcurrent: int(b.maxRunning), MaxQueue: int(b.maxWaiting), MaxWait: b.maxWait,
	}
}

// Reports implements [middleware.Reporter]. Its type is "bulkhead". It takes no lock.
func (b *Bulkhead) Reports(yield func(middleware.Report) bool) {
	s := b.Status()
	yield(middleware.Report{
		Type: bulkheadType, Name: b.name, Running: s.Running, Waiting: s.Waiting,
		Settings: b.description.of(func() any {
			return BulkheadConfig{
				MaxConcurrent: s.MaxConcurrent, MaxQueue: s.MaxQueue, MaxWait: s.MaxWait, UntilResult: b.untilResult,
			}
		}),
	})
}

// Execute implements [middleware.Policy].
func (b *Bulkhead) Execute(ctx context.Context, next middleware.Next) error {
	if seen, entered := b.enter(); !entered {
		if b.full(seen) {
			return b.refuse(ctx, next, middleware.ErrBulkheadFull)
		}
		if err := b.wait(ctx, next); err != nil {
			return err
		}
	}
	if b.untilResult {
		defer b.leave()
		return next.Do(ctx)
	}
	return next.DoThen(ctx, b.release)
}

// idle reports whether nobody runs or waits, as in a new Bulkhead.
func (b *Bulkhead) idle() bool { return b.state.Load() == 0 }

func (b *Bulkhead) refuse(ctx context.Context, next middleware.Next, reason error) error {
	next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: b.name, Reason: rejectedWord(reason)})
	return next.Reject(middleware.Rejection{Policy: b.name, Reason: reason})
}

// enter takes a place, if there is one and nobody waits for it. seen is the state which
// says that there is one, or none.
func (b *Bulkhead) enter() (seen uint64, entered bool) {
	for {
		s := b.state.Load()
		if s >= b.maxRunning { // also when somebody waits
			return s, false
		}
		if b.state.CompareAndSwap(s, s+1) {
			return s, true
		}
	}
}

// full reports whether nobody else may wait.
func (b *Bulkhead) full(state uint64) bool { return state/oneWaiter >= b.maxWaiting }

// leave gives a place back: to the call that has waited longest, if there is one.
func (b *Bulkhead) leave() {
	for {
		s := b.state.Load()
		if s >= oneWaiter {
			break
		}
		if b.state.CompareAndSwap(s, s-1) {
			return
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.first; w != nil {
		b.remove(w)
		close(w.ready)
		return
	}
	b.state.Add(^uint64(0)) // they have gone meanwhile, and others come in with the lock only
}

// wait returns nil when the call has got a place.
func (b *Bulkhead) wait(ctx context.Context, next middleware.Next) error {
	begin := time.Now()
	if deadline, limited := ctx.Deadline(); limited && !begin.Before(deadline) {
		return b.refuse(ctx, next, middleware.ErrDeadline)
	}
	if ctx.Err() != nil {
		return interrupted(ctx, next, b.name, nil)
	}
	w, full := b.queue()
	switch {
	case full:
		return b.refuse(ctx, next, middleware.ErrBulkheadFull)
	case w == nil:
		return nil
	}
	timer := time.NewTimer(b.maxWait)
	defer timer.Stop()
	select {
	case <-w.ready:
	case <-ctx.Done():
	case <-timer.C:
		if b.giveUp(w) {
			return b.refuse(ctx, next, middleware.ErrBulkheadFull)
		}
	}
	if ctx.Err() != nil {
		if !b.giveUp(w) {
			b.leave() // it came at the same moment
		}
		return interrupted(ctx, next, b.name, nil)
	}
	b.waited(ctx, next, time.Since(begin))
	return nil
}

// waited tells the observers. The place is not lost when one of them panics.
func (b *Bulkhead) waited(ctx context.Context, next middleware.Next, wait time.Duration) {
	told := false
	defer func() {
		if !told {
			b.leave()
		}
	}()
	next.Emit(ctx, middleware.Event{Kind: middleware.Waited, Policy: b.name, Wait: wait, Reason: "bulkhead"})
	told = true
}

// queue puts a call at the end of the queue, unless that is full. There is no waiter if a
// place has become free meanwhile: then the call has it.
func (b *Bulkhead) queue() (w *waiter, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		seen, entered := b.enter()
		if entered || b.full(seen) {
			return nil, !entered
		}
		if b.state.CompareAndSwap(seen, seen+oneWaiter) { // the place may be free by now
			break
		}
	}
	w = &waiter{ready: make(chan struct{}), previous: b.last, queued: true}
	if b.last == nil {
		b.first = w
	} else {
		b.last.next = w
	}
	b.last = w
	return w, false
}

// giveUp takes a call out of the queue and reports whether it still was there. If it was
// not, it has got a place.
func (b *Bulkhead) giveUp(w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !w.queued {
		return false
	}
	b.remove(w)
	return true
}

// remove takes a call out of the queue. The lock is held.
func (b *Bulkhead) remove(w *waiter) {
	if w.previous == nil {
		b.first = w.next
	} else {
		w.previous.next = w.next
	}
	if w.next == nil {
		b.last = w.previous
	} else {
		w.next.previous = w.previous
	}
	w.previous, w.next, w.queued = nil, nil, false
	b.state.Add(^(oneWaiter - 1)) // one less
}
