package observability_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// A service is a Manager of one chain.
type service struct{ chain *middleware.Chain }

func (s service) Chains() []*middleware.Chain { return []*middleware.Chain{s.chain} }
func (service) ForceOpen(string) error        { return nil }
func (service) Release(string) error          { return nil }
func (service) Reset(string) error            { return nil }

// An outage of a dependency behind real policies: two calls a second for six minutes, then
// one in ten seconds, and all is well. The alerts begin, have a trace, and end.
func TestAlertsOfAnOutage(t *testing.T) {
	again := middleware.Judged(errors.New("down"), middleware.Verdict{Class: middleware.Failure, Retry: true})
	down := func(context.Context) error { return again }
	well := func(context.Context) error { return nil }
	for _, row := range []struct {
		name     string
		policies func() []middleware.Policy
		op       func(context.Context) error
		want     []string
	}{
		{"all is well", func() []middleware.Policy {
			return []middleware.Policy{policies.NewRetry(policies.RetryConfig{})}
		}, well, nil},
		{"retries", func() []middleware.Policy {
			return []middleware.Policy{policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond, MaxDelay: time.Millisecond})}
		}, down, []string{"OperationErrorsHigh", "RetryStorm"}},
		{"a small budget", func() []middleware.Policy {
			return []middleware.Policy{policies.NewRetry(policies.RetryConfig{
				Delay: time.Millisecond, MaxDelay: time.Millisecond, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: 0.1, MinPerSecond: -1}),
			})}
		}, down, []string{"OperationErrorsHigh", "RetryBudgetExhausted"}},
		{"a breaker", func() []middleware.Policy {
			return []middleware.Policy{policies.NewBreaker(policies.BreakerConfig{RecoveryBackoff: 1})}
		}, down, []string{"BreakerOpen", "OperationErrorsHigh"}},
		{"a breaker that flaps", func() []middleware.Policy {
			return []middleware.Policy{policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 5, SuccessThreshold: 1, Timeout: time.Second})}
		}, flapping(), []string{"BreakerFlapping", "OperationErrorsHigh"}},
		{"a rate limit", func() []middleware.Policy {
			return []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Rate: 1})}
		}, well, []string{"OperationErrorsHigh", "RateLimiterSaturated"}},
		{"a throttle", func() []middleware.Policy {
			return []middleware.Policy{shedding()}
		}, well, []string{"LoadShedding", "OperationErrorsHigh"}},
		{"a queue", func() []middleware.Policy {
			return []middleware.Policy{policies.NewRateLimit(policies.RateLimitConfig{Rate: 1.9, Burst: 1, MaxWait: time.Minute})}
		}, well, []string{"QueueWaitHigh"}},
		{"slow calls", func() []middleware.Policy {
			return []middleware.Policy{policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second})}
		}, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, []string{"OperationErrorsHigh", "TimeoutsHigh"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				observer := r.observer(observability.WithLive())
				chain := middleware.NewChain("x", append([]middleware.Policy{observer}, row.policies()...)...)
				monitor := observability.StartMonitoring(t.Context(), service{chain})
				defer monitor.Close()
				call(t, chain, row.op, 720, 500*time.Millisecond)
				var names []string
				for _, a := range monitor.Alerts() {
					names = append(names, a.Name)
					if a.Chain != "x" || a.TraceID == "" || !strings.HasPrefix(a.Text, "x") || len(r.trace(a.TraceID)) == 0 {
						t.Errorf("%+v", a)
					}
				}
				slices.Sort(names)
				if !slices.Equal(names, row.want) {
					t.Errorf("alerts %v, want %v", names, row.want)
				}
				call(t, chain, well, 75, 10*time.Second)
				if a := monitor.Alerts(); len(a) != 0 {
					t.Errorf("afterwards: %+v", a)
				}
			})
		})
	}
}

// call makes n calls, one each interval, and returns when all have ended.
func call(t *testing.T, chain *middleware.Chain, op func(context.Context) error, n int, interval time.Duration) {
	t.Helper()
	for range n {
		go func() { _ = chain.Do(t.Context(), op) }()
		time.Sleep(interval)
	}
	synctest.Wait()
}

// shedding returns a policy that refuses one in ten of the first calls, as a throttle does.
func shedding() middleware.Policy {
	var n atomic.Int64
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if i := n.Add(1); i > 720 || i%10 != 0 {
			return next.Do(ctx)
		}
		next.Emit(ctx, middleware.Event{Kind: middleware.Rejected, Policy: "throttle", Reason: "client_throttled"})
		return next.Reject(middleware.Rejection{Policy: "throttle", Reason: middleware.ErrThrottled})
	})
}

// flapping returns an operation that fails five times in a minute.
func flapping() func(context.Context) error {
	var n atomic.Int64
	return func(context.Context) error {
		if n.Add(1)%100 < 5 {
			return errors.New("down")
		}
		return nil
	}
}

// trace returns the names of the spans of a trace.
func (r *recorder) trace(id string) (names []string) {
	for _, s := range r.spans.GetSpans() {
		if s.SpanContext.TraceID().String() == id {
			names = append(names, s.Name)
		}
	}
	return names
}

// Without statistics there are alerts of breakers that are not closed, and no others.
func TestAlertsWithoutLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", observability.New(), policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
		monitor := observability.StartMonitoring(t.Context(), service{chain})
		defer monitor.Close()
		for range 100 {
			_ = chain.Do(t.Context(), func(context.Context) error { return errors.New("down") })
		}
		time.Sleep(2 * time.Minute)
		if a := monitor.Alerts(); len(a) != 1 || a[0].Name != "BreakerOpen" {
			t.Errorf("%+v", a)
		}
	})
}
