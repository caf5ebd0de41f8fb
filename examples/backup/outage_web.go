package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/tidegate-go/tidegate/internal/injector"
)

// webFails takes the backup service down while it is to be told of the backups that
// were stored meanwhile. Each is recorded once.
func (d *demonstration) webFails(ctx context.Context) error {
	begin, server := d.line.Elapsed(), d.stage.web
	pending := d.backups[1:]
	body, err := json.Marshal(pending[0].record())
	if err != nil {
		return err
	}
	drills := []struct {
		fault injector.Fault
		aside string
	}{
		{injector.Busy(time.Second).Times(1), "the server says when, so the next attempt waits that long"},
		{injector.Hang().Times(1), ""},
		{injector.CutRequest(int64(len(body)) / 2).Times(1), "the request has an Idempotency-Key, so it may be repeated"},
		{injector.CutAnswer(0).Times(1), "the service has recorded the backup, but nobody hears of it"},
	}
	for n, drill := range drills {
		if err := d.fault(server, drill.fault, drill.aside); err != nil {
			return err
		}
		if err := d.notify(ctx, pending[n]); err != nil {
			return err
		}
	}
	d.more = append(d.more, exhibit{"retried, then successful", pending[0].told})

	if err := d.fault(server, injector.Refuse(), ""); err != nil {
		return err
	}
	for _, b := range pending[len(drills):] {
		if err := d.notify(ctx, b); err != nil {
			return err
		}
	}
	d.more = append(d.more, exhibit{"rejected by an open breaker", pending[len(pending)-1].told})
	if err := d.burst(ctx, "http", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server.Addr()+"/healthz", http.NoBody)
		if err != nil {
			return err
		}
		_, _, err = call(d.clients.web, req)
		return err
	}); err != nil {
		return err
	}
	if err := d.bringBack(ctx, server); err != nil {
		return err
	}
	late := len(d.outbox)
	if err := d.untilDone(ctx, "http", func() bool { return len(d.outbox) == 0 }, d.flush); err != nil {
		return err
	}
	d.summary("http", begin, "5 faults, %d notifications by way of the outbox", late)
	return nil
}

// flush tells the service of the backups that wait for it. Those that fail wait on.
func (d *demonstration) flush(ctx context.Context) error {
	waiting := d.outbox
	d.outbox = nil
	for _, b := range waiting {
		if err := d.notify(ctx, b); err != nil {
			return err
		}
	}
	return nil
}
