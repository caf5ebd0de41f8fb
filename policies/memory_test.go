package policies

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// A breaker with a window of ten buckets, all of them in use, takes less than 1 KiB.
func TestABreakerIsSmall(t *testing.T) {
	const n = 2000
	breakers := make([]*Breaker, n)
	before := heap()
	for i := range breakers {
		b := NewBreaker(BreakerConfig{FailureRate: 0.5, SlowCall: time.Second, MinCalls: 100, Window: 10 * time.Second})
		g := b.gate.Load()
		for second := range 10 {
			g.window.record(g.begin+int64(second)*int64(time.Second), false, false)
		}
		breakers[i] = b
	}
	each := (heap() - before) / n
	runtime.KeepAlive(breakers)
	t.Logf("%d bytes", each)
	if each > 1024 {
		t.Errorf("a breaker takes %d bytes, want 1024 at the most", each)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one leaves what pools hold
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a plan says of the memory is at least half of what the policy takes, and at most
// twice as much.
func TestPlansKnowTheMemory(t *testing.T) {
	for name, make := range map[string]func() middleware.Planner{
		"timeout":    func() middleware.Planner { return NewTimeout(TimeoutConfig{}) },
		"retry":      func() middleware.Planner { return NewRetry(RetryConfig{}) },
		"hedge":      func() middleware.Planner { return NewHedge(HedgeConfig{Delay: time.Second}) },
		"rate limit": func() middleware.Planner { return NewRateLimit(RateLimitConfig{}) },
		"bulkhead":   func() middleware.Planner { return NewBulkhead(BulkheadConfig{}) },
		"breaker":    func() middleware.Planner { return NewBreaker(BreakerConfig{}) },
		"breaker that has failed": func() middleware.Planner {
			b := NewBreaker(BreakerConfig{FailureThreshold: 1})
			_ = middleware.NewChain("x", b).Do(t.Context(), func(context.Context) error { return context.DeadlineExceeded })
			return b
		},
		"breaker with a window of calls": func() middleware.Planner {
			return NewBreaker(BreakerConfig{FailureRate: 0.5, MinCalls: 1, WindowCalls: 65536})
		},
		"breaker with a window of time": func() middleware.Planner {
			b := NewBreaker(BreakerConfig{FailureRate: 0.5, MinCalls: 100, Window: 10 * time.Second})
			g := b.gate.Load()
			for second := range 10 {
				g.window.record(g.begin+int64(second)*int64(time.Second), false, false)
			}
			return b
		},
		"hedge by a quantile": func() middleware.Planner {
			h := NewHedge(HedgeConfig{})
			h.settings.Load().latency.newest.Load().older.Store(new(histogram))
			return h
		},
		"adaptive limit": func() middleware.Planner { return NewAdaptiveLimit(AdaptiveLimitConfig{}) },
		"throttle": func() middleware.Planner {
			t := NewThrottle(ThrottleConfig{})
			span := t.settings.Load().span
			for i := range int64(demandBuckets) {
				t.demand.advance((i+1)*span.period, span)
			}
			return t
		},
		"deadline": func() middleware.Planner { return NewDeadline(DeadlineConfig{}) },
		"fallback": func() middleware.Planner { return NewFallback(FallbackConfig{}) },
		"chaos":    func() middleware.Planner { return NewChaos(ChaosConfig{Enabled: true}) },
		"keyed": func() middleware.Planner {
			k := NewKeyed(KeyedConfig{Max: 200}, func(string) *Bulkhead { return NewBulkhead(BulkheadConfig{}) })
			for i := range 200 {
				k.For(string(rune('a' + i)))
			}
			return k
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 500
			all := [n]middleware.Planner{}
			make()
			before := heap()
			for i := range all {
				all[i] = make()
			}
			each, says := (heap()-before)/n, all[0].Plan().Memory
			runtime.KeepAlive(all)
			t.Logf("%d bytes, the plan says %d", each, says)
			if says < each/2 || says > each*2 {
				t.Errorf("it takes %d bytes, the plan says %d", each, says)
			}
		})
	}
}
