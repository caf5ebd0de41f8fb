package middleware

import "sync/atomic"

// A frame is one DoUntil of a call whose result is streamed. It is referred to, and held,
// by the running DoUntil, by the frames made inside it and by each result that was
// produced inside it. A result lets go of the reference once it has been consumed, and of
// the hold once it has been closed. What the policy holds is released with the last
// reference, its context is cancelled with the last hold; then the parent is let go of.
type frame struct {
	parent *frame
	holder Holder // nil for the root
	counts atomic.Int64
	store  *frames // nil, or where there may be room for a child
	beside bool    // the runs inside are beside each other
}

// What a frame counts, in one word.
const (
	reference int64 = 1
	hold      int64 = 1 << 32
)

// frames are the frames of one call that need no allocation of their own.
type frames struct {
	root  frame
	spare [2]frame
	used  atomic.Int32
}

// begin returns the root, which releases nothing.
func (s *frames) begin() *frame {
	s.root.store = s
	s.root.counts.Store(reference + hold)
	return &s.root
}

func (f *frame) child(h Holder) *frame {
	f.take()
	var c *frame
	if s := f.store; s != nil {
		if i := s.used.Add(1) - 1; int(i) < len(s.spare) {
			c = &s.spare[i]
		}
	}
	if c == nil {
		c = new(frame)
	}
	c.parent, c.holder, c.store = f, h, f.store
	c.counts.Store(reference + hold)
	return c
}

// runsBeside reports whether the run inside f is beside the one inside other: whether the
// two part in a frame whose runs are.
func (f *frame) runsBeside(other *frame) bool {
	for from := f; f != nil; f = f.parent {
		if other.inside(f) {
			return f.beside && f != from
		}
	}
	return false
}

func (f *frame) inside(outer *frame) bool {
	for ; f != nil; f = f.parent {
		if f == outer {
			return true
		}
	}
	return false
}

func (f *frame) take() {
	if f != nil {
		f.counts.Add(reference + hold)
	}
}

// drop gives back a reference, a hold or both.
func (f *frame) drop(what int64) {
	for f != nil && what != 0 {
		left := f.counts.Add(-what)
		var last int64
		if what&reference != 0 && int32(left) == 0 {
			last |= reference
			if f.holder != nil {
				f.holder.Release()
			}
		}
		if what&hold != 0 && left>>32 == 0 {
			last |= hold
			if f.holder != nil {
				f.holder.Cancel()
			}
		}
		what, f = last, f.parent
	}
}
