package policies

import "time"

// Defaults of [BulkheadConfig].
const (
	DefaultMaxConcurrent = 25
	DefaultQueueWait     = time.Second
)

// BulkheadConfig are the settings of a [Bulkhead].
type BulkheadConfig struct {
	// Name stands in errors, events and spans. Empty means "bulkhead".
	Name string

	// MaxConcurrent is how many calls may run at the same time.
	// Zero means DefaultMaxConcurrent.
	MaxConcurrent int

	// MaxQueue is how many further calls may wait until one of those that run is over.
	// Zero means that none waits.
	MaxQueue int

	// MaxWait is how long a call may wait. Zero means DefaultQueueWait. It needs a
	// MaxQueue.
	MaxWait time.Duration

	// UntilResult ends a call, as far as the Bulkhead is concerned, when its operation has
	// returned. Without it a streamed result, an HTTP response for instance, is part of
	// the call until it has been read to its end or closed. For any other operation both
	// are the same.
	UntilResult bool

	// Order is who of those that wait is next. Zero means FIFO.
	Order QueueOrder

	// Lease is how long a call may hold its place. Then the place is given to another
	// one, so that a call that never ends, or a result that nobody closes, does not keep
	// it; the call itself goes on. It happens when somebody needs a place, with the event
	// [middleware.LeaseExpired]. With a Lease each call takes a lock for a moment. Zero
	// means for ever.
	Lease time.Duration

	// ObserveOnly refuses nothing and holds nothing back. A call that would be refused
	// passes without a place, with the event [middleware.WouldReject]. One that would wait
	// passes at once, and counts as running.
	ObserveOnly bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c BulkheadConfig) Validate() error {
	k := check{config: "BulkheadConfig"}
	k.count("MaxConcurrent", c.MaxConcurrent)
	k.queue(c.MaxQueue, c.MaxWait, c.Order)
	k.that(c.Lease >= 0, "Lease", c.Lease, "a positive duration, or 0 for ever")
	return k.err()
}

// complete returns the settings with their defaults.
func (c BulkheadConfig) complete() BulkheadConfig {
	c.MaxConcurrent = or(c.MaxConcurrent, DefaultMaxConcurrent)
	if c.MaxQueue > 0 {
		c.MaxWait = or(c.MaxWait, DefaultQueueWait)
	}
	return c
}

// rules returns what the settings, which are complete, mean to the places.
func (c BulkheadConfig) rules() rules {
	return rules{
		limit: uint64(c.MaxConcurrent), maxQueue: uint64(c.MaxQueue), maxWait: c.MaxWait, order: c.Order,
		untilResult: c.UntilResult, lease: c.Lease, observes: c.ObserveOnly,
	}
}
