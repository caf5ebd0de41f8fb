package policies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [BreakerConfig].
const (
	DefaultFailureThreshold = 5
	DefaultSuccessThreshold = 2
	DefaultBreakerTimeout   = 30 * time.Second
)

// BreakerConfig are the settings of a [Breaker].
type BreakerConfig struct {
	// Name stands in errors, events and spans. Empty means "breaker".
	Name string

	// FailureThreshold is how many consecutive failures open the breaker.
	// Zero means DefaultFailureThreshold.
	FailureThreshold int

	// SuccessThreshold is how many consecutive successful probes close it, and how
	// many probes are in flight at the most. Zero means DefaultSuccessThreshold.
	SuccessThreshold int

	// Timeout is how long the breaker is kept open with nothing let through.
	// Zero means DefaultBreakerTimeout, or RecoveryTime if that is shorter.
	Timeout time.Duration

	// RecoveryTime is when calls are let through as probes, counted from the
	// opening. It must not be below Timeout. Zero means Timeout.
	RecoveryTime time.Duration
}

// Validate returns a *SettingError for each setting outside its range.
func (c BreakerConfig) Validate() error {
	k := check{config: "BreakerConfig"}
	k.count("FailureThreshold", c.FailureThreshold)
	k.count("SuccessThreshold", c.SuccessThreshold)
	k.duration("Timeout", c.Timeout)
	k.duration("RecoveryTime", c.RecoveryTime)
	if c.RecoveryTime > 0 && c.Timeout > 0 {
		k.that(c.RecoveryTime >= c.Timeout, "RecoveryTime", c.RecoveryTime, fmt.Sprintf("at least Timeout, which is %s", c.Timeout))
	}
	return k.err()
}

// State is the state of a [Breaker].
type State uint8

// The states of a [Breaker].
const (
	Closed     State = iota // calls pass and are counted
	Open                    // calls are rejected
	HalfOpen                // some calls pass as probes
	ForcedOpen              // calls are rejected until Release or Reset
)

// String returns the name of the state, in lower case with underscores.
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half_open"
	case ForcedOpen:
		return "forced_open"
	default:
		return "unknown"
	}
}

// MarshalText returns the name of the state.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Counts are what a [Breaker] has counted since its last transition.
type Counts struct {
	Requests, Successes, Failures, Ignored    int
	ConsecutiveSuccesses, ConsecutiveFailures int
}

// BreakerStatus is a snapshot of a [Breaker].
type BreakerStatus struct {
	State  State
	Since  time.Time // when the state began; the zero time if it never changed
	Counts Counts

	// NextProbe is when an open breaker lets a call through again; otherwise the
	// zero time.
	NextProbe time.Time

	// From, Reason and Err describe the last transition. Err is the error that
	// caused it, if any.
	From   State
	Reason string
	Err    error
}

// A Breaker stops calls to a dependency that fails. It opens after
// FailureThreshold consecutive failures. While it is open it rejects every call,
// with the reason [middleware.ErrOpen] and the time that remains. RecoveryTime
// after it opened it is half-open: it lets as many calls through as
// SuccessThreshold, rejects others with [middleware.ErrTooManyProbes], closes when
// all of them succeed and opens again when one fails.
//
// The verdict of the call decides. Failure counts as a failure, Success as a
// success; Throttled and Ignored count as neither and give a probe back. A call
// that panics or calls runtime.Goexit counts as a failure. A result that belongs
// to an earlier state changes nothing.
//
// sony/gobreaker/v2 is the state machine.
type Breaker struct {
	name     string
	settings gobreaker.Settings
	recovery time.Duration
	home     atomic.Pointer[middleware.Chain] // for events that no call causes

	mu      sync.Mutex
	machine *gobreaker.TwoStepCircuitBreaker[struct{}]
	status  BreakerStatus
	forced  bool
	cause   origin // of a transition, while the machine is being asked
	events  []event
	emits   bool // a goroutine is delivering events

	noted atomic.Bool // there may be events to deliver
}

// An origin is the call that a transition belongs to.
type origin struct {
	ctx   context.Context
	chain *middleware.Chain
	err   error
}

type event struct {
	origin
	middleware.Event
}

var errFailed, errIgnored = errors.New("failed"), errors.New("ignored")

// NewBreaker returns a closed Breaker. It panics if the settings are not valid.
func NewBreaker(c BreakerConfig) *Breaker {
	must(c.Validate())
	threshold := uint32(or(c.FailureThreshold, DefaultFailureThreshold))
	b := &Breaker{name: or(c.Name, "breaker"), recovery: or(c.RecoveryTime, or(c.Timeout, DefaultBreakerTimeout))}
	b.settings = gobreaker.Settings{
		MaxRequests: uint32(or(c.SuccessThreshold, DefaultSuccessThreshold)),
		// The machine lets calls through when more than Timeout has passed.
		Timeout:     max(1, b.recovery-1),
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= threshold },
		IsExcluded:  func(err error) bool { return err == errIgnored },
	}
	b.machine = b.newMachine()
	return b
}

// newMachine returns a closed machine. Its transitions count only while it is the
// current one.
func (b *Breaker) newMachine() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	var m *gobreaker.TwoStepCircuitBreaker[struct{}]
	settings := b.settings
	settings.OnStateChange = func(_ string, from, to gobreaker.State) {
		if b.machine == m {
			b.moved(stateOf(to), transitionReason(from, to))
		}
	}
	m = gobreaker.NewTwoStepCircuitBreaker[struct{}](settings)
	return m
}

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	default:
		return Closed
	}
}

func transitionReason(from, to gobreaker.State) string {
	switch {
	case to == gobreaker.StateHalfOpen:
		return "delay_elapsed"
	case to == gobreaker.StateClosed:
		return "probe_succeeded"
	case from == gobreaker.StateHalfOpen:
		return "probe_failed"
	default:
		return "consecutive_failures"
	}
}

// Name returns the name of the policy.
func (b *Breaker) Name() string { return b.name }

// Attach makes c the chain whose observers hear of transitions that no call
// causes, if it has any. Of several such chains it is the newest, which contains the
// ones that were nested in it.
func (b *Breaker) Attach(c *middleware.Chain) {
	if c.Observed() {
		b.home.Store(c)
	}
}

// Execute implements [middleware.Policy].
func (b *Breaker) Execute(ctx context.Context, next middleware.Next) error {
	by := origin{ctx: ctx, chain: next.Chain()}
	report, retryAfter, refused := b.ask(by)
	if refused != nil {
		b.deliver()
		next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: b.name, Wait: retryAfter, Reason: rejectedWord(refused)})
		return next.Reject(middleware.Rejection{Policy: b.name, Reason: refused, RetryAfter: retryAfter})
	}
	result := errIgnored // should an observer panic
	defer func() { b.settle(by, report, result) }()
	b.deliver()
	result = errFailed // unless next returns
	by.err = next.Do(ctx)
	switch middleware.VerdictOf(by.err).Class {
	case middleware.Success:
		result = nil
	case middleware.Failure:
	default:
		result = errIgnored
	}
	return by.err
}

// ask asks whether a call may run. If it may, report takes its result.
func (b *Breaker) ask(by origin) (report func(error), retryAfter time.Duration, refused error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forced {
		return nil, 0, middleware.ErrOpen
	}
	b.cause = by
	report, err := b.machine.Allow()
	b.cause = origin{}
	switch err {
	case nil:
		return report, 0, nil
	case gobreaker.ErrTooManyRequests:
		return nil, 0, middleware.ErrTooManyProbes
	default:
		return nil, time.Until(b.status.NextProbe), middleware.ErrOpen
	}
}

func (b *Breaker) settle(by origin, report func(error), result error) {
	b.mu.Lock()
	b.cause = by
	report(result)
	b.cause = origin{}
	b.mu.Unlock()
	b.deliver()
}

// moved notes a transition. The lock is held.
func (b *Breaker) moved(to State, reason string) {
	from, now := b.status.State, time.Now()
	if to == HalfOpen { // the time did it, not the call that noticed
		b.cause.err = nil
	}
	b.status = BreakerStatus{State: to, Since: now, From: from, Reason: reason, Err: middleware.Unjudged(b.cause.err)}
	var openFor time.Duration
	if to == Open {
		openFor = b.recovery
		b.status.NextProbe = now.Add(openFor)
	}
	b.noted.Store(true)
	b.events = append(b.events, event{b.cause, middleware.Event{
		Time: now, Policy: b.name, Kind: middleware.Transition,
		From: from.String(), To: to.String(), Reason: reason, Wait: openFor, Err: b.cause.err,
	}})
}

// deliver emits the noted events in their order, without the lock. One goroutine
// at a time does so; others leave theirs to it.
func (b *Breaker) deliver() {
	if !b.noted.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.emits {
		return
	}
	b.emits = true
	defer func() { b.emits = false }()
	for len(b.events) > 0 {
		e := b.events[0]
		b.events = b.events[1:]
		b.emit(e)
	}
	b.events = nil
	b.noted.Store(false)
}

// emit gives up the lock for the length of the observers' work.
func (b *Breaker) emit(e event) {
	b.mu.Unlock()
	defer b.mu.Lock()
	if e.chain == nil {
		e.chain, e.ctx = b.home.Load(), context.Background()
	}
	e.chain.Emit(e.ctx, e.Event)
}

// State returns the state of the breaker. An open breaker whose RecoveryTime has
// passed is half-open, though the next call makes it so.
func (b *Breaker) State() State { return b.Status().State }

// Counts returns what the breaker has counted since its last transition.
func (b *Breaker) Counts() Counts { return b.Status().Counts }

// Status returns a snapshot of the breaker.
func (b *Breaker) Status() BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	if s.State == Open && !time.Now().Before(s.NextProbe) {
		s.State = HalfOpen
	}
	c := b.machine.Counts()
	s.Counts = Counts{
		Requests:             int(c.Requests),
		Successes:            int(c.TotalSuccesses),
		Failures:             int(c.TotalFailures),
		Ignored:              int(c.TotalExclusions),
		ConsecutiveSuccesses: int(c.ConsecutiveSuccesses),
		ConsecutiveFailures:  int(c.ConsecutiveFailures),
	}
	return s
}

// ForceOpen rejects every call until Release or Reset. Results of calls in flight
// no longer count.
func (b *Breaker) ForceOpen() {
	b.mu.Lock()
	b.restart(true, ForcedOpen, "forced")
	b.mu.Unlock()
	b.deliver()
}

// Release ends ForceOpen: the breaker is closed and counts from zero. Without a
// ForceOpen it does nothing.
func (b *Breaker) Release() { b.close("released", true) }

// Reset closes the breaker, whatever its state, and forgets what it has counted.
func (b *Breaker) Reset() { b.close("reset", false) }

func (b *Breaker) close(reason string, ifForced bool) {
	b.mu.Lock()
	if b.forced || !ifForced {
		b.restart(false, Closed, reason)
	}
	b.mu.Unlock()
	b.deliver()
}

// restart makes a new machine, so that results of calls in flight no longer count.
// The lock is held.
func (b *Breaker) restart(forced bool, to State, reason string) {
	b.forced = forced
	b.machine = b.newMachine()
	if b.status.State != to {
		b.moved(to, reason)
	}
}
