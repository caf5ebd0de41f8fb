package grpc

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate-go/tidegate/middleware"
)

// A refusal is a rejection with a status.
type refusal struct {
	error

	rejection *middleware.Rejection
	message   string // of the status
}

// refusalOf returns err with a status if it is a rejection without one. Its text is that of
// the status too.
func refusalOf(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return err
	}
	if r, ok := errors.AsType[*middleware.Rejection](err); ok {
		return &refusal{error: err, rejection: r, message: err.Error()}
	}
	return err
}

func (r *refusal) Unwrap() error { return r.error }

// Timeout is that of the rejection, see [middleware.Rejection.Timeout].
func (r *refusal) Timeout() bool { return r.rejection.Timeout() }

// GRPCStatus returns the status that the rejection stands for.
func (r *refusal) GRPCStatus() *status.Status {
	st := status.New(codeOf(r.rejection), r.message)
	if r.rejection.RetryAfter <= 0 {
		return st
	}
	info := &errdetails.RetryInfo{RetryDelay: durationpb.New(r.rejection.RetryAfter)}
	if detailed, err := st.WithDetails(protoadapt.MessageV1Of(info)); err == nil {
		return detailed
	}
	return st
}

func codeOf(r *middleware.Rejection) codes.Code {
	switch {
	case errors.Is(r.Reason, middleware.ErrRateLimited), errors.Is(r.Reason, middleware.ErrBulkheadFull),
		errors.Is(r.Reason, middleware.ErrConcurrencyLimited):
		return codes.ResourceExhausted
	case errors.Is(r.Reason, context.DeadlineExceeded): // a time limit, a deadline that leaves too little, one that ended a wait
		return codes.DeadlineExceeded
	case errors.Is(r.Reason, middleware.ErrCanceled):
		return codes.Canceled
	case errors.Is(r.Reason, middleware.ErrBudgetExhausted) && r.Err != nil:
		return statusOf(r.Err).Code()
	default:
		return codes.Unavailable
	}
}
