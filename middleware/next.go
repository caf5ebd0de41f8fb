package middleware

import "context"

// Next is the rest of a chain, as seen by one of its policies: the policies
// further in, and at last the operation.
//
// It is a small value, passed by value, so that running a chain allocates
// nothing. It belongs to one call and to the policy that received it; it may be
// used by several goroutines at once until Execute returns. Only a chain makes
// one; the zero value is not usable.
type Next struct { // four words: what is larger does not stay in registers
	link  *link
	op    operation
	frame *frame // nil when everything ends at return
}

// A link is one policy of a chain and what follows it. The policy of the last link
// is nil: there stands the operation.
type link struct {
	policy Policy
	next   *link
	chain  *Chain
}

// An operation is what stands at the end of a chain.
type operation interface {
	run(ctx context.Context, f *frame) error
}

// A plain operation has no result that outlives it. Being a func value it costs
// no allocation as an interface.
type plain func(context.Context) error

func (op plain) run(ctx context.Context, _ *frame) error { return op(ctx) }

// Do runs the rest of the chain and returns its error, which [VerdictOf]
// explains. ctx must be derived from the context that Execute received.
//
// Each Do is one run. When a run succeeds after an earlier one had succeeded,
// its result replaces the earlier result, which is discarded. When two runs
// overlap and both succeed, the first to finish wins; the other is discarded and
// its Do returns [ErrSuperseded]. A run that starts discards what failed runs
// before it left open. See [Next.Beside] for several runs at once.
func (n Next) Do(ctx context.Context) error {
	if p := n.link.policy; p != nil {
		n.link = n.link.next
		return p.Execute(ctx, n)
	}
	if err := n.op.run(ctx, n.frame); err != nil {
		return settle(ctx, err)
	}
	return nil
}

// DoThen is Do followed by release, which runs exactly once: when Do has
// returned, panicked or called runtime.Goexit and no result that it produced is
// still being read. For an operation without a streamed result (see [Stream])
// that is before DoThen returns. Otherwise release may run later, on another
// goroutine, and releases run from the innermost policy to the outermost.
//
// release must not block and must not panic.
func (n Next) DoThen(ctx context.Context, release func()) error {
	return n.DoUntil(ctx, releaseFunc(release))
}

// DoUntil is DoThen for a policy that gives the rest of the chain a context of its
// own, which ctx is: h.Cancel, which ends that context, runs after h.Release, and when the
// result has been closed too, not just read to its end. A result may still need its
// context then; an HTTP request may still be sending its body.
func (n Next) DoUntil(ctx context.Context, h Holder) error {
	if n.frame == nil {
		defer h.Cancel()
		defer h.Release()
		return n.Do(ctx)
	}
	n.frame = n.frame.child(h)
	defer n.frame.drop(reference + hold)
	return n.Do(ctx)
}

// ExecuteThen is DoThen with p before the rest of the chain: release runs when p is over
// too. It is for a policy that stands for others, of which it chooses one for each call.
func (n Next) ExecuteThen(ctx context.Context, p Policy, release func()) error {
	if n.frame == nil {
		defer release()
		return p.Execute(ctx, n)
	}
	n.frame = n.frame.child(releaseFunc(release))
	defer n.frame.drop(reference + hold)
	return p.Execute(ctx, n)
}

// Beside calls p, which may run the rest of the chain several times at once. Those runs
// are beside each other even if they do not overlap in the operation, because a policy
// further in holds one back: none replaces the result of another that has won, nor
// discards what came with the error of another.
func (n Next) Beside(ctx context.Context, p Policy) error {
	if n.frame == nil {
		return p.Execute(ctx, n)
	}
	n.frame = n.frame.child(nil)
	n.frame.beside = true
	defer n.frame.drop(reference + hold)
	return p.Execute(ctx, n)
}

// A Holder holds something for one run of the rest of a chain, see [Next.DoUntil]. Each
// method is called once and must neither block nor panic.
type Holder interface {
	// Release gives back what must not be held any longer than the result is read.
	Release()
	// Cancel ends the context of the run.
	Cancel()
}

// A CancelFunc is a [Holder] of nothing but a context, which it ends.
type CancelFunc func()

// Release does nothing.
func (CancelFunc) Release() {}

// Cancel calls f.
func (f CancelFunc) Cancel() { f() }

type releaseFunc func()

func (f releaseFunc) Release() { f() }
func (releaseFunc) Cancel()    {}

// Reject returns r as an error, with the name of the chain filled in. When r.Err
// is set, the returned error carries on its verdict and the result that came with
// it, so that an outer policy judges it like the error that it replaces.
func (n Next) Reject(r Rejection) error {
	r.Chain = n.link.chain.name
	if r.Err == nil {
		return &r
	}
	rejected := &judgedError{err: &r, verdict: VerdictOf(r.Err)}
	if j, ok := asJudged(r.Err); ok {
		rejected.result = j.result
	}
	r.Err = strip(r.Err)
	return rejected
}

// Emit hands e to the observers of the chain, with the name of the chain filled
// in, the verdict of its error and, unless it is set, the time. Without an
// observer it does nothing. It must not be called while a lock is held.
func (n Next) Emit(ctx context.Context, e Event) { n.link.chain.Emit(ctx, e) }

// Chain returns the chain that is running.
func (n Next) Chain() *Chain { return n.link.chain }
