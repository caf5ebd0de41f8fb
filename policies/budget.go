package policies

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [BudgetConfig].
const (
	DefaultBudgetRatio        = 0.2
	DefaultBudgetMinPerSecond = 10.0
	DefaultBudgetWindow       = 10 * time.Second
)

// maxBudgetRatio is more than any number of attempts makes sense for.
const maxBudgetRatio = 1000

// BudgetConfig are the settings of a [Budget].
type BudgetConfig struct {
	// Ratio is how many further attempts there may be for each call, over the Window:
	// 0.2 is one for each five calls. What it adds must fit into what the dependency has to
	// spare: one that is used to 93 % needs a ratio of 0.05 to get over an outage. Zero means
	// DefaultBudgetRatio. Negative switches the budget off: it bounds nothing.
	Ratio float64

	// MinPerSecond is how many further attempts per second there may be whatever the
	// Ratio says, so that a client that makes few calls can still repeat them. It is
	// averaged over the Window, all of it may be taken at once. Zero means
	// DefaultBudgetMinPerSecond, negative none.
	MinPerSecond float64

	// Window is how far back calls and attempts count. Zero means DefaultBudgetWindow.
	Window time.Duration
}

// Validate returns a *SettingError for each setting outside its range.
func (c BudgetConfig) Validate() error {
	k := check{config: "BudgetConfig"}
	k.that(c.Ratio <= maxBudgetRatio && !math.IsInf(c.Ratio, -1), "Ratio", c.Ratio, "above 0 and at most 1000, 0 for the default, or negative for no bound")
	k.that(c.MinPerSecond <= math.MaxInt32 && !math.IsInf(c.MinPerSecond, -1), "MinPerSecond", c.MinPerSecond,
		"above 0 and at most 2147483647, 0 for the default, or negative for none")
	k.that(c.Window == 0 || c.Window >= budgetBuckets*time.Millisecond, "Window", c.Window,
		"at least 10ms, or 0 for the default")
	return k.err()
}

// A Budget bounds what retries and hedges add to the load of a dependency: further
// attempts are at most Ratio times the calls of the Window, or MinPerSecond if that is
// more. When a dependency is down, each call asks for all its attempts; without a bound
// they multiply the load just then.
//
// It is no policy. Give it to any number of [Retry] and [Hedge] policies, of several
// chains too, and it bounds them together. A call counts once: of the policies of a
// chain that have the same Budget the first one counts it, and a policy that shares its
// Budget, or hedges, counts no call that is itself a further attempt. A chain that a
// [Keyed] makes is a chain of its own: do not share a Budget between it and the one around.
//
// The Window is kept in buckets of a tenth of it, and reaches back at least as long as
// it says and at most a tenth longer. The number of further attempts in it is exact, and
// none begins that would be above the bound, whatever runs at the same time. The number of calls may be too
// low by those that begin just when a bucket does, and in a bucket with more than 64
// calls by up to 31 others, which may leave with the bucket before theirs: to count a
// call takes no lock, and when there are many of them no look at the clock.
//
// A Budget has no goroutine and nothing to stop. Make one with [NewBudget]; it is safe
// for concurrent use.
type Budget struct {
	off   atomic.Bool
	epoch time.Time
	users atomic.Int32 // policies

	calls atomic.Int64 // since the budget was made
	first atomic.Int64 // of them, those before the newest bucket
	until atomic.Int64 // when the newest bucket ends

	mu       sync.Mutex
	settings *budgetSettings
	buckets  [budgetBuckets + 1]load
	newest   int64 // number of the bucket, counted from the epoch
	settled  int64 // of the calls, those that are or were in a bucket
	window   load  // the sum of the buckets
}

type budgetSettings struct {
	BudgetConfig // complete

	floor       float64 // further attempts in a window
	period      int64   // length of a bucket
	description description
}

// budgetBuckets is how many buckets make a window. One more is kept, because the newest
// has only begun.
const budgetBuckets = 10

// Of the calls of a bucket, the first busyCalls look at the clock, so that those of a
// quiet client are counted in their time, and after that one in lookEvery.
const (
	busyCalls = 64
	lookEvery = 32
)

// A load is what one bucket holds, or all of them.
type load struct{ calls, extra int64 }

// NewBudget returns a Budget. It panics if the settings are not valid.
func NewBudget(c BudgetConfig) *Budget {
	must(c.Validate())
	b := &Budget{epoch: time.Now()}
	b.set(c)
	return b
}

// A BudgetStatus is what a [Budget] holds at one moment.
type BudgetStatus struct {
	Calls int // in the window
	Extra int // further attempts in the window
	Left  int // further attempts that may begin now; math.MaxInt when the budget is off
}

// Status returns what the budget holds now. A budget that is off counts nothing.
func (b *Budget) Status() BudgetStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status()
}

// status is Status while the lock is held.
func (b *Budget) status() BudgetStatus {
	if b.off.Load() {
		return BudgetStatus{Left: math.MaxInt}
	}
	b.advance(b.now(), b.calls.Load())
	s := BudgetStatus{Calls: int(b.window.calls), Extra: int(b.window.extra), Left: math.MaxInt}
	if most := b.most(); most < math.MaxInt {
		s.Left = max(0, int(most)-s.Extra)
	}
	return s
}

// report yields the report of the budget of a policy with that name. A budget that several
// policies share is reported by each of them.
func (b *Budget) report(name string, yield func(middleware.Report) bool) {
	if b.off.Load() {
		return
	}
	s, settings := b.snapshot()
	readings := []middleware.Reading{{Name: "calls", Value: float64(s.Calls)}, {Name: "extra", Value: float64(s.Extra)}}
	if s.Left < math.MaxInt {
		readings = append(readings, middleware.Reading{Name: "left", Value: float64(s.Left)})
	}
	yield(middleware.Report{
		Type: budgetType, Name: name, Readings: readings,
		Settings: settings.description.of(func() any { return settings.BudgetConfig }),
	})
}

// snapshot returns the status with the settings that it belongs to.
func (b *Budget) snapshot() (BudgetStatus, *budgetSettings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status(), b.settings
}

// count counts a call.
func (b *Budget) count() {
	if b.off.Load() {
		return
	}
	if n := b.calls.Add(1) - b.first.Load(); n <= busyCalls || n%lookEvery == 0 {
		b.look()
	}
}

// look begins a bucket for the call that has just been counted, if it is time. Whoever
// has the lock does so too.
func (b *Budget) look() {
	now := b.now()
	if now < b.until.Load() || !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	b.advance(now, b.calls.Load()-1)
}

// advance settles the given number of calls and begins the bucket of now. The lock is
// held.
func (b *Budget) advance(now, calls int64) {
	calls = max(calls, b.settled)
	b.add(b.newest, load{calls: calls - b.settled})
	b.settled = calls
	n := now / b.settings.period
	if n <= b.newest {
		return
	}
	for i := max(b.newest+1, n-budgetBuckets); i <= n; i++ {
		old := b.bucket(i) // it holds what is too old by now
		b.window.calls -= old.calls
		b.window.extra -= old.extra
		*old = load{}
	}
	b.newest = n
	b.start(calls)
}

func (b *Budget) bucket(n int64) *load { return &b.buckets[n%int64(len(b.buckets))] }

func (b *Budget) add(n int64, l load) {
	for _, to := range []*load{b.bucket(n), &b.window} {
		to.calls += l.calls
		to.extra += l.extra
	}
}

// most returns how many further attempts the window may hold. The lock is held.
func (b *Budget) most() float64 {
	const exact = 1 + 1e-12 // 0.29 * 100 is 28.999999999999996
	return math.Floor(max(b.settings.Ratio*float64(b.window.calls), b.settings.floor) * exact)
}

// take takes one further attempt, if there is one. The unit, the time of that, is for
// giveBack.
func (b *Budget) take() (unit int64, ok bool) {
	if b.off.Load() {
		return untaken, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.now(), b.calls.Load())
	if float64(b.window.extra)+1 > b.most() {
		return untaken, false
	}
	b.add(b.newest, load{extra: 1})
	return b.newest * b.settings.period, true
}

// untaken is the unit of an attempt that no budget bounds.
const untaken int64 = -1

// giveBack puts a unit back that was taken for an attempt which did not begin: into the
// bucket that it came from, so that no other is cheapened. If the buckets are others by now it is
// the nearest older one that has any.
func (b *Budget) giveBack(unit int64) {
	if unit == untaken || b.off.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.now(), b.calls.Load())
	for n := unit / b.settings.period; n >= max(0, b.newest-budgetBuckets); n-- {
		if b.bucket(n).extra > 0 {
			b.add(n, load{extra: -1})
			return
		}
	}
}

// idle reports whether a new budget would be in the same state.
func (b *Budget) idle() bool {
	if b.off.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.now(), b.calls.Load())
	return b.window == load{}
}

// A spender is a policy as the user of a budget.
type spender struct {
	budget *Budget
	last   atomic.Pointer[standing]
}

// A standing is whether a spender is the first in a chain that has its budget.
type standing struct {
	chain    *middleware.Chain
	revision uint64
	first    bool
}

// join makes the spender a user of b, or of a budget with the defaults.
func (s *spender) join(b *Budget) {
	if b == nil {
		b = NewBudget(BudgetConfig{})
	}
	s.budget = b
	b.users.Add(1)
}

// keeps returns an error if b is not the budget that the policy has, and would keep.
func (s *spender) keeps(b *Budget, config string) error {
	k := check{config: config}
	k.that(b == nil || b == s.budget, "Budget", "another one", "nil or the Budget of the policy, whose settings Budget.Apply changes")
	return k.err()
}

// Budget returns the budget of the policy: the one from its settings, or its own.
func (s *spender) Budget() *Budget { return s.budget }

func (s *spender) spending() *spender { return s }

// count counts a call, unless somebody else does. It is asked by each call, and looks
// around only if there can be somebody else.
func (s *spender) count(ctx context.Context, next middleware.Next) {
	if b := s.budget; b.users.Load() == 1 || !b.off.Load() && s.firstIn(next.Chain()) && next.Attempt(ctx) == 1 {
		b.count()
	}
}

func (s *spender) firstIn(chain *middleware.Chain) bool {
	last, revision := s.last.Load(), chain.Revision() // before it is looked at
	if last == nil || last.chain != chain || last.revision != revision {
		last = &standing{chain: chain, revision: revision, first: s.leads(chain)}
		s.last.Store(last)
	}
	return last.first
}

func (s *spender) leads(chain *middleware.Chain) bool {
	for _, p := range chain.Policies() {
		if other, ok := p.(interface{ spending() *spender }); ok && other.spending().budget == s.budget {
			return other.spending() == s
		}
	}
	return true
}

// idleAmong reports whether nothing is lost of the budget when those policies are
// dropped: it is empty, or it lives on with others that have it.
func (s *spender) idleAmong(dropped []middleware.Policy) bool {
	users := int32(0)
	for _, p := range dropped {
		if other, ok := p.(interface{ spending() *spender }); ok && other.spending().budget == s.budget {
			users++
		}
	}
	return s.budget.users.Load() > users || s.budget.idle()
}
