package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/tidegate-go/tidegate/middleware"
)

func run(ctx context.Context, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "tidegate-gitops-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"server", "copies"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	server, err := newServer(filepath.Join(dir, "server"), "web 2\n")
	if err != nil {
		return err
	}
	defer server.Close()
	states := make(chan string, 16)
	host, err := newHost(server.repository(), middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Kind == middleware.Transition {
			states <- e.To
		}
	}))
	if err != nil {
		return err
	}
	defer host.breaker.Close()
	s := &story{w: w, server: server, states: states, loop: newLoop(host.Client, server.repository(), filepath.Join(dir, "copies"), w)}
	if err := s.tell(ctx); err != nil {
		return err
	}
	return s.loop.counts.table(w)
}

// A story is an outage of the Git host.
type story struct {
	w      io.Writer
	server *server
	states chan string // that the breaker enters
	loop   *loop
}

func (s *story) tell(ctx context.Context) error {
	for _, act := range []struct {
		name   string
		answer answer
		pushed string // a new manifest
		await  bool   // the breaker closes
		rounds int
		opens  bool // the breaker, at the end
	}{
		{name: "The server is up.", answer: up, rounds: 2},
		{name: "Somebody pushes a change.", answer: up, pushed: "web 3\nworker 1\n", rounds: 1},
		{name: "The server answers 503. Somebody has pushed a change.", answer: busy, pushed: "web 4\nworker 1\n", rounds: 2, opens: true},
		{name: "The server drops every connection.", answer: down, pushed: "web 4\nworker 2\n", rounds: 1},
		{name: "The server is back.", answer: up, await: true, rounds: 2},
	} {
		s.server.become(act.answer)
		fmt.Fprintln(s.w, act.name)
		if act.pushed != "" {
			if err := s.server.push(act.pushed); err != nil {
				return err
			}
		}
		if act.await {
			if err := s.await(ctx); err != nil {
				return err
			}
		}
		for range act.rounds { // a program has a ticker here
			if err := s.loop.round(ctx); err != nil {
				return err
			}
		}
		if act.opens {
			if err := s.await(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// await waits until the breaker changes its state.
func (s *story) await(ctx context.Context) error {
	select {
	case state := <-s.states:
		fmt.Fprintf(s.w, "  the breaker is %s\n", state)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c counts) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name  string
		count int
	}{
		{"syncs", c.syncs}, {"unchanged", c.unchanged}, {"stale", c.stale}, {"failures", c.failures},
		{"commits applied", c.applied}, {"status pushed", c.reported},
	} {
		fmt.Fprintf(t, "%s\t%d\n", row.name, row.count)
	}
	return t.Flush()
}
