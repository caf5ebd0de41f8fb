package policies

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// Defaults of [KeyedConfig].
const (
	DefaultMaxKeys = 1000
	DefaultKeyIdle = 10 * time.Minute
)

// OverflowKey is the key of the policy that a [Keyed] uses for new keys while it is
// full.
const OverflowKey = "_overflow"

// KeyedConfig are the settings of a [Keyed].
type KeyedConfig struct {
	// Name stands in the list of the policies of a chain. Empty means "keyed".
	Name string

	// Key returns the key of a call: a host, a bucket, a repository. Nil means the Key
	// of its [middleware.Operation]. Calls without a key share the one of "".
	Key func(ctx context.Context) string

	// Max is how many keys there are at the most, besides OverflowKey. Zero means
	// DefaultMaxKeys.
	Max int

	// Idle is how long a key must have been unused, since the end of its last call, to
	// be dropped. It happens after once to twice that time, when another key comes. Zero
	// means DefaultKeyIdle.
	Idle time.Duration
}

// Validate returns a *SettingError for each setting outside its range.
func (c KeyedConfig) Validate() error {
	k := check{config: "KeyedConfig"}
	k.count("Max", c.Max)
	k.duration("Idle", c.Idle)
	return k.err()
}

// A Keyed is a policy that consists of one policy for each key, so that one host
// that fails does not close the way to the others:
//
//	perHost := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
//		return policies.NewBreaker(policies.BreakerConfig{Key: key})
//	})
//
// The number of keys is bounded. Keys that are idle are dropped, but never one whose
// calls are in flight, nor a [Breaker] that is not closed or that somebody has set by
// hand, nor a [RateLimit] that is not full or that pauses, nor a [Bulkhead] or an
// [AdaptiveLimit] in use, nor a [Retry] or [Hedge] whose own [Budget] holds anything. A call
// whose result is streamed is in flight until that has been read or closed. When Max keys
// are there, further ones share the policy of OverflowKey. A host that is gone for good keeps its open breaker and its place,
// so do not let outsiders choose the keys: one who names enough hosts that fail fills it.
//
// Give Keyed policies, not chains, if observers are to hear of them: a chain has its
// own. What is said of these policies holds for those in chains too, but not for
// those hidden in a policy of another kind.
type Keyed[P middleware.Policy] struct {
	config KeyedConfig // complete
	make   func(key string) P
	seed   maphash.Seed
	epoch  time.Time
	shards [32]keyShard[P]

	mu       sync.Mutex // taken before that of a shard
	size     int
	swept    time.Duration
	overflow *keyEntry[P]
	home     *middleware.Chain // for policies to come, see Attach
	closed   bool
	change   func(key string, policy P) // the newest, see Change
	changes  atomic.Int64
	sample   middleware.Policy // for plans, see PlanAs; nil: none

	description description
}

type keyShard[P middleware.Policy] struct {
	mu      sync.RWMutex
	entries map[string]*keyEntry[P]
}

type keyEntry[P middleware.Policy] struct {
	policy  P
	execute middleware.Policy // policy, and
	release func()            // leave, as values that calls need not make
	calls   atomic.Int64      // in flight
	used    atomic.Bool       // since the last sweep
}

func newKeyEntry[P middleware.Policy](p P) *keyEntry[P] {
	e := &keyEntry[P]{policy: p, execute: p}
	e.release = e.leave
	return e
}

// NewKeyed returns a Keyed that calls make for each new key. make must be safe for
// concurrent use and may be called more than once for a key.
// NewKeyed panics if the settings are not valid, or make is nil.
func NewKeyed[P middleware.Policy](c KeyedConfig, make func(key string) P) *Keyed[P] {
	must(c.Validate())
	if make == nil {
		panic(errors.New("policies: NewKeyed: the function that makes a policy is nil"))
	}
	c.Name = or(c.Name, "keyed")
	c.Max = or(c.Max, DefaultMaxKeys)
	c.Idle = or(c.Idle, DefaultKeyIdle)
	if c.Key == nil {
		c.Key = func(ctx context.Context) string { return middleware.OperationOf(ctx).Key }
	}
	return &Keyed[P]{config: c, make: make, seed: maphash.MakeSeed(), epoch: time.Now()}
}

// Name returns the name of the policy.
func (k *Keyed[P]) Name() string { return k.config.Name }

// Reports implements [middleware.Reporter]. It yields a report of the type "keyed", with the
// reading keys, and then the reports of the policy of each key, sorted by key. They have
// the key, unless the policy says one itself.
func (k *Keyed[P]) Reports(yield func(middleware.Report) bool) {
	all := k.snapshot()
	r := middleware.Report{
		Type: keyedType, Name: k.config.Name,
		Settings: k.description.of(func() any {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.config
		}),
		Readings: []middleware.Reading{{Name: "keys", Value: float64(len(all))}},
	}
	if !yield(r) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		p, ok := middleware.Policy(all[key]).(middleware.Reporter)
		if !ok {
			continue
		}
		more := true
		p.Reports(func(r middleware.Report) bool {
			r.Key = or(r.Key, key)
			more = yield(r)
			return more
		})
		if !more {
			return
		}
	}
}

// Execute implements [middleware.Policy].
func (k *Keyed[P]) Execute(ctx context.Context, next middleware.Next) error {
	e := k.enter(k.config.Key(ctx))
	return next.ExecuteThen(ctx, e.execute, e.release)
}

// For returns the policy of a key, as a call with that key would get it: if there is
// none, it is made. All only lists. Do not keep what For returns: when the key has been
// idle, another policy may take its place.
func (k *Keyed[P]) For(key string) P {
	e := k.enter(key)
	defer e.leave()
	return e.policy
}

// All returns the keys that there are, with their policies, sorted by key.
func (k *Keyed[P]) All() iter.Seq2[string, P] {
	return func(yield func(string, P) bool) {
		all := k.snapshot()
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if !yield(key, all[key]) {
				return
			}
		}
	}
}

func (k *Keyed[P]) snapshot() map[string]P {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[string]P, k.size+1)
	if k.overflow != nil {
		all[OverflowKey] = k.overflow.policy
	}
	for i := range k.shards {
		s := &k.shards[i]
		s.mu.RLock()
		for key, e := range s.entries {
			all[key] = e.policy
		}
		s.mu.RUnlock()
	}
	return all
}

func (k *Keyed[P]) shard(key string) *keyShard[P] {
	return &k.shards[maphash.String(k.seed, key)%uint64(len(k.shards))]
}

// enter returns the entry of a key, with one more call in flight.
func (k *Keyed[P]) enter(key string) *keyEntry[P] {
	s := k.shard(key)
	if e := s.enter(key); e != nil {
		return e
	}
	if key == OverflowKey || !k.room() {
		return k.enterOverflow()
	}
	there := k.settle(key, func(e *keyEntry[P]) *keyEntry[P] {
		s.mu.Lock()
		defer s.mu.Unlock()
		if first := s.entries[key]; first != nil {
			return first
		}
		if k.size >= k.config.Max {
			return nil
		}
		if s.entries == nil {
			s.entries = make(map[string]*keyEntry[P])
		}
		s.entries[key] = e
		k.size++
		return e
	})
	if there == nil { // others took the room meanwhile
		return k.enterOverflow()
	}
	return there
}

// settle puts a new entry in its place, unless add says that somebody else was
// first or that there is no room, and returns the one that is there, if any, with one
// more call in flight.
func (k *Keyed[P]) settle(key string, add func(*keyEntry[P]) *keyEntry[P]) *keyEntry[P] {
	changes := k.changes.Load()
	e := newKeyEntry(k.make(key))
	k.mu.Lock()
	there := add(e)
	if there != nil {
		there.enter()
	}
	home, closed := k.home, k.closed
	change, changes := k.changedSince(changes)
	k.mu.Unlock()
	done := false
	defer func() {
		if !done && there != nil { // a change, Attach or Close panicked
			there.leave()
		}
	}()
	for there == e && change != nil { // it was made before the change
		change(key, e.policy)
		k.mu.Lock()
		change, changes = k.changedSince(changes)
		k.mu.Unlock()
	}
	for there == e && home != nil {
		attach(e.policy, home)
		k.mu.Lock()
		newest := k.home
		k.mu.Unlock()
		if newest == home {
			break
		}
		home = newest
	}
	if there != e || closed {
		_ = closePolicy(e.policy) // nobody is there to hear of it
	}
	done = true
	return there
}

// enter returns nil if there is no such key.
func (s *keyShard[P]) enter(key string) *keyEntry[P] {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entries[key]
	if e != nil {
		e.enter()
	}
	return e
}

func (e *keyEntry[P]) enter() { e.calls.Add(1) }

// leave marks the entry as used: it is idle from the end of a call on.
func (e *keyEntry[P]) leave() {
	if !e.used.Load() {
		e.used.Store(true)
	}
	e.calls.Add(-1)
}

// room reports whether there is room for one more key, after it has looked for some.
func (k *Keyed[P]) room() bool {
	k.mu.Lock()
	var dropped []P
	if now := time.Since(k.epoch); now-k.swept >= k.config.Idle {
		k.swept = now
		dropped = k.sweep()
	}
	free := k.size < k.config.Max
	k.mu.Unlock()
	for _, p := range dropped {
		_ = closePolicy(p) // nobody is there to hear of it
	}
	return free
}

// sweep drops the entries that have not been used since the sweep before. The lock
// is held.
func (k *Keyed[P]) sweep() (dropped []P) {
	for i := range k.shards {
		s := &k.shards[i]
		s.mu.Lock()
		for key, e := range s.entries {
			if !e.used.Swap(false) && e.calls.Load() == 0 && idle(e.policy) {
				delete(s.entries, key)
				dropped = append(dropped, e.policy)
				k.size--
			}
		}
		s.mu.Unlock()
	}
	return dropped
}

// idle reports whether a policy may be dropped: one made anew is in the same state.
func idle(p middleware.Policy) bool {
	all := []middleware.Policy{p}
	if c, ok := p.(*middleware.Chain); ok {
		all = c.Policies()
	}
	return !slices.ContainsFunc(all, func(p middleware.Policy) bool {
		if p, ok := p.(interface{ spending() *spender }); ok && !p.spending().idleAmong(all) { // a Retry, a Hedge
			return true
		}
		// A Breaker, RateLimit, Bulkhead, Hedge, or what embeds one.
		state, ok := p.(interface{ idle() bool })
		return ok && !state.idle()
	})
}

func (k *Keyed[P]) enterOverflow() *keyEntry[P] {
	k.mu.Lock()
	e := k.overflow
	if e != nil {
		e.enter()
	}
	k.mu.Unlock()
	if e != nil {
		return e
	}
	return k.settle(OverflowKey, func(e *keyEntry[P]) *keyEntry[P] {
		if k.overflow == nil {
			k.overflow = e
		}
		return k.overflow
	})
}
