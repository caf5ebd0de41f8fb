package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// longest is more than any call may take: its caller's patience, and time for a busy machine.
const longest = time.Minute

// A patrol looks for calls that are lost: that never end.
type patrol struct {
	epoch time.Time
	since []atomic.Int64 // when the call of each worker began; 0: none
}

func newPatrol(workers int) *patrol {
	return &patrol{epoch: time.Now().Add(-time.Second), since: make([]atomic.Int64, workers)}
}

func (p *patrol) begin(worker int) { p.since[worker].Store(int64(time.Since(p.epoch))) }
func (p *patrol) end(worker int)   { p.since[worker].Store(0) }

// await waits for the workers, or for a call that is lost, of which it shows the goroutines.
func (p *patrol) await(workers *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { workers.Wait(); close(done) }()
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-ticker.C:
		}
		for i := range p.since {
			if began := p.since[i].Load(); began != 0 && time.Since(p.epoch)-time.Duration(began) > longest {
				_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
				return fmt.Errorf("a call is lost: it has run for more than %s", longest)
			}
		}
	}
}
