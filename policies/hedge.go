package policies

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [HedgeConfig].
const (
	DefaultHedgeQuantile = 0.95
	DefaultHedgeMinCalls = 100
	DefaultMaxHedges     = 1
)

// HedgeConfig are the settings of a [Hedge].
type HedgeConfig struct {
	// Name stands in errors, events and spans. Empty means "hedge".
	Name string

	// Delay is how long a call goes on before it is run once more, and after that
	// before each further time. Zero means the Quantile.
	Delay time.Duration

	// Quantile makes the delay as long as that share of the newest calls takes at the
	// most: with 0.95, one call in twenty is run again. Zero means DefaultHedgeQuantile;
	// with Delay it must be zero.
	Quantile float64

	// MinCalls is how many calls must have succeeded in the last 30 to 60 seconds before
	// their Quantile is known; until then no call is run again. Zero means
	// DefaultHedgeMinCalls; with Delay it must be zero.
	MinCalls int

	// MaxHedges is how often a call is run again at the most. Zero means
	// DefaultMaxHedges.
	MaxHedges int

	// When reports whether a call may run beside itself. Nil means what the Idempotent
	// of its [middleware.Operation] says. It must be safe for concurrent use.
	When func(ctx context.Context) bool

	// Budget bounds the further runs of all calls together, and those of other policies
	// that have it too. Nil means one of the Hedge's own, with the defaults.
	// NewBudget(BudgetConfig{Ratio: -1}) bounds nothing.
	Budget *Budget
}

// Validate returns a *SettingError for each setting outside its range.
func (c HedgeConfig) Validate() error {
	k := check{config: "HedgeConfig"}
	k.that(c.Delay >= 0, "Delay", c.Delay, "a positive duration, or 0 for the Quantile")
	if c.Delay > 0 {
		k.that(c.Quantile == 0, "Quantile", c.Quantile, "0 with Delay")
		k.that(c.MinCalls == 0, "MinCalls", c.MinCalls, "0 with Delay")
	} else {
		k.that(c.Quantile >= 0 && c.Quantile < 1, "Quantile", c.Quantile, "above 0 and below 1, or 0 for the default")
		k.count("MinCalls", c.MinCalls)
	}
	k.count("MaxHedges", c.MaxHedges)
	return k.err()
}

// A Hedge runs the rest of the chain once more beside a call that takes long, and takes
// the result that comes first. It cuts the few calls that are much slower than the
// others, at the price of a few more calls. The idea, and to wait for the 95th percentile
// first, are from Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013.
//
// The first run that succeeds wins, by its verdict: an object that does not exist may be
// a success too. The others are cancelled at once, with [middleware.ErrSuperseded] as the
// [context.Cause], and their results are discarded. A run that fails while others go on
// waits for them; when all have failed the last error is the call's, with what came with
// it, though one of the dependency goes before a rejection or a cancellation further in.
// What the policies further in hold for a run that failed is given back at once. A call that fails
// before the delay has failed: to repeat it is the business of a [Retry]. No further run
// begins once the dependency has asked for a wait or for fewer calls, nor, with
// [middleware.HedgeRefused], when the [Budget] has none left.
//
// Put it inside of a Retry, and outside of the policies that every request to the
// dependency must pass: breaker, rate limit and the timeout for each attempt. A run that
// lost is cancelled, which is no failure for them.
//
// The first run is on the goroutine of the caller, and so costs no other while it is
// quick. An operation that does not watch its context therefore keeps its caller, even
// when another run has won. A run that lost may still be ending when Execute returns.
//
// A panic of the first run, or its runtime.Goexit, ends the call as it would without a
// Hedge, and the other runs are cancelled. One of another run cancels the rest and is
// raised again, with its value, where the caller waits. If the call is over by then
// there is nobody to raise it for: a panic of a run that has lost is dropped.
//
// The duration that counts for the Quantile is that of the call, from its beginning to
// its success, whichever run it was. So a run that lost counts for as long as it was
// waited for at least, and the calls that were cut do not shorten the delay. It is
// estimated from above, by a sixteenth at the most.
type Hedge struct {
	spender

	name     string
	settings atomic.Pointer[hedgeSettings]
	entry    *middleware.Chain
}

type hedgeSettings struct {
	HedgeConfig // complete

	anyCall     bool     // When is not that of the operation
	latency     *latency // nil with a fixed delay
	description description
}

// NewHedge returns a Hedge. It panics if the settings are not valid.
func NewHedge(c HedgeConfig) *Hedge {
	must(c.Validate())
	h := &Hedge{
		name:  or(c.Name, "hedge"),
		entry: middleware.NewChain("", middleware.PolicyFunc(hold), middleware.PolicyFunc(enter)),
	}
	h.join(c.Budget)
	h.set(c)
	return h
}

// Apply changes the settings, except for the Name and the Budget, which must be nil or the
// one that the Hedge has: to change that, use [Budget.Apply]. The durations that have been
// observed are kept, unless the new delay is a fixed one. Apply returns the error of
// Validate and then changes nothing. Calls in flight go on as they began, and do not
// count for another Quantile or MinCalls. Apply is safe for concurrent use.
func (h *Hedge) Apply(c HedgeConfig) error {
	if err := errors.Join(c.Validate(), h.keeps(c.Budget, "HedgeConfig")); err != nil {
		return err
	}
	h.set(c)
	return nil
}

func (h *Hedge) set(c HedgeConfig) {
	c.MaxHedges = or(c.MaxHedges, DefaultMaxHedges)
	c.Budget = h.budget
	anyCall := c.When != nil
	if !anyCall {
		c.When = func(ctx context.Context) bool { return middleware.OperationOf(ctx).Idempotent }
	}
	if c.Delay == 0 {
		c.Quantile, c.MinCalls = or(c.Quantile, DefaultHedgeQuantile), or(c.MinCalls, DefaultHedgeMinCalls)
	}
	for {
		before := h.settings.Load()
		s := &hedgeSettings{HedgeConfig: c, anyCall: anyCall}
		switch {
		case c.Delay > 0:
		case before == nil || before.latency == nil:
			s.latency = newLatency(c.Quantile, c.MinCalls)
		default:
			s.latency = before.latency.with(c.Quantile, c.MinCalls)
		}
		if h.settings.CompareAndSwap(before, s) {
			return
		}
	}
}

// Name returns the name of the policy.
func (h *Hedge) Name() string { return h.name }

// Delay returns after how long a call is run again, or zero while too few calls have
// been observed to know.
func (h *Hedge) Delay() time.Duration { return h.settings.Load().delay() }

func (s *hedgeSettings) delay() time.Duration {
	if s.latency == nil {
		return s.Delay
	}
	return s.latency.value()
}

// Reports implements [middleware.Reporter]. It yields a report of the type "hedge", with the
// reading delay (seconds, 0 while it is not known), and one of its [Budget].
func (h *Hedge) Reports(yield func(middleware.Report) bool) {
	s := h.settings.Load()
	r := middleware.Report{
		Type: hedgeType, Name: h.name,
		Settings: s.description.of(func() any { return s.HedgeConfig }),
		Readings: []middleware.Reading{{Name: "delay", Value: s.delay().Seconds()}},
	}
	if yield(r) {
		h.budget.report(h.name, yield)
	}
}

// Execute implements [middleware.Policy].
func (h *Hedge) Execute(ctx context.Context, next middleware.Next) error {
	if next.Attempt(ctx) == 1 {
		h.count(ctx, next)
	}
	s := h.settings.Load()
	if !s.When(ctx) {
		return next.Do(ctx)
	}
	began, delay := time.Now(), s.delay()
	var err error
	if delay == 0 {
		err = next.Do(ctx)
	} else {
		c := &hedging{Hedge: h, began: began, delay: delay, most: s.MaxHedges}
		err = next.Beside(ctx, middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			c.ctx, c.next = ctx, next
			return c.do()
		}))
	}
	if s.latency != nil && middleware.VerdictOf(err).Class == middleware.Success {
		s.latency.observe(time.Since(began))
	}
	return err
}

// idle reports whether a new Hedge would be in the same state.
func (h *Hedge) idle() bool {
	l := h.settings.Load().latency
	return l == nil || l.idle()
}
