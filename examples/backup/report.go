package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
	"github.com/tidegate-go/tidegate/examples/backup/internal/waterfall"
)

// report prints the health of the services.
func (d *demonstration) report() error {
	health := d.clients.manager.Health()
	d.line.Title("Health: %.0f%%", health.Percent)
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %-10s %7s %6s %6s %6s %9s   %s\n", "service", "state", "success", "calls", "ok", "failed", "rejected", "last change")
	for _, s := range health.Services {
		last := "none"
		if t := s.LastTransition; t != nil {
			last = fmt.Sprintf("%s -> %s, %s ago: %s", strings.ToUpper(t.From.String()), strings.ToUpper(t.To.String()),
				timeline.Duration(time.Since(t.Time)), strings.ReplaceAll(t.Reason, "_", " "))
		}
		fmt.Fprintf(&b, "%-8s %-10s %6.1f%% %6d %6d %6d %9d   %s\n", s.Name, strings.ToUpper(s.State.String()), 100*s.SuccessRate,
			s.Metrics.Total, s.Metrics.Successful, s.Metrics.Failed, s.Metrics.Rejected, last)
	}
	d.line.Text(b.String())
	d.line.Gap()
	d.line.Text(fmt.Sprintf("In %s: %s. %d backups were made, none was lost.", timeline.Duration(d.line.Elapsed()), d.tally.total(), len(d.backups)))
	if health.Percent != 100 {
		return errors.New("not every service is healthy at the end")
	}
	return nil
}

// exported prints one trace, or says where the traces went. An export that failed
// is no failure of the backup.
func (d *demonstration) exported(err error) {
	if d.traces.memory == nil {
		d.line.Title("Traces")
		if err != nil {
			d.line.Text(fmt.Sprintf("They could not be sent to %s: %s", d.traces.address(), timeline.Brief(err)))
			return
		}
		var b strings.Builder
		fmt.Fprintf(&b, "They were sent to %s as the service %s. Good ones to begin with are:\n", d.traces.address(), serviceName)
		for _, e := range append([]exhibit{d.show}, d.more...) {
			fmt.Fprintf(&b, "  %s  %s\n", e.id, e.title)
		}
		d.line.Text(b.String())
		return
	}
	d.line.Title("One trace: %s", d.show.title)
	var b strings.Builder
	_ = waterfall.Draw(&b, waterfall.Trace(d.show.id, d.traces.memory.Ended()), d.colour)
	d.line.Text(b.String())
}
