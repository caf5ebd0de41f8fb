package middleware

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"weak"
)

// A Slot is a policy that stands for others, which may be changed while calls run: a call
// passes those that were there when it came to the Slot, to its end. It costs a call
// nothing but one load.
//
// A Slot may be part of several chains, all of which change with it. The policies in it
// stand where the Slot does; the second part of an [Enclosing] one stands last among
// them. A policy in it that is an [Observer] does not hear the events of the chain, and a
// Slot in a Slot is skipped.
//
// The zero Slot is empty and lets calls pass. It must not be copied after its first use,
// and is safe for concurrent use.
type Slot struct {
	mu          sync.Mutex
	policies    atomic.Pointer[[]Policy]
	substitutes atomic.Bool             // one of the policies does
	openings    []weak.Pointer[opening] // a chain that is gone leaves nothing behind
}

// An opening is a Slot as a part of one chain.
type opening struct {
	chain *Chain
	tail  *link
	first atomic.Pointer[link] // of the policies in the Slot, or the tail
}

func (o *opening) Execute(ctx context.Context, next Next) error {
	next.link = o.first.Load()
	return next.Do(ctx)
}

// Execute lets the call pass: a chain puts something else in the place of a Slot.
func (s *Slot) Execute(ctx context.Context, next Next) error { return next.Do(ctx) }

// Set makes the policies those of the Slot, the first one outermost, as [NewChain] does.
// Policies that are an [Attacher] are told of each chain that the Slot is part of, those
// that were in it before too, since what stands around them may be new.
func (s *Slot) Set(policies ...Policy) {
	inside := enclose(slices.DeleteFunc(flatten(nil, policies), func(p Policy) bool {
		_, slot := p.(*Slot)
		return slot
	}))
	s.mu.Lock()
	s.policies.Store(&inside)
	s.substitutes.Store(slices.ContainsFunc(inside, substitutes))
	var open []*opening
	s.openings = slices.DeleteFunc(s.openings, func(w weak.Pointer[opening]) bool {
		o := w.Value()
		if o != nil {
			o.fill(inside)
			o.chain.revision.Add(1)
			open = append(open, o)
		}
		return o == nil
	})
	s.mu.Unlock()
	for _, o := range open {
		attachAll(inside, o.chain)
	}
}

// Policies returns the policies in the Slot, outermost first. The slice is a copy.
func (s *Slot) Policies() []Policy { return slices.Clone(s.inside()) }

func (s *Slot) inside() []Policy {
	if inside := s.policies.Load(); inside != nil {
		return *inside
	}
	return nil
}

// open makes the Slot a part of a chain, before the tail.
func (s *Slot) open(c *Chain, tail *link) *opening {
	o := &opening{chain: c, tail: tail}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.fill(s.inside())
	s.openings = append(slices.DeleteFunc(s.openings, func(w weak.Pointer[opening]) bool { return w.Value() == nil }), weak.Make(o))
	return o
}

func (o *opening) fill(policies []Policy) { o.first.Store(o.chain.linkTo(policies, o.tail)) }
