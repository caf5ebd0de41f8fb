package policies

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Lease is a place in a [Bulkhead] for work outside of a chain, see [Bulkhead.Acquire].
type Lease struct {
	places   *places
	holding  *holding // nil when it is for ever
	unplaced bool     // it only was observed
	released atomic.Bool
}

// Release gives the place back, unless it has expired. A second Release does nothing, nor
// does that of a nil Lease. It may be called by any goroutine.
func (l *Lease) Release() {
	switch {
	case l == nil || l.released.Swap(true) || l.unplaced:
	case l.holding != nil:
		l.holding.Release()
	default:
		l.places.leave()
	}
}

// Acquire takes a place for work outside of a chain, until Release. It waits as a call
// does, and returns the error that a call would get. Events go to the observers of the
// chain that the Bulkhead is part of.
//
//	lease, err := bulkhead.Acquire(ctx)
//	if err != nil {
//		return err
//	}
//	defer lease.Release()
func (b *Bulkhead) Acquire(ctx context.Context) (*Lease, error) {
	if _, entered := b.enter(b.rules.Load()); !entered {
		placed, err := b.wait(ctx, b.outside())
		if err != nil {
			return nil, err
		}
		if !placed {
			return &Lease{unplaced: true}, nil
		}
	}
	return b.lease(), nil
}

// TryAcquire takes a place as Acquire does, if there is one just now. If there is none it
// says so at once, with a nil Lease and without an event.
func (b *Bulkhead) TryAcquire() (lease *Lease, ok bool) {
	r := b.rules.Load()
	_, entered := b.enter(r)
	if !entered && b.expire(context.Background(), b.outside()) {
		_, entered = b.enter(r)
	}
	switch {
	case entered:
		return b.lease(), true
	case r.observes:
		_, _ = b.refuse(context.Background(), b.outside(), b.reason)
		return &Lease{unplaced: true}, true
	default:
		return nil, false
	}
}

func (b *Bulkhead) outside() caller { return caller{outside: true, home: b.home.Load()} }

// lease makes a Lease of a place.
func (b *Bulkhead) lease() *Lease {
	l := &Lease{places: &b.places}
	if b.rules.Load().lease > 0 {
		l.holding = b.hold()
	}
	return l
}

// leases are the places that may be held for a limited time.
type leases struct {
	mu             sync.Mutex
	oldest, newest *holding
	spare          *holding // a list of those that are over
	expired        atomic.Int64
}

// A holding is a place that is held, from since on. It is the [middleware.Holder] of a
// call.
type holding struct {
	places         *places
	since          time.Time
	older, younger *holding
	overdue        bool // others have its place
}

// hold begins the lease of a place.
func (p *places) hold() *holding {
	l := &p.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.spare
	if h == nil {
		h = &holding{places: p}
	} else {
		l.spare, h.younger = h.younger, nil
	}
	h.since, h.older = time.Now(), l.newest
	if l.newest == nil {
		l.oldest = h
	} else {
		l.newest.younger = h
	}
	l.newest = h
	return h
}

// Release gives the place back, unless others have it. It is called once.
func (h *holding) Release() {
	if h.places.leases.end(h) {
		h.places.leave()
	}
}

// Cancel does nothing.
func (h *holding) Cancel() {}

// end reports whether the place is still held.
func (l *leases) end(h *holding) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := !h.overdue
	if held {
		l.remove(h)
	}
	h.overdue, h.younger, l.spare = false, l.spare, h
	return held
}

// remove takes a holding out of the list. The lock is held.
func (l *leases) remove(h *holding) {
	if h.older == nil {
		l.oldest = h.younger
	} else {
		h.older.younger = h.younger
	}
	if h.younger == nil {
		l.newest = h.older
	} else {
		h.younger.older = h.older
	}
	h.older, h.younger = nil, nil
}

// expire gives the places that are held for too long to others, and reports whether there
// were any.
func (p *places) expire(ctx context.Context, c caller) bool {
	found := false
	for {
		held, overdue := p.leases.take(p.rules.Load().lease)
		if !overdue {
			return found
		}
		found = true
		p.leave()
		c.emit(ctx, middleware.Event{Kind: middleware.LeaseExpired, Policy: p.name, Wait: held})
	}
}

// take ends the oldest lease, if it is over, and says how long the place was held.
func (l *leases) take(lease time.Duration) (held time.Duration, overdue bool) {
	if lease <= 0 {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.oldest
	if h == nil {
		return 0, false
	}
	if held = time.Since(h.since); held < lease {
		return 0, false
	}
	l.remove(h)
	h.overdue = true
	l.expired.Add(1)
	return held, true
}

// next returns how long it takes until a lease ends, at the least.
func (l *leases) next(lease time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.oldest == nil {
		return lease // of who comes next
	}
	return max(lease-time.Since(l.oldest.since), 0)
}
