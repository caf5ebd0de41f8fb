package policies_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Many goroutines, every setting and every method at once: each transition begins
// where the one before it ended, generations only grow, nothing is in flight at the
// end, and then the breaker still opens and closes.
func TestABreakerUnderFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewBreaker(policies.BreakerConfig{
			FailureThreshold: 4, FailureRate: 0.5, MinCalls: 10, Window: 200 * time.Millisecond, SlowCall: 3 * time.Millisecond, SlowRate: 0.5,
			Timeout: time.Millisecond, RecoveryTime: 3 * time.Millisecond, MaxRecoveryTime: 10 * time.Millisecond,
			HealthCheck: fail, HealthInterval: time.Millisecond / 2, SuccessThreshold: 2, ProbeLease: time.Millisecond, Ramp: 10 * time.Millisecond,
		})
		var transitions atomic.Int64
		chain := middleware.NewChain("x", inOrder(t, &transitions), b)
		pause := func() { time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond) }
		ops := []func(context.Context) error{
			succeed, succeed, succeed, fail, as(middleware.Ignored), as(middleware.Throttled),
			func(context.Context) error { pause(); return nil },
			func(context.Context) error { panic("op") },
			func(context.Context) error { runtime.Goexit(); return nil },
		}
		methods := []func(){b.ForceOpen, b.ForceClose, b.Disable, b.ObserveOnly, b.Release, b.Reset}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 2000 {
					done := make(chan struct{})
					go func() {
						defer close(done)
						defer func() { _ = recover() }()
						_ = chain.Do(context.Background(), ops[rand.IntN(len(ops))])
					}()
					<-done
				}
			})
		}
		wg.Go(func() {
			for generation := uint64(0); generation < 300; pause() {
				methods[rand.IntN(len(methods))]()
				b.Release()
				s := b.Status()
				if s.Generation < generation {
					t.Errorf("generation %d after %d", s.Generation, generation)
				}
				generation = s.Generation
			}
		})
		wg.Wait()
		if s := b.Status(); s.InFlight != 0 {
			t.Errorf("at the end: %+v", s)
		}
		b.Reset()
		for range 4 {
			_ = chain.Do(t.Context(), fail)
		}
		if s := b.Status(); s.State != policies.Open {
			t.Errorf("after four failures: %+v", s)
		}
		time.Sleep(10 * time.Millisecond)
		for range 2 {
			_ = chain.Do(t.Context(), succeed)
		}
		if s := b.Status(); s.State != policies.Closed {
			t.Errorf("after two probes: %+v", s)
		}
		_ = b.Close()
		if n := transitions.Load(); n < 100 {
			t.Errorf("%d transitions: nothing was tested", n)
		}
	})
}
