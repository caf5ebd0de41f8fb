package policies

import (
	"context"
	"errors"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// Calls of a closed breaker, rejections of an open one and snapshots take no lock:
// they go on while somebody has it.
func TestCallsTakeNoLock(t *testing.T) {
	down := errors.New("down")
	fail := func(context.Context) error { return down }
	for name, b := range map[string]*Breaker{
		"consecutive": NewBreaker(BreakerConfig{FailureThreshold: 3}),
		"windows":     NewBreaker(BreakerConfig{FailureThreshold: 3, FailureRate: 1, SlowCall: 1 << 62, MinCalls: 100}),
	} {
		chain := middleware.NewChain("x", b)
		locked := func(do func()) {
			b.mu.Lock()
			defer b.mu.Unlock()
			do()
		}
		locked(func() {
			if err := chain.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
				t.Errorf("%s: a success: %v", name, err)
			}
			for range 2 {
				if err := chain.Do(t.Context(), fail); err != down {
					t.Errorf("%s: a failure: %v", name, err)
				}
			}
			if s := b.Status(); s.Counts.Calls != 3 || b.State() != Closed {
				t.Errorf("%s: %+v", name, s)
			}
		})
		_ = chain.Do(t.Context(), fail)
		locked(func() {
			if err := chain.Do(t.Context(), fail); !errors.Is(err, middleware.ErrOpen) {
				t.Errorf("%s: an open breaker: %v", name, err)
			}
			if s := b.Status(); s.State != Open {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}
