package middleware

import (
	"context"
	"sync/atomic"
)

// Call runs op inside the policies of c and returns the value and the error of
// one of its runs: the successful one, or the one whose error the policies let
// through. When a policy refused, or answered in its own way, the value is the
// zero T. See [Chain.Do] for the error.
//
// Call is for values that are complete when op returns. For a value that is read
// afterwards, and so needs the context of its run to live on, use [Stream].
func Call[T any](ctx context.Context, c *Chain, op func(ctx context.Context) (T, error)) (T, error) {
	value, _, err := start(ctx, c, op, nil, nil)
	return value, err
}

// Stream is Call for a value that is consumed after op has returned: an HTTP
// response, an object being downloaded. What the policies hold for the run that
// produced the value (its context, its permit) they hold until the caller calls
// end, which it must do once the value has been consumed; further calls of end do
// nothing. end is never nil.
//
// discard is called with each value that op returned, zero values included, and
// that the caller does not get: of a failed run before the next one starts, of a
// run that lost against a concurrent one, and when a policy panics. It must
// release the value and return soon. A nil discard does nothing.
//
// Stream may return both a value and an error, when op returned both and the
// policies let that error through.
func Stream[T any](ctx context.Context, c *Chain, op func(ctx context.Context) (T, error), discard func(T)) (value T, end func(), err error) {
	root := newFrame()
	defer root.unref()
	return start(ctx, c, op, discard, root)
}

func nothing() {}

func start[T any](ctx context.Context, c *Chain, op func(context.Context) (T, error), discard func(T), root *frame) (value T, end func(), err error) {
	end = nothing
	if op == nil {
		return value, end, errNilOperation
	}
	s := &stream[T]{op: op, onDiscard: discard}
	defer s.close()
	err = c.start(s, root).Do(ctx)
	var r *result[T]
	if err == nil {
		r = s.winner.Load()
	} else if j, ok := asJudged(err); ok {
		r, _ = j.result.(*result[T])
	}
	if r != nil && r.state.CompareAndSwap(live, delivered) {
		value = r.value
		if r.frame != nil {
			end = r.end
		}
	}
	return value, end, strip(err)
}

// A stream is the operation of one Call or Stream and keeps its results.
type stream[T any] struct {
	op        func(context.Context) (T, error)
	onDiscard func(T)

	winner atomic.Pointer[result[T]] // the result of the successful run
	failed atomic.Pointer[result[T]] // a stack of results that came with an error
	closed atomic.Bool               // the call has returned

	first     result[T] // the first result, so that it needs no allocation
	firstUsed atomic.Bool
}

// A result is what one run returned. It is discarded or delivered, never both.
type result[T any] struct {
	stream *stream[T]
	value  T
	frame  *frame
	next   *result[T] // in the stack of failed results
	state  atomic.Int32
}

const (
	live int32 = iota
	delivered
	ended
)

func (s *stream[T]) run(ctx context.Context, f *frame) error {
	if s.closed.Load() {
		return superseded
	}
	s.discardFailed()
	seen := s.winner.Load()
	value, err := s.op(ctx)
	r := s.newResult(value, f)
	if err != nil {
		j := annotate(ctx, err)
		j.result = r
		s.pushFailed(r)
		return j
	}
	// The winner may have changed only by a run that overlapped this one.
	if !s.winner.CompareAndSwap(seen, r) {
		r.discard()
		return superseded
	}
	if seen != nil {
		seen.discard()
	}
	if s.closed.Load() { // a run that outlived its call
		r.discard()
	}
	return nil
}

func (s *stream[T]) newResult(value T, f *frame) *result[T] {
	r := &s.first
	if !s.firstUsed.CompareAndSwap(false, true) {
		r = new(result[T])
	}
	r.stream, r.value, r.frame = s, value, f
	f.ref()
	return r
}

func (s *stream[T]) pushFailed(r *result[T]) {
	for {
		r.next = s.failed.Load()
		if s.failed.CompareAndSwap(r.next, r) {
			break
		}
	}
	if s.closed.Load() { // a run that outlived its call
		s.discardFailed()
	}
}

func (s *stream[T]) discardFailed() {
	for r := s.failed.Swap(nil); r != nil; r = r.next {
		r.discard()
	}
}

// close discards every result that was not delivered, now or when it comes.
func (s *stream[T]) close() {
	s.closed.Store(true)
	if w := s.winner.Load(); w != nil {
		w.discard()
	}
	s.discardFailed()
}

// discard gives up the result unless it was delivered or discarded before.
func (r *result[T]) discard() {
	if !r.state.CompareAndSwap(live, ended) {
		return
	}
	defer r.frame.unref()
	if r.stream.onDiscard != nil {
		r.stream.onDiscard(r.value)
	}
}

// end ends a result that was delivered.
func (r *result[T]) end() {
	if r.state.CompareAndSwap(delivered, ended) {
		r.frame.unref()
	}
}

// Discard gives up the result that came with err, a response with a failure
// status for instance, and releases what the policies further in hold for it. A
// policy calls it before it waits to run next again; without the call the result
// is given up when the next run starts. An error without a result is left alone.
func Discard(err error) {
	if j, ok := asJudged(err); ok && j.result != nil {
		j.result.discard()
	}
}
