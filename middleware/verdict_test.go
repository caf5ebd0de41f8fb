package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestVerdictOf(t *testing.T) {
	throttled := middleware.Verdict{Class: middleware.Throttled, Retry: true, After: time.Second, Reason: "slow_down"}
	failure := middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "error"}
	rejected := middleware.Verdict{Class: middleware.Ignored, Reason: "rejected"}
	own := errors.New("own")
	for _, row := range []struct {
		name string
		err  error
		want middleware.Verdict
	}{
		{"nil", nil, middleware.Verdict{}},
		{"unjudged", own, failure},
		{"a cancellation that nobody asked for", context.Canceled, failure},
		{"judged", middleware.Judged(own, throttled), throttled},
		{"judged and wrapped", fmt.Errorf("w: %w", middleware.Judged(own, throttled)), throttled},
		{"judged again: the last one holds", middleware.Judged(middleware.Judged(own, failure), throttled), throttled},
		{"a rejection", &middleware.Rejection{Reason: middleware.ErrOpen}, rejected},
		{"a wrapped rejection", fmt.Errorf("w: %w", &middleware.Rejection{Reason: middleware.ErrTimeout}), rejected},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := middleware.VerdictOf(row.err); got != row.want {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
	if middleware.Judged(nil, throttled) != nil {
		t.Error("Judged(nil) is not nil")
	}
}

func TestTheEndOfTheContextIsJudgedByItsCause(t *testing.T) {
	own := errors.New("own")
	timeout := &middleware.Rejection{Chain: "x", Policy: "timeout", Reason: middleware.ErrTimeout}
	given := middleware.Verdict{Class: middleware.Throttled, Reason: "given"}
	for _, row := range []struct {
		name  string
		cause error
		err   error
		want  middleware.Verdict
	}{
		{"the caller cancelled", context.Canceled, own, middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}},
		{"a timeout of the chain", timeout, own, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "timeout"}},
		{"somebody judged it", context.Canceled, middleware.Judged(own, given), given},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(row.cause)
			var plain, typed middleware.Verdict
			spy := func(v *middleware.Verdict) middleware.Policy {
				return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
					err := next.Do(ctx)
					*v = middleware.VerdictOf(err)
					return err
				})
			}
			_ = middleware.NewChain("x", spy(&plain)).Do(ctx, func(context.Context) error { return row.err })
			_, _ = middleware.Call(ctx, middleware.NewChain("x", spy(&typed)), func(context.Context) (int, error) { return 0, row.err })
			if plain != row.want || typed != row.want {
				t.Errorf("Do judged %+v, Call %+v, want %+v", plain, typed, row.want)
			}
		})
	}
}

func TestJudgeIsAskedOnceAboutUnjudgedErrors(t *testing.T) {
	own := errors.New("own")
	given := middleware.Verdict{Class: middleware.Success, Reason: "given"}
	judged := middleware.Verdict{Class: middleware.Throttled, Reason: "judged"}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		name  string
		ctx   context.Context
		err   error
		want  middleware.Verdict
		asked int
	}{
		{"success", t.Context(), nil, middleware.Verdict{}, 0},
		{"unjudged", t.Context(), own, judged, 1},
		{"judged", t.Context(), middleware.Judged(own, given), given, 0},
		{"ended", cancelled, own, middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}, 0},
		{"rejected", t.Context(), &middleware.Rejection{Reason: middleware.ErrOpen}, middleware.Verdict{Class: middleware.Ignored, Reason: "rejected"}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			asked := 0
			var got []middleware.Verdict
			spy := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				err := next.Do(ctx)
				got = append(got, middleware.VerdictOf(err))
				return err
			})
			judge := middleware.Judge(func(err error) middleware.Verdict {
				asked++
				if err != own {
					t.Errorf("asked about %v, want the operation's own error", err)
				}
				return judged
			})
			chain := middleware.NewChain("x", spy, judge)
			if err := chain.Do(row.ctx, func(context.Context) error { return row.err }); !errors.Is(err, middleware.Unjudged(row.err)) {
				t.Errorf("Do: got %v", err)
			}
			if n, err := middleware.Call(row.ctx, chain, func(context.Context) (int, error) { return 5, row.err }); n != 5 || !errors.Is(err, middleware.Unjudged(row.err)) {
				t.Errorf("Call: got %d, %v", n, err)
			}
			if got[0] != row.want || got[1] != row.want || asked != 2*row.asked {
				t.Errorf("verdicts %+v after %d questions, want %+v and %d", got, asked, row.want, 2*row.asked)
			}
		})
	}
}

func TestRejection(t *testing.T) {
	own := errors.New("connect: no route")
	for _, row := range []struct {
		name      string
		rejection middleware.Rejection
		text      string
		kind      string
		timeout   bool
		deadline  bool
	}{
		{"open", middleware.Rejection{Chain: "billing", Policy: "breaker", Reason: middleware.ErrOpen, RetryAfter: 12400 * time.Millisecond}, "billing: breaker: circuit breaker is open, retry after 12.4s", "circuit_open", false, false},
		{"probes", middleware.Rejection{Reason: middleware.ErrTooManyProbes}, "circuit breaker is half-open and admits no further probe", "probe_limit", false, false},
		{"rate", middleware.Rejection{Reason: middleware.ErrRateLimited, RetryAfter: 90 * time.Second}, "rate limit reached, retry after 1m30s", "rate_limited", false, false},
		{"timeout", middleware.Rejection{Reason: middleware.ErrTimeout, Err: context.DeadlineExceeded}, "time limit exceeded", "timeout", true, true},
		{"timeout of a failing operation", middleware.Rejection{Reason: middleware.ErrTimeout, Err: own}, "time limit exceeded; last error: connect: no route", "timeout", true, true},
		{"deadline", middleware.Rejection{Chain: "x", Policy: "retry", Reason: middleware.ErrDeadline, Err: own}, "x: retry: the deadline leaves too little time; last error: connect: no route", "deadline_too_short", false, true},
		{"one's own", middleware.Rejection{Policy: "p", Reason: own}, "p: connect: no route", "rejected", false, false},
		{"none", middleware.Rejection{}, "rejected", "rejected", false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var err error = &row.rejection
			if err.Error() != row.text {
				t.Errorf("text %q, want %q", err, row.text)
			}
			if got := row.rejection.ErrorType(); got != row.kind {
				t.Errorf("type %q, want %q", got, row.kind)
			}
			if row.rejection.Timeout() != row.timeout || errors.Is(err, context.DeadlineExceeded) != row.deadline {
				t.Errorf("Timeout %v, deadline %v", row.rejection.Timeout(), errors.Is(err, context.DeadlineExceeded))
			}
			if r := row.rejection; r.Reason != nil && !errors.Is(err, r.Reason) || r.Err != nil && !errors.Is(err, r.Err) {
				t.Error("errors.Is does not find the reason and the last error")
			}
			if _, temporary := err.(interface{ Temporary() bool }); temporary {
				t.Error("a rejection must not claim to be temporary")
			}
		})
	}
}
