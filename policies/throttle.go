package policies

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [ThrottleConfig].
const (
	DefaultThrottleK            = 2.0
	DefaultThrottleWindow       = 2 * time.Minute
	DefaultThrottleMaxRejection = 0.9
	DefaultThrottleMinCalls     = 10
)

// ThrottleConfig are the settings of a [Throttle].
type ThrottleConfig struct {
	// Name stands in errors, events and spans. Empty means "throttle".
	Name string

	// K is how many calls are sent for each that the dependency accepts, on average. It is
	// 1 or more: with 1 no more than were accepted, so that a dependency which accepts more
	// again is found out late. Zero means DefaultThrottleK.
	K float64

	// Window is how far back calls count. Zero means DefaultThrottleWindow.
	Window time.Duration

	// MaxRejection is the largest share of the calls that is refused, and of those of each
	// priority. It is below 1: what passes is how the Throttle learns that the dependency is
	// well again. Zero means DefaultThrottleMaxRejection.
	MaxRejection float64

	// MinCalls is how many calls that are over the Window must hold before any is refused.
	// Zero means DefaultThrottleMinCalls.
	MinCalls int

	// ObserveOnly refuses nothing: a call that would be refused passes, with the event
	// [middleware.WouldReject].
	ObserveOnly bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c ThrottleConfig) Validate() error {
	k := check{config: "ThrottleConfig"}
	k.that(c.K == 0 || c.K >= 1 && !math.IsInf(c.K, 1), "K", c.K, "1 or more, or 0 for the default")
	k.that(c.Window == 0 || c.Window >= demandBuckets*time.Millisecond, "Window", c.Window, "at least 20ms, or 0 for the default")
	k.that(c.MaxRejection >= 0 && c.MaxRejection < 1, "MaxRejection", c.MaxRejection, "above 0 and below 1, or 0 for the default")
	k.count("MinCalls", c.MinCalls)
	return k.err()
}

// A Throttle sheds calls to a dependency that refuses them, before they are sent: to say
// no is work too, and a dependency that is overloaded has none to spare. A call that is
// shed is refused with a [*middleware.Rejection] whose reason is [middleware.ErrThrottled].
// When another one will pass is not known.
//
// It is the adaptive throttling of Google's Site Reliability Engineering, chapter 21,
// "Handling Overload": the share of the calls that are shed is
//
//	max(0, (requests - K * accepts) / (requests + 1))
//
// where requests are the calls of the Window, also those that were shed, counted before
// they are sent, and accepts those that the dependency accepted: that ended with the
// verdict Success. Failure and Throttled are none, nor is a call that panics. A call that
// is Ignored, because the caller gave up for instance or a policy further in refused it, is
// taken back: it counts as never made. A call that is under way counts like those that are
// over: if half of those that were sent were accepted, as half an accept. So a burst of
// calls at the beginning sheds nothing, and a dependency that has begun to refuse is
// found out when its answers come.
//
// The calls of the lowest [middleware.Priority] are shed first: those of the next one only
// when MaxRejection of the lower are shed and that is not enough. Which calls of a priority
// are shed is no matter of chance, they are spread evenly.
//
// Put it outside of a [Retry], so that a call that is repeated counts once. It tells a
// dependency that takes a share of the calls from one that takes none, unlike a [Breaker],
// and both go together.
//
// The Window is kept in buckets of a twentieth of it, and reaches back at most as long as it
// says and at least nineteen twentieths of it. A Throttle takes no lock and starts no
// goroutine.
type Throttle struct {
	name     string
	epoch    time.Time
	settings atomic.Pointer[throttling]
	demand   demand
	turns    [priorities]atomic.Uint64 // calls that were candidates to be shed
	refusal  standingRefusal
}

// A throttling is a Throttle's settings. They are not changed once they are in use.
type throttling struct {
	ThrottleConfig // complete

	span        windowSpan
	description description
}

func newThrottling(c ThrottleConfig) *throttling {
	c.K = or(c.K, DefaultThrottleK)
	c.Window = or(c.Window, DefaultThrottleWindow)
	c.MaxRejection = or(c.MaxRejection, DefaultThrottleMaxRejection)
	c.MinCalls = or(c.MinCalls, DefaultThrottleMinCalls)
	return &throttling{ThrottleConfig: c, span: spanOf(c.Window)}
}

// NewThrottle returns a Throttle. It panics if the settings are not valid.
func NewThrottle(c ThrottleConfig) *Throttle {
	must(c.Validate())
	t := &Throttle{name: or(c.Name, "throttle"), epoch: time.Now()}
	t.settings.Store(newThrottling(c))
	t.demand.start()
	return t
}

// Apply changes the settings of a Throttle that is in use, but its name, and keeps what it
// has counted. It returns the error of Validate, and changes nothing then. A longer
// Window fills as time goes by.
func (t *Throttle) Apply(c ThrottleConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	t.settings.Store(newThrottling(c))
	return nil
}

// Name returns the name of the policy.
func (t *Throttle) Name() string { return t.name }

// A ThrottleStatus is what a [Throttle] does at one moment.
type ThrottleStatus struct {
	Requests int // calls in the window
	Accepts  int // calls in the window that the dependency accepted

	// Rejection is the share of all calls that are refused, and then of those of each
	// priority.
	Rejection, Sheddable, SheddablePlus, Critical, CriticalPlus float64
}

// Status returns what the Throttle does now. It takes no lock.
func (t *Throttle) Status() ThrottleStatus {
	s := t.settings.Load()
	seen := t.demand.tally(t.now(), s.span)
	share := s.share(seen)
	of := s.shares(seen, share)
	return ThrottleStatus{
		Requests: int(seen.requests), Accepts: int(seen.accepts), Rejection: share,
		Sheddable: of[0], SheddablePlus: of[1], Critical: of[2], CriticalPlus: of[3],
	}
}

// Reports implements [middleware.Reporter]. Its type is "throttle". The readings are requests
// and accepts, in the window, rejection, the share of the calls that are refused, and that
// of each priority: rejection_sheddable and so on. It takes no lock.
func (t *Throttle) Reports(yield func(middleware.Report) bool) {
	settings, s := t.settings.Load(), t.Status()
	yield(middleware.Report{
		Type: throttleType, Name: t.name,
		Settings: settings.description.of(func() any { return settings.ThrottleConfig }),
		Readings: []middleware.Reading{
			{Name: "requests", Value: float64(s.Requests)},
			{Name: "accepts", Value: float64(s.Accepts)},
			{Name: "rejection", Value: s.Rejection},
			{Name: "rejection_sheddable", Value: s.Sheddable},
			{Name: "rejection_sheddable_plus", Value: s.SheddablePlus},
			{Name: "rejection_critical", Value: s.Critical},
			{Name: "rejection_critical_plus", Value: s.CriticalPlus},
		},
	})
}

// Execute implements [middleware.Policy].
func (t *Throttle) Execute(ctx context.Context, next middleware.Next) error {
	s, of := t.settings.Load(), int(middleware.PriorityOf(ctx)-middleware.Sheddable)
	began := t.now()
	t.demand.begin(began, s.span, of)
	shed := t.sheds(s, of, began)
	if shed && !s.ObserveOnly {
		t.demand.shed.Add(1)
		next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: t.name, Reason: rejectedWord(middleware.ErrThrottled)})
		return t.refusal.in(next.Chain(), t.name, middleware.ErrThrottled)
	}
	end := middleware.Ignored // should an observer panic
	defer func() { t.demand.end(began, of, end) }()
	if shed {
		next.Emit(ctx, middleware.Event{Kind: middleware.WouldReject, Policy: t.name, Reason: rejectedWord(middleware.ErrThrottled)})
	}
	end = middleware.Failure // unless next returns
	err := next.Do(ctx)
	end = middleware.VerdictOf(err).Class
	return err
}

// idle reports whether no call counts any more, as in a new Throttle.
func (t *Throttle) idle() bool { return t.demand.tally(t.now(), t.settings.Load().span).requests == 0 }

func (t *Throttle) now() int64 { return int64(time.Since(t.epoch)) }

// sheds decides about a call, which has been counted.
func (t *Throttle) sheds(s *throttling, of int, now int64) bool {
	if t.demand.welcome() {
		return false
	}
	seen := t.demand.tally(now, s.span)
	before := seen
	before.requests-- // the call itself
	share := s.share(before)
	if share == 0 {
		return false
	}
	share = s.shares(seen, share)[of]
	return share > 0 && evenly(t.turns[of].Add(1)) < share
}

// share returns the share of all calls that are to be shed.
func (s *throttling) share(seen demandTally) float64 {
	over := seen.accepts + seen.refused
	if over+seen.shed < int64(s.MinCalls) || over == 0 {
		return 0
	}
	requests, accepts := float64(seen.requests), float64(seen.accepts)
	if underWay := seen.requests - seen.shed - over; underWay > 0 {
		accepts += float64(underWay) * accepts / float64(over)
	}
	return min(s.MaxRejection, max(0, (requests-s.K*accepts)/(requests+1)))
}

// shares returns which share of the calls of each priority is to be shed, lowest first, so
// that it comes to the given share of all calls.
func (s *throttling) shares(seen demandTally, share float64) (of [priorities]float64) {
	const none = 1e-12 // what rounding may leave
	left, requests := share, float64(max(1, seen.requests))
	for i, n := range seen.of {
		if left < none {
			break
		}
		part := float64(n) / requests
		of[i] = s.MaxRejection
		if part > 0 {
			of[i] = min(of[i], left/part)
		}
		left -= of[i] * part
	}
	return of
}
