package observability

import (
	"maps"
	"sync"
	"sync/atomic"
)

// cacheSize bounds each cache, so that names which should be few but are not cost
// time and not memory.
const cacheSize = 1024

// A cache keeps values that are made once per key and then read on every call:
// names of spans, options with attributes. Reading takes no lock and allocates
// nothing, which a sync.Map with a struct as its key does not achieve. The zero
// value is empty and ready.
type cache[K comparable, V any] struct {
	values atomic.Pointer[map[K]V]
	mu     sync.Mutex // one writer
}

func (c *cache[K, V]) load(key K) (V, bool) {
	if m := c.values.Load(); m != nil {
		v, ok := (*m)[key]
		return v, ok
	}
	var none V
	return none, false
}

// store keeps v unless the cache is full or another value came first, and returns
// the value to use.
func (c *cache[K, V]) store(key K, v V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.load(key); ok {
		return first
	}
	next := make(map[K]V)
	if m := c.values.Load(); m != nil {
		if len(*m) >= cacheSize {
			return v
		}
		next = maps.Clone(*m)
	}
	next[key] = v
	c.values.Store(&next)
	return v
}

func (c *cache[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.load(key); ok {
		next := maps.Clone(*c.values.Load())
		delete(next, key)
		c.values.Store(&next)
	}
}
