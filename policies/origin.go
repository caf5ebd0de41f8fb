package policies

import (
	"context"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// An origin is the call that a transition belongs to, and why it comes.
type origin struct {
	ctx    context.Context
	chain  *middleware.Chain
	err    error
	after  time.Duration
	reason string
	gate   *gate // that began with it
}

// findTrace asks the observers for the trace of a transition, once it has happened:
// one that blocks or panics must not keep the breaker from it. The event waits for the
// answer.
func (o *origin) findTrace() {
	if o.gate == nil {
		return
	}
	defer func() { _ = recover() }()
	if id := o.chain.TraceID(o.ctx); id != "" {
		o.gate.trace.Store(&id)
	}
}

// recovers reports whether the dependency itself closes the circuit.
func (o *origin) recovers() bool {
	return o != nil && (o.reason == "probe_succeeded" || o.reason == "health_check_passed")
}
