package middleware

import "sync/atomic"

// A frame is one DoThen of a call whose result is streamed. It is referred to by
// the running DoThen, by the frames made inside it and by each result that was
// produced inside it and has not ended; when the last of these is gone it
// releases what the policy holds, and then lets go of its parent.
type frame struct {
	parent  *frame
	release func()
	refs    atomic.Int32
}

func newFrame() *frame {
	f := new(frame)
	f.refs.Store(1)
	return f
}

func (f *frame) child(release func()) *frame {
	f.ref()
	c := newFrame()
	c.parent, c.release = f, release
	return c
}

func (f *frame) ref() {
	if f != nil {
		f.refs.Add(1)
	}
}

func (f *frame) unref() {
	for f != nil && f.refs.Add(-1) == 0 {
		if f.release != nil {
			f.release()
		}
		f = f.parent
	}
}
