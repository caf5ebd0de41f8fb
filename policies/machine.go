package policies

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// machineTimeout is how long the machine stays open at the least. The gate waits for
// it: the machine moves on once more than that has passed.
const machineTimeout = time.Nanosecond

var errFailed, errIgnored = errors.New("failed"), errors.New("ignored")

// newMachine returns a closed machine. It hears only of results that must open the
// circuit, and of probes.
func (b *Breaker) newMachine() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: uint32(b.config.SuccessThreshold),
		Timeout:     machineTimeout,
		ReadyToTrip: func(gobreaker.Counts) bool { return true },
		IsExcluded:  func(err error) bool { return err == errIgnored },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if !b.moving {
				b.move(stateOf(to))
			}
		},
	})
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

// trip lets the machine open the circuit, unless the gate is an earlier one or
// stays as it is by order.
func (b *Breaker) trip(g *gate, by origin) {
	if g.state.plain() != Closed || b.gate.Load() != g {
		return
	}
	b.mu.Lock()
	if b.gate.Load() == g {
		b.drive(&by, func() {
			if done, err := b.machine.Allow(); err == nil {
				done(errFailed)
			}
		})
	}
	b.mu.Unlock()
	defer b.deliver()
	by.findTrace()
}

// drive turns to the machine because of by. The lock is held.
func (b *Breaker) drive(by *origin, do func()) {
	if b.machine == nil {
		b.machine = b.newMachine()
	}
	b.cause = by
	do()
	b.cause = nil
	b.renew()
}

// renew makes the machine anew when another SuccessThreshold is in force, in the state
// that it is in. Half-open it waits for what the probes come to. The lock is held.
func (b *Breaker) renew() {
	state := b.gate.Load().state.plain()
	if !b.renews || state == HalfOpen {
		return
	}
	b.renews, b.machine = false, nil
	if state != Open {
		return
	}
	b.machine = b.newMachine()
	b.moving = true // the gate is open already
	if done, err := b.machine.Allow(); err == nil {
		done(errFailed)
	}
	b.moving = false
}
