package middleware

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// CallOr is [Call] with an alternative: what to do in place of op when the call fails, such
// as to ask a copy, or to make do with a default. A policy of the chain, policies.Fallback,
// decides whether a failure is one for it, and runs it. cause is the error that the caller
// would get otherwise.
//
// What the alternative returns is the result of the call. An alternative that has
// nothing to offer returns cause, and the call fails as without one. When it fails itself,
// the error says both: errors.Is and errors.As find what is in cause and what is in the
// alternative's error, in this order; for policies further out it has the verdict of cause.
// The value is then the one that came with cause.
//
// The alternative is no attempt: the policies between the one that runs it and op know
// nothing of it. Its context is the one which that policy got, so no time limit further in
// cuts it. A panic of it passes through.
//
// CallOr runs nothing and returns an error if no policy of the chain is a [Substituter],
// so that what is missing shows before the first outage.
func CallOr[T any](
	ctx context.Context, c *Chain,
	op func(ctx context.Context) (T, error), alternative func(ctx context.Context, cause error) (T, error),
) (T, error) {
	value, _, err := JudgedOr(ctx, c, op, alternative)
	return value, err
}

// JudgedOr is [CallOr] that returns the verdict of the error too, as the policies of the chain
// have it: that of [Judge] for instance. It is for who keeps what calls came to, as
// policies.Stale does. When nothing was run the verdict is that of any other error.
func JudgedOr[T any](
	ctx context.Context, c *Chain,
	op func(ctx context.Context) (T, error), alternative func(ctx context.Context, cause error) (T, error),
) (value T, verdict Verdict, err error) {
	if err := ready(c, op == nil, alternative == nil); err != nil {
		return value, VerdictOf(err), err
	}
	s := &struct {
		call[T]
		alternatives[T]
	}{alternatives: alternatives[T]{functions[T]{op, nil}, alternative}}
	s.or = true
	value, err = s.judged(ctx, c, &s.alternatives, nil)
	return value, VerdictOf(err), strip(err)
}

// StreamOr is [Stream] with an alternative, as [CallOr] is Call with one. discard is called
// for values of the alternative too.
func StreamOr[T any](
	ctx context.Context, c *Chain,
	op func(ctx context.Context) (T, error), alternative func(ctx context.Context, cause error) (T, error), discard func(T),
) (value T, end func(), err error) {
	if err := ready(c, op == nil, alternative == nil); err != nil {
		return value, nothing, err
	}
	s := &struct {
		Streamed[T]
		alternatives[T]
	}{alternatives: alternatives[T]{functions[T]{op, discard}, alternative}}
	value, err = s.DoOr(ctx, c, &s.alternatives)
	return value, s.Close, err
}

// A StreamerOr is the operation of a [Streamed] that has an alternative, see [CallOr].
type StreamerOr[T any] interface {
	Streamer[T]
	Alternative(ctx context.Context, cause error) (T, error)
}

// DoOr is [Streamed.Do] with the alternative of op. See [CallOr] for it.
func (s *Streamed[T]) DoOr(ctx context.Context, c *Chain, op StreamerOr[T]) (T, error) {
	if err := ready(c, false, false); err != nil {
		var zero T
		return zero, err
	}
	s.call.or = true
	return s.Do(ctx, c, op)
}

// DoOr is [Chain.Do] with an alternative. See [CallOr] for it. DoOr itself allocates once.
func (c *Chain) DoOr(
	ctx context.Context, op func(ctx context.Context) error, alternative func(ctx context.Context, cause error) error,
) error {
	if err := ready(c, op == nil, alternative == nil); err != nil {
		return err
	}
	return strip(c.start(&plainOr{op, alternative}, nil).Do(ctx))
}

// A Substituter is a policy that runs [Next.Alternative].
type Substituter interface {
	Policy

	// Substitutes reports whether it ever does. The answer is always the same.
	Substitutes() bool
}

// Substitutes reports whether a policy of the chain runs the alternatives of calls, so
// that [CallOr] can be used with it.
func (c *Chain) Substitutes() bool {
	return c != nil && (c.substitutes || slices.ContainsFunc(c.slots, func(s *Slot) bool { return s.substitutes.Load() }))
}

func substitutes(p Policy) bool {
	s, ok := p.(Substituter)
	return ok && s.Substitutes()
}

// Alternative runs what the call has to do in place of the rest of the chain, which failed
// with cause, an error that Do or Reject returned. The result takes the place of that of a
// successful run. done is false, and err is cause, if the call has no alternative or
// the alternative has nothing to offer. A policy that calls it is a [Substituter]. ctx must be
// derived from the context that Execute received.
func (n Next) Alternative(ctx context.Context, cause error) (done bool, err error) {
	if a, ok := n.op.(substitute); ok {
		return a.instead(ctx, n.frame, cause)
	}
	return false, cause
}

var errNilAlternative = errors.New("middleware: the alternative is nil")

// ready returns what keeps a call with an alternative from being made.
func ready(c *Chain, noOp, noAlternative bool) error {
	switch {
	case noOp:
		return errNilOperation
	case noAlternative:
		return errNilAlternative
	case !c.Substitutes():
		return fmt.Errorf("middleware: no policy of chain %q runs the alternative of a call: put policies.NewFallback before the others", c.Name())
	default:
		return nil
	}
}

// A substitute is an operation that may have an alternative.
type substitute interface {
	instead(ctx context.Context, f *frame, cause error) (done bool, err error)
}

type alternatives[T any] struct {
	functions[T]

	alternative func(ctx context.Context, cause error) (T, error)
}

func (a *alternatives[T]) Alternative(ctx context.Context, cause error) (T, error) {
	return a.alternative(ctx, cause)
}

// plainOr is a plain operation with an alternative.
type plainOr struct {
	op          func(context.Context) error
	alternative func(context.Context, error) error
}

func (p *plainOr) run(ctx context.Context, _ *frame) error { return p.op(ctx) }

func (p *plainOr) instead(ctx context.Context, _ *frame, cause error) (done bool, err error) {
	if err = p.alternative(ctx, strip(cause)); err != nil {
		return failedToo(err, cause)
	}
	return true, nil
}

func (op inner) instead(ctx context.Context, f *frame, cause error) (done bool, err error) {
	op.next.frame = f
	return op.next.Alternative(ctx, cause)
}

// instead is run with the alternative. The result that came with cause is kept, since it is
// the call's if the alternative fails.
func (s *call[T]) instead(ctx context.Context, f *frame, cause error) (done bool, err error) {
	alternative, ok := s.op.(StreamerOr[T])
	if !ok || !s.or {
		return false, cause
	}
	seen, err := s.begin(f)
	if err != nil {
		return true, err
	}
	Keep(cause)
	value, err := alternative.Alternative(ctx, strip(cause))
	r := s.newResult(value, f)
	if err != nil {
		r.discard()
		return failedToo(err, cause)
	}
	return true, s.succeed(seen, r)
}

// failedToo returns the error of a call whose alternative failed with err.
func failedToo(err, cause error) (bool, error) {
	if cause == nil {
		return true, err
	}
	err = strip(err)
	first := strip(cause)
	if same(err, first) {
		return false, cause
	}
	if !errors.Is(err, first) {
		err = &bothError{first, err}
	}
	both := &judgedError{err: err, verdict: VerdictOf(cause)}
	if j, ok := asJudged(cause); ok {
		both.byDefault, both.result = j.byDefault, j.result
	}
	return true, both
}

// same is a == b for errors that may not be comparable.
func same(a, b error) bool { return reflect.ValueOf(b).Comparable() && a == b }

// A bothError is the error of a call that failed with cause, and of its alternative.
type bothError struct{ cause, err error }

func (e *bothError) Error() string {
	return e.cause.Error() + "; the alternative failed too: " + e.err.Error()
}

func (e *bothError) Unwrap() []error { return []error{e.cause, e.err} }

// ErrorType returns that of the cause, if it has one.
func (e *bothError) ErrorType() string {
	var t interface{ ErrorType() string }
	if errors.As(e.cause, &t) {
		return t.ErrorType()
	}
	return "alternative_failed"
}
