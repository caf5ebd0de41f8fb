package policies_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// Many goroutines, real time, every setting and every method at once: each
// transition begins where the one before it ended, generations only grow, nothing
// is in flight at the end, and then the breaker still opens and closes.
func TestABreakerUnderFire(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{
		FailureThreshold: 4, FailureRate: 0.5, MinCalls: 10, Window: 20 * time.Millisecond, SlowCall: 300 * time.Microsecond, SlowRate: 0.5,
		Timeout: 100 * time.Microsecond, RecoveryTime: 300 * time.Microsecond, MaxRecoveryTime: time.Millisecond,
		HealthCheck:    fail,
		HealthInterval: 50 * time.Microsecond, SuccessThreshold: 2, ProbeLease: 100 * time.Microsecond, Ramp: time.Millisecond,
	})
	var mu sync.Mutex
	last, transitions := "closed", 0
	chain := middleware.NewChain("x", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Kind != middleware.Transition {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if e.From != last {
			t.Errorf("a transition from %s after one to %s", e.From, last)
		}
		last = e.To
		transitions++
	}), b)
	ops := []func(context.Context) error{
		succeed, succeed, succeed, fail, as(middleware.Ignored), as(middleware.Throttled),
		func(context.Context) error { time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond); return nil },
		func(context.Context) error { panic("op") },
		func(context.Context) error { runtime.Goexit(); return nil },
	}
	methods := []func(){b.ForceOpen, b.ForceClose, b.Disable, b.ObserveOnly, b.Release, b.Reset}
	generation := uint64(0)
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
		for range 300 {
			methods[rand.IntN(len(methods))]()
			b.Release()
			s := b.Status()
			if s.Generation < generation {
				t.Errorf("generation %d after %d", s.Generation, generation)
			}
			generation = s.Generation
			time.Sleep(100 * time.Microsecond)
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
	if s := b.Status(); s.State == policies.Closed {
		t.Errorf("after four failures: %+v", s)
	}
	for i := 0; b.State() != policies.Closed && i < 10_000; i++ {
		_ = chain.Do(t.Context(), succeed)
		time.Sleep(100 * time.Microsecond)
	}
	if s := b.Status(); s.State != policies.Closed {
		t.Errorf("with successes alone: %+v", s)
	}
	_ = b.Close()
	mu.Lock()
	defer mu.Unlock()
	if transitions < 20 {
		t.Errorf("%d transitions: nothing was tested", transitions)
	}
}
