package policies

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// An AdaptiveLimit bounds how many calls run at the same time, as a [Bulkhead] does, but
// finds the bound by itself: from how long calls take, and whether they are dropped. It
// keeps a dependency near what it can do, without anybody knowing how much that is.
//
// A call beyond the limit waits in a queue, if there is one, or is refused with a
// [*middleware.Rejection] whose reason is [middleware.ErrConcurrencyLimited]. What is said
// of the queue and the places of a Bulkhead holds here too.
//
// How long a call takes counts when its verdict is Success. It was dropped when the verdict
// is Throttled, when it is a Failure because time was up, or one with which the dependency
// says when to come back (over HTTP: 503 with Retry-After). Any other Failure, what is
// Ignored and a panic say nothing about the load, and do not count. When more than 2 % of
// the calls of a window were dropped, the limit is multiplied by Decrease. It grows only
// when at least half of it was used.
//
// When calls take longer than usual for 10 to 80 windows in a row, under a load that uses the
// limit, this is either because they wait inside the dependency or because they take longer
// for good. To learn that, Gradient and Vegas let the limit fall to its square root for
// about a window. The event [middleware.LimitChanged] says why the limit has changed: "growth",
// "latency", "drop" or "probe".
//
// An AdaptiveLimit starts no goroutine. A call that does not have to wait takes no lock,
// but the one with which a window ends.
type AdaptiveLimit struct {
	places
	epoch    time.Time
	settings atomic.Pointer[adaptiveSettings]
	sampling sampling
	changes  atomic.Bool // one call is changing the limit, or tells of it

	finder     *finder // the lock of places is held
	rtt, usual atomic.Int64
}

// adaptiveSettings are the settings in force.
type adaptiveSettings struct {
	config      AdaptiveLimitConfig // complete
	description description
}

// NewAdaptiveLimit returns an AdaptiveLimit. It panics if the settings are not valid.
func NewAdaptiveLimit(c AdaptiveLimitConfig) *AdaptiveLimit {
	must(c.Validate())
	c = c.complete()
	l := &AdaptiveLimit{epoch: time.Now(), finder: newFinder(c)}
	l.settings.Store(&adaptiveSettings{config: c})
	l.sampling.begin(int64(c.Window), c.MinCalls)
	l.start(or(c.Name, "adaptive_limit"), middleware.ErrConcurrencyLimited, "adaptive_limit", c.rules(c.Initial))
	return l
}

// Name returns the name of the policy.
func (l *AdaptiveLimit) Name() string { return l.name }

// Apply changes the settings of an AdaptiveLimit that is in use, but its name. The limit
// stays what it is, within the new bounds, so Initial means nothing; what has been learned
// of how long calls take stays unless the Algorithm is another one. Calls that run or wait
// go on. The error is that of Validate; then nothing has changed.
func (l *AdaptiveLimit) Apply(c AdaptiveLimitConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	c = c.complete()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finder.apply(c)
	l.settings.Store(&adaptiveSettings{config: c})
	l.usual.Store(int64(l.finder.usual()))
	l.change(c.rules(int(l.finder.limit)))
	l.sampling.begin(int64(time.Since(l.epoch))+int64(c.Window), c.MinCalls)
	return nil
}

// An AdaptiveLimitStatus is what an [AdaptiveLimit] does at one moment.
type AdaptiveLimitStatus struct {
	Running int // calls that have a place
	Waiting int // calls in the queue
	Limit   int // the bound of Running

	RTT  time.Duration // how long calls took in the last window, on average; 0: not known
	Base time.Duration // how long they take that do not wait in the dependency; 0: not known
}

// Status returns the state of the AdaptiveLimit. It takes no lock.
func (l *AdaptiveLimit) Status() AdaptiveLimitStatus {
	s := l.state.Load()
	return AdaptiveLimitStatus{
		Running: int(s % oneWaiter), Waiting: int(s / oneWaiter), Limit: int(l.rules.Load().limit),
		RTT: time.Duration(l.rtt.Load()), Base: time.Duration(l.usual.Load()),
	}
}

// Reports implements [middleware.Reporter]. Its type is "adaptive_limit". The readings are
// limit, the limit just now, rtt, how long calls took in the last window, and rtt_long, how
// long they usually take, in seconds. It takes no lock.
func (l *AdaptiveLimit) Reports(yield func(middleware.Report) bool) {
	s, set := l.Status(), l.settings.Load()
	yield(middleware.Report{
		Type: adaptiveType, Name: l.name, Running: s.Running, Waiting: s.Waiting,
		Settings: set.description.of(func() any { return set.config }),
		Readings: []middleware.Reading{
			{Name: "limit", Value: float64(s.Limit)},
			{Name: "rtt", Value: s.RTT.Seconds()},
			{Name: "rtt_long", Value: s.Base.Seconds()},
		},
	})
}

// Execute implements [middleware.Policy].
func (l *AdaptiveLimit) Execute(ctx context.Context, next middleware.Next) error {
	r := l.rules.Load()
	seen, entered := l.enter(r)
	inFlight := seen%oneWaiter + 1
	if !entered {
		placed, err := l.wait(ctx, caller{next: next})
		if err != nil {
			return err
		}
		if !placed {
			return next.Do(ctx)
		}
		inFlight = l.running()
	}
	if r.untilResult {
		return l.executeUntilResult(ctx, next, int64(inFlight))
	}
	begin := time.Now()
	err := next.DoThen(ctx, l.release)
	l.observe(ctx, next, begin, int64(inFlight), err)
	return err
}

func (l *AdaptiveLimit) executeUntilResult(ctx context.Context, next middleware.Next, inFlight int64) error {
	defer l.leave()
	begin := time.Now()
	err := next.Do(ctx)
	l.observe(ctx, next, begin, inFlight, err)
	return err
}

// idle reports whether nobody runs or waits. What has been learned may be forgotten then: it
// is as old as the key.
func (l *AdaptiveLimit) idle() bool { return l.free() }

// observe counts a call that has ended, and ends the window with it if that is due.
func (l *AdaptiveLimit) observe(ctx context.Context, next middleware.Next, begin time.Time, inFlight int64, err error) {
	took := time.Since(begin)
	v := middleware.VerdictOf(err)
	slow := l.settings.Load().config.SlowCall
	switch {
	case dropped(err, v), v.Class == middleware.Success && slow > 0 && took > slow:
		l.sampling.drop(inFlight)
	case v.Class == middleware.Success:
		l.sampling.add(int64(took), inFlight)
	default:
		return
	}
	if now := int64(begin.Sub(l.epoch) + took); l.sampling.ready(now) {
		l.endWindow(ctx, next, now)
	}
}

// endWindow changes the limit and tells the observers. One call at a time does so, that
// they hear of it in order; others leave it to the next one.
func (l *AdaptiveLimit) endWindow(ctx context.Context, next middleware.Next, now int64) {
	if !l.changes.CompareAndSwap(false, true) {
		return
	}
	defer l.changes.Store(false)
	from, to, reason := l.adapt(now)
	if from != to {
		next.Emit(ctx, middleware.Event{
			Kind: middleware.LimitChanged, Policy: l.name, From: strconv.Itoa(from), To: strconv.Itoa(to), Reason: reason,
		})
	}
}

// adapt changes the limit at the end of a window.
func (l *AdaptiveLimit) adapt(now int64) (from, to int, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = int(l.finder.limit)
	if !l.sampling.ready(now) {
		return from, from, ""
	}
	s := l.sampling.end()
	reason = l.finder.after(s)
	to = int(l.finder.limit)
	if s.rtt > 0 {
		l.rtt.Store(int64(s.rtt))
	}
	l.usual.Store(int64(l.finder.usual()))
	c := l.settings.Load().config
	l.sampling.begin(later(now, windowLength(c.Window, s.rtt)), c.MinCalls)
	if to != from {
		l.change(c.rules(to))
	}
	return from, to, reason
}
