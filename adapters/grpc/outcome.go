package grpc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/middleware"
)

// An Outcome is what is known of an attempt that has ended, or of a stream that has not come
// about.
type Outcome struct {
	// Method is a name such as "pkg.Service/Method".
	Method string

	// Err is the error of the attempt, nil if it succeeded.
	Err error

	// Header and Trailer are the metadata of the answer, as far as it came.
	Header, Trailer metadata.MD

	// Idempotent says that the call may be repeated although it may have been carried out.
	Idempotent bool

	// Sent is false only when it is certain that the server got nothing of the attempt.
	Sent bool

	ended ending
}

// An ending says who ended the context of an attempt.
type ending uint8

const (
	goesOn ending = iota
	byLimit
	byCaller
)

// Classify judges an attempt by the table in the package comment. The interceptors use it
// unless [WithClassifier] says otherwise. Retry follows from the status, from what is known
// of whether the server got the call, and from its pushback; After from its pushback or its
// RetryInfo.
func Classify(o Outcome) middleware.Verdict {
	if o.Err == nil {
		return middleware.Verdict{}
	}
	st := statusOf(o.Err)
	row := rowOf(o, st)
	v := middleware.Verdict{Class: row.class, Reason: row.reason, After: retryInfo(st)}
	v.Retry = row.repeat == safe && (o.Idempotent || !o.Sent)
	if p := pushbackOf(o.Header, o.Trailer); p.given {
		v.After = p.after
		v.Retry = p.permits && (v.Retry || row.repeat == safe && row.answered)
	}
	return v
}

func rowOf(o Outcome, st *status.Status) row {
	for _, r := range rows {
		if r.match(o, st) {
			return r
		}
	}
	return row{}
}

// repeat says which calls may be repeated.
type repeat uint8

const (
	never repeat = iota
	safe         // idempotent ones, and those that were never sent
)

type row struct {
	name     string
	match    func(Outcome, *status.Status) bool
	repeat   repeat
	class    middleware.Class
	reason   string
	answered bool // the server may have said so, and may permit to repeat it
}

// rows is the table of the package comment. The first row that matches counts.
var rows = []row{
	{"time limit of the chain", endedBy(byLimit), safe, middleware.Failure, "timeout", false},
	{"the caller cancelled, or its deadline passed", endedBy(byCaller), never, middleware.Ignored, "canceled", false},
	{"a policy further in refused it", refusedInside, never, middleware.Ignored, "rejected", false},
	{"Canceled", is(codes.Canceled), never, middleware.Ignored, "canceled", true},
	{"ResourceExhausted: the message is too large", tooLarge, never, middleware.Ignored, "too_large", true},
	{"ResourceExhausted", is(codes.ResourceExhausted), safe, middleware.Throttled, "resource_exhausted", true},
	{"Unavailable", is(codes.Unavailable), safe, middleware.Failure, "unavailable", true},
	{"DeadlineExceeded", is(codes.DeadlineExceeded), safe, middleware.Failure, "deadline_exceeded", true},
	{"any other error before there was a connection", unsent, never, middleware.Ignored, "unsent", false},
	{"InvalidArgument", is(codes.InvalidArgument), never, middleware.Success, "invalid_argument", true},
	{"NotFound", is(codes.NotFound), never, middleware.Success, "not_found", true},
	{"AlreadyExists", is(codes.AlreadyExists), never, middleware.Success, "already_exists", true},
	{"PermissionDenied", is(codes.PermissionDenied), never, middleware.Success, "permission_denied", true},
	{"Unauthenticated", is(codes.Unauthenticated), never, middleware.Success, "unauthenticated", true},
	{"FailedPrecondition", is(codes.FailedPrecondition), never, middleware.Success, "failed_precondition", true},
	{"Aborted: to be repeated by who knows the transaction", is(codes.Aborted), never, middleware.Success, "aborted", true},
	{"OutOfRange", is(codes.OutOfRange), never, middleware.Success, "out_of_range", true},
	{"Unimplemented", is(codes.Unimplemented), never, middleware.Success, "unimplemented", true},
	{"Unknown", is(codes.Unknown), never, middleware.Failure, "unknown", true},
	{"Internal", is(codes.Internal), never, middleware.Failure, "internal", true},
	{"DataLoss", is(codes.DataLoss), never, middleware.Failure, "data_loss", true},
	{"any other number", anyStatus, never, middleware.Failure, "other", true},
}

func is(code codes.Code) func(Outcome, *status.Status) bool {
	return func(_ Outcome, st *status.Status) bool { return st.Code() == code }
}

func endedBy(who ending) func(Outcome, *status.Status) bool {
	return func(o Outcome, _ *status.Status) bool { return o.ended == who }
}

func refusedInside(o Outcome, _ *status.Status) bool { return isRejection(o.Err) }

func unsent(o Outcome, _ *status.Status) bool { return !o.Sent }

func anyStatus(Outcome, *status.Status) bool { return true }

func isRejection(err error) bool {
	_, ok := errors.AsType[*middleware.Rejection](err)
	return ok
}

// tooLarge goes by the text: of grpc-go here and at the server, Java and C#. C++ and Node
// have that of grpc-go. Who sent nothing and who was sent too much get the same code as who
// used up a quota.
func tooLarge(_ Outcome, st *status.Status) bool {
	if st.Code() != codes.ResourceExhausted {
		return false
	}
	return slices.ContainsFunc([]string{"larger than max", "message exceeds maximum size", "message exceeds the maximum configured"},
		func(text string) bool { return strings.Contains(st.Message(), text) })
}

// statusOf returns the status of an error as grpc-go would send it to a client.
func statusOf(err error) *status.Status {
	if st, ok := status.FromError(err); ok {
		return st
	}
	return status.FromContextError(err)
}

// timerGrace is how long a context may take to end once its deadline has passed.
const timerGrace = time.Second

// endOf returns who ended the context of an attempt, if that is why it failed with err.
func (c *call) endOf(ctx context.Context, err error) ending {
	switch statusOf(err).Code() {
	case codes.DeadlineExceeded:
		awaitDeadline(ctx)
	case codes.Canceled:
	default:
		return goesOn
	}
	switch {
	case ctx.Err() == nil:
		return goesOn
	case errors.Is(context.Cause(ctx), middleware.ErrTimeout):
		return byLimit
	default:
		return byCaller
	}
}

// awaitDeadline waits for the end of a context whose deadline has passed: the server was told
// of it, and may say so a little before a timer here does.
func awaitDeadline(ctx context.Context) {
	deadline, ok := ctx.Deadline()
	if !ok || time.Until(deadline) > 0 {
		return
	}
	timer := time.NewTimer(timerGrace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
