package policies

// Apply changes the settings of a breaker that is in use, but its Name and Key. The error
// is that of Validate; then nothing has changed.
//
// The state stays, with all that is counted and with the calls in flight. New limits are
// looked at when the next call ends, not before. A circuit that is open stays so for as
// long as was said when it opened, and a SuccessThreshold waits for the end of the probes
// that there are. With another kind of window (WindowCalls changed, or a rate or a
// SlowCall where there was none, or none any more) the window begins empty, and calls in flight
// do not count. ObserveOnly, when it changes, does what [Breaker.ObserveOnly] and
// [Breaker.Release] do.
func (b *Breaker) Apply(c BreakerConfig) error {
	if err := c.Validate(); err != nil {
		return err
	}
	b.mu.Lock()
	old := b.config
	c.Name, c.Key = old.Name, old.Key
	b.config = c.settle()
	b.renews = b.renews || b.config.SuccessThreshold != old.SuccessThreshold
	b.renew()
	b.adopt(old)
	b.description.forget()
	b.mu.Unlock()
	b.deliver()
	return nil
}

// adopt makes the settings those of the gate, or, where what it counts is of another kind,
// of a gate in its place. The lock is held.
func (b *Breaker) adopt(old *settled) {
	g := b.gate.Load()
	if b.config.HealthCheck == nil {
		b.check.stop()
		b.check = nil
	}
	switch {
	case b.config.ObserveOnly != old.ObserveOnly && (g.state <= HalfOpen || g.state.observed()):
		b.observes = b.config.ObserveOnly
		reason := "released"
		if b.observes {
			reason = "observe_only"
		}
		b.restart(Closed, reason)
		return
	case b.config.ObserveOnly != old.ObserveOnly:
		b.observes = b.config.ObserveOnly // once a person's order has been released
	}
	counts := g.state.plain() == Closed || g.state == ForcedClosed
	if counts && !b.config.countsLike(old) {
		b.succeed(g)
		return
	}
	g.config.Store(b.config)
	if counts && b.config.SlowCall > 0 {
		g.running.respan(int64(b.config.SlowCall), b.now())
	}
	if w, ok := g.window.(*timeWindow); ok {
		w.shape.Store(newShape(int64(b.config.Window), int64(b.config.Buckets)))
	}
}

// countsLike reports whether a gate with the one settings can go on with the others.
func (c *settled) countsLike(old *settled) bool {
	return c.rates() == old.rates() && c.WindowCalls == old.WindowCalls && (c.SlowCall > 0) == (old.SlowCall > 0)
}

// succeed puts a gate in the place of one that counts in another way. Nothing else
// changes. The lock is held.
func (b *Breaker) succeed(old *gate) {
	g := b.newGate(old.state, old)
	g.last, g.since, g.trace, g.opened = old.last, old.since, old.trace, old.opened
	g.failureRate, g.slowRate = old.failureRate, old.slowRate
	if old.earlier != nil {
		g.earlier.opening = old.earlier.opening
	}
	g.consecutive.Store(old.consecutive.Load())
	g.ignored.Store(old.ignored.Load())
	g.begin, g.earlier.past = old.begin, past{} // it goes on with the time of old
	if old.earlier != nil {
		g.earlier.past = old.earlier.past
	}
	if old.until != forever { // a ramp goes on
		g.until = old.until
		g.ramped.Store(old.ramped.Load())
		g.passes.Store(false)
	}
	b.gate.Store(g)
}
