package policies

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [StaleConfig].
const (
	DefaultStaleKeys = 1000
	DefaultStaleAge  = time.Hour
)

// StaleConfig are the settings of a [Stale].
type StaleConfig struct {
	// MaxKeys is how many keys have a copy at the most. When there are more, the one goes
	// that has been used least recently. Zero means DefaultStaleKeys.
	MaxKeys int

	// MaxAge is how old a copy may be when it is handed out. Zero means DefaultStaleAge.
	MaxAge time.Duration

	// SingleFlight lets calls of the same key at the same time share one call through the
	// chain, as [Flight] says, so that a value which many want is not asked for by all of
	// them at once. It is for calls that do the same whoever makes them. The observers of the
	// chain, and so metrics and traces, see the shared call alone; [Stale.Status] counts all.
	SingleFlight bool
}

// Validate returns a *SettingError for each setting outside its range.
func (c StaleConfig) Validate() error {
	k := check{config: "StaleConfig"}
	k.count("MaxKeys", c.MaxKeys)
	k.duration("MaxAge", c.MaxAge)
	return k.err()
}

// A Stale keeps the last good value of each key, and hands it out when the value cannot be had
// anew. It is no cache that spares calls: each call goes to the dependency first. It is no
// policy either: a [Fallback] in the chain of the call decides when a copy will do, and its
// event [middleware.FallbackUsed] tells the observers. What the Stale itself has done is in its
// Status.
//
// A value is kept when the call succeeded, and forgotten when the operation said that there
// is none: with an error judged a Success, by itself ([middleware.Judged]) or by a policy of
// the chain ([middleware.Judge]). Copies are shared, so they must not be changed, and they are
// in memory only.
//
// What a key stands for must be all that the value depends on: who may see it, too. A Stale is
// safe for concurrent use, with several chains too. It holds a lock for no longer than it takes
// to look up a key.
type Stale[K comparable, V any] struct {
	config StaleConfig // complete
	flight Flight[K, Copy[V]]
	calls  atomic.Uint64
	stale  atomic.Uint64

	mu          sync.Mutex
	copies      map[K]*staleCopy[K, V]
	first, last *staleCopy[K, V] // the one used most recently, and least
}

// A Copy is a value, and where it comes from.
type Copy[V any] struct {
	Value V
	Time  time.Time // when the dependency gave it
	Stale bool      // it is the last good one, because of Cause
	Cause error     // why there is no newer one; nil unless Stale
}

// A staleCopy is the copy of a key, in a list.
type staleCopy[K comparable, V any] struct {
	key            K
	value          V
	time           time.Time
	previous, next *staleCopy[K, V]
}

// NewStale returns a Stale without copies. It panics if the settings are not valid.
func NewStale[K comparable, V any](c StaleConfig) *Stale[K, V] {
	must(c.Validate())
	c.MaxKeys = or(c.MaxKeys, DefaultStaleKeys)
	c.MaxAge = or(c.MaxAge, DefaultStaleAge)
	return &Stale[K, V]{config: c, copies: make(map[K]*staleCopy[K, V])}
}

// Call runs op through the chain c and returns its value. If that fails and the chain's
// [Fallback] finds that something else shall be done, it returns the last good value of the
// key instead, with Stale set. When there is none that is young enough, it returns the error
// of the call as without a Stale. A chain without a Fallback is an error, see
// [middleware.CallOr].
func (s *Stale[K, V]) Call(
	ctx context.Context, c *middleware.Chain, key K, op func(ctx context.Context) (V, error),
) (Copy[V], error) {
	if op == nil {
		return middleware.Call[Copy[V]](ctx, c, nil)
	}
	s.calls.Add(1)
	got, err := s.share(ctx, c, key, op)
	if err == nil && got.Stale {
		s.stale.Add(1)
	}
	return got, err
}

func (s *Stale[K, V]) share(
	ctx context.Context, c *middleware.Chain, key K, op func(ctx context.Context) (V, error),
) (Copy[V], error) {
	if !s.config.SingleFlight {
		return s.call(ctx, c, key, op)
	}
	return s.flight.Do(ctx, key, func(ctx context.Context) (Copy[V], error) { return s.call(ctx, c, key, op) })
}

func (s *Stale[K, V]) call(
	ctx context.Context, c *middleware.Chain, key K, op func(ctx context.Context) (V, error),
) (Copy[V], error) {
	got, verdict, err := middleware.JudgedOr(ctx, c, func(ctx context.Context) (Copy[V], error) {
		value, err := op(ctx)
		if err != nil {
			if middleware.VerdictOf(err).Class == middleware.Success {
				s.Forget(key) // now, or a Fallback whose When says so would hand out the copy
			}
			return Copy[V]{Value: value}, err
		}
		return Copy[V]{Value: value, Time: time.Now()}, nil
	}, func(_ context.Context, cause error) (Copy[V], error) {
		kept, ok := s.find(key)
		if !ok {
			return Copy[V]{}, cause
		}
		kept.Stale, kept.Cause = true, cause
		return kept, nil
	})
	switch {
	case err != nil && verdict.Class == middleware.Success:
		s.Forget(key)
	case err == nil && !got.Stale && !got.Time.IsZero(): // it is zero if a policy has answered
		s.keep(key, got)
	}
	return got, err
}

// Forget drops the copy of a key, because it is known not to hold any longer. One that a
// call of the key which goes on brings is kept again.
func (s *Stale[K, V]) Forget(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.copies[key]; c != nil {
		s.drop(c)
	}
}

// A StaleStatus is what a [Stale] has done so far.
type StaleStatus struct {
	Copies int // keys that have a copy, however old

	Calls uint64 // calls, those that shared another one or are under way too
	Stale uint64 // calls that got a copy
}

// Status returns the state of the Stale.
func (s *Stale[K, V]) Status() StaleStatus {
	stale := s.stale.Load() // first, or there might be more of them than calls
	return StaleStatus{Copies: s.Len(), Calls: s.calls.Load(), Stale: stale}
}

// Len returns how many keys have a copy, however old.
func (s *Stale[K, V]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.copies)
}

// find returns the copy of a key if it is young enough.
func (s *Stale[K, V]) find(key K) (Copy[V], bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.copies[key]
	if c == nil {
		return Copy[V]{}, false
	}
	if time.Since(c.time) > s.config.MaxAge {
		s.drop(c)
		return Copy[V]{}, false
	}
	s.unlink(c)
	s.link(c)
	return Copy[V]{Value: c.value, Time: c.time}, true
}

// keep makes a value the copy of the key, unless there is a newer one.
func (s *Stale[K, V]) keep(key K, value Copy[V]) {
	if key != key { //nolint:gocritic // a NaN is no key: nobody would find it again
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.copies[key]
	if c == nil {
		c = &staleCopy[K, V]{key: key}
		s.copies[key] = c
	} else {
		s.unlink(c)
	}
	if !value.Time.Before(c.time) {
		c.value, c.time = value.Value, value.Time
	}
	s.link(c)
	if len(s.copies) > s.config.MaxKeys {
		s.drop(s.last)
	}
}

// drop removes a copy. The lock is held, as it is for the two below.
func (s *Stale[K, V]) drop(c *staleCopy[K, V]) {
	s.unlink(c)
	delete(s.copies, c.key)
}

// link puts a copy to the front of the list.
func (s *Stale[K, V]) link(c *staleCopy[K, V]) {
	c.previous, c.next = nil, s.first
	if s.first == nil {
		s.last = c
	} else {
		s.first.previous = c
	}
	s.first = c
}

func (s *Stale[K, V]) unlink(c *staleCopy[K, V]) {
	if c.previous == nil {
		s.first = c.next
	} else {
		c.previous.next = c.next
	}
	if c.next == nil {
		s.last = c.previous
	} else {
		c.next.previous = c.previous
	}
}
