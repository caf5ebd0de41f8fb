package middleware

import (
	"context"
	"errors"
	"time"
)

// A Class says whether an attempt counts for or against the dependency.
type Class uint8

const (
	// Success: the dependency did its work. The caller may still have an error, as
	// with an object that does not exist.
	Success Class = iota
	// Failure: the dependency failed, or could not be reached in time.
	Failure
	// Throttled: the dependency is well but asks for fewer calls.
	Throttled
	// Ignored: the attempt says nothing about the dependency, as when the caller
	// gave up or the call never left the process.
	Ignored
)

// String returns the name of the class in lower case.
func (c Class) String() string {
	switch c {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Throttled:
		return "throttled"
	case Ignored:
		return "ignored"
	default:
		return "unknown"
	}
}

// A Verdict says what the outcome of one attempt means to every policy. Class
// and Retry are independent: a 503 that answers a POST is a Failure that must
// not be repeated.
//
// The zero Verdict is a success that need not be repeated.
type Verdict struct {
	Class Class

	// Retry says that another attempt is safe and may succeed. Who sets it knows
	// whether the operation may be repeated.
	Retry bool

	// After is how long the dependency asked to wait before another attempt.
	// Zero means that it gave no hint.
	After time.Duration

	// Reason names the kind of outcome for metrics. It is one of a small fixed
	// set of words ("status_5xx", "connect"), never the text of an error.
	Reason string
}

// Judged returns err with the verdict v for the policies of the chain. The chain
// takes the verdict off at its edge: its caller gets err itself. An adapter
// returns Judged errors from the operations that it runs. Judged(nil, v) is nil:
// an outcome that policies must see as an error has to be one.
func Judged(err error, v Verdict) error {
	if err == nil {
		return nil
	}
	j := &judgedError{err: err, verdict: v}
	if old, ok := err.(*judgedError); ok {
		j.err, j.result = old.err, old.result
	}
	return j
}

// VerdictOf returns the verdict that err carries, or else the default one:
//
//	nil            Success
//	a *Rejection   Ignored
//	anything else  Failure, may be retried
//
// Inside a chain, an error without a verdict whose context had ended was judged
// by the cause: Ignored when the caller cancelled or its own deadline passed, a
// Failure that may be retried when a timeout of the chain cut the attempt.
func VerdictOf(err error) Verdict {
	if err == nil {
		return Verdict{}
	}
	if j, ok := asJudged(err); ok {
		return j.verdict
	}
	return defaultVerdict(err)
}

func defaultVerdict(err error) Verdict {
	if _, ok := errors.AsType[*Rejection](err); ok {
		return Verdict{Class: Ignored, Reason: "rejected"}
	}
	return Verdict{Class: Failure, Retry: true, Reason: "error"}
}

// Judge returns a policy that gives errors without a verdict the one that judge
// returns, for operations whose errors no adapter knows. Put it last in the
// chain: only policies before it see its verdicts. It is not asked about errors
// of an attempt that the caller's cancellation or a timeout ended, nor about
// rejections. judge must be safe for concurrent use. A nil judge gives nil, which
// [NewChain] skips.
func Judge(judge func(error) Verdict) Policy {
	if judge == nil {
		return nil
	}
	return judgeFunc(judge)
}

type judgeFunc func(error) Verdict

func (judge judgeFunc) Execute(ctx context.Context, next Next) error {
	err := next.Do(ctx)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Rejection](err); ok {
		return err
	}
	j, ok := asJudged(err)
	if ok && !j.byDefault {
		return err
	}
	return Judged(err, judge(strip(err)))
}

func (judgeFunc) Plan() Plan { return Plan{Type: "judge", Classifies: true} }

// judgedError is an error with its verdict and, inside Call and Stream, the
// result that came with it. It never leaves the chain.
type judgedError struct {
	err       error
	verdict   Verdict
	byDefault bool // nobody judged it, the verdict is the default one
	result    outcome
}

// An outcome is a result as an error has it.
type outcome interface {
	discard()
	keep()
}

func (j *judgedError) Error() string { return j.err.Error() }
func (j *judgedError) Unwrap() error { return j.err }

func asJudged(err error) (*judgedError, bool) {
	if j, ok := err.(*judgedError); ok {
		return j, true
	}
	return errors.AsType[*judgedError](err)
}

// Unjudged returns err without the verdict that [Judged] gave it: the error that
// the caller of the chain gets. A policy that keeps an error uses it.
func Unjudged(err error) error { return strip(err) }

// strip returns the error that the annotation stands for.
func strip(err error) error {
	for {
		j, ok := err.(*judgedError)
		if !ok {
			return err
		}
		err = j.err
	}
}

// settle judges the error of an operation when its verdict depends on how its
// context ended, which is known only here.
func settle(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if _, ok := asJudged(err); ok {
		return err
	}
	return annotate(ctx, err)
}

// annotate returns a new annotation of err, with the verdict it has or the
// default one.
func annotate(ctx context.Context, err error) *judgedError {
	if j, ok := asJudged(err); ok {
		return &judgedError{err: strip(err), verdict: j.verdict, byDefault: j.byDefault}
	}
	j := &judgedError{err: err}
	switch {
	case ctx.Err() == nil:
		j.verdict, j.byDefault = defaultVerdict(err), true
	case errors.Is(context.Cause(ctx), ErrTimeout):
		j.verdict = Verdict{Class: Failure, Retry: true, Reason: "timeout"}
	default:
		j.verdict = Verdict{Class: Ignored, Reason: "canceled"}
	}
	return j
}
