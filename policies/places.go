package policies

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// places are what a call of a [Bulkhead] or an [AdaptiveLimit] needs to run, with the queue
// of those that wait for one. Who does not have to wait takes no lock, nor does who is
// refused because the queue is full.
type places struct {
	name    string
	reason  error  // of refusals
	waits   string // the reason of waits
	release func() // leave, as a value

	// How many calls run, and in the upper half how many wait. While one waits nobody else
	// enters: a place that becomes free is handed to who waits, so nobody can overtake.
	state atomic.Uint64

	rules atomic.Pointer[rules]

	refusal standingRefusal // when there is no place

	mu     sync.Mutex // for the queue, and so for the upper half of state, and for changes of rules
	queue  queue
	leases leases
}

const oneWaiter uint64 = 1 << 32 // in the state of places

// rules are the settings of places. They are changed as a whole.
type rules struct {
	limit, maxQueue uint64
	maxWait         time.Duration
	order           QueueOrder
	untilResult     bool
	lease           time.Duration
	observes        bool

	// The limit, and the bound of the queue, of those that observe: there nobody waits, and
	// who would is one of those that run.
	bound, maxWaiting uint64
}

func (p *places) start(name string, reason error, waits string, r rules) {
	p.name, p.reason, p.waits, p.release = name, reason, waits, p.leave
	p.change(r)
}

// change makes other rules hold. Places that there are more of are given to those that
// wait. The lock is held, or nobody else knows of the places.
func (p *places) change(r rules) {
	r.bound, r.maxWaiting = r.limit, r.maxQueue
	if r.observes {
		r.bound, r.maxWaiting = r.limit+r.maxQueue, 0
	}
	p.rules.Store(&r)
	p.serve()
}

// enter takes a place, if there is one and nobody waits for it. seen is the state which
// says that there is one, or none.
func (p *places) enter(r *rules) (seen uint64, entered bool) {
	for {
		s := p.state.Load()
		if s >= r.bound { // also when somebody waits
			return s, false
		}
		if p.state.CompareAndSwap(s, s+1) {
			return s, true
		}
	}
}

// leave gives a place back, to who waits for one if there is somebody.
func (p *places) leave() {
	for {
		s := p.state.Load()
		if s >= oneWaiter {
			break
		}
		if p.state.CompareAndSwap(s, s-1) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Add(^uint64(0)) // those that wait may have gone meanwhile, and others come in with the lock only
	p.serve()
}

// serve gives places to those that wait, as far as there are any. The lock is held.
func (p *places) serve() {
	r := p.rules.Load()
	for r.observes || p.running() < r.bound {
		w := p.queue.next(r.order)
		if w == nil {
			return
		}
		p.queue.remove(w)
		p.state.Add(^(oneWaiter - 1) + 1) // one less waits, one more runs
		close(w.ready)
	}
}

func (p *places) running() uint64 { return p.state.Load() % oneWaiter }

// free reports whether nobody runs or waits.
func (p *places) free() bool { return p.state.Load() == 0 }

// full reports whether nobody else may wait.
func (r *rules) full(state uint64) bool { return state/oneWaiter >= r.maxWaiting }

// wait returns true when the call, which has not been let in, has got a place. A call that
// is refused gets none, but an error; one that is only observed neither.
func (p *places) wait(ctx context.Context, c caller) (placed bool, err error) {
	r := p.rules.Load()
	if r.lease > 0 && p.expire(ctx, c) {
		if _, entered := p.enter(r); entered {
			return true, nil
		}
	}
	if r.full(p.state.Load()) {
		return p.refuse(ctx, c, p.reason)
	}
	begin := time.Now()
	if deadline, limited := ctx.Deadline(); limited && !begin.Before(deadline) {
		return p.refuse(ctx, c, middleware.ErrDeadline)
	}
	if ctx.Err() != nil {
		return false, c.interrupted(ctx, p.name)
	}
	w, r, full := p.join()
	switch {
	case full:
		return p.refuse(ctx, c, p.reason)
	case w == nil:
		return true, nil
	}
	return p.stay(ctx, c, r, w, begin)
}

// join puts a call at the end of the queue, unless that is full. There is no waiter if a
// place has become free meanwhile: then the call has it.
func (p *places) join() (w *waiter, r *rules, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r = p.rules.Load()
	for {
		seen, entered := p.enter(r)
		if entered || r.full(seen) {
			return nil, r, !entered
		}
		if p.state.CompareAndSwap(seen, seen+oneWaiter) { // the place may be free by now
			return p.queue.join(), r, false
		}
	}
}

// stay waits in the queue. Neither the turn nor the place is lost when an observer panics.
func (p *places) stay(ctx context.Context, c caller, r *rules, w *waiter, begin time.Time) (placed bool, err error) {
	settled := false
	defer func() {
		if !settled && !p.giveUp(w) {
			p.leave() // it came at the same moment
		}
	}()
	timer := time.NewTimer(p.patience(r, begin))
	defer timer.Stop()
	for waits := true; waits; {
		select {
		case <-w.ready:
			waits = false
		case <-ctx.Done():
			waits = false
		case <-timer.C:
			p.expire(ctx, c)
			if time.Since(begin) < r.maxWait {
				timer.Reset(p.patience(r, begin))
				continue
			}
			if settled = p.giveUp(w); settled {
				return p.refuse(ctx, c, p.reason)
			}
			waits = false
		}
	}
	if ctx.Err() != nil {
		return false, c.interrupted(ctx, p.name)
	}
	c.emit(ctx, middleware.Event{Kind: middleware.Waited, Policy: p.name, Wait: time.Since(begin), Reason: p.waits})
	settled = true
	return true, nil
}

// patience is how long a call waits until it looks for places that are overdue, or goes.
func (p *places) patience(r *rules, begin time.Time) time.Duration {
	left := r.maxWait - time.Since(begin)
	if r.lease > 0 {
		left = min(left, p.leases.next(r.lease))
	}
	return left
}

// giveUp takes a call out of the queue and reports whether it still was there. If it was
// not, it has got a place.
func (p *places) giveUp(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.queued {
		return false
	}
	p.queue.remove(w)
	p.state.Add(^(oneWaiter - 1)) // one less
	return true
}

// refuse returns the error of a call that gets no place, or nil if it is only observed.
func (p *places) refuse(ctx context.Context, c caller, reason error) (placed bool, err error) {
	e := middleware.Event{Kind: middleware.Rejected, Policy: p.name, Reason: rejectedWord(reason)}
	if p.rules.Load().observes {
		e.Kind = middleware.WouldReject
		c.emit(ctx, e)
		return false, nil
	}
	c.emit(ctx, e)
	if reason == p.reason {
		return false, p.refusal.in(c.chain(), p.name, reason)
	}
	return false, c.reject(middleware.Rejection{Policy: p.name, Reason: reason})
}

// A caller is who asks for a place: a call in a chain, or somebody outside of one.
type caller struct {
	next    middleware.Next
	outside bool
	home    *middleware.Chain // whose observers hear of who is outside, or nil
}

// chain returns the chain that refuses, or nil.
func (c caller) chain() *middleware.Chain {
	if c.outside {
		return c.home
	}
	return c.next.Chain()
}

func (c caller) emit(ctx context.Context, e middleware.Event) {
	if c.outside {
		c.home.Emit(ctx, e)
		return
	}
	c.next.Emit(ctx, e)
}

func (c caller) reject(r middleware.Rejection) error {
	if c.outside {
		r.Chain = c.home.Name()
		return &r
	}
	return c.next.Reject(r)
}

// interrupted returns the error of who waits when the context ends.
func (c caller) interrupted(ctx context.Context, policy string) error {
	if c.outside {
		return c.reject(middleware.Rejection{Policy: policy, Reason: &endOfWait{err: ctx.Err(), cause: context.Cause(ctx)}})
	}
	return interrupted(ctx, c.next, policy, nil)
}
