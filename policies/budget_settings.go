package policies

import "time"

// Apply changes the settings. It returns the error of Validate and then changes nothing. What
// the window holds stays, as far as the new one reaches back; a budget that was off begins with
// nothing. Apply is safe for concurrent use.
func (b *Budget) Apply(c BudgetConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(c)
	return nil
}

// set changes the settings. The lock is held, or nobody else has the budget yet.
func (b *Budget) set(c BudgetConfig) {
	c.Ratio = or(c.Ratio, DefaultBudgetRatio)
	c.MinPerSecond = or(c.MinPerSecond, DefaultBudgetMinPerSecond)
	c.Window = or(c.Window, DefaultBudgetWindow)
	s := &budgetSettings{
		BudgetConfig: c,
		floor:        max(0, c.MinPerSecond*c.Window.Seconds()),
		period:       int64(c.Window-1)/budgetBuckets + 1,
	}
	before := b.settings
	switch {
	case before == nil || before.Ratio < 0 || c.Ratio < 0:
		b.settings = s
		b.clear()
	case before.period == s.period:
		b.settings = s
	default:
		b.rearrange(s)
	}
	b.off.Store(c.Ratio < 0)
}

// clear forgets what the window holds. The lock is held.
func (b *Budget) clear() {
	b.buckets, b.window = [budgetBuckets + 1]load{}, load{}
	b.newest, b.settled = b.now()/b.settings.period, b.calls.Load()
	b.start(b.settled)
}

// start begins the newest bucket after so many calls. The lock is held.
func (b *Budget) start(calls int64) {
	b.first.Store(calls)
	b.until.Store((b.newest + 1) * b.settings.period)
}

// rearrange puts what the window holds into buckets of another length: of each bucket, into the one
// in which it ended. The lock is held.
func (b *Budget) rearrange(s *budgetSettings) {
	now := b.now()
	b.advance(now, b.calls.Load())
	old, last, period := b.buckets, b.newest, b.settings.period
	b.settings, b.buckets, b.window = s, [budgetBuckets + 1]load{}, load{}
	b.newest = now / s.period
	for n := max(0, last-budgetBuckets); n <= last; n++ {
		to := min(b.newest, ((n+1)*period-1)/s.period)
		if to >= b.newest-budgetBuckets {
			b.add(to, old[n%int64(len(old))])
		}
	}
	b.start(b.settled)
}

func (b *Budget) now() int64 { return int64(time.Since(b.epoch)) }
