package policies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A healthCheck asks whether the dependency is well while the breaker is open: from
// Timeout until RecoveryTime after the opening, one check after the other. A timer
// starts each check on a goroutine of its own, so none waits for its time.
type healthCheck struct {
	breaker *Breaker
	gate    *gate
	ctx     context.Context
	cancel  context.CancelFunc
	timer   *time.Timer
}

// startCheck begins the checks of an open gate. The lock is held.
func (b *Breaker) startCheck(g *gate) {
	c := b.config
	first := max(c.Timeout, min(b.cause.after, c.MaxRecoveryTime))
	if c.HealthCheck == nil || b.ended || later(g.begin, int64(first)) >= g.until {
		return
	}
	h := &healthCheck{breaker: b, gate: g}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.timer = time.AfterFunc(first, h.run)
	b.check = h
}

// stop ends the checks. The one that runs is told by its context. The lock of the
// breaker is held.
func (h *healthCheck) stop() {
	if h != nil {
		h.timer.Stop()
		h.cancel()
	}
}

func (h *healthCheck) run() {
	b := h.breaker
	if !h.begin() {
		return
	}
	began, err := time.Now(), errors.New("the health check called runtime.Goexit")
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the health check panicked: %v", p)
		}
		defer h.quietly(b.deliver)
		defer func() { h.end(err) }()
		if h.current() {
			h.tell(err, time.Since(began)) // before the next check, or the transition, may come
		}
	}()
	c := h.config()
	ctx, cancel := context.WithTimeout(h.ctx, min(c.HealthInterval, time.Duration(h.gate.until-b.now())))
	defer cancel()
	if c.HealthCheck == nil { // it was taken away just now
		return
	}
	if err = c.HealthCheck(ctx); err == nil {
		err = ctx.Err() // it came too late
	}
}

// current reports whether the breaker is still in the opening of the checks.
func (h *healthCheck) current() bool { return h.breaker.gate.Load() == h.gate && h.ctx.Err() == nil }

// begin reports whether a check may run now. If the one before still does, because
// it does not heed its context, that is later.
func (h *healthCheck) begin() bool {
	b := h.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.check != h, b.now() >= h.gate.until:
		return false
	case b.checking:
		h.again()
		return false
	}
	b.checking = true
	return true
}

// end closes the circuit if the check passed, or else sees to the next one.
func (h *healthCheck) end(err error) {
	b := h.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	b.checking = false
	switch {
	case b.check != h: // it no longer matters
	case err == nil:
		b.restart(Closed, "health_check_passed")
	default:
		h.again()
	}
}

// again starts the timer for the next check, if there is time for it. The lock is
// held.
func (h *healthCheck) again() {
	b := h.breaker
	if wait := h.config().HealthInterval; later(b.now(), int64(wait)) < h.gate.until {
		h.timer.Reset(wait)
	}
}

// tell emits the event of a check that took so long.
func (h *healthCheck) tell(err error, took time.Duration) {
	b, c, kind := h.breaker, h.config(), middleware.HealthCheckPassed
	if err != nil {
		kind = middleware.HealthCheckFailed
	}
	h.quietly(func() {
		b.home.Load().Emit(context.Background(), middleware.Event{
			Kind: kind, Policy: c.Name, Key: c.Key, Wait: took, Err: err, Opener: h.gate.openedBy(),
		})
	})
}

// quietly calls an observer. There is no caller to whom its panic could go, and it
// must not end the program.
func (h *healthCheck) quietly(do func()) {
	defer func() { _ = recover() }()
	do()
}

// Close ends the health check, if there is one, for good. It does not wait for a
// check that runs, whose context it cancels. The breaker works on without. Close
// returns nil.
func (b *Breaker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.check.stop()
	b.check = nil
	return nil
}

// config returns the settings in force. They have a health check, or had one when the
// checks began.
func (h *healthCheck) config() *settled { return h.gate.config.Load() }
