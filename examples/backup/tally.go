package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A tally counts what the policies of each service did.
type tally struct {
	mu     sync.Mutex
	counts map[string]*counts
}

type counts struct{ retries, hedges, timeouts, waits, openings, rejections int }

// Observe implements [middleware.Observer].
func (t *tally) Observe(_ context.Context, e middleware.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]*counts{}
	}
	c := t.counts[e.Chain]
	if c == nil {
		c = new(counts)
		t.counts[e.Chain] = c
	}
	switch {
	case e.Kind == middleware.RetryScheduled:
		c.retries++
	case e.Kind == middleware.HedgeStarted:
		c.hedges++
	case e.Kind == middleware.TimedOut:
		c.timeouts++
	case e.Kind == middleware.Waited:
		c.waits++
	case e.Kind == middleware.Transition && e.To == policies.Open.String():
		c.openings++
	case e.Kind == middleware.Rejected:
		c.rejections++
	}
}

// summary says what the policies of one service did so far.
func (t *tally) summary(service string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.counts[service]; c != nil {
		return c.String()
	}
	return counts{}.String()
}

// total says what the policies of all services did so far.
func (t *tally) total() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum counts
	for _, c := range t.counts {
		sum.retries += c.retries
		sum.hedges += c.hedges
		sum.timeouts += c.timeouts
		sum.waits += c.waits
		sum.openings += c.openings
		sum.rejections += c.rejections
	}
	return sum.String()
}

// String lists what is not zero.
func (c counts) String() string {
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{
		{c.retries, "retry", "retries"},
		{c.hedges, "hedge", "hedges"},
		{c.timeouts, "attempt cut off", "attempts cut off"},
		{c.waits, "call held back", "calls held back"},
		{c.openings, "breaker opened", "breakers opened"},
		{c.rejections, "call rejected", "calls rejected"},
	} {
		switch p.n {
		case 0:
		case 1:
			parts = append(parts, "1 "+p.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.many))
		}
	}
	if len(parts) == 0 {
		return "the policies had nothing to do"
	}
	return strings.Join(parts, ", ")
}
