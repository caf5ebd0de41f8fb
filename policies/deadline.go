package policies

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [DeadlineConfig].
const (
	DefaultDeadlineQuantile = 0.5
	DefaultDeadlineMinCalls = 20
)

// deadlineProbes is which share of the calls a Deadline lets through that it would refuse.
const deadlineProbes = 0.1

// DeadlineConfig are the settings of a [Deadline].
type DeadlineConfig struct {
	// Name stands in errors, events and spans. Empty means "deadline".
	Name string

	// Quantile says which time left is too little: one in which fewer than that share of
	// the newest calls were done. With 0.5 a call is refused that more likely than not
	// would come too late. Zero means DefaultDeadlineQuantile.
	Quantile float64

	// MinCalls is how many calls of the last 30 to 60 seconds must be known before any is
	// refused. Zero means DefaultDeadlineMinCalls.
	MinCalls int

	// ObserveOnly refuses nothing: a call that would be refused passes, with the event
	// [middleware.WouldReject].
	ObserveOnly bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c DeadlineConfig) Validate() error {
	k := check{config: "DeadlineConfig"}
	k.that(c.Quantile >= 0 && c.Quantile < 1, "Quantile", c.Quantile, "above 0 and below 1, or 0 for the default")
	k.count("MinCalls", c.MinCalls)
	return k.err()
}

// A Deadline refuses a call that has less time left than calls usually take: its result
// would come when nobody waits for it any more, and the dependency would have worked for
// nothing. It is refused at once with a [*middleware.Rejection] whose reason is
// [middleware.ErrDeadline]. A call whose context has no deadline is never refused.
//
// What calls usually take is learned from those that succeed, with all that the policies
// further in have them wait for; a streamed result counts until it begins. The estimate is
// below the exact one, by a sixteenth at the most. Of a dependency that is too slow for all
// its callers nothing is learned, and none of them is refused: that is what a [Breaker] is
// for.
//
// It mends itself. Old calls are forgotten after 30 to 60 seconds, and when fewer than
// MinCalls are known none is refused. One in ten of the calls that have too little time is
// let through, unless it has none, so that something is known of a dependency whose callers
// are all in a hurry.
//
// Put it inside of a [Retry], so that it sees each attempt, and outside of the policies that
// a call may have to wait for.
//
// A Deadline takes no lock and starts no goroutine.
type Deadline struct {
	name     string
	settings atomic.Pointer[deadlining]
	late     atomic.Uint64 // calls that had too little time
}

// A deadlining is a Deadline's settings. They are not changed once they are in use.
type deadlining struct {
	DeadlineConfig // complete

	latency     *latency
	description description
}

func newDeadlining(c DeadlineConfig) *deadlining {
	c.Quantile = or(c.Quantile, DefaultDeadlineQuantile)
	c.MinCalls = or(c.MinCalls, DefaultDeadlineMinCalls)
	return &deadlining{DeadlineConfig: c}
}

// NewDeadline returns a Deadline. It panics if the settings are not valid.
func NewDeadline(c DeadlineConfig) *Deadline {
	must(c.Validate())
	d := &Deadline{name: or(c.Name, "deadline")}
	s := newDeadlining(c)
	s.latency = newLatency(s.Quantile, s.MinCalls)
	d.settings.Store(s)
	return d
}

// Apply changes the settings of a Deadline that is in use, but its name, and keeps what it
// knows of the newest calls. It returns the error of Validate, and changes nothing then.
func (d *Deadline) Apply(c DeadlineConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	for {
		old, s := d.settings.Load(), newDeadlining(c)
		s.latency = old.latency.retuned(s.Quantile, s.MinCalls)
		if d.settings.CompareAndSwap(old, s) {
			return nil
		}
	}
}

// Name returns the name of the policy.
func (d *Deadline) Name() string { return d.name }

// Usual returns the time that a call must have left, or zero while too few calls are
// known.
func (d *Deadline) Usual() time.Duration {
	l := d.settings.Load().latency
	return usual(l, l.now())
}

// usual returns the estimate of l from below.
func usual(l *latency, now int64) time.Duration {
	if end := time.Duration(l.current(now).estimate.Load()); end > 0 {
		return atLeast(end)
	}
	return 0
}

// Reports implements [middleware.Reporter]. Its type is "deadline". The reading usual is the
// time that a call must have left, in seconds, or 0 while it is not known.
func (d *Deadline) Reports(yield func(middleware.Report) bool) {
	s := d.settings.Load()
	yield(middleware.Report{
		Type: deadlineType, Name: d.name,
		Settings: s.description.of(func() any { return s.DeadlineConfig }),
		Readings: []middleware.Reading{{Name: "usual", Value: usual(s.latency, s.latency.now()).Seconds()}},
	})
}

// Execute implements [middleware.Policy].
func (d *Deadline) Execute(ctx context.Context, next middleware.Next) error {
	s := d.settings.Load()
	began := s.latency.now()
	if d.refuses(ctx, usual(s.latency, began)) {
		reason := rejectedWord(middleware.ErrDeadline)
		if !s.ObserveOnly {
			next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: d.name, Reason: reason})
			return next.Reject(middleware.Rejection{Policy: d.name, Reason: middleware.ErrDeadline})
		}
		next.Emit(ctx, middleware.Event{Kind: middleware.WouldReject, Policy: d.name, Reason: reason})
	}
	err := next.Do(ctx)
	if middleware.VerdictOf(err).Class == middleware.Success {
		l := d.settings.Load().latency // the clock is that of s
		l.observe(time.Duration(l.now() - began))
	}
	return err
}

// refuses reports whether a call with that context has too little time and is no probe.
func (d *Deadline) refuses(ctx context.Context, usual time.Duration) bool {
	deadline, limited := ctx.Deadline()
	if !limited || usual == 0 {
		return false
	}
	left := time.Until(deadline)
	return left < usual && (left <= 0 || evenly(d.late.Add(1)) >= deadlineProbes)
}

// idle reports whether a new Deadline would be in the same state.
func (d *Deadline) idle() bool { return d.settings.Load().latency.idle() }
