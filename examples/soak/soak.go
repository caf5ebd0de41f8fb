package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
)

//go:embed tidegate.yaml
var settings []byte

// soak makes calls for so long, and returns what must not be.
func soak(ctx context.Context, out io.Writer, duration time.Duration, workers int, every time.Duration) error {
	before := runtime.NumGoroutine()
	t, events, h := newTally(), new(eventCount), &heap{}
	if err := run(ctx, out, t, events, h, duration, workers, every); err != nil {
		return err
	}
	begun, ended := t.total()
	fmt.Fprintf(out, "\n%d calls began, %d ended\n", begun, ended)
	t.print(out)
	events.print(out)
	if begun != ended {
		t.defect("%d calls began, and %d ended", begun, ended)
	}
	if left := settle(before); left > 0 {
		t.defect("%d goroutines are left", left)
	}
	fmt.Fprintln(out, h)
	if h.grew() {
		t.defect("memory leaks: %v", h)
	}
	return t.defects()
}

// settle returns how many goroutines there are more than before, once connections have had
// time to end.
func settle(before int) int {
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return 0
		}
		wait(10 * time.Millisecond)
	}
	return runtime.NumGoroutine() - before
}

func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

func run(ctx context.Context, out io.Writer, t *tally, events *eventCount, h *heap, duration time.Duration, workers int, every time.Duration) error {
	config, err := tidegate.ParseConfig("tidegate.yaml", settings, nil)
	if err != nil {
		return err
	}
	web := config.Services["soak"]
	web.Chaos.OutcomeRate, web.Chaos.Outcome = 0.001, func(context.Context, error) error { return errOutcome }
	config.Services["soak"] = web
	manager, err := tidegate.New(config, tidegate.WithChaos(), tidegate.WithObserver(events), tidegate.WithLogger(nil))
	if err != nil {
		return err
	}
	defer manager.Close()
	server := newServer()
	defer server.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * workers}
	defer transport.CloseIdleConnections()
	callers, err := newCallers(manager, transport, server.URL)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var wg sync.WaitGroup
	p := newPatrol(workers)
	for i := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				p.begin(i)
				callers.call(t)
				p.end(i)
			}
		})
	}
	wg.Go(func() { disturb(ctx, t, manager, config) })
	wg.Go(func() { report(ctx, out, t, server, h, every) })
	if err := p.await(&wg); err != nil {
		return err // the calls that hang go on
	}
	for _, s := range manager.Services() {
		for r := range s.Chain().Reports {
			if r.Running != 0 || r.Waiting != 0 {
				t.defect("%s %s: %d calls run and %d wait after the end", s.Name(), r.Name, r.Running, r.Waiting)
			}
		}
	}
	if made, counted := callers.web.Load(), manager.Metrics()["soak"].Total; uint64(made) != counted {
		t.defect("%d requests were made, and the manager has counted %d", made, counted)
	}
	h.look()
	fmt.Fprintf(out, "\n%d requests were sent\n", server.requests.Load())
	return nil
}

// kindOf names an error in few words.
func kindOf(err error) string {
	var typed interface{ ErrorType() string }
	switch {
	case errors.As(err, &typed):
		return typed.ErrorType()
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, errStore), errors.Is(err, errOutcome):
		return "failed"
	default:
		return "connection"
	}
}

// disturb changes the settings and gives orders, while calls run.
func disturb(ctx context.Context, t *tally, manager *tidegate.Manager, config tidegate.Config) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		next := config.Services["soak"]
		next.Bulkhead.MaxConcurrent += i % 8
		next.Breaker.MinCalls += i % 5
		next.RateLimit.Rate += float64(i % 3)
		config.Services = map[string]tidegate.ServiceConfig{"soak": next}
		err := manager.Apply(config)
		switch i % 30 {
		case 29:
			err = errors.Join(err, manager.ForceOpen("soak"))
		case 0:
			err = errors.Join(err, manager.Release("soak"))
		}
		if err != nil {
			t.defect("%v", err)
		}
	}
}

func report(ctx context.Context, out io.Writer, t *tally, s *server, h *heap, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	begun := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		inUse := h.look()
		_, ended := t.total()
		fmt.Fprintf(out, "%8s %11d calls %11d requests %6d goroutines %7.1f MB of heap\n",
			time.Since(begun).Round(time.Second), ended, s.requests.Load(), runtime.NumGoroutine(), float64(inUse)/1e6)
	}
}

// An eventCount counts events by their kind.
type eventCount struct{ counts [32]atomic.Int64 }

func (c *eventCount) Observe(_ context.Context, e middleware.Event) {
	c.counts[int(e.Kind)%len(c.counts)].Add(1)
}

func (c *eventCount) print(out io.Writer) {
	for kind := range c.counts {
		if n := c.counts[kind].Load(); n > 0 {
			fmt.Fprintf(out, "%11d events %s\n", n, middleware.Kind(kind))
		}
	}
}
