package observability

import (
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// What the live traces keep, at most.
const (
	maxNotable    = 48 // traces that show more than one attempt that succeeded
	maxPlain      = 16 // other traces
	maxTraceSpans = 64 // spans of one trace; there are no more of it
)

// Traces are the newest calls that have ended, with the spans that an observer made for
// them: the same that a tracer gets, whether it samples them or not, and the requests that
// package otelhttp makes the spans of.
type traces struct {
	mu      sync.Mutex
	notable []*keptTrace // oldest first
	plain   []*keptTrace
	last    uint64 // number of the newest
}

// A keptTrace is one call, with those that were part of it, or one background probe.
type keptTrace struct {
	owner  *traces
	number uint64 // set when it has ended, from 1
	chain  string
	id     string // of the trace that a tracer has of it; empty without

	mu    sync.Mutex
	spans []*keptSpan // the first one is the call
}

// A keptSpan is one row of a trace. A nil one keeps nothing. What it holds is guarded by
// the lock of its trace.
type keptSpan struct {
	trace      *keptTrace
	name       string
	kind       trace.SpanKind
	parent     int // index in the trace; -1 for the first one
	index      int
	began      time.Time
	ended      time.Time // zero while it lasts
	red        bool
	attributes []attribute.KeyValue
	events     []keptEvent
}

type keptEvent struct {
	name       string
	at         time.Time
	attributes []attribute.KeyValue
}

// begin returns the first span of a new trace.
func (t *traces) begin(chain, name string, at time.Time) *keptSpan {
	kept := &keptTrace{owner: t, chain: chain}
	first := &keptSpan{trace: kept, name: name, kind: trace.SpanKindInternal, parent: -1, began: at}
	kept.spans = []*keptSpan{first}
	return first
}

// identify says which trace a tracer has of the call, if anybody can see it.
func (s *keptSpan) identify(span trace.SpanContext) {
	if s != nil && s.parent < 0 && span.IsSampled() {
		s.trace.id = span.TraceID().String()
	}
}

// child returns a new span inside s, or nil when the trace has enough or s has ended.
func (s *keptSpan) child(name string, kind trace.SpanKind, at time.Time) *keptSpan {
	if s == nil {
		return nil
	}
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.spans) >= maxTraceSpans || !s.ended.IsZero() {
		return nil
	}
	c := &keptSpan{trace: t, name: name, kind: kind, parent: s.index, index: len(t.spans), began: at}
	t.spans = append(t.spans, c)
	return c
}

func (s *keptSpan) set(attributes []attribute.KeyValue) {
	if s == nil {
		return
	}
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()
	if s.ended.IsZero() {
		s.attributes = append(s.attributes, attributes...)
	}
}

func (s *keptSpan) event(name string, at time.Time, attributes []attribute.KeyValue) {
	if s == nil {
		return
	}
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()
	if s.ended.IsZero() {
		s.events = append(s.events, keptEvent{name, at, attributes})
	}
}

func (s *keptSpan) redden() {
	if s == nil {
		return
	}
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()
	if s.ended.IsZero() {
		s.red = true
	}
}

// end ends the span, once. The trace has ended with its first one.
func (s *keptSpan) end(at time.Time) {
	if s == nil {
		return
	}
	s.trace.mu.Lock()
	again := !s.ended.IsZero()
	if !again {
		s.ended = at
	}
	notable := len(s.trace.spans) != 2 || s.red || s.trace.spans[1].red || len(s.events) > 0
	s.trace.mu.Unlock()
	if s.parent < 0 && !again {
		s.trace.owner.add(s.trace, notable)
	}
}

func (t *traces) add(kept *keptTrace, notable bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	kept.number = t.last
	if notable {
		t.notable = push(t.notable, kept, maxNotable)
	} else {
		t.plain = push(t.plain, kept, maxPlain)
	}
}

// push appends the trace, in place of the oldest one when there are as many as may be.
func push(to []*keptTrace, kept *keptTrace, most int) []*keptTrace {
	if len(to) == most {
		copy(to, to[1:])
		to[most-1] = kept
		return to
	}
	return append(to, kept)
}

// newer returns the traces with a greater number, oldest first.
func (t *traces) newer(than uint64) []*keptTrace {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*keptTrace
	for _, kept := range slices.Concat(t.notable, t.plain) {
		if kept.number > than {
			all = append(all, kept)
		}
	}
	slices.SortFunc(all, func(a, b *keptTrace) int { return int(int64(a.number) - int64(b.number)) })
	return all
}

// snapshot returns copies of the spans, in the order in which they began to be kept.
func (t *keptTrace) snapshot() []keptSpan {
	t.mu.Lock()
	defer t.mu.Unlock()
	spans := make([]keptSpan, len(t.spans))
	for i, s := range t.spans {
		spans[i] = *s
		spans[i].attributes = slices.Clone(s.attributes)
		spans[i].events = slices.Clone(s.events)
	}
	return spans
}
