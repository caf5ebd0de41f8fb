package policies

import (
	"runtime"
	"testing"
	"time"
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
