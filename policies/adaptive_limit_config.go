package policies

import (
	"fmt"
	"math"
	"time"
)

// Defaults of [AdaptiveLimitConfig].
const (
	DefaultInitialLimit   = 20
	DefaultMinLimit       = 1
	DefaultMaxLimit       = 200
	DefaultLimitWindow    = time.Second
	DefaultLimitMinCalls  = 10
	DefaultLimitTolerance = 1.5
	DefaultLimitDecrease  = 0.9
)

// A LimitAlgorithm is how an [AdaptiveLimit] finds its limit.
type LimitAlgorithm uint8

const (
	// Gradient compares how long calls take with how long they usually do, and accepts that
	// they take longer by the Tolerance: the Gradient2 of Netflix concurrency-limits.
	Gradient LimitAlgorithm = iota
	// Vegas estimates how many calls wait inside the dependency, and keeps a few of them
	// there: TCP Vegas, as in Netflix concurrency-limits.
	Vegas
	// AIMD adds one as long as all goes well and multiplies by Decrease when it does not. It
	// looks at how long calls take only with SlowCall.
	AIMD
)

// String returns the name of the algorithm in lower case.
func (a LimitAlgorithm) String() string {
	switch a {
	case Gradient:
		return "gradient"
	case Vegas:
		return "vegas"
	case AIMD:
		return "aimd"
	default:
		return "unknown"
	}
}

// AdaptiveLimitConfig are the settings of an [AdaptiveLimit].
type AdaptiveLimitConfig struct {
	// Name stands in errors, events and spans. Empty means "adaptive_limit".
	Name string

	// Algorithm is how the limit is found. Zero means Gradient.
	Algorithm LimitAlgorithm

	// Initial, Min and Max are the limit at the beginning and its bounds, in calls at the
	// same time. Zero means DefaultInitialLimit, or what of Min and Max is nearest to it,
	// DefaultMinLimit, and DefaultMaxLimit or the largest of the others. A probe goes below
	// Min for a moment.
	Initial, Min, Max int

	// Window is how often the limit is looked at. When calls take longer than half of it,
	// it is twice as long as they take, up to ten times Window. Zero means
	// DefaultLimitWindow.
	Window time.Duration

	// MinCalls is how many calls there must have been meanwhile; a window goes on until it
	// has them. Zero means DefaultLimitMinCalls.
	MinCalls int

	// Tolerance is how many times as long as usual calls may take before a Gradient
	// decreases the limit: 1 or more. Zero means DefaultLimitTolerance. It is for Gradient
	// only.
	Tolerance float64

	// SlowCall makes AIMD count a call that takes longer as one that was dropped. Zero means
	// none. It is for AIMD only.
	SlowCall time.Duration

	// Decrease multiplies the limit when calls were dropped: above 0 and below 1. Zero
	// means DefaultLimitDecrease.
	Decrease float64

	// MaxQueue is how many further calls may wait until one of those that run is over.
	// Zero means that none waits.
	MaxQueue int

	// MaxWait is how long a call may wait. Zero means DefaultQueueWait. It needs a
	// MaxQueue.
	MaxWait time.Duration

	// Order is who of those that wait is next. Zero means FIFO.
	Order QueueOrder

	// UntilResult ends a call, as far as the limit is concerned, when its operation has
	// returned. Without it a streamed result is part of the call until it has been read to
	// its end or closed. How long a call takes is measured without it in any case.
	UntilResult bool

	// ObserveOnly refuses nothing and holds nothing back. A call that would be refused
	// passes without a place, with the event [middleware.WouldReject], and is not measured.
	// One that would wait passes at once, and counts as running.
	ObserveOnly bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c AdaptiveLimitConfig) Validate() error {
	k := check{config: "AdaptiveLimitConfig"}
	k.that(c.Algorithm <= AIMD, "Algorithm", uint8(c.Algorithm), "Gradient, Vegas or AIMD")
	k.count("Initial", c.Initial)
	k.count("Min", c.Min)
	k.count("Max", c.Max)
	if c.Min > 0 && c.Max > 0 {
		k.that(c.Max >= c.Min, "Max", c.Max, fmt.Sprintf("at least Min, which is %d", c.Min))
	}
	if whole := c.complete(); c.Initial > 0 && whole.Min <= whole.Max {
		k.that(c.Initial >= whole.Min && c.Initial <= whole.Max, "Initial", c.Initial,
			fmt.Sprintf("between Min and Max, which are %d and %d", whole.Min, whole.Max))
	}
	k.duration("Window", c.Window)
	k.count("MinCalls", c.MinCalls)
	if c.Algorithm == Gradient {
		k.that(c.Tolerance == 0 || c.Tolerance >= 1 && !math.IsInf(c.Tolerance, 1), "Tolerance", c.Tolerance, "1 or more, or 0 for the default")
	} else {
		k.that(c.Tolerance == 0, "Tolerance", c.Tolerance, "0 without Gradient")
	}
	if c.Algorithm == AIMD {
		k.that(c.SlowCall >= 0, "SlowCall", c.SlowCall, "a positive duration, or 0 for none")
	} else {
		k.that(c.SlowCall == 0, "SlowCall", c.SlowCall, "0 without AIMD")
	}
	k.that(c.Decrease >= 0 && c.Decrease < 1, "Decrease", c.Decrease, "above 0 and below 1, or 0 for the default")
	k.queue(c.MaxQueue, c.MaxWait, c.Order)
	return k.err()
}

// complete returns the settings with their defaults.
func (c AdaptiveLimitConfig) complete() AdaptiveLimitConfig {
	c.Min = or(c.Min, DefaultMinLimit)
	if c.Max == 0 {
		c.Max = max(DefaultMaxLimit, c.Min, c.Initial)
	}
	c.Initial = or(c.Initial, min(max(DefaultInitialLimit, c.Min), c.Max))
	c.Window = or(c.Window, DefaultLimitWindow)
	c.MinCalls = or(c.MinCalls, DefaultLimitMinCalls)
	if c.Algorithm == Gradient {
		c.Tolerance = or(c.Tolerance, DefaultLimitTolerance)
	}
	c.Decrease = or(c.Decrease, DefaultLimitDecrease)
	if c.MaxQueue > 0 {
		c.MaxWait = or(c.MaxWait, DefaultQueueWait)
	}
	return c
}

// rules returns what the settings, which are complete, mean to the places.
func (c AdaptiveLimitConfig) rules(limit int) rules {
	return rules{
		limit: uint64(limit), maxQueue: uint64(c.MaxQueue), maxWait: c.MaxWait, order: c.Order,
		untilResult: c.UntilResult, observes: c.ObserveOnly,
	}
}
