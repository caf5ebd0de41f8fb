package policies

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// ErrChaos is what a [Chaos] makes calls fail with, and the [context.Cause] of those that it
// cuts.
var ErrChaos error = chaosError{}

type chaosError struct{}

func (chaosError) Error() string     { return "a chaos policy made the call fail, to see what happens" }
func (chaosError) ErrorType() string { return "chaos" }

// ChaosConfig are the settings of a [Chaos]. A rate is a share of the calls that may be
// disturbed, from 0, which is none, to 1.
type ChaosConfig struct {
	// Name stands in errors, events and spans. Empty means "chaos".
	Name string

	// Enabled says that calls shall be disturbed here. Without it there can be no Chaos.
	Enabled bool

	// For is how long calls are disturbed, from the beginning. Zero means until Disarm.
	For time.Duration

	// Seed makes the choice of calls the same each time. Zero means another one each time.
	Seed uint64

	// When reports whether a call may be disturbed. Nil means each. It must be safe for
	// concurrent use.
	When func(ctx context.Context) bool

	// LatencyRate is the share of calls that Latency passes before. Whatever else happens to
	// a call comes after that.
	LatencyRate float64
	Latency     time.Duration

	// ErrorRate is the share of calls that fail with Err, and are not made. Nil means
	// ErrChaos as a failure that may be repeated; Err may have a verdict of its own
	// (see [middleware.Judged]).
	ErrorRate float64
	Err       error

	// OutcomeRate is the share of calls whose outcome Outcome changes: it gets the error of
	// the call, nil for a success, and returns the one to go on with. What came with
	// a success is lost when it returns an error, and the caller gets a zero value when it
	// returns nil in place of one. It must be safe for concurrent use.
	OutcomeRate float64
	Outcome     func(ctx context.Context, err error) error

	// HangRate is the share of calls that are not made and do not return before their
	// context ends.
	HangRate float64

	// CutRate is the share of calls whose context ends after CutAfter, in the middle of
	// their result too. Zero CutAfter ends it at once.
	CutRate  float64
	CutAfter time.Duration
}

// Validate returns a *SettingError for each setting outside its range.
func (c ChaosConfig) Validate() error {
	k := check{config: "ChaosConfig"}
	k.that(c.Enabled, "Enabled", c.Enabled, "true, since a Chaos disturbs calls on purpose; where that is not meant, leave it out")
	k.that(c.For >= 0, "For", c.For, "a positive duration, or 0 for until Disarm")
	k.share("LatencyRate", c.LatencyRate)
	k.share("ErrorRate", c.ErrorRate)
	k.share("OutcomeRate", c.OutcomeRate)
	k.share("HangRate", c.HangRate)
	k.share("CutRate", c.CutRate)
	if sum := c.ErrorRate + c.OutcomeRate + c.HangRate + c.CutRate; len(k.errs) == 0 {
		const exact = 1 + 1e-12 // 0.7 + 0.2 + 0.1 is 0.9999999999999999
		k.that(sum <= exact, "ErrorRate", c.ErrorRate, "at most 1 together with OutcomeRate, HangRate and CutRate")
	}
	k.that(c.Latency >= 0, "Latency", c.Latency, "a positive duration")
	k.that(c.Latency != 0 || !(c.LatencyRate > 0), "Latency", c.Latency, "a positive duration with LatencyRate")
	k.that(c.Outcome != nil || !(c.OutcomeRate > 0), "Outcome", "nil", "set with OutcomeRate")
	k.that(c.CutAfter >= 0, "CutAfter", c.CutAfter, "0 (at once) or a positive duration")
	return k.err()
}

func (c *check) share(field string, v float64) {
	c.that(v >= 0 && v <= 1, field, v, "between 0 and 1")
}

// A Chaos disturbs calls, to see whether a program bears it. Put it innermost, so that all
// other policies are tried.
//
// It takes the place of the dependency: what it does is judged as if that had done it. An
// error that it injects counts as a [middleware.Failure]. A latency, or a call that hangs, ends
// with the context: with a [*middleware.Rejection] that is the error of the context, and a
// failure when that was a time limit of the chain. A call that is cut fails
// as if a time limit had cut it, with an error that is [ErrChaos].
//
// A call has at most one of the disturbances, besides the latency, so each has its share of
// the calls. The seed and how many calls have come before decide what happens to a
// call: of two runs with the same seed the first calls meet the same, the second ones, and so on,
// whatever their results. Calls that may not be disturbed are not among them.
//
// Each disturbance is told with [middleware.Injected], that of a call that is cut when it
// has been. A Chaos is armed from the beginning. While it is not it is not in the way. It
// has no goroutine.
type Chaos struct {
	name     string
	settings atomic.Pointer[chaosSettings]
	epoch    time.Time
	until    atomic.Int64 // since the epoch in nanoseconds, disarmed or forever
	calls    atomic.Uint64
	injected atomic.Uint64
}

type chaosSettings struct {
	ChaosConfig // complete

	description description
}

// disarmed is when a Chaos that is not armed ends.
const disarmed int64 = -1

// NewChaos returns a Chaos. It panics if the settings are not valid.
func NewChaos(c ChaosConfig) *Chaos {
	must(c.Validate())
	h := &Chaos{name: or(c.Name, "chaos"), epoch: time.Now()}
	h.set(c)
	h.Arm(c.For)
	return h
}

// Apply changes the settings, except for the Name. It returns the error of Validate and then
// changes nothing. Whether and for how long the Chaos is armed stays as it is, whatever For
// says, and so does the number of calls that have come before. Calls that are being
// disturbed go on so. Apply is safe for concurrent use.
func (h *Chaos) Apply(c ChaosConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	h.set(c)
	return nil
}

func (h *Chaos) set(c ChaosConfig) {
	if before := h.settings.Load(); c.Seed == 0 && before != nil {
		c.Seed = before.Seed
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Err == nil {
		c.Err = middleware.Judged(ErrChaos, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "chaos"})
	}
	h.settings.Store(&chaosSettings{ChaosConfig: c})
}

// Arm makes the Chaos disturb calls from now on for d, or until Disarm if that is zero or less.
func (h *Chaos) Arm(d time.Duration) {
	now := h.now()
	if d <= 0 || d > time.Duration(forever-now) {
		h.until.Store(forever)
		return
	}
	h.until.Store(now + int64(d))
}

// Disarm lets calls pass from now on, until Arm. Those that are being disturbed go on so.
func (h *Chaos) Disarm() { h.until.Store(disarmed) }

// Armed reports whether calls are disturbed.
func (h *Chaos) Armed() bool {
	switch until := h.until.Load(); until {
	case disarmed:
		return false
	case forever:
		return true
	default:
		return h.now() < until || !h.until.CompareAndSwap(until, disarmed) && h.Armed()
	}
}

func (h *Chaos) now() int64 { return int64(time.Since(h.epoch)) }

// Name returns the name of the policy.
func (h *Chaos) Name() string { return h.name }

// Reports implements [middleware.Reporter]. Its type is "chaos". The readings are armed (1 or
// 0) and injected, how often a call has been disturbed.
func (h *Chaos) Reports(yield func(middleware.Report) bool) {
	s := h.settings.Load()
	armed := 0.0
	if h.Armed() {
		armed = 1
	}
	yield(middleware.Report{
		Type: chaosType, Name: h.name,
		Settings: s.description.of(func() any { return s.ChaosConfig }),
		Readings: []middleware.Reading{
			{Name: "armed", Value: armed},
			{Name: "injected", Value: float64(h.injected.Load())},
		},
	})
}

// Execute implements [middleware.Policy].
func (h *Chaos) Execute(ctx context.Context, next middleware.Next) error {
	if !h.Armed() {
		return next.Do(ctx)
	}
	s := h.settings.Load()
	if s.When != nil && !s.When(ctx) {
		return next.Do(ctx)
	}
	d := s.draw(h.calls.Add(1))
	if d.latency {
		h.inject(ctx, next, middleware.Event{Reason: "latency", Wait: s.Latency})
		if !sleep(ctx, s.Latency) {
			return h.ended(ctx, next)
		}
	}
	switch d.fault {
	case faultError:
		h.inject(ctx, next, middleware.Event{Reason: "error", Err: s.Err})
		return s.Err
	case faultHang:
		h.inject(ctx, next, middleware.Event{Reason: "hang"})
		<-ctx.Done()
		return h.ended(ctx, next)
	case faultCut:
		return h.cut(ctx, next, s)
	case faultOutcome:
		err := s.Outcome(ctx, next.Do(ctx))
		h.inject(ctx, next, middleware.Event{Reason: "outcome", Err: err})
		return err
	default:
		return next.Do(ctx)
	}
}

// inject tells the observers, and counts.
func (h *Chaos) inject(ctx context.Context, next middleware.Next, e middleware.Event) {
	h.injected.Add(1)
	e.Kind, e.Policy, e.Attempt = middleware.Injected, h.name, next.Attempt(ctx)
	next.Emit(ctx, e)
}

// A disturbance is what happens to one call.
type disturbance struct {
	latency bool
	fault   fault
}

type fault uint8

const (
	noFault fault = iota
	faultError
	faultHang
	faultCut
	faultOutcome
)

// draw decides what happens to the call of that number. It has a generator of its own, so that
// nothing is shared by calls that come at the same time.
func (s *chaosSettings) draw(number uint64) (d disturbance) {
	var source rand.PCG
	source.Seed(s.Seed, number)
	share := func() float64 { return float64(source.Uint64()>>11) / (1 << 53) } // as in rand.Float64
	d.latency = share() < s.LatencyRate
	at := share()
	for _, f := range [...]struct {
		fault
		rate float64
	}{{faultError, s.ErrorRate}, {faultHang, s.HangRate}, {faultCut, s.CutRate}, {faultOutcome, s.OutcomeRate}} {
		if at < f.rate {
			d.fault = f.fault
			break
		}
		at -= f.rate
	}
	return d
}

// ended returns the error of a call whose context has ended while it was held back here. It is
// judged as that of an operation.
func (h *Chaos) ended(ctx context.Context, next middleware.Next) error {
	err := interrupted(ctx, next, h.name, nil)
	if errors.Is(context.Cause(ctx), middleware.ErrTimeout) {
		return middleware.Judged(err, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "timeout"})
	}
	return err
}
