package policies

import (
	"math"
	"time"
)

// A QueueOrder is who of the calls that wait is next.
type QueueOrder uint8

const (
	// FIFO serves the call that has waited longest.
	FIFO QueueOrder = iota
	// LIFO serves the call that came last.
	LIFO
)

// String returns the name of the order in lower case.
func (o QueueOrder) String() string {
	switch o {
	case FIFO:
		return "fifo"
	case LIFO:
		return "lifo"
	default:
		return "unknown"
	}
}

// A queue are the calls that wait for a place, in the order in which they came.
type queue struct{ first, last *waiter }

// A waiter is a call in a queue.
type waiter struct {
	ready          chan struct{} // closed when it has got a place
	previous, next *waiter
	queued         bool
}

// join puts a call at the end.
func (q *queue) join() *waiter {
	w := &waiter{ready: make(chan struct{}), previous: q.last, queued: true}
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	return w
}

// next returns the call whose turn it is, or nil.
func (q *queue) next(order QueueOrder) *waiter {
	if order == LIFO {
		return q.last
	}
	return q.first
}

// remove takes a call out, from wherever it is.
func (q *queue) remove(w *waiter) {
	if w.previous == nil {
		q.first = w.next
	} else {
		w.previous.next = w.next
	}
	if w.next == nil {
		q.last = w.previous
	} else {
		w.next.previous = w.previous
	}
	w.previous, w.next, w.queued = nil, nil, false
}

// queue checks the settings of a queue.
func (c *check) queue(most int, wait time.Duration, order QueueOrder) {
	c.that(most >= 0 && most <= math.MaxInt32, "MaxQueue", most, "between 1 and 2147483647, or 0 for none")
	c.duration("MaxWait", wait)
	if most == 0 && wait > 0 {
		c.that(false, "MaxWait", wait, "0 without MaxQueue")
	}
	c.that(order <= LIFO, "Order", uint8(order), "FIFO or LIFO")
}
