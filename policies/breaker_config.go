package policies

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [BreakerConfig].
const (
	DefaultFailureThreshold = 5
	DefaultSlowRate         = 0.5
	DefaultWindow           = 30 * time.Second
	DefaultBuckets          = 10
	DefaultBreakerTimeout   = 30 * time.Second
	DefaultRecoveryBackoff  = 2.0
	DefaultMaxRecoveryTime  = 5 * time.Minute
	DefaultHealthInterval   = 5 * time.Second
	DefaultSuccessThreshold = 2
	DefaultProbeLease       = time.Minute
)

// BreakerConfig are the settings of a [Breaker]. The zero BreakerConfig is valid:
// consecutive failures open the breaker.
type BreakerConfig struct {
	// Name stands in errors, events and spans. Empty means "breaker".
	Name string

	// Key is what the breaker stands for when there is one for each key, see [Keyed].
	// Events have it; names and metrics do not.
	Key string

	// FailureThreshold is how many consecutive failures open the breaker. Zero means
	// DefaultFailureThreshold, or no such limit when FailureRate or SlowCall is set.
	FailureThreshold int

	// FailureRate is the share of failures in the window, above 0 and up to 1, that
	// opens the breaker. Zero means no such limit.
	FailureRate float64

	// SlowCall makes a call slow that takes longer, whether it succeeds or not, and
	// even while it is still in flight. What policies further in take is part of it: let
	// it be longer than the MaxWait of a RateLimit there. A slow probe has failed. Zero
	// means that no call is slow.
	SlowCall time.Duration

	// SlowRate is the share of slow calls in the window and in flight, above 0 and up
	// to 1, that opens the breaker. Zero means DefaultSlowRate when SlowCall is set.
	SlowRate float64

	// MinCalls is how many calls there must be before a rate says anything. It has no
	// default: with FailureRate or SlowCall it must be set.
	MinCalls int

	// Window is the length of the window of the rates, which moves on by a bucket
	// at a time: there are Buckets of them. Zero means DefaultWindow and DefaultBuckets
	// when there is a rate and no WindowCalls. WindowCalls makes it so many of the newest
	// calls instead, up to 65536; a failure then costs a step for each 64 of them.
	Window      time.Duration
	Buckets     int
	WindowCalls int

	// TripOnThrottle makes Throttled verdicts count as failures.
	TripOnThrottle bool

	// ObserveOnly makes a breaker that only observes, as [Breaker.ObserveOnly] does.
	ObserveOnly bool

	// Timeout is how long the breaker is kept open with nothing let through.
	// Zero means DefaultBreakerTimeout, or RecoveryTime if that is shorter.
	Timeout time.Duration

	// RecoveryTime is when calls are let through as probes, counted from the
	// opening. It must not be below Timeout. Zero means Timeout, or twice that with
	// a HealthCheck.
	RecoveryTime time.Duration

	// RecoveryBackoff multiplies the time until the next probes each time that
	// probes have failed, up to MaxRecoveryTime. A multiplied time is spread evenly
	// over its value * (1 ± DefaultJitter), never below RecoveryTime and never above
	// MaxRecoveryTime. 1 means always RecoveryTime, exactly. Zero means
	// DefaultRecoveryBackoff.
	RecoveryBackoff float64

	// MaxRecoveryTime bounds RecoveryBackoff, and what the dependency may ask for
	// (Retry-After). Zero means DefaultMaxRecoveryTime, or RecoveryTime if that is
	// longer.
	MaxRecoveryTime time.Duration

	// HealthCheck asks whether the dependency is well. It runs at Timeout after the
	// opening, or when the dependency asked to come back if that is later, and then
	// every HealthInterval until it is time for probes, so RecoveryTime must be longer
	// than Timeout. When it returns nil in time, the breaker closes. It runs on a
	// goroutine of the breaker, one at a time, with a context that ends after
	// HealthInterval, when it is time for probes, when the breaker leaves the open state
	// and on Close; it must heed it. A panic counts as a failed check.
	// Observers hear of each check and how long it took. Nil means none.
	HealthCheck func(ctx context.Context) error

	// HealthInterval is the time between two health checks, and how long one may
	// take. Zero means DefaultHealthInterval.
	HealthInterval time.Duration

	// SuccessThreshold is how many probes must succeed, and none fail, to close the
	// breaker. Zero means DefaultSuccessThreshold.
	SuccessThreshold int

	// MaxProbes is how many probes are in flight at the most. It must not be above
	// SuccessThreshold, because no more are let through than are needed. Zero means
	// SuccessThreshold.
	MaxProbes int

	// ProbeLease is how long a probe keeps its place. Then another one may start,
	// so that a probe whose call never ends does not hold the recovery up; its
	// result counts whenever it comes. Zero means DefaultProbeLease.
	ProbeLease time.Duration

	// Ramp is how long a breaker that has closed after a recovery takes to let all
	// calls through again: a tenth of them at first, and then a share that grows
	// evenly. The others are rejected with [middleware.ErrRecovering]. Zero means that
	// it lets all through at once.
	Ramp time.Duration
}

const (
	maxWindowCalls = 1 << 16
	maxBuckets     = 1000
)

// Validate returns a *SettingError for each setting outside its range.
func (c BreakerConfig) Validate() error {
	k := check{config: "BreakerConfig"}
	k.count("FailureThreshold", c.FailureThreshold)
	k.that(c.FailureRate >= 0 && c.FailureRate <= 1, "FailureRate", c.FailureRate, "above 0 and at most 1, or 0 for none")
	k.that(c.SlowCall >= 0, "SlowCall", c.SlowCall, "a positive duration, or 0 for none")
	k.that(c.SlowRate >= 0 && c.SlowRate <= 1, "SlowRate", c.SlowRate, "above 0 and at most 1, or 0 for the default")
	if c.SlowCall == 0 && c.SlowRate <= 1 {
		k.that(!(c.SlowRate > 0), "SlowRate", c.SlowRate, "0 without SlowCall")
	}
	c.checkWindow(&k)
	c.checkTimes(&k)
	k.count("SuccessThreshold", c.SuccessThreshold)
	k.count("MaxProbes", c.MaxProbes)
	if most := or(c.SuccessThreshold, DefaultSuccessThreshold); most > 0 && c.MaxProbes <= math.MaxInt32 {
		k.that(c.MaxProbes <= most, "MaxProbes", c.MaxProbes, fmt.Sprintf("at most SuccessThreshold, which is %d", most))
	}
	k.duration("ProbeLease", c.ProbeLease)
	k.that(c.Ramp >= 0, "Ramp", c.Ramp, "a positive duration, or 0 for none")
	return k.err()
}

func (c BreakerConfig) checkWindow(k *check) {
	if c.FailureRate == 0 && c.SlowCall == 0 {
		const allowed = "0 without FailureRate and SlowCall"
		k.that(c.MinCalls == 0, "MinCalls", c.MinCalls, allowed)
		k.that(c.Window == 0, "Window", c.Window, allowed)
		k.that(c.Buckets == 0, "Buckets", c.Buckets, allowed)
		k.that(c.WindowCalls == 0, "WindowCalls", c.WindowCalls, allowed)
	}
	if !c.rates() {
		return
	}
	k.that(c.MinCalls >= 1 && c.MinCalls <= math.MaxInt32, "MinCalls", c.MinCalls, "between 1 and 2147483647 with FailureRate or SlowCall")
	k.that(c.WindowCalls >= 0 && c.WindowCalls <= maxWindowCalls, "WindowCalls", c.WindowCalls, fmt.Sprintf("between 1 and %d, or 0 for a window of time", maxWindowCalls))
	if c.WindowCalls > 0 {
		const allowed = "0 with WindowCalls"
		k.that(c.Window == 0, "Window", c.Window, allowed)
		k.that(c.Buckets == 0, "Buckets", c.Buckets, allowed)
		k.that(c.MinCalls <= c.WindowCalls, "MinCalls", c.MinCalls, fmt.Sprintf("at most WindowCalls, which is %d", c.WindowCalls))
		return
	}
	k.that(c.Buckets >= 0 && c.Buckets <= maxBuckets, "Buckets", c.Buckets, fmt.Sprintf("between 1 and %d, or 0 for the default", maxBuckets))
	least := time.Duration(min(max(1, or(c.Buckets, DefaultBuckets)), maxBuckets)) * time.Millisecond
	k.that(c.Window == 0 || c.Window >= least, "Window", c.Window, fmt.Sprintf("at least %s, a millisecond for each bucket, or 0 for the default", least))
}

func (c BreakerConfig) checkTimes(k *check) {
	k.duration("Timeout", c.Timeout)
	k.duration("RecoveryTime", c.RecoveryTime)
	if c.RecoveryTime > 0 && c.Timeout > 0 {
		k.that(c.RecoveryTime >= c.Timeout, "RecoveryTime", c.RecoveryTime, fmt.Sprintf("at least Timeout, which is %s", c.Timeout))
	}
	k.that(c.RecoveryBackoff == 0 || c.RecoveryBackoff >= 1 && !math.IsInf(c.RecoveryBackoff, 0), "RecoveryBackoff", c.RecoveryBackoff, "1 or more, or 0 for the default")
	k.duration("MaxRecoveryTime", c.MaxRecoveryTime)
	whole := c.complete()
	if c.MaxRecoveryTime > 0 {
		k.that(c.MaxRecoveryTime >= whole.RecoveryTime, "MaxRecoveryTime", c.MaxRecoveryTime, fmt.Sprintf("at least RecoveryTime, which is %s", whole.RecoveryTime))
	}
	k.duration("HealthInterval", c.HealthInterval)
	if c.HealthCheck != nil && c.Timeout >= 0 && c.RecoveryTime >= c.Timeout {
		k.that(whole.RecoveryTime > whole.Timeout, "RecoveryTime", whole.RecoveryTime,
			fmt.Sprintf("longer than Timeout, which is %s, to leave time for HealthCheck", whole.Timeout))
	}
}

// A settled is what a breaker goes by: its settings, complete.
type settled struct {
	BreakerConfig
	timed bool // results need the time
}

func (c BreakerConfig) settle() *settled {
	whole := c.complete()
	return &settled{BreakerConfig: whole, timed: whole.SlowCall > 0 || whole.Window > 0}
}

// fails reports whether a verdict counts as a failure.
func (c *settled) fails(v middleware.Verdict) bool {
	return v.Class == middleware.Failure || v.Class == middleware.Throttled && c.TripOnThrottle
}

// rates reports whether there is a limit to the share of calls of some kind.
func (c *BreakerConfig) rates() bool { return c.FailureRate > 0 || c.SlowCall > 0 }

// complete returns the settings with the defaults filled in. A FailureThreshold
// or FailureRate that is still zero is none.
func (c BreakerConfig) complete() BreakerConfig {
	c.Name = or(c.Name, "breaker")
	if !c.rates() {
		c.FailureThreshold = or(c.FailureThreshold, DefaultFailureThreshold)
	}
	if c.SlowCall > 0 {
		c.SlowRate = or(c.SlowRate, DefaultSlowRate)
	}
	if c.rates() && c.WindowCalls == 0 {
		c.Window = or(c.Window, max(DefaultWindow, time.Duration(c.Buckets)*time.Millisecond))
		c.Buckets = or(c.Buckets, DefaultBuckets)
	}
	c.Timeout = or(c.Timeout, min(DefaultBreakerTimeout, or(c.RecoveryTime, DefaultBreakerTimeout)))
	if c.HealthCheck != nil && c.RecoveryTime == 0 {
		c.RecoveryTime = time.Duration(later(int64(c.Timeout), int64(c.Timeout)))
	}
	c.RecoveryTime = or(c.RecoveryTime, c.Timeout)
	c.RecoveryBackoff = or(c.RecoveryBackoff, DefaultRecoveryBackoff)
	c.MaxRecoveryTime = or(c.MaxRecoveryTime, max(DefaultMaxRecoveryTime, c.RecoveryTime))
	c.HealthInterval = or(c.HealthInterval, DefaultHealthInterval)
	c.SuccessThreshold = or(c.SuccessThreshold, DefaultSuccessThreshold)
	c.MaxProbes = or(c.MaxProbes, c.SuccessThreshold)
	c.ProbeLease = or(c.ProbeLease, DefaultProbeLease)
	return c
}
