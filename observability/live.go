package observability

import (
	"context"
	"sync"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// maxLiveChains bounds how many chains a live keeps statistics of. There are none of those
// that come later.
const maxLiveChains = 1024

// A live is what an observer keeps in memory of its calls: statistics of each chain by name,
// and the newest traces. A nil one keeps nothing.
type live struct {
	traces traces
	epoch  time.Time

	mu     sync.RWMutex
	chains map[string]*statistics
}

func newLive() *live {
	return &live{epoch: time.Now(), chains: make(map[string]*statistics)}
}

// begin counts a call through a chain that begins.
func (l *live) begin(chain string) {
	if s := l.made(chain); s != nil {
		s.begin()
	}
}

// called counts a call that has returned.
func (l *live) called(chain, outcome string, took time.Duration) {
	if s := l.of(chain); s != nil {
		s.called(outcome, took)
	}
}

// attempt counts an attempt that has ended.
func (l *live) attempt(chain string) {
	if s := l.of(chain); s != nil {
		s.attempt()
	}
}

// observe counts an event.
func (l *live) observe(ctx context.Context, e middleware.Event) {
	if s := l.made(e.Chain); s != nil {
		s.observe(e, sampledTrace(ctx))
	}
}

// figures returns what is known of the calls of a chain in the time d until now, which is
// rounded up to whole buckets. It is empty if there is nothing.
func (l *live) figures(chain string, d time.Duration) figures {
	if s := l.of(chain); s != nil {
		return s.figures(d)
	}
	return figures{}
}

// spark returns what became of the calls of a chain in each of the newest buckets, oldest
// first: succeeded, failed (timeouts included), rejected, and attempts that were repeated.
func (l *live) spark(chain string, buckets int) [][4]int64 {
	if s := l.of(chain); s != nil {
		return s.spark(buckets)
	}
	return make([][4]int64, buckets)
}

// of returns the statistics of a chain, or nil.
func (l *live) of(chain string) *statistics {
	if l == nil {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.chains[chain]
}

// made returns the statistics of a chain, which begin if there are none, or nil if there
// are too many.
func (l *live) made(chain string) *statistics {
	if s := l.of(chain); s != nil || l == nil {
		return s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.chains[chain]
	if s == nil && len(l.chains) < maxLiveChains {
		s = &statistics{epoch: l.epoch, began: time.Now()}
		l.chains[chain] = s
	}
	return s
}
