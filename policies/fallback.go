package policies

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// FallbackConfig are the settings of a [Fallback].
type FallbackConfig struct {
	// Name stands in errors, events and spans. Empty means "fallback".
	Name string

	// When reports whether something else shall be done in place of what failed with err,
	// which [middleware.VerdictOf] explains. It is asked about every error, that of a caller
	// who has gone too, and must be safe for concurrent use. Nil means what [Fallback] says.
	When func(err error) bool
}

// Validate returns nil: there is nothing that could be wrong.
func (c FallbackConfig) Validate() error { return nil }

// A Fallback does something else in place of what failed: the alternative that the call
// brings along, see [middleware.CallOr]. What the alternative returns is then the result. A
// [Stale] keeps the results of earlier calls for that.
//
// It does so when the dependency failed or asked for fewer calls (the verdicts Failure and
// Throttled), and when a policy refused the call or ended it, unless the caller has gone,
// that is, the context of the call has ended. An error with the verdict Success, an object
// that does not exist for instance, is an answer and stays. When of [FallbackConfig] can say
// otherwise.
//
// It is to be the outermost policy. Further in, a retry, a breaker or a budget outside of it
// would take what failed for a success. Outermost, it hides nothing from the others, and no
// time limit cuts the alternative; a [Timeout] may stand before it as a limit for both.
//
// Each alternative that ran and returned is an event, [middleware.FallbackUsed]. When it
// failed too, its Reason is "failed". A call that has no alternative passes.
type Fallback struct {
	config FallbackConfig // complete
	own    bool           // When is ours, and does not know whether the caller has gone

	used, failed atomic.Uint64

	description description
}

// NewFallback returns a Fallback. It panics if the settings are not valid.
func NewFallback(c FallbackConfig) *Fallback {
	must(c.Validate())
	c.Name = or(c.Name, "fallback")
	own := c.When == nil
	if own {
		c.When = unavailable
	}
	return &Fallback{config: c, own: own}
}

// Name returns the name of the policy.
func (f *Fallback) Name() string { return f.config.Name }

// Substitutes implements [middleware.Substituter].
func (f *Fallback) Substitutes() bool { return true }

// Reports implements [middleware.Reporter]. Its type is "fallback". The readings are how many
// alternatives have been run, and how many of them failed.
func (f *Fallback) Reports(yield func(middleware.Report) bool) {
	yield(middleware.Report{
		Type: fallbackType, Name: f.config.Name,
		Settings: f.description.of(func() any { return f.config }),
		Readings: []middleware.Reading{
			{Name: "used", Value: float64(f.used.Load())},
			{Name: "failed", Value: float64(f.failed.Load())},
		},
	})
}

// Execute implements [middleware.Policy].
func (f *Fallback) Execute(ctx context.Context, next middleware.Next) error {
	cause := next.Do(ctx)
	if cause == nil || f.own && ctx.Err() != nil || !f.config.When(cause) {
		return cause
	}
	begin := time.Now()
	done, err := next.Alternative(ctx, cause)
	if !done {
		return cause
	}
	e := middleware.Event{
		Kind: middleware.FallbackUsed, Policy: f.config.Name, Wait: time.Since(begin), Err: cause,
	}
	f.used.Add(1)
	if err != nil {
		f.failed.Add(1)
		e.Reason = "failed"
	}
	next.Emit(ctx, e)
	return err
}

// unavailable reports whether err says that the dependency is, for whatever reason.
func unavailable(err error) bool {
	switch middleware.VerdictOf(err).Class {
	case middleware.Failure, middleware.Throttled:
		return true
	case middleware.Ignored:
		_, refused := errors.AsType[*middleware.Rejection](err)
		return refused
	default:
		return false
	}
}
