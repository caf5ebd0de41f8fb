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
	if op == nil {
		var zero T
		return zero, errNilOperation
	}
	s := &struct {
		call[T]
		functions[T]
	}{functions: functions[T]{op, nil}}
	return s.do(ctx, c, &s.functions, nil)
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
	if op == nil {
		return value, nothing, errNilOperation
	}
	s := &struct {
		Streamed[T]
		functions[T]
	}{functions: functions[T]{op, discard}}
	value, err = s.Do(ctx, c, &s.functions)
	return value, s.Close, err
}

func nothing() {}

type functions[T any] struct {
	op      func(context.Context) (T, error)
	discard func(T)
}

func (f *functions[T]) Run(ctx context.Context) (T, error) { return f.op(ctx) }

func (f *functions[T]) Discard(value T) {
	if f.discard != nil {
		f.discard(value)
	}
}

// A call is the operation of one Call or Streamed and keeps its results.
type call[T any] struct {
	op        Streamer[T]
	winner    atomic.Pointer[result[T]] // the result of the successful run
	failed    atomic.Pointer[result[T]] // a stack of results that came with an error
	closed    atomic.Bool               // the call has returned
	or        bool                      // op is a StreamerOr, whose alternative may be run
	delivered *result[T]                // what the caller got

	first     result[T] // the first result, so that it needs no allocation
	firstUsed atomic.Bool
}

// A result is what one run returned. It is discarded or delivered, never both.
type result[T any] struct {
	call  *call[T]
	value T
	frame *frame
	next  *result[T] // in the stack of failed results
	state atomic.Int32
}

const (
	live int32 = iota
	kept       // live, but what policies hold for it was given back
	delivered
	releasing // delivered, and read to its end just now
	closing   // and closed just now too
	released  // read to its end
	ended
)

func (s *call[T]) do(ctx context.Context, c *Chain, op Streamer[T], root *frame) (T, error) {
	value, err := s.judged(ctx, c, op, root)
	return value, strip(err)
}

// judged is do with the error as the outermost policy returned it.
func (s *call[T]) judged(ctx context.Context, c *Chain, op Streamer[T], root *frame) (value T, err error) {
	s.op = op
	defer s.close()
	err = c.start(s, root).Do(ctx)
	if err == nil {
		for r := s.winner.Load(); r != nil && !s.deliver(r); {
			last := r
			if r = s.winner.Load(); r == last {
				break
			} // else a run that has lost its race replaced the result just now
		}
	} else if j, ok := asJudged(err); ok {
		if r, ok := j.result.(*result[T]); ok {
			s.deliver(r)
		}
	}
	if s.delivered != nil {
		value = s.delivered.value
	}
	return value, err
}

// deliver gives the result to the caller, unless it was discarded before.
func (s *call[T]) deliver(r *result[T]) bool {
	if !r.state.CompareAndSwap(live, delivered) && !r.state.CompareAndSwap(kept, released) {
		return false
	}
	s.delivered = r
	return true
}

func (s *call[T]) run(ctx context.Context, f *frame) error {
	seen, err := s.begin(f)
	if err != nil {
		return err
	}
	s.discardFailed(f)
	value, err := s.op.Run(ctx)
	r := s.newResult(value, f)
	if err != nil {
		j := annotate(ctx, err)
		j.result = r
		s.pushFailed(r)
		return j
	}
	return s.succeed(seen, r)
}

// begin returns the winner so far, or why a run must not begin.
func (s *call[T]) begin(f *frame) (seen *result[T], err error) {
	if s.closed.Load() {
		return nil, superseded
	}
	seen = s.winner.Load()
	if seen != nil && f.runsBeside(seen.frame) {
		return nil, tooLate
	}
	return seen, nil
}

// succeed makes r the winner after seen.
func (s *call[T]) succeed(seen, r *result[T]) error {
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

func (s *call[T]) newResult(value T, f *frame) *result[T] {
	r := &s.first
	if !s.firstUsed.CompareAndSwap(false, true) {
		r = new(result[T])
	}
	r.call, r.value, r.frame = s, value, f
	f.take()
	return r
}

func (s *call[T]) pushFailed(r *result[T]) {
	for {
		r.next = s.failed.Load()
		if s.failed.CompareAndSwap(r.next, r) {
			break
		}
	}
	if s.closed.Load() { // a run that outlived its call
		s.discardFailed(nil)
	}
}

// discardFailed gives up the failed results but those of runs beside f.
func (s *call[T]) discardFailed(f *frame) {
	for r := s.failed.Swap(nil); r != nil; {
		next := r.next
		if f.runsBeside(r.frame) {
			s.pushFailed(r)
		} else {
			r.discard()
		}
		r = next
	}
}

// close discards every result that was not delivered, now or when it comes.
func (s *call[T]) close() {
	s.closed.Store(true)
	if w := s.winner.Load(); w != nil {
		w.discard()
	}
	s.discardFailed(nil)
}

// discard gives up the result unless it was delivered or discarded before.
func (r *result[T]) discard() {
	var held int64
	switch {
	case r.state.CompareAndSwap(live, ended):
		held = reference + hold
	case r.state.CompareAndSwap(kept, ended):
		held = hold
	default:
		return
	}
	defer r.frame.drop(held)
	r.call.op.Discard(r.value)
}

// keep gives back what policies hold for the result, which stays.
func (r *result[T]) keep() {
	if r.state.CompareAndSwap(live, kept) {
		r.frame.drop(reference)
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

// Keep gives back what the policies further in hold for the result that came with err, a
// place in a bulkhead for instance, and leaves the result as it is. A policy calls it
// for a result that may yet be the caller's while others of its runs go on, which may
// wait for just that. An error without a result is left alone.
func Keep(err error) {
	if j, ok := asJudged(err); ok && j.result != nil {
		j.result.keep()
	}
}
