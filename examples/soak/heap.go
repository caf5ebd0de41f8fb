package main

import (
	"fmt"
	"runtime"
	"sync"
)

// A heap remembers how much memory was in use.
type heap struct {
	mu    sync.Mutex
	first uint64 // of the looks after the first, when all is warm
	last  uint64
	looks int
}

// look returns how many bytes are in use.
func (h *heap) look() uint64 {
	runtime.GC()
	runtime.GC() // the first one leaves what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	if h.looks == 2 {
		h.first = m.HeapAlloc
	}
	h.last = m.HeapAlloc
	return m.HeapAlloc
}

// grew reports whether at the end, when no call runs, more is in use than when many did.
func (h *heap) grew() bool {
	const slack = 2 << 20
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.looks > 2 && h.last > h.first+slack
}

func (h *heap) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf("%.1f MB of heap when it was warm, %.1f MB at the end", float64(h.first)/1e6, float64(h.last)/1e6)
}
