package grpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestRefusal(t *testing.T) {
	broken := status.Error(codes.Unavailable, "broken")
	endOfWait := func(err error) error { return errors.Join(middleware.ErrCanceled, err) }
	for _, row := range []struct {
		rejection middleware.Rejection
		want      codes.Code
	}{
		{middleware.Rejection{Reason: middleware.ErrOpen}, codes.Unavailable},
		{middleware.Rejection{Reason: middleware.ErrTooManyProbes}, codes.Unavailable},
		{middleware.Rejection{Reason: middleware.ErrRecovering}, codes.Unavailable},
		{middleware.Rejection{Reason: middleware.ErrRateLimited}, codes.ResourceExhausted},
		{middleware.Rejection{Reason: middleware.ErrBulkheadFull, Err: broken}, codes.ResourceExhausted},
		{middleware.Rejection{Reason: middleware.ErrConcurrencyLimited}, codes.ResourceExhausted},
		{middleware.Rejection{Reason: middleware.ErrThrottled}, codes.Unavailable},
		{middleware.Rejection{Reason: middleware.ErrTimeout, Err: broken}, codes.DeadlineExceeded},
		{middleware.Rejection{Reason: middleware.ErrDeadline, Err: broken}, codes.DeadlineExceeded},
		{middleware.Rejection{Reason: endOfWait(context.Canceled), Err: broken}, codes.Canceled},
		{middleware.Rejection{Reason: endOfWait(context.DeadlineExceeded), Err: broken}, codes.DeadlineExceeded},
		{middleware.Rejection{Reason: middleware.ErrBudgetExhausted, Err: status.Error(codes.ResourceExhausted, "quota")}, codes.ResourceExhausted},
		{middleware.Rejection{Reason: middleware.ErrBudgetExhausted}, codes.Unavailable},
		{middleware.Rejection{}, codes.Unavailable},
	} {
		r := row.rejection
		r.Chain, r.RetryAfter = "billing", time.Second
		err := refusalOf(&r)
		st, ok := status.FromError(err)
		if !ok || st.Code() != row.want || st.Message() != r.Error() || err.Error() != r.Error() || retryInfo(st) != time.Second {
			t.Errorf("%v: %v, %q, RetryInfo %v, want %v", r.Reason, st.Code(), st.Message(), retryInfo(st), row.want)
		}
		got, ok := errors.AsType[*middleware.Rejection](err)
		if !ok || got != &r || r.Reason != nil && !errors.Is(err, r.Reason) {
			t.Errorf("%v: errors.As finds %v", r.Reason, got)
		}
		if timeout, ok := err.(interface{ Timeout() bool }); !ok || timeout.Timeout() != errors.Is(r.Reason, middleware.ErrTimeout) {
			t.Errorf("%v: Timeout is wrong", r.Reason)
		}
		if again := refusalOf(err); again != err {
			t.Errorf("%v: wrapped twice", r.Reason)
		}
	}
	if err := refusalOf(broken); err != broken {
		t.Errorf("got %v", err)
	}
	if err := refusalOf(nil); err != nil {
		t.Errorf("got %v", err)
	}
	if st := status.Convert(refusalOf(&middleware.Rejection{Reason: middleware.ErrOpen})); len(st.Details()) != 0 {
		t.Errorf("details %v although nobody knows when", st.Details())
	}
	if err := short(&middleware.Rejection{Chain: "inner", Reason: middleware.ErrOpen, Err: broken}); strings.Contains(status.Convert(err).Message(), "inner") || !strings.Contains(err.Error(), "inner") {
		t.Errorf("got %v with the status %v", err, status.Convert(err))
	}
}
