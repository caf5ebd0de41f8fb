package policies

import (
	"context"
	"sync"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// observe runs the rest of the chain without a limit, and says if it takes longer.
func (s *timeoutSettings) observe(ctx context.Context, next middleware.Next) error {
	begun := time.Now()
	switch s.Scope {
	case EachRead:
		o := s.observed(ctx, next)
		err := next.Do(middleware.WithReads(ctx, o.turn))
		o.tell(time.Since(begun))
		return err
	case UntilEnd:
		o := s.observed(ctx, next)
		return next.DoThen(ctx, func() { o.tell(time.Since(begun)) })
	default:
		err := next.Do(ctx)
		if took := time.Since(begun); took >= s.Limit {
			s.observed(ctx, next).tell(took)
		}
		return err
	}
}

func (s *timeoutSettings) observed(ctx context.Context, next middleware.Next) *observedLimit {
	return &observedLimit{timeout: s, ctx: ctx, chain: next.Chain(), attempt: next.Attempt(ctx)}
}

// An observedLimit is the limit of one call while it only observes.
type observedLimit struct {
	timeout *timeoutSettings
	ctx     context.Context
	chain   *middleware.Chain
	attempt int

	mu      sync.Mutex
	reading time.Time // since when the newest read runs
	told    bool
}

// turn hears when a read of the result begins and when it ends.
func (o *observedLimit) turn(begin bool) {
	now := time.Now()
	o.mu.Lock()
	begun := o.reading
	if begin {
		o.reading, begun = now, now
	}
	o.mu.Unlock()
	o.tell(now.Sub(begun))
}

// tell says that the limit would have cut what took so long, once.
func (o *observedLimit) tell(took time.Duration) {
	if took < o.timeout.Limit || !o.first() {
		return
	}
	o.chain.Emit(o.ctx, middleware.Event{
		Kind: middleware.WouldReject, Policy: o.timeout.Name, Wait: o.timeout.Limit,
		Attempt: o.attempt, Reason: rejectedWord(middleware.ErrTimeout),
	})
}

func (o *observedLimit) first() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := !o.told
	o.told = true
	return first
}
