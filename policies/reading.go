package policies

import (
	"sync"
	"time"
)

// A reading is the limit for each read of a streamed result. The timer runs on while
// nobody reads, and when a read takes the place of another: it looks when it fires.
type reading struct {
	*limit

	mu      sync.Mutex
	readers int
	begun   time.Time // the read that runs
	timer   *time.Timer
	armed   bool
	ended   bool
}

// turn hears when a read begins and when it ends.
func (r *reading) turn(begin bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !begin {
		r.readers--
		return
	}
	r.readers++
	r.begun = time.Now()
	switch most := r.timeout.Limit; {
	case r.armed || r.ended:
		return
	case r.timer == nil:
		r.timer = time.AfterFunc(most, r.fire)
	default:
		r.timer.Reset(most)
	}
	r.armed = true
}

func (r *reading) fire() {
	if r.silent() {
		(*limitedContext)(r.limit).expireFrom(lifted)
	}
}

// silent reports whether a read has taken as long as it may.
func (r *reading) silent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = false
	if r.readers == 0 || r.ended {
		return false
	}
	left := r.timeout.Limit - time.Since(r.begun)
	if left > 0 {
		r.timer.Reset(left)
		r.armed = true
	}
	return left <= 0
}

// Release ends the limit.
func (r *reading) Release() {
	r.mu.Lock()
	r.ended = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.limit.Release()
}
