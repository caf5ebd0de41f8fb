package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tidegate-go/tidegate/middleware"
)

// A story is an outage of the primary. After an error the rest of it is skipped.
type story struct {
	w       io.Writer
	server  *server // the primary
	store   *Store
	states  chan string // that the primary's breaker enters
	written map[string]string
	err     error
}

func run(ctx context.Context, w io.Writer) error {
	s := &story{w: w, store: new(Store), states: make(chan string, 16), written: map[string]string{}}
	servers := make([]*server, 2)
	endpoints := []**endpoint{&s.store.primary, &s.store.secondary}
	watch := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Chain == "primary" && e.Kind == middleware.Transition {
			s.states <- e.To
		}
	})
	for i, name := range []string{"primary", "secondary"} {
		bucket := []string{"backups", "pending"}[i]
		var err error
		if servers[i], err = newServer(bucket); err != nil {
			return err
		}
		defer servers[i].Close()
		*endpoints[i], err = newEndpoint(name, bucket, servers[i].Listener.Addr().String(), servers[i].Client().Transport, watch)
		if err != nil {
			return err
		}
		defer (*endpoints[i]).breaker.Close()
	}
	s.server = servers[0]
	s.tell(ctx)
	return s.err
}

func (s *story) tell(ctx context.Context) {
	s.say("The primary is up.")
	s.put(ctx, "monday", "all of monday")
	s.put(ctx, "tuesday", "all of tuesday")
	s.put(ctx, "wednesday", "half of wednesday")

	s.say("The primary goes down.")
	s.server.become(down)
	s.put(ctx, "wednesday", "all of wednesday")
	s.put(ctx, "thursday", "all of thursday")
	s.await(ctx)
	s.put(ctx, "friday", "half of friday")
	s.put(ctx, "friday", "all of friday")
	s.get(ctx, "wednesday")
	s.get(ctx, "friday")
	s.get(ctx, "monday")

	s.say("The primary is back.")
	s.server.become(up)
	s.await(ctx)
	s.get(ctx, "wednesday")
	s.reconcile(ctx)
	s.reconcile(ctx)
	for _, key := range slices.Sorted(maps.Keys(s.written)) {
		s.get(ctx, key)
	}
}

func (s *story) say(format string, args ...any) {
	if s.err == nil {
		_, s.err = fmt.Fprintf(s.w, format+"\n", args...)
	}
}

func (s *story) put(ctx context.Context, key, content string) {
	if s.err != nil {
		return
	}
	before := s.server.puts.Load()
	holder, err := s.store.Put(ctx, key, strings.NewReader(content))
	s.written[key], s.err = content, err
	s.say("  put %s: the %s has it; requests to the primary: %d", key, holder, s.server.puts.Load()-before)
}

func (s *story) get(ctx context.Context, key string) {
	if s.err != nil {
		return
	}
	object, err := s.store.Get(ctx, key)
	if errors.Is(err, middleware.ErrOpen) {
		s.say("  get %s: only the primary has it, whose breaker is open", key)
		return
	}
	if err != nil {
		s.err = err
		return
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if s.err = err; err == nil && string(content) != s.written[key] {
		s.err = fmt.Errorf("get %s: got %q, want %q", key, content, s.written[key])
	}
	s.say("  get %s: %s, from the %s", key, content, object.Holder)
}

func (s *story) reconcile(ctx context.Context) {
	if s.err != nil {
		return
	}
	moves, err := s.store.Reconcile(ctx)
	s.err = err
	s.say("  reconcile: %d copied, %d dropped", moves.Copied, moves.Dropped)
}

// await waits until the breaker of the primary changes its state.
func (s *story) await(ctx context.Context) {
	if s.err != nil {
		return
	}
	select {
	case state := <-s.states:
		s.say("  the primary's breaker is %s", state)
	case <-ctx.Done():
		s.err = context.Cause(ctx)
	}
}
