package policies_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// hang waits for the end of its context and returns its error.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestTimeoutEndsTheOperation(t *testing.T) {
	own := errors.New("gave up half way")
	for _, row := range []struct {
		name    string
		op      func(context.Context) error
		wantErr string
		last    error
	}{
		{"that returns the context's error", hang, "x: timeout: time limit exceeded", nil},
		{"that returns the context's cause", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
			"x: timeout: time limit exceeded", nil},
		{"that watches a context derived from it", func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			return hang(ctx)
		}, "x: timeout: time limit exceeded", nil},
		{"that returns its own error", func(ctx context.Context) error { <-ctx.Done(); return own },
			"x: timeout: time limit exceeded; last error: gave up half way", own},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				chain := middleware.NewChain("x", &seen, policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Second}))
				begin := time.Now()
				err := chain.Do(t.Context(), row.op)
				if d := time.Since(begin); d != 2*time.Second {
					t.Errorf("returned after %v, want the limit", d)
				}
				r := rejection(t, err)
				if err.Error() != row.wantErr || !errors.Is(err, middleware.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !r.Timeout() {
					t.Errorf("got %q, want %q, a timeout that is a deadline", err, row.wantErr)
				}
				if row.last != nil && !errors.Is(err, row.last) {
					t.Errorf("%v does not wrap the operation's error", err)
				}
				if e := seen.of(middleware.TimedOut); len(e) != 1 || e[0].Wait != 2*time.Second || e[0].Policy != "timeout" {
					t.Errorf("events: %+v", e)
				}
			})
		})
	}
}

type partError struct{ err error }

func (e *partError) Error() string { return "part 3: " + e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

func TestTimeoutWrapsTheOperationsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		err := chain.Do(t.Context(), func(ctx context.Context) error { return &partError{hang(ctx)} })
		if _, ok := errors.AsType[*partError](err); !ok || !errors.Is(err, middleware.ErrTimeout) {
			t.Errorf("got %v, want the operation's error in it", err)
		}
		chain = middleware.NewChain("x",
			policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 2 * time.Second}),
			policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: time.Second}))
		err = chain.Do(t.Context(), func(context.Context) error { time.Sleep(time.Minute); return errBroken })
		if r := rejection(t, err); !errors.Is(err, errBroken) || r.Policy != "total" {
			t.Errorf("two limits: got %v, want the operation's error in the total limit's", err)
		}
	})
}

// Contexts of the standard library that are derived from a limited one say that they
// were cancelled. The caller is not told so.
func TestATimeoutIsNoCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		total := policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Second})
		attempt := policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: time.Minute})
		for name, chain := range map[string]*middleware.Chain{
			"one limit":  middleware.NewChain("x", total),
			"two limits": middleware.NewChain("x", total, attempt),
			"retries":    middleware.NewChain("x", total, policies.NewRetry(policies.RetryConfig{}), attempt),
		} {
			for _, wrap := range []func(error) error{
				func(err error) error { return err },
				func(err error) error { return &partError{err} },
			} {
				err := chain.Do(t.Context(), func(ctx context.Context) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					return wrap(hang(ctx))
				})
				if errors.Is(err, context.Canceled) || !errors.Is(err, context.DeadlineExceeded) || rejection(t, err).Policy != "total" {
					t.Errorf("%s: %v is a cancellation: %v", name, err, errors.Is(err, context.Canceled))
				}
				_ = chain.Do(t.Context(), func(ctx context.Context) error {
					if hang(ctx); ctx.Err() != context.DeadlineExceeded {
						t.Errorf("%s: the operation's context ends with %v", name, ctx.Err())
					}
					return ctx.Err()
				})
			}
		}
	})
}

// A context that a stream goes on with has the caller's deadline.
func TestAStoppedLimitIsNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		ctx, end, _ := middleware.Stream(t.Context(), chain, func(ctx context.Context) (context.Context, error) { return ctx, nil }, nil)
		defer end()
		time.Sleep(time.Minute)
		if d, ok := ctx.Deadline(); ok {
			t.Errorf("the deadline is still %v", d)
		}
		child, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		time.Sleep(time.Hour)
		if child.Err() == nil {
			t.Error("a time limit of 5s inside the stream has not fired after an hour")
		}
	})
}

func TestTimeoutIsToldFromTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var cause error
		err := chain.Do(ctx, func(ctx context.Context) error {
			err := hang(ctx)
			cause = context.Cause(ctx)
			return err
		})
		var r *middleware.Rejection
		if err != context.DeadlineExceeded || errors.As(cause, &r) {
			t.Errorf("got %v with the cause %v, want the caller's own deadline", err, cause)
		}
	})
}

func TestTimeoutIsTheCauseOfTheOperationsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: time.Second}))
		_ = chain.Do(t.Context(), func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			if !ok || time.Until(deadline) != time.Second {
				t.Errorf("the deadline is %v, want the limit", deadline)
			}
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
			if ctx.Err() != context.DeadlineExceeded {
				t.Errorf("the context's error is %v, want DeadlineExceeded", ctx.Err())
			}
			for _, c := range []context.Context{ctx, child} {
				if r := rejection(t, context.Cause(c)); r.Policy != "attempt" || r.Chain != "x" {
					t.Errorf("the cause is %v, want the policy's rejection", r)
				}
			}
			return ctx.Err()
		})
	})
}

func TestTheEarlierDeadlineHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute}))
		_ = chain.Do(ctx, func(ctx context.Context) error {
			if deadline, _ := ctx.Deadline(); time.Until(deadline) != time.Second {
				t.Errorf("the deadline is in %v, want the caller's", time.Until(deadline))
			}
			return nil
		})
	})
}

func TestTimeoutsNest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			total, attempt time.Duration
			want           string
		}{{time.Second, time.Minute, "total"}, {time.Minute, time.Second, "attempt"}} {
			chain := middleware.NewChain("x",
				policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: row.total}),
				policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: row.attempt}))
			if r := rejection(t, chain.Do(t.Context(), hang)); r.Policy != row.want {
				t.Errorf("got the rejection of %q, want that of %q", r.Policy, row.want)
			}
		}
	})
}

func TestASuccessAfterTheLimitIsASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		if err := chain.Do(t.Context(), func(context.Context) error { time.Sleep(time.Minute); return nil }); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnAnswerAfterTheLimitIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		notFound := errors.New("not found")
		err := chain.Do(t.Context(), func(context.Context) error {
			time.Sleep(time.Minute)
			return middleware.Judged(notFound, middleware.Verdict{Class: middleware.Success})
		})
		if err != notFound {
			t.Errorf("got %v, want the dependency's answer", err)
		}
	})
}

func TestAFailedResultAfterTheLimitIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		discarded := false
		holder := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			err := next.Do(ctx)
			if !discarded {
				t.Error("the result is still open when the timeout returns")
			}
			return err
		})
		chain := middleware.NewChain("x", holder, policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
		got, end, err := middleware.Stream(t.Context(), chain, func(context.Context) (string, error) {
			time.Sleep(time.Minute)
			return "response", errBroken
		}, func(string) { discarded = true })
		end()
		if got != "" || !errors.Is(err, middleware.ErrTimeout) {
			t.Errorf("got %q, %v, want the timeout and no response whose context has ended", got, err)
		}
	})
}

func TestStreamedResultSurvivesTheTimeout(t *testing.T) {
	for _, row := range []struct {
		name   string
		config policies.TimeoutConfig
		want   error
	}{
		{"the limit ends with the headers", policies.TimeoutConfig{Limit: time.Second}, nil},
		{"unless the stream counts too", policies.TimeoutConfig{Limit: time.Second, Scope: policies.UntilEnd}, middleware.ErrTimeout},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain := middleware.NewChain("x", policies.NewTimeout(row.config))
				for _, own := range []error{nil, errBroken} { // a failure may come with a result too
					ctx, end, err := middleware.Stream(t.Context(), chain, func(ctx context.Context) (context.Context, error) { return ctx, own }, nil)
					if err != own || ctx.Err() != nil {
						t.Fatalf("got %v, the context has ended with %v", err, ctx.Err())
					}
					time.Sleep(time.Hour)
					if cause := context.Cause(ctx); !errors.Is(cause, row.want) || (row.want == nil) != (cause == nil) {
						t.Errorf("an hour later the context has ended with %v, want %v", cause, row.want)
					}
					end()
					if ctx.Err() == nil {
						t.Error("the context outlives the stream")
					}
				}
			})
		})
	}
}
