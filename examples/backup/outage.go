package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
	"github.com/tidegate-go/tidegate/internal/injector"
)

// fault makes a dependency fail in a new way. aside is for what a reader may wonder
// about.
func (d *demonstration) fault(on *dependency, f injector.Fault, aside string) error {
	d.line.Gap()
	d.line.Line(timeline.Bad, on.name, "fault", "%s", f)
	if aside != "" {
		d.line.Line(timeline.Quiet, on.name, "aside", "%s", aside)
	}
	return d.set(on, f)
}

func (d *demonstration) set(on *dependency, f injector.Fault) error {
	d.clients.forget()
	return on.Set(f)
}

// bringBack ends the fault of a dependency and waits until its breaker notices.
func (d *demonstration) bringBack(ctx context.Context, on *dependency) error {
	d.line.Line(timeline.Good, on.name, "fault", "over: the server is back")
	if err := d.set(on, injector.Fault{}); err != nil {
		return err
	}
	return d.untilProbe(ctx, on.name)
}

// untilProbe waits until the breaker of a service lets calls through again.
func (d *demonstration) untilProbe(ctx context.Context, service string) error {
	s, err := d.clients.manager.Service(service)
	if err != nil {
		return err
	}
	wait := s.Health().NextProbe
	if wait == 0 {
		return nil
	}
	d.line.Line(timeline.Quiet, service, "waits", "%s until the breaker lets a probe through", timeline.Duration(wait))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// untilDone calls f until everything is done. That is once, unless the breaker opens
// again on a machine that is too busy for the time limits.
func (d *demonstration) untilDone(ctx context.Context, service string, done func() bool, f func(context.Context) error) error {
	for range 5 {
		if err := d.traced(ctx, "catch up", f); err != nil {
			return err
		}
		if done() {
			return nil
		}
		if err := d.untilProbe(ctx, service); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s did not recover", service)
}

// refused says that a call came to nothing, and how fast.
func (d *demonstration) refused(service, who, what string, err error, took time.Duration) {
	if tidegate.IsRejected(err) {
		d.line.Line(timeline.Policy, service, "rejected", "%s: after %s, %s", what, timeline.Duration(took), timeline.Brief(err))
		return
	}
	d.line.Line(timeline.Bad, service, who, "%s: failed after %s, %s", what, timeline.Duration(took), timeline.Brief(err))
}

// burst makes some calls more while a breaker is open.
func (d *demonstration) burst(ctx context.Context, service string, call func(context.Context) error) error {
	const calls = 100
	var times []time.Duration
	err := d.traced(ctx, "burst", func(ctx context.Context) error {
		for range calls {
			begin := time.Now()
			err := call(ctx)
			if took := time.Since(begin); tidegate.IsRejected(err) {
				times = append(times, took)
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if len(times) == 0 {
		d.line.Line(timeline.Quiet, service, "rejected", "none of %d calls more: the breaker let them probe", calls)
		return nil
	}
	slices.Sort(times)
	d.line.Line(timeline.Policy, service, "rejected", "%d of %d calls more, half of them within %s",
		len(times), calls, timeline.Duration(times[len(times)/2]))
	return nil
}
