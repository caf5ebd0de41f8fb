package kubernetes

import (
	"cmp"
	"context"
	"errors"
	"time"

	"k8s.io/client-go/util/flowcontrol"

	"github.com/tidegate-go/tidegate/middleware"
)

// RateLimiter returns a limiter for rest.Config.RateLimiter, in place of QPS and Burst: each
// token is a call through chain that does nothing, so a policies.RateLimit in it decides,
// and is seen deciding. client-go asks it before a request has its time limit, and not for
// opening a watch. Give the RateLimit a MaxWait: without it client-go is refused instead of
// made to wait. The chain should hold nothing else.
//
// The limiter's QPS is 0: a chain has no such number. It is safe for concurrent use.
func RateLimiter(chain *middleware.Chain) flowcontrol.RateLimiter { return &limiter{chain} }

// untold is how long Accept waits when a policy does not say until when it refuses.
const untold = 100 * time.Millisecond

type limiter struct{ chain *middleware.Chain }

// Wait returns when the chain has let the call through, or its error.
func (l *limiter) Wait(ctx context.Context) error { return l.chain.Do(ctx, nothing) }

// Accept waits until the chain lets the call through.
func (l *limiter) Accept() {
	for {
		err := l.chain.Do(context.Background(), nothing)
		var rejection *middleware.Rejection
		if !errors.As(err, &rejection) {
			return
		}
		<-time.After(cmp.Or(rejection.RetryAfter, untold))
	}
}

// TryAccept reports whether the chain lets the call through at once.
func (l *limiter) TryAccept() bool {
	now, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	return l.chain.Do(now, nothing) == nil
}

// Stop does nothing: the limiter has nothing that runs.
func (*limiter) Stop() {}

// QPS returns 0.
func (*limiter) QPS() float32 { return 0 }

func nothing(context.Context) error { return nil }
