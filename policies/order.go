package policies

// ForceOpen rejects every call until Release or Reset. Results of calls in flight
// no longer count. Like every order it takes the place of the one before.
func (b *Breaker) ForceOpen() { b.order(ForcedOpen, "forced") }

// ForceClose lets every call pass until Release or Reset. Calls are counted, but no
// count opens the breaker.
func (b *Breaker) ForceClose() { b.order(ForcedClosed, "forced") }

// Disable lets every call pass until Release or Reset, as if there were no breaker.
func (b *Breaker) Disable() { b.order(Disabled, "disabled") }

// ObserveOnly makes the breaker do all that it does, on the same counts, but reject
// nothing, until Release: calls that it would reject pass uncounted, with the event
// [middleware.WouldReject]. It shows what a breaker would do before it may. It begins
// closed; called again it does nothing.
func (b *Breaker) ObserveOnly() {
	b.mu.Lock()
	if !b.observes {
		b.observes = true
		b.restart(Closed, "observe_only")
	}
	b.mu.Unlock()
	b.deliver()
}

// Release ends what ForceOpen, ForceClose, Disable and ObserveOnly have begun: the
// breaker is closed and counts from zero. Without one of them it does nothing. A breaker
// that only observes by its settings goes on observing.
func (b *Breaker) Release() {
	b.mu.Lock()
	if state := b.gate.Load().state; state > HalfOpen && (!b.config.ObserveOnly || !state.observed()) {
		b.observes = b.config.ObserveOnly
		b.restart(Closed, "released")
	}
	b.mu.Unlock()
	b.deliver()
}

// Reset closes the breaker, whatever its state, and forgets what it has counted. A
// breaker that only observes goes on observing.
func (b *Breaker) Reset() { b.order(Closed, "reset") }

func (b *Breaker) order(to State, reason string) {
	b.mu.Lock()
	b.observes = b.observes && to == Closed || b.config.ObserveOnly
	b.restart(to, reason)
	b.mu.Unlock()
	b.deliver()
}
