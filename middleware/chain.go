package middleware

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"
	"time"
)

// A Chain is a named, immutable list of policies around calls to one dependency.
// The first policy is the outermost.
//
// A nil *Chain and an empty one run operations directly. A Chain is safe for
// concurrent use; make it once per dependency and keep it.
type Chain struct {
	name        string
	policies    []Policy
	observers   []Observer
	first       *link
	substitutes bool // one of the policies does, and is not in a Slot
	slots       []*Slot
	revision    atomic.Uint64
}

var errNilOperation = errors.New("middleware: the operation is nil")

// NewChain returns a chain of the given policies, the first one outermost:
// NewChain("x", a, b).Do(ctx, op) runs a, in it b, in it op. The name stands in
// events, spans, metrics and errors; it should be one of a small fixed set.
//
// Policies that are nil, or nil pointers, are skipped. A *Chain among the
// policies is replaced by the policies it consists of. A policy that is an
// [Observer] receives the events of the whole chain; one that is a pointer and
// comes in twice, by way of nested chains, counts once. The second part of an
// [Enclosing] policy stands innermost. An [Attacher] is told of the chain.
func NewChain(name string, policies ...Policy) *Chain {
	c := &Chain{name: name, policies: enclose(flatten(nil, policies))}
	for _, p := range c.policies {
		if o, ok := p.(Observer); ok {
			c.observers = append(c.observers, o)
		}
		if s, ok := p.(*Slot); ok {
			c.slots = append(c.slots, s)
		}
	}
	c.substitutes = slices.ContainsFunc(c.policies, substitutes)
	c.first = c.linkTo(c.policies, &link{chain: c})
	attachAll(c.Policies(), c)
	return c
}

// linkTo returns the first of the links of policies that are followed by tail.
func (c *Chain) linkTo(policies []Policy, tail *link) *link {
	for _, p := range slices.Backward(policies) {
		if s, ok := p.(*Slot); ok {
			p = s.open(c, tail)
		}
		tail = &link{policy: p, next: tail, chain: c}
	}
	return tail
}

func attachAll(policies []Policy, c *Chain) {
	for _, p := range policies {
		if a, ok := p.(Attacher); ok {
			a.Attach(c)
		}
	}
}

func flatten(to, policies []Policy) []Policy {
	for _, p := range policies {
		if isNil(p) {
			continue
		}
		if c, ok := p.(*Chain); ok {
			to = flatten(to, c.policies)
			continue
		}
		if o, ok := p.(Observer); ok && reflect.TypeOf(o).Kind() == reflect.Pointer && slices.Contains(to, p) {
			continue
		}
		to = append(to, p)
	}
	return to
}

// An Enclosing policy has two parts: itself, and a policy that [NewChain] puts
// innermost, where it decorates each attempt. Innermost returns that policy, always the
// same one, or nil for none; it must be a pointer. Of several the first one's is outermost.
type Enclosing interface {
	Policy
	Innermost() Policy
}

// enclose appends the innermost parts, also of policies that were in a chain before and
// have theirs among the others.
func enclose(policies []Policy) []Policy {
	var inner []Policy
	for _, p := range policies {
		if e, ok := p.(Enclosing); ok {
			if i := e.Innermost(); !isNil(i) && !slices.Contains(inner, i) {
				inner = append(inner, i)
			}
		}
	}
	if inner == nil {
		return policies
	}
	outer := slices.DeleteFunc(policies, func(p Policy) bool { return slices.Contains(inner, p) })
	return append(outer, inner...)
}

// isNil reports whether p is nil or holds a nil pointer or func, as a policy that
// is declared but switched off by a condition does.
func isNil(p Policy) bool {
	if p == nil {
		return true
	}
	switch v := reflect.ValueOf(p); v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}

// An Attacher is a policy that also emits events outside of calls, as a breaker
// does when it is forced open. [NewChain] calls Attach once for each chain that
// the policy becomes part of, with that chain, whose Emit it may use from then
// on, and a [Slot] again whenever it is set. Attach must be safe for concurrent use.
type Attacher interface {
	Policy
	Attach(c *Chain)
}

// Do runs op inside the policies of the chain and returns its error, the same
// value that op returned, or a [*Rejection] that [errors.As] finds.
//
// op may run several times, possibly concurrently, or not at all, each time with
// a context derived from ctx. Policies may cancel that context as soon as op has
// returned; for a result that is read afterwards use [Stream]. Do itself allocates
// nothing.
func (c *Chain) Do(ctx context.Context, op func(ctx context.Context) error) error {
	if op == nil {
		return errNilOperation
	}
	return strip(c.start(plain(op), nil).Do(ctx))
}

// Execute runs the policies of the chain around next, so that a chain is itself
// a policy. Given to [NewChain] it is flattened instead.
func (c *Chain) Execute(ctx context.Context, next Next) error {
	return c.start(inner{next}, next.frame).Do(ctx)
}

// inner is the rest of another chain as the operation of this one.
type inner struct{ next Next }

func (op inner) run(ctx context.Context, f *frame) error {
	op.next.frame = f
	return op.next.Do(ctx)
}

var empty = NewChain("")

func (c *Chain) start(op operation, f *frame) Next {
	if c == nil || c.first == nil {
		c = empty
	}
	return Next{link: c.first, op: op, frame: f}
}

// Name returns the name of the chain.
func (c *Chain) Name() string {
	if c == nil {
		return ""
	}
	return c.name
}

// Policies returns the policies of the chain, outermost first: those in a [Slot] in its
// place. The slice is a copy.
func (c *Chain) Policies() []Policy {
	if c == nil {
		return nil
	}
	var all []Policy
	for _, p := range c.policies {
		if s, ok := p.(*Slot); ok {
			all = append(all, s.inside()...)
		} else {
			all = append(all, p)
		}
	}
	return all
}

// Revision returns how often what is in a [Slot] of the chain has been set. It is for a policy
// that remembers what it has found out about its chain: that holds as long as the Revision is the
// one from before.
func (c *Chain) Revision() uint64 {
	if c == nil {
		return 0
	}
	return c.revision.Load()
}

// Observed reports whether the chain has an observer, which a policy may ask
// before it makes an event that is costly to make.
func (c *Chain) Observed() bool { return c != nil && len(c.observers) > 0 }

// Emit hands e to each observer of the chain in turn, with the name of the chain
// filled in, the verdict of its error and, unless it is set, the time. It is for events that no call
// caused; a policy in a call uses [Next.Emit]. It must not be called while a lock
// is held.
func (c *Chain) Emit(ctx context.Context, e Event) {
	if !c.Observed() {
		return
	}
	e.Chain = c.name
	if e.Err != nil {
		e.Verdict, e.Err = VerdictOf(e.Err), strip(e.Err)
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	for _, o := range c.observers {
		o.Observe(ctx, e)
	}
}

// TraceID returns the id of the trace that ctx belongs to, as the first observer
// of the chain that is a [Tracer] and knows it says, or "". It must not be called
// while a lock is held.
func (c *Chain) TraceID(ctx context.Context) string {
	if c == nil {
		return ""
	}
	for _, o := range c.observers {
		if t, ok := o.(Tracer); ok {
			if id := t.TraceID(ctx); id != "" {
				return id
			}
		}
	}
	return ""
}
