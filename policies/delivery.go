package policies

import (
	"context"

	"github.com/tidegate-go/tidegate/middleware"
)

// An event waits for its delivery.
type event struct {
	origin
	middleware.Event
}

// A backlog are the events that wait for their delivery. A breaker has one only while there
// are some.
type backlog struct{ events []event }

// maxEvents bounds the events that wait while an observer blocks.
const maxEvents = 256

// note keeps an event until it can be delivered. Those that are too many are told as
// one, from the first state to the last. The lock is held.
func (b *Breaker) note(e event) {
	if b.backlog == nil {
		b.backlog = new(backlog)
	}
	w := b.backlog
	if n := len(w.events); n >= maxEvents {
		e.From = w.events[n-1].From
		w.events[n-1] = e
		return
	}
	w.events = append(w.events, e)
}

// deliver emits the noted events in their order, without the lock. One goroutine
// at a time does so; others leave theirs to it.
func (b *Breaker) deliver() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.emits {
		return
	}
	b.emits = true
	defer func() { b.emits = false }()
	b.emitAll()
}

// emitAll goes on when an observer panics, and lets the panic go on then.
func (b *Breaker) emitAll() {
	defer func() {
		if b.backlog != nil {
			b.emitAll()
		}
	}()
	for b.backlog != nil {
		w := b.backlog
		if len(w.events) == 0 {
			b.backlog = nil
			break
		}
		e := w.events[0]
		w.events = w.events[1:]
		b.emit(e)
	}
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
