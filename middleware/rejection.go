package middleware

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reasons of a [Rejection], to branch on with errors.Is.
var (
	// ErrOpen: a circuit breaker is open.
	ErrOpen error = &reason{kind: "circuit_open", text: "circuit breaker is open"}
	// ErrTooManyProbes: a circuit breaker is half-open and has all the probes it admits.
	ErrTooManyProbes error = &reason{kind: "probe_limit", text: "circuit breaker is half-open and admits no further probe"}
	// ErrRecovering: a circuit breaker has closed a short while ago and lets only a
	// growing share of the calls through.
	ErrRecovering error = &reason{kind: "recovering", text: "circuit breaker is recovering and lets only a share of the calls through"}
	// ErrRateLimited: a rate limit was reached.
	ErrRateLimited error = &reason{kind: "rate_limited", text: "rate limit reached"}
	// ErrBulkheadFull: as many calls as may run at the same time are running, and no more
	// may wait, or not any longer.
	ErrBulkheadFull error = &reason{kind: "bulkhead_full", text: "too many calls at the same time"}
	// ErrConcurrencyLimited: as many calls as the dependency seems to bear are running.
	ErrConcurrencyLimited error = &reason{kind: "concurrency_limited", text: "more calls at the same time than the dependency bears"}
	// ErrThrottled: the dependency refuses so many calls that some are not even sent.
	ErrThrottled error = &reason{kind: "client_throttled", text: "the dependency refuses too many calls, so this one was not sent"}
	// ErrBudgetExhausted: another attempt was due, but the budget for further attempts is
	// spent.
	ErrBudgetExhausted error = &reason{kind: "budget_exhausted", text: "the budget for further attempts is spent"}
	// ErrTimeout: a timeout policy ended the call. It is also context.DeadlineExceeded.
	ErrTimeout error = &reason{kind: "timeout", text: "time limit exceeded", deadline: true}
	// ErrCanceled: the context ended while a policy held the call back. The rejection
	// is also the error of the context and its cause.
	ErrCanceled error = &reason{kind: "canceled", text: "the caller gave up"}
	// ErrDeadline: waiting any longer would have passed the deadline of the caller,
	// so the policy did not wait. It is also context.DeadlineExceeded.
	ErrDeadline error = &reason{kind: "deadline_too_short", text: "the deadline leaves too little time", deadline: true}
)

// ErrSuperseded is what a run gets from [Next.Do] when it succeeded after a
// concurrent run had. It counts as a success of the dependency, or as nothing when the
// operation was not even begun, and callers of a chain never see it unless a policy
// returns it.
var ErrSuperseded error = &reason{kind: "superseded", text: "another attempt succeeded first"}

var superseded error = &judgedError{err: ErrSuperseded, verdict: Verdict{Reason: "superseded"}}

// tooLate is what a run gets that did not begin, because another one beside it had won.
var tooLate error = &judgedError{err: ErrSuperseded, verdict: Verdict{Class: Ignored, Reason: "superseded"}}

type reason struct {
	kind, text string
	deadline   bool
}

func (r *reason) Error() string     { return r.text }
func (r *reason) ErrorType() string { return r.kind }

func (r *reason) Is(target error) bool { return r.deadline && target == context.DeadlineExceeded }

// A Rejection is the error of a call that a policy refused, or ended before its
// time. errors.Is finds its reason and the error that it wraps:
//
//	var rejection *middleware.Rejection
//	if errors.As(err, &rejection) { retryLater(rejection.RetryAfter) }
//	if errors.Is(err, middleware.ErrOpen) { useTheCopy() }
//
// A Rejection is an Ignored verdict for policies further out, unless it wraps an
// error that says otherwise. It must not be changed: several calls may have the same
// one.
type Rejection struct {
	// Chain is the name of the chain, Policy that of the policy which rejected.
	Chain, Policy string

	// Reason is the sentinel to branch on.
	Reason error

	// RetryAfter is how long to wait before another call may be let through.
	// Zero means that the policy does not know.
	RetryAfter time.Duration

	// Err is the last error of the operation, when it ran; nil when it never ran.
	Err error
}

// Error names the chain, the policy, the reason, when to come back and what
// failed last.
func (r *Rejection) Error() string {
	var b strings.Builder
	if r.Chain != "" {
		fmt.Fprintf(&b, "%s: ", r.Chain)
	}
	if r.Policy != "" {
		fmt.Fprintf(&b, "%s: ", r.Policy)
	}
	if r.Reason != nil {
		b.WriteString(r.Reason.Error())
	} else {
		b.WriteString("rejected")
	}
	if r.RetryAfter > 0 {
		fmt.Fprintf(&b, ", retry after %s", round(r.RetryAfter))
	}
	if r.Err != nil && r.Err != context.Canceled && r.Err != context.DeadlineExceeded {
		fmt.Fprintf(&b, "; last error: %s", r.Err)
	}
	return b.String()
}

// round keeps three digits or so, enough for a person.
func round(d time.Duration) time.Duration {
	switch {
	case d > time.Minute:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	default:
		return d.Round(time.Microsecond)
	}
}

// Unwrap returns the reason and the last error.
func (r *Rejection) Unwrap() []error {
	errs := make([]error, 0, 2)
	if r.Reason != nil {
		errs = append(errs, r.Reason)
	}
	if r.Err != nil {
		errs = append(errs, r.Err)
	}
	return errs
}

// Timeout reports whether a timeout policy ended the call. Other rejections
// report false: minio-go, client-go and the AWS SDK repeat calls whose errors
// claim to be time-outs. For the same reason a Rejection has no method Temporary.
func (r *Rejection) Timeout() bool { return errors.Is(r.Reason, ErrTimeout) }

// ErrorType returns a low-cardinality name of the reason, for the attribute
// error.type of spans and metrics.
func (r *Rejection) ErrorType() string {
	var t interface{ ErrorType() string }
	if errors.As(r.Reason, &t) {
		return t.ErrorType()
	}
	return "rejected"
}
