package policies

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A hedging is one call of a Hedge that may be run again. The first run is on the
// goroutine of the caller; a timer begins each further one, on a goroutine of its own.
type hedging struct {
	*Hedge

	ctx   context.Context // of the call
	next  middleware.Next
	began time.Time
	delay time.Duration
	most  int // further runs

	mu       sync.Mutex
	changed  sync.Cond
	timer    *time.Timer
	runs     []*run // that have begun
	running  int
	starting bool // a run is about to begin: the caller must not return
	enough   bool // no other run may begin: the dependency asked for that
	decided  bool // the call has its result, and the other runs are being cancelled
	over     bool // that is done
	winner   *run
	err      error // of the winner, or the one that counts of those that failed
	weight   weight
	raise    func() // what a run did instead of returning
}

// A run is one run of the rest of the chain.
type run struct {
	context.Context

	call     *hedging
	cancel   context.CancelCauseFunc
	attempt  int
	unit     int64 // of the budget
	paid     bool
	after    time.Duration // the beginning of the call
	entered  bool          // it is one of the runs
	begun    bool          // the rest of the chain runs, or has run
	returned bool
	err      error
	verdict  middleware.Verdict
}

// A weight is what an error counts among those of other runs that failed.
type weight uint8

const (
	noWeight      weight = iota // of a run that had succeeded, but not first
	littleWeight                // it says nothing about the dependency
	certainWeight               // the dependency failed, or asks for fewer calls
)

func weigh(err error, v middleware.Verdict) weight {
	switch {
	case errors.Is(err, middleware.ErrSuperseded):
		return noWeight
	case v.Class == middleware.Failure || v.Class == middleware.Throttled:
		return certainWeight
	default:
		return littleWeight
	}
}

// do makes the first run, and waits for the others if it has to.
func (c *hedging) do() error {
	c.changed.L = &c.mu
	attempt := c.next.Attempt(c.ctx)
	if attempt != middleware.Attempt(c.ctx) { // of another call, which this one is part of
		c.ctx = c.next.WithHedge(c.ctx, attempt)
	}
	first := c.newRun(c.ctx, attempt)
	c.runs, c.running = []*run{first}, 1
	c.startTimer()
	defer func() {
		if !first.returned { // a panic or Goexit
			c.abandon()
		}
	}()
	first.err = c.next.DoUntil(first.Context, middleware.CancelFunc(first.end))
	first.verdict = middleware.VerdictOf(first.err)
	first.returned = true
	c.settle(first)
	return c.result(first)
}

func (c *hedging) newRun(ctx context.Context, attempt int) *run {
	r := &run{call: c, attempt: attempt}
	r.Context, r.cancel = context.WithCancelCause(ctx)
	return r
}

// end ends the context of a run that is over.
func (r *run) end() { r.cancel(nil) }

func (c *hedging) startTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(c.delay, c.hedge)
}

// result waits for the result of the call.
func (c *hedging) result(first *run) error {
	c.mu.Lock()
	for c.starting || !c.over {
		c.changed.Wait()
	}
	raise, winner, err := c.raise, c.winner, c.err
	c.mu.Unlock()
	if raise != nil {
		raise()
	}
	if winner != nil && winner != first {
		c.next.Emit(c.ctx, middleware.Event{Kind: middleware.HedgeWon, Policy: c.name, Attempt: winner.attempt})
	}
	return err
}

// abandon gives up the call, whose first run has not returned.
func (c *hedging) abandon() {
	c.mu.Lock()
	c.decided, c.over = true, true
	c.timer.Stop()
	for c.starting {
		c.changed.Wait()
	}
	c.mu.Unlock()
	c.cancelAllBut(nil, nil)
}

// cancelAllBut cancels the other runs. The call is decided, so there will be no more.
func (c *hedging) cancelAllBut(winner *run, cause error) {
	for _, r := range c.runs {
		if r != winner {
			r.cancel(cause)
		}
	}
}

// hedge is what the timer calls: it makes one more run.
func (c *hedging) hedge() {
	attempt, ok := c.start()
	if !ok {
		return
	}
	r := c.newRun(c.next.WithHedge(c.ctx, attempt), attempt)
	defer r.finish()
	r.after = time.Since(c.began)
	if r.unit, r.paid = c.budget.take(); r.paid {
		r.err = c.entry.Execute(r, c.next)
		r.verdict = middleware.VerdictOf(r.err)
	} else {
		c.next.Emit(c.ctx, middleware.Event{
			Kind: middleware.HedgeRefused, Policy: c.name, Attempt: attempt, Wait: r.after, Reason: "budget",
		})
	}
	r.returned = true
}

// start reports whether one more run may begin, and which attempt it is.
func (c *hedging) start() (attempt int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decided || c.enough {
		return 0, false
	}
	c.starting = true
	c.running++
	return c.runs[0].attempt + len(c.runs), true
}

// hold and enter are the policies of a chain of two that a hedge passes on its way to
// the rest of the chain. Behind hold it keeps what the policies further out hold for the
// call, so that from enter on the caller may return. A Next must not be used after that.
func hold(ctx context.Context, next middleware.Next) error {
	return next.DoUntil(ctx, middleware.CancelFunc(ctx.(*run).end))
}

func enter(ctx context.Context, next middleware.Next) error {
	r := ctx.(*run)
	if !r.enter() {
		return middleware.ErrSuperseded
	}
	c := r.call
	c.next.Emit(c.ctx, middleware.Event{Kind: middleware.HedgeStarted, Policy: c.name, Attempt: r.attempt, Wait: r.after})
	if !r.begin() {
		return middleware.ErrSuperseded
	}
	return next.Do(r.Context)
}

// enter reports whether the call still wants the run. If so it does not return before
// that has begun.
func (r *run) enter() bool {
	c := r.call
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decided || c.enough {
		return false
	}
	r.entered = true
	c.runs = append(c.runs, r)
	return true
}

// begin lets the call return. It reports whether the run goes on: the call may have been
// decided while an observer took its time.
func (r *run) begin() bool {
	c := r.call
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting = false
	c.changed.Broadcast()
	if c.decided {
		return false
	}
	r.begun = true
	if len(c.runs) <= c.most && !c.enough {
		c.timer.Reset(c.delay)
	}
	return true
}

// finish is deferred by hedge. It keeps a panic from ending the process.
func (r *run) finish() {
	value := recover()
	switch {
	case r.returned && r.begun:
		r.call.settle(r)
	case r.returned:
		r.withdraw(nil)
	case value != nil:
		r.withdraw(func() { panic(value) })
	default:
		r.withdraw(runtime.Goexit)
	}
}

// settle takes the result of a run.
func (c *hedging) settle(r *run) {
	w := weigh(r.err, r.verdict)
	var lost error
	best := false
	c.mu.Lock()
	c.running--
	won := !c.decided && r.verdict.Class == middleware.Success && w != noWeight
	switch {
	case won:
		c.decided, c.winner, c.err = true, r, r.err
	case !c.decided:
		lost = r.err
		if w >= c.weight {
			c.err, c.weight, lost, best = r.err, w, c.err, true
		}
		c.enough = c.enough || r.verdict.Class == middleware.Throttled || r.verdict.After > 0
	}
	c.update()
	waits := !c.decided
	c.mu.Unlock()
	middleware.Discard(lost)
	if best && waits { // another run may wait for what it holds
		middleware.Keep(r.err)
	}
	if won {
		c.close(r, middleware.ErrSuperseded)
	}
}

// withdraw ends a run that has not begun, or not returned. What it did instead, if
// anything, the caller does.
func (r *run) withdraw(raise func()) {
	c := r.call
	if !r.begun {
		r.end()
		if r.paid {
			c.budget.giveBack(r.unit)
		}
	}
	c.mu.Lock()
	c.running--
	if !r.begun {
		c.starting = false
	}
	raises := raise != nil && !c.decided
	if raises {
		c.decided, c.raise = true, raise
	}
	c.update()
	c.mu.Unlock()
	if raises {
		c.close(nil, nil)
	}
}

// update follows from a run that has ended. The lock is held.
func (c *hedging) update() {
	if c.running == 0 && !c.decided { // all have failed
		c.decided, c.over = true, true
	}
	if c.decided || c.enough {
		c.timer.Stop()
	}
	c.changed.Broadcast()
}

// close ends the call, which is decided, once the other runs are cancelled.
func (c *hedging) close(winner *run, cause error) {
	c.cancelAllBut(winner, cause)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.changed.Broadcast()
}
