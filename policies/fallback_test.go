package policies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

func TestAFallbackConforms(t *testing.T) {
	for name, newPolicy := range map[string]func() middleware.Policy{
		"alone":  func() middleware.Policy { return policies.NewFallback(policies.FallbackConfig{}) },
		"always": func() middleware.Policy { return policies.NewFallback(policies.FallbackConfig{When: anything}) },
		"around a retry": func() middleware.Policy {
			return middleware.NewChain("", policies.NewFallback(policies.FallbackConfig{}), policies.NewRetry(policies.RetryConfig{}))
		},
	} {
		t.Run(name, func(t *testing.T) { middlewaretest.TestPolicy(t, newPolicy) })
	}
}

func anything(error) bool { return true }

func returning(err error, class middleware.Class) func(context.Context) error {
	return func(context.Context) error {
		return middleware.Judged(err, middleware.Verdict{Class: class, Reason: "word"})
	}
}

// It does so when the dependency failed or asked for fewer calls, and when a policy
// refused the call or ended it, unless the caller has gone. An error with the verdict
// Success is an answer and stays.
func TestWhatAFallbackIsFor(t *testing.T) {
	refuse := func(reason error) middleware.Policy {
		return middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
			return next.Reject(middleware.Rejection{Policy: "gate", Reason: reason})
		})
	}
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, row := range []struct {
		name   string
		inner  middleware.Policy
		op     func(context.Context) error
		leaves bool // the caller, after a second
		when   func(error) bool
		want   bool
	}{
		{"a success", nil, succeed, false, anything, false},
		{"a failure", nil, returning(errBroken, middleware.Failure), false, nil, true},
		{"an error that nobody judged", nil, fail, false, nil, true},
		{"throttled", nil, returning(errBroken, middleware.Throttled), false, nil, true},
		{"an answer that is an error", nil, returning(errBroken, middleware.Success), false, nil, false},
		{"an answer that is an error, if When says so", nil, returning(errBroken, middleware.Success), false, anything, true},
		{"a call that never left the process", nil, returning(errBroken, middleware.Ignored), false, nil, false},
		{"an open breaker", refuse(middleware.ErrOpen), succeed, false, nil, true},
		{"an open breaker, if When says otherwise", refuse(middleware.ErrOpen), succeed, false, func(error) bool { return false }, false},
		{"a full bulkhead", refuse(middleware.ErrBulkheadFull), succeed, false, nil, true},
		{"too little time, before it is over", refuse(middleware.ErrDeadline), succeed, false, nil, true},
		{"a refusal by a chain further in", nil, returning(&middleware.Rejection{Reason: middleware.ErrOpen}, middleware.Ignored), false, nil, true},
		{"a time limit", policies.NewTimeout(policies.TimeoutConfig{}), hang, false, nil, true},
		{"the caller has gone", nil, hang, true, nil, false},
		{"the caller has gone, and it failed", nil, func(ctx context.Context) error {
			_ = hang(ctx)
			return middleware.Judged(errBroken, middleware.Verdict{Class: middleware.Failure})
		}, true, nil, false},
		{"the caller has gone from a queue", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			<-ctx.Done()
			return next.Reject(middleware.Rejection{Policy: "gate", Reason: middleware.ErrCanceled, Err: ctx.Err()})
		}), succeed, true, nil, false},
		{"somebody else has gone", refuse(middleware.ErrCanceled), succeed, false, nil, true},
		{"the caller has gone, if When says so", nil, hang, true, anything, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if row.leaves {
					time.AfterFunc(time.Second, cancel)
				}
				chain := middleware.NewChain("x", policies.NewFallback(policies.FallbackConfig{When: row.when}), row.inner)
				var causes []error
				err := chain.DoOr(ctx, row.op, func(_ context.Context, cause error) error { causes = append(causes, cause); return nil })
				if got := len(causes) == 1; got != row.want || len(causes) > 1 || row.want && err != nil {
					t.Errorf("alternatives for %v, and %v", causes, err)
				}
			})
		})
	}
}

// Each alternative that ran and returned is an event. When it failed too, its Reason is
// "failed".
func TestAFallbackTellsOfEachAlternative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		p := policies.NewFallback(policies.FallbackConfig{Name: "copy"})
		chain := middleware.NewChain("x", &seen, p)
		errMiss := errors.New("no copy")
		verdict := middleware.Verdict{Class: middleware.Failure, Reason: "word"}
		op := returning(errBroken, middleware.Failure)
		for _, alternative := range []func(context.Context, error) error{
			func(context.Context, error) error { time.Sleep(time.Second); return nil },
			func(context.Context, error) error { time.Sleep(time.Minute); return errMiss },
			func(_ context.Context, cause error) error { return cause },
		} {
			_ = chain.DoOr(t.Context(), op, alternative)
		}
		if err := chain.Do(t.Context(), op); err != errBroken {
			t.Errorf("a call without an alternative: %v", err)
		}
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic did not pass through")
				}
			}()
			_ = chain.DoOr(t.Context(), op, func(context.Context, error) error { panic("boom") })
		}()
		var got []string
		for _, e := range seen.events {
			got = append(got, fmt.Sprintf("%v %s %s %v %q %v %v", e.Kind, e.Chain, e.Policy, e.Wait, e.Reason, e.Err, e.Verdict == verdict))
		}
		if want := []string{`fallback_used x copy 1s "" broken true`, `fallback_used x copy 1m0s "failed" broken true`}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if got, want := reportsOf(p), []string{"fallback/copy When=set used:2 failed:1"}; !slices.Equal(got, want) {
			t.Errorf("reports %q, want %q", got, want)
		}
	})
}

func TestAFallbackReportsItsSettings(t *testing.T) {
	for _, row := range []struct {
		config policies.FallbackConfig
		want   string
	}{
		{policies.FallbackConfig{}, "fallback/fallback When=set used:0 failed:0"},
		{policies.FallbackConfig{Name: "copy", When: anything}, "fallback/copy When=set used:0 failed:0"},
	} {
		p := policies.NewFallback(row.config)
		if got := reportsOf(p); len(got) != 1 || got[0] != row.want || p.Name() != strings.TrimPrefix(strings.Fields(row.want)[0], "fallback/") {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}

// Outermost, it hides nothing from the others.
func TestAFallbackHidesNothingFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 6, Timeout: time.Hour})
		chain := middleware.NewChain("x", policies.NewFallback(policies.FallbackConfig{}),
			policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute}),
			policies.NewRetry(policies.RetryConfig{Attempts: 3}), breaker)
		runs := 0
		var causes []error
		for range 4 {
			value, err := middleware.CallOr(t.Context(), chain, func(context.Context) (string, error) { runs++; return "", errBroken },
				func(ctx context.Context, cause error) (string, error) {
					causes = append(causes, cause)
					time.Sleep(time.Hour - time.Minute) // no time limit cuts it
					return "copy", ctx.Err()
				})
			if value != "copy" || err != nil {
				t.Errorf("got %q, %v", value, err)
			}
		}
		if runs != 7 || breaker.State() != policies.Open { // the third call is refused, the fourth is a probe
			t.Errorf("%d runs, and the breaker is %v", runs, breaker.State())
		}
		for i, want := range []error{errBroken, errBroken, middleware.ErrOpen, errBroken} {
			if !errors.Is(causes[i], want) {
				t.Errorf("cause %d is %v, want %v", i, causes[i], want)
			}
		}
		if got := breaker.Status().Last.Err; !errors.Is(got, errBroken) {
			t.Errorf("the breaker opened because of %v", got)
		}
	})
}

// A panic or Goexit of the alternative keeps nothing that policies hold.
func TestAnAlternativeThatDoesNotReturnHoldsNothing(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
		inner := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
		chain := middleware.NewChain("x", bulkhead, policies.NewFallback(policies.FallbackConfig{}), inner)
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { _ = recover() }()
			_, _, _ = middleware.StreamOr(t.Context(), chain, func(context.Context) (int, error) { return 1, errBroken },
				func(context.Context, error) (int, error) {
					if n := inner.Status().Running; n != 0 {
						t.Errorf("%s: %d places are held while the alternative runs", name, n)
					}
					leave()
					return 2, nil
				}, nil)
		})
		wg.Wait()
		if n := bulkhead.Status().Running + inner.Status().Running; n != 0 {
			t.Errorf("%s: %d places are held", name, n)
		}
	}
}

// A Fallback is safe for concurrent use: each call gets the copy of its own.
func TestAFallbackAtOnce(t *testing.T) {
	p := policies.NewFallback(policies.FallbackConfig{})
	a, b := middleware.NewChain("a", p), middleware.NewChain("b", p)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			chain := a
			if i%2 == 0 {
				chain = b
			}
			for range 50 {
				got, err := middleware.CallOr(t.Context(), chain, func(context.Context) (int, error) { return -1, errBroken },
					func(context.Context, error) (int, error) { return i, nil })
				if got != i || err != nil {
					t.Errorf("call %d got %d, %v", i, got, err)
				}
			}
		})
	}
	wg.Wait()
	if got := reportsOf(p)[0]; got != "fallback/fallback When=set used:3200 failed:0" {
		t.Error(got)
	}
}
