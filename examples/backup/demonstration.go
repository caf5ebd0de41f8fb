package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
	"github.com/tidegate-go/tidegate/observability"
)

// options are what the demonstration can be told.
type options struct {
	out      io.Writer
	colour   bool
	source   string             // a folder in the repository to back up; empty is the current one
	module   string             // it must be this module, or a repository is generated; empty takes any
	endpoint string             // of a collector of traces; without, a trace is printed
	listen   string             // where metrics are shown; empty is nowhere
	hold     bool               // go on showing them at the end
	slack    int                // how many times as long as usual the time limits are; 0 is 1
	calm     bool               // nothing fails
	sabotage func(*stage) error // called before the restore
}

// A demonstration is one run.
type demonstration struct {
	options

	dir     string // for everything that it writes
	line    *timeline.Timeline
	tally   *tally
	traces  *traces
	window  *window
	tracer  trace.Tracer
	stage   *stage
	clients *clients

	commit  string    // the newest one that the clone has
	backups []*backup // all that were stored
	outbox  []*backup // those that the service was not told of yet
	show    exhibit   // printed when there is no collector
	more    []exhibit // for who has one
}

// An exhibit is a trace that is worth showing.
type exhibit struct {
	title string
	id    trace.TraceID
}

func traceOf(ctx context.Context) trace.TraceID { return trace.SpanContextFromContext(ctx).TraceID() }

// run is the whole demonstration. It returns an error when something did not go as
// it should, above all when a restored file differs.
func run(ctx context.Context, o options) (err error) {
	o.slack = max(1, o.slack)
	d := &demonstration{options: o, line: timeline.New(o.out, o.colour), tally: new(tally)}
	if d.dir, err = os.MkdirTemp("", "tidegate-backup-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if d.traces, err = newTraces(ctx, o.endpoint); err != nil {
		return err
	}
	d.tracer = d.traces.tracer()
	if d.window, err = openWindow(ctx, o.listen); err != nil {
		return errors.Join(err, d.traces.close(ctx))
	}
	defer func() { err = errors.Join(err, d.window.close()) }()
	err = d.perform(ctx)
	exported := d.traces.close(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // libraries may say it in their own words
		return errors.Join(ctx.Err(), err)
	case err != nil:
		return err
	}
	d.exported(exported)
	d.line.Text(d.verdict())
	if d.hold {
		<-ctx.Done() // the interruption is what it waits for
	}
	return nil
}

// perform runs the parts in their order. At its end nothing runs any more.
func (d *demonstration) perform(ctx context.Context) (err error) {
	if err := d.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.clients.close(), d.stage.close()) }()
	if err := errors.Join(os.Mkdir(d.work(), 0o700), os.Mkdir(d.path("restored"), 0o700), d.introduce(ctx)); err != nil {
		return err
	}
	parts := []struct {
		title string
		run   func(context.Context) error
		fails bool
	}{
		{"A backup while everything is well", d.goodDay, false},
		{"Git fails", d.gitFails, true},
		{"S3 fails", d.s3Fails, true},
		{"The backup service fails", d.webFails, true},
		{"The books are balanced", d.balance, false},
		{"The newest backup is restored", d.restore, false},
	}
	number := 0
	for _, p := range parts {
		if p.fails && d.calm {
			continue
		}
		number++
		d.line.Title("%d. %s", number, p.title)
		if err := p.run(ctx); err != nil {
			return err
		}
	}
	return d.report()
}

// open starts the servers and makes the clients.
func (d *demonstration) open(ctx context.Context) error {
	var err error
	if d.stage, err = newStage(ctx, d.dir, d.source, d.module); err != nil {
		return err
	}
	observer := observability.New(append(d.window.options(), observability.WithTracerProvider(d.traces.provider))...)
	if d.clients, err = newClients(d.stage, d.slack, observer, d.line, d.tally); err != nil {
		return errors.Join(err, d.stage.close())
	}
	d.window.show(d.clients.manager)
	return nil
}

func (d *demonstration) introduce(ctx context.Context) error {
	commits, err := d.stage.repository.Commits(ctx)
	if err != nil {
		return err
	}
	history := fmt.Sprintf("%d commits", commits)
	if commits == 1 {
		history = "1 commit"
	}
	d.line.Text("A git repository is backed up to S3, and an HTTP service keeps a record of it, all through Tidegate\n" +
		"while each of the three fails. The columns: seconds since the start, service, who acted, what happened.")
	d.line.Gap()
	for _, s := range []struct {
		on   *dependency
		what string
	}{
		{d.stage.git, fmt.Sprintf("git http-backend, with %s: %s", d.stage.repository.Origin(), history)},
		{d.stage.s3, "S3 over TLS, the first bucket"},
		{d.stage.standby, "S3 over TLS, the second bucket, for when the first fails"},
		{d.stage.web, "the backup service"},
	} {
		d.line.Line(timeline.Quiet, s.on.name, "server", "%s at %s", s.what, s.on.Addr())
	}
	if d.window.address != "" {
		d.line.Line(timeline.Quiet, "-", "server", "the live page at http://%[1]s/, metrics at http://%[1]s/metrics", d.window.address)
	}
	return nil
}

func (d *demonstration) path(name string) string { return filepath.Join(d.dir, name) }

// work is the folder that is backed up.
func (d *demonstration) work() string { return d.path("work") }

// traced runs f in a span, which is red when f fails.
func (d *demonstration) traced(ctx context.Context, name string, f func(context.Context) error) error {
	ctx, span := d.tracer.Start(ctx, name)
	defer span.End()
	err := f(ctx)
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	return err
}

// summary closes a part that began at began.
func (d *demonstration) summary(service string, began time.Duration, format string, args ...any) {
	d.line.Gap()
	d.line.Line(timeline.Plain, service, "summary", "%s, in %s", fmt.Sprintf(format, args...), timeline.Duration(d.line.Elapsed()-began))
	d.line.Line(timeline.Plain, service, "policies", "%s", d.tally.summary(service))
}
