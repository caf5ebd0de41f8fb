package main

import (
	"context"
	"os"
	"time"

	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
	"github.com/tidegate-go/tidegate/internal/injector"
)

// gitFails takes the git server down in four ways. There is always a clone to back
// up, and in the end it has everything.
func (d *demonstration) gitFails(ctx context.Context) error {
	begin, server := d.line.Elapsed(), d.stage.git
	size, err := d.stage.repository.Size()
	if err != nil {
		return err
	}
	for n, drill := range []struct {
		fault injector.Fault
		aside string
		call  func(context.Context) error
	}{
		{injector.Busy(time.Second).Times(1), "git keeps Retry-After to itself, so the backoff decides", d.update},
		{injector.Hang().Times(1), "", d.update},
		{injector.CutAnswer(max(1<<10, size/4)).Times(1), "a clone begins anew in a fresh folder", d.cloneAgain},
	} {
		if err := d.fault(server, drill.fault, drill.aside); err != nil {
			return err
		}
		err := d.traced(ctx, "update", func(ctx context.Context) error {
			if n == 0 {
				d.more = append(d.more, exhibit{"git, retried, then successful", traceOf(ctx)})
			}
			return drill.call(ctx)
		})
		if err != nil {
			return err
		}
	}

	if err := d.fault(server, injector.Refuse(), ""); err != nil {
		return err
	}
	missed, err := d.stage.repository.Commit(ctx, "A commit during the outage")
	if err != nil {
		return err
	}
	for range 2 { // the attempts of the first open the breaker
		if err := d.traced(ctx, "update", d.update); err != nil {
			return err
		}
	}
	if err := d.burst(ctx, "git", func(ctx context.Context) error {
		_, err := d.clients.git.LsRemote(ctx, d.remote())
		return err
	}); err != nil {
		return err
	}
	if err := d.bringBack(ctx, server); err != nil {
		return err
	}
	if err := d.untilDone(ctx, "git", func() bool { return d.commit == missed }, d.update); err != nil {
		return err
	}
	d.summary("git", begin, "4 faults")
	return nil
}

// update brings the clone up to date, if the remote has something new. While git
// cannot be had the clone stays as it is: better an old backup than none.
func (d *demonstration) update(ctx context.Context) error {
	begin := time.Now()
	head, err := d.head(ctx)
	if err == nil && head != d.commit {
		if _, err = d.clients.git.Fetch(ctx, d.checkout(), git.FetchOptions{}); err == nil {
			d.commit = head
			d.line.Line(timeline.Good, "git", "fetch", "commit %.8s is new, in %s", head, timeline.Duration(time.Since(begin)))
			return nil
		}
	}
	took := time.Since(begin)
	switch {
	case err == nil:
		d.line.Line(timeline.Good, "git", "ls-remote", "nothing new, in %s", timeline.Duration(took))
		return nil
	case ctx.Err() != nil:
		return err
	default:
		d.refused("git", "ls-remote", "what is new", err, took)
		d.line.Line(timeline.Policy, "git", "fallback", "the clone of commit %.8s will do", d.commit)
		return nil
	}
}

// head asks for the newest commit of the remote.
func (d *demonstration) head(ctx context.Context) (string, error) {
	refs, err := d.clients.git.LsRemote(ctx, d.remote(), "HEAD")
	if err != nil || len(refs) == 0 {
		return "", err
	}
	return refs[0].ID, nil
}

// cloneAgain makes a second clone and removes it.
func (d *demonstration) cloneAgain(ctx context.Context) error {
	begin, again := time.Now(), d.path("again")
	if _, err := d.clone(ctx, again); err != nil {
		if ctx.Err() == nil {
			d.refused("git", "clone", "a second clone", err, time.Since(begin))
			return nil
		}
		return err
	}
	return os.RemoveAll(again)
}
