package policies

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/sony/gobreaker/v2"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Breaker stops calls to a dependency that fails.
//
// It opens after FailureThreshold consecutive failures, or when FailureRate of the
// calls in its window have failed, or when SlowRate of them, with those in flight,
// are slow. It judges when a call fails or is slow, and the calls in flight also when
// another begins, eight times in each SlowCall. A quick success never opens it.
//
// While it is open it rejects every call, with [middleware.ErrOpen] and the time that
// remains: never less, and more by a thousandth of the whole time or a millisecond at
// the most. RecoveryTime after it opened it is half-open. It lets up to MaxProbes
// calls through at a time, rejects others with [middleware.ErrTooManyProbes], closes
// when SuccessThreshold of them have succeeded and opens again when one fails. Each
// time that probes fail, RecoveryBackoff multiplies the wait for the next ones.
// Between Timeout and RecoveryTime a HealthCheck may close it without any call.
//
// The verdict of the call decides. Failure counts as a failure, Success as a
// success. Ignored counts as neither and gives the place of a probe back, and so does
// Throttled unless TripOnThrottle is set. The verdict's After, if it is longer than
// the wait, is how long the breaker stays open, up to MaxRecoveryTime. A call that
// panics or calls runtime.Goexit counts as a failure. Each transition begins a new
// generation, and counts begin with it. A result that belongs to an earlier generation
// changes nothing.
//
// [Breaker.ForceOpen], [Breaker.ForceClose], [Breaker.Disable] and
// [Breaker.ObserveOnly] act by hand, until [Breaker.Release]. All methods may be
// called by an observer that hears of the breaker.
//
// sony/gobreaker/v2 is the state machine: the breaker tells it of a result that must
// open the circuit, and asks it about probes and what they come to. Calls of a closed
// breaker, and rejections of an open one, take no lock.
type Breaker struct {
	epoch time.Time
	home  atomic.Pointer[middleware.Chain] // for events that no call causes
	gate  atomic.Pointer[gate]

	mu      sync.Mutex
	config  *settled                                   // for the next gate; the one that is has its own
	machine *gobreaker.TwoStepCircuitBreaker[struct{}] // made when it is needed
	cause   *origin                                    // of a transition, while it happens
	waits   *backoff.ExponentialBackOff                // until the next probes, once some have failed
	probes  []*probe
	check   *healthCheck
	backlog *backlog

	observes bool
	moving   bool // a new machine is brought into the state of the gate
	renews   bool // the machine is to be made anew, for another SuccessThreshold
	ended    bool // Close was called
	checking bool // a health check runs
	emits    bool // a goroutine is delivering events

	description description
}

// NewBreaker returns a closed Breaker. It panics if the settings are not valid.
func NewBreaker(c BreakerConfig) *Breaker {
	must(c.Validate())
	whole := c.settle()
	b := &Breaker{config: whole, observes: whole.ObserveOnly, epoch: time.Now()}
	state := Closed
	if b.observes {
		state = state.observe()
	}
	b.gate.Store(b.newGate(state, &gate{}))
	return b
}

// Name returns the name of the policy.
func (b *Breaker) Name() string { return b.gate.Load().config.Load().Name }

// Attach makes c the chain whose observers hear of transitions that no call
// causes, if it has any. Of several such chains it is the newest, which contains the
// ones that were nested in it. Of transitions that a call causes the observers of its
// chain hear, so one of several chains does not hear of all.
func (b *Breaker) Attach(c *middleware.Chain) {
	if c.Observed() {
		b.home.Store(c)
	}
}

// now is the time that the breaker goes by: monotonic, in nanoseconds.
func (b *Breaker) now() int64 { return int64(time.Since(b.epoch)) }

// Execute implements [middleware.Policy].
func (b *Breaker) Execute(ctx context.Context, next middleware.Next) error {
	g := b.gate.Load()
	if !g.passes.Load() {
		if g.state == Disabled {
			return next.Do(ctx)
		}
		now := b.now()
		if r := g.refusal.Load(); r != nil && now < g.hold.Load() && r.fits(next.Chain(), now) && !next.Chain().Observed() {
			return r.err // an open circuit may have to reject very much: the same as refuse, without its calls
		}
		return b.ask(ctx, next, g, now)
	}
	var now int64
	if g.config.Load().SlowCall > 0 {
		if now = b.now(); b.judgeRunning(ctx, next, g, now) {
			return b.ask(ctx, next, b.gate.Load(), b.now())
		}
	}
	return b.pass(ctx, next, g, now)
}

// pass lets a call through a closed gate and counts its result.
func (b *Breaker) pass(ctx context.Context, next middleware.Next, g *gate, began int64) (err error) {
	c := g.running.enter(began)
	returned := false
	defer func() {
		if !returned { // a panic or Goexit
			b.count(ctx, next, g, c, began, middleware.Verdict{Class: middleware.Failure}, nil)
		}
	}()
	err = next.Do(ctx)
	if err != nil {
		v := middleware.VerdictOf(err) // asks the error, which may panic too
		returned = true
		b.count(ctx, next, g, c, began, v, err)
		return err
	}
	returned = true
	if reason := b.record(g, c, began, false); reason != "" {
		b.trip(g, origin{ctx: ctx, chain: next.Chain(), reason: reason})
	}
	return nil
}

// count records the result of a call that did not just succeed, and opens the
// circuit if it must.
func (b *Breaker) count(ctx context.Context, next middleware.Next, g *gate, c *cohort, began int64, v middleware.Verdict, err error) {
	failed := g.config.Load().fails(v)
	if !failed && v.Class != middleware.Success {
		g.running.leave(c, false)
		g.ignored.Add(1)
	} else if reason := b.record(g, c, began, failed); reason != "" {
		b.trip(g, origin{ctx: ctx, chain: next.Chain(), err: err, after: v.After, reason: reason})
	}
}

// record notes a success or a failure in the gate that the call came through, and
// returns why the circuit must open, or "".
func (b *Breaker) record(g *gate, of *cohort, began int64, failed bool) (reason string) {
	var now int64
	c := g.config.Load()
	if c.timed {
		now = b.now()
	}
	slow := c.SlowCall > 0 && now-began > int64(c.SlowCall)
	if g.window != nil {
		g.window.record(now, failed, slow)
	}
	if slow { // before the call itself, see tally
		g.slow.Add(1)
	}
	g.running.leave(of, !failed)
	if !failed && g.running.span.Load() > 0 {
		g.successes.Add(1)
	}
	if failed {
		g.failures.Add(1)
	}
	switch {
	case failed:
		n := g.consecutive.Add(1)
		if most := int64(c.FailureThreshold); most > 0 && n >= most {
			return "consecutive_failures"
		}
	case g.consecutive.Load() != 0:
		g.consecutive.Store(0)
	}
	if (failed || slow) && g.window != nil {
		return g.judge(now)
	}
	return ""
}

// judge returns why the rates of the gate must open the circuit, or "".
func (g *gate) judge(now int64) string {
	c, t := g.config.Load(), g.window.tally(now)
	late := int64(0)
	if c.SlowCall > 0 {
		late = g.running.begunBefore(now - int64(c.SlowCall))
	}
	least := int64(c.MinCalls)
	switch {
	case c.FailureRate > 0 && t.calls >= least && share(t.failures, t.calls) >= c.FailureRate:
		return "failure_rate"
	case c.SlowCall > 0 && t.calls >= least && share(t.slow, t.calls) >= c.SlowRate:
		return "slow_rate"
	case late > 0 && t.calls+late >= least && share(t.slow+late, t.calls+late) >= c.SlowRate:
		return "slow_in_flight"
	default:
		return ""
	}
}

func share(some, all int64) float64 {
	if all == 0 {
		return 0
	}
	return float64(some) / float64(all)
}

// judgeRunning opens the circuit if too many of the calls in flight are slow. It
// reports whether it did.
func (b *Breaker) judgeRunning(ctx context.Context, next middleware.Next, g *gate, now int64) bool {
	if g.config.Load().SlowCall == 0 || !g.running.due(now) {
		return false
	}
	reason := g.judge(now)
	if reason == "" {
		return false
	}
	b.trip(g, origin{ctx: ctx, chain: next.Chain(), reason: reason})
	return b.gate.Load() != g
}

// ask lets a call through if the gate and the machine have nothing against it.
func (b *Breaker) ask(ctx context.Context, next middleware.Next, g *gate, now int64) error {
	for ; ; g, now = b.gate.Load(), b.now() {
		switch {
		case now < g.hold.Load():
			return b.reject(ctx, next, g, now)
		case g.passes.Load():
			return b.pass(ctx, next, g, now)
		case g.state == Disabled:
			return next.Do(ctx)
		case g.state.plain() == Closed:
			if b.judgeRunning(ctx, next, g, now) {
				continue
			}
			if !g.admits(now) {
				return b.reject(ctx, next, g, now)
			}
			return b.pass(ctx, next, g, now)
		}
		switch p, current := b.lease(ctx, next, g, now); {
		case p != nil:
			return b.try(ctx, next, p)
		case current:
			return b.reject(ctx, next, g, now)
		}
	}
}

// reject refuses a call, or lets it pass if the breaker only observes.
func (b *Breaker) reject(ctx context.Context, next middleware.Next, g *gate, now int64) error {
	if g.state.observed() {
		b.announce(ctx, next, middleware.WouldReject, g.rejection(now), g)
		return next.Do(ctx)
	}
	r := g.refuse(next, now)
	b.announce(ctx, next, middleware.Rejected, *r, g)
	return r
}

// announce emits the event of a rejection.
func (b *Breaker) announce(ctx context.Context, next middleware.Next, kind middleware.Kind, r middleware.Rejection, g *gate) {
	if next.Chain().Observed() {
		next.Emit(ctx, middleware.Event{
			Kind: kind, Policy: r.Policy, Key: g.config.Load().Key, Wait: r.RetryAfter, Reason: rejectedWord(r.Reason), Opener: g.openedBy(),
		})
	}
}

// idle reports whether nothing is lost with the breaker when no call is in flight: it
// is closed by itself and has recovered.
func (b *Breaker) idle() bool {
	g := b.gate.Load()
	return g.state == Closed && g.passing(b.now()) == 1
}
