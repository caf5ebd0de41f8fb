package middleware

import "context"

// A Streamer is the operation of a [Streamed]: Run and Discard are what [Stream] calls
// op and discard.
type Streamer[T any] interface {
	Run(ctx context.Context) (T, error)
	Discard(value T)
}

// A Streamed is one call of [Stream], for an adapter that keeps it in a value of its
// own, and so needs no further allocation, and that can tell the end of a result from
// its being closed. The zero Streamed is ready for one call of Do. It must not be copied
// after that.
type Streamed[T any] struct {
	call   call[T]
	frames frames
}

// Do runs op inside the policies of c. See [Stream] for the results.
func (s *Streamed[T]) Do(ctx context.Context, c *Chain, op Streamer[T]) (T, error) {
	root := s.frames.begin()
	defer root.drop(reference + hold)
	return s.call.do(ctx, c, op, root)
}

// Release says that the result of Do has been read to its end: the policies release
// what they hold for it, but its context goes on. Before Do has returned, after Close and
// when called again it does nothing.
func (s *Streamed[T]) Release() {
	r := s.call.delivered
	if r == nil || !r.state.CompareAndSwap(delivered, releasing) {
		return
	}
	r.frame.drop(reference)
	if !r.state.CompareAndSwap(releasing, released) { // it was closed meanwhile
		r.state.Store(ended)
		r.frame.drop(hold)
	}
}

// Close says that the result of Do has been closed: now its context is cancelled too. When
// called again it does nothing.
func (s *Streamed[T]) Close() {
	r := s.call.delivered
	switch {
	case r == nil:
	case r.state.CompareAndSwap(delivered, ended):
		r.frame.drop(reference + hold)
	case r.state.CompareAndSwap(releasing, closing): // then Release goes on
	case r.state.CompareAndSwap(released, ended):
		r.frame.drop(hold)
	}
}
