package observability

import (
	"context"
	"errors"
	"strconv"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/tidegate-go/tidegate/middleware"
)

// Words of an [outcome], the values of tidegate.outcome.
const (
	success   = "success"
	failure   = "failure"
	rejected  = "rejected"
	timeout   = "timeout"
	cancelled = "cancelled"
)

// An outcome is how a call or an attempt ended.
type outcome struct {
	word      string // one of the constants above
	errorType string // empty unless the outcome is an error
	reason    string // of the verdict, if somebody has given one
}

var succeeded, panicked = outcome{word: success}, outcome{word: failure, errorType: "panic"}

// isError reports whether the outcome makes a span red.
func (o outcome) isError() bool { return o.word != success && o.word != cancelled }

// outcomeOf judges what a chain has returned for a call with the context ctx.
func outcomeOf(ctx context.Context, err error) outcome {
	v := middleware.VerdictOf(err)
	if v.Class == middleware.Success {
		return succeeded
	}
	r, isRejection := errors.AsType[*middleware.Rejection](err)
	switch {
	case v.Class == middleware.Ignored && (v.Reason == "canceled" || !isRejection && errors.Is(err, context.Canceled)):
		return givenUp(ctx, err)
	case errors.Is(err, middleware.ErrTimeout):
		return outcome{word: timeout, errorType: "timeout"}
	case !isRejection:
		return failed(err, v)
	case r.Err != nil: // it ran and failed, and there was no time for another attempt
		return failed(r.Err, v)
	default:
		return outcome{word: rejected, errorType: r.ErrorType()}
	}
}

// attemptOutcome judges the error of one attempt, whose context is ctx.
func attemptOutcome(ctx context.Context, err error) outcome {
	over := ctx.Err() != nil
	switch {
	case errors.Is(err, middleware.ErrTimeout), over && errors.Is(context.Cause(ctx), middleware.ErrTimeout):
		return outcome{word: timeout, errorType: "timeout"}
	case over, errors.Is(err, context.Canceled):
		return givenUp(ctx, err)
	default:
		return outcome{word: failure, errorType: errorType(err)}
	}
}

// givenUp is the outcome of a call that its caller gave up. A cancellation is
// nobody's error; that the caller's deadline has passed is one, something was too
// slow.
func givenUp(ctx context.Context, err error) outcome {
	why := ctx.Err()
	if why == nil { // the call was given up further in
		why = err
	}
	if errors.Is(why, context.DeadlineExceeded) && !errors.Is(why, context.Canceled) {
		return outcome{word: timeout, errorType: "deadline_exceeded"}
	}
	return outcome{word: cancelled}
}

// failed is the outcome of a call that ended with err and the verdict v.
func failed(err error, v middleware.Verdict) outcome {
	o := outcome{word: failure}
	switch v.Reason {
	case "", "error", "rejected": // nobody has judged
	default:
		o.reason = v.Reason
	}
	if o.errorType = declaredType(err); o.errorType == "" {
		o.errorType = o.reason
	}
	if o.errorType == "" {
		o.errorType = goType(err)
	}
	return o
}

// errorType names the kind of err in a word, never its text: what its method
// ErrorType says, or else its status code, the kind of a network failure, or its
// Go type.
func errorType(err error) string {
	if t := declaredType(err); t != "" {
		return t
	}
	return goType(err)
}

func declaredType(err error) string {
	type typed interface {
		error
		ErrorType() string
	}
	if e, ok := errors.AsType[typed](err); ok && e.ErrorType() != "" {
		return e.ErrorType()
	}
	type coded interface {
		error
		StatusCode() int
	}
	if e, ok := errors.AsType[coded](err); ok && e.StatusCode() != 0 {
		return strconv.Itoa(e.StatusCode())
	}
	return ""
}

func goType(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline_exceeded"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	if t := networkType(err); t != "" {
		return t
	}
	return semconv.ErrorType(middleware.Unjudged(err)).Value.AsString()
}
