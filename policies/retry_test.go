package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func judged(v middleware.Verdict) error { return middleware.Judged(errBroken, v) }

func TestRetry(t *testing.T) {
	failure := middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "x"}
	after := func(d time.Duration) error {
		return judged(middleware.Verdict{Class: middleware.Throttled, Retry: true, After: d, Reason: "x"})
	}
	permanent := backoff.Permanent(errBroken)
	steady := policies.RetryConfig{Jitter: -1}
	for _, row := range []struct {
		name    string
		config  policies.RetryConfig
		outcome []error // of the attempts; the last one goes on for ever
		want    error
		waits   []time.Duration
		stopped string // the reason of the event; empty: no event
	}{
		{"a success is not repeated", steady, []error{nil}, nil, nil, ""},
		{"attempts are counted from 1 and include the first", steady, []error{errBroken}, errBroken, []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}, "exhausted"},
		{"one attempt never repeats", policies.RetryConfig{Attempts: 1}, []error{errBroken}, errBroken, nil, "exhausted"},
		{"success at the second attempt", steady, []error{errBroken, nil}, nil, []time.Duration{100 * time.Millisecond}, ""},
		{"waits grow up to the cap", policies.RetryConfig{Attempts: 6, Delay: time.Second, Multiplier: 3, MaxDelay: 10 * time.Second, Jitter: -1},
			[]error{judged(failure)}, errBroken, []time.Duration{time.Second, 3 * time.Second, 9 * time.Second, 10 * time.Second, 10 * time.Second}, "exhausted"},
		{"a long delay alone raises the cap", policies.RetryConfig{Delay: time.Minute, Jitter: -1}, []error{errBroken}, errBroken, []time.Duration{time.Minute, time.Minute}, "exhausted"},
		{"a short cap alone lowers the delay", policies.RetryConfig{MaxDelay: time.Millisecond, Jitter: -1}, []error{errBroken}, errBroken, []time.Duration{time.Millisecond, time.Millisecond}, "exhausted"},
		{"the verdict decides", steady, []error{judged(middleware.Verdict{Class: middleware.Failure, Reason: "x"})}, errBroken, nil, "not_retryable"},
		{"a success with an error needs no event", steady, []error{judged(middleware.Verdict{Reason: "not_found"})}, errBroken, nil, ""},
		{"a rejection is not repeated", steady, []error{&middleware.Rejection{Reason: middleware.ErrOpen}}, middleware.ErrOpen, nil, ""},
		{"backoff.Permanent is not repeated", steady, []error{permanent}, permanent, nil, "not_retryable"},
		{"the server's wait is honoured", steady, []error{after(3 * time.Second), nil}, nil, []time.Duration{3 * time.Second}, ""},
		{"a short hint does not shorten the back-off", steady, []error{after(time.Millisecond), nil}, nil, []time.Duration{100 * time.Millisecond}, ""},
		{"the server's wait is capped", steady, []error{after(time.Hour)}, errBroken, nil, "retry_after"},
		{"at the cap it is still honoured", steady, []error{after(time.Minute), nil}, nil, []time.Duration{time.Minute}, ""},
		{"it stops when the error changes", steady, []error{errBroken, judged(middleware.Verdict{Reason: "not_found"})}, errBroken, []time.Duration{100 * time.Millisecond}, "not_retryable"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				chain := middleware.NewChain("x", &seen, policies.NewRetry(row.config))
				begin, attempts := time.Now(), 0
				err := chain.Do(t.Context(), func(ctx context.Context) error {
					attempts++
					if n := middleware.Attempt(ctx); n != attempts {
						t.Errorf("the context says attempt %d, want %d", n, attempts)
					}
					return row.outcome[min(attempts, len(row.outcome))-1]
				})
				if !errors.Is(err, row.want) || (row.want == nil) != (err == nil) {
					t.Errorf("got %v, want %v", err, row.want)
				}
				if err != nil && err != middleware.Unjudged(row.outcome[min(attempts, len(row.outcome))-1]) {
					t.Errorf("got %v, want the last attempt's own error", err)
				}
				var waits []time.Duration
				var total time.Duration
				for i, e := range seen.of(middleware.RetryScheduled) {
					waits = append(waits, e.Wait)
					total += e.Wait
					if e.Attempt != i+1 || e.Policy != "retry" || e.Err == nil {
						t.Errorf("event %+v, want attempt %d", e, i+1)
					}
				}
				if !slices.Equal(waits, row.waits) || time.Since(begin) != total || attempts != len(row.waits)+1 {
					t.Errorf("%d attempts with the waits %v in %v, want %v", attempts, waits, time.Since(begin), row.waits)
				}
				stopped := ""
				for _, e := range seen.of(middleware.RetryStopped) {
					stopped += e.Reason
				}
				if stopped != row.stopped {
					t.Errorf("stopped because of %q, want %q", stopped, row.stopped)
				}
			})
		})
	}
}

func TestJitterIsOnByDefaultAndWithinItsRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := make(map[time.Duration]bool)
		for range 200 {
			var seen recorder
			chain := middleware.NewChain("x", &seen, policies.NewRetry(policies.RetryConfig{}))
			_ = chain.Do(t.Context(), fail)
			for i, e := range seen.of(middleware.RetryScheduled) {
				base := 100 * time.Millisecond << i
				if e.Wait < base/2 || e.Wait > base+base/2 {
					t.Fatalf("wait %d is %v, want %v ± half of it", i+1, e.Wait, base)
				}
				waits[e.Wait] = true
			}
		}
		if len(waits) < 100 {
			t.Errorf("%d different waits in 400, want them spread", len(waits))
		}
	})
}

func TestRetryNeverWaitsLongerThanMaxDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewRetry(policies.RetryConfig{Attempts: 50, MaxDelay: time.Second}))
		_ = chain.Do(t.Context(), fail)
		for _, e := range seen.of(middleware.RetryScheduled) {
			if e.Wait > time.Second || e.Wait <= 0 {
				t.Errorf("wait of %v, want at most MaxDelay", e.Wait)
			}
		}
	})
}

func TestRetryNeverSleepsPastTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1}))
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		begin := time.Now()
		err := chain.Do(ctx, fail)
		// One second was slept; the next two would not fit.
		if d := time.Since(begin); d != time.Second {
			t.Errorf("returned after %v, want at once when the next wait does not fit", d)
		}
		r := rejection(t, err)
		if !errors.Is(err, errBroken) || !errors.Is(err, middleware.ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the last error and the reason", err)
		}
		if r.Timeout() || r.RetryAfter != 2*time.Second {
			t.Errorf("got %+v, want no claim of a timeout and the wait that was due", r)
		}
		if e := seen.of(middleware.RetryStopped); len(e) != 1 || e[0].Reason != "deadline" || e[0].Attempt != 2 {
			t.Errorf("events %+v", e)
		}
	})
}

// At the deadline itself there is no time left.
func TestAWaitThatEndsAtTheDeadlineIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := chain.Do(ctx, fail); !errors.Is(err, middleware.ErrDeadline) || time.Since(begin) != 0 {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

func TestHugeDelaysAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, config := range []policies.RetryConfig{
			{Delay: math.MaxInt64, MaxDelay: math.MaxInt64},
			{Attempts: 9, Multiplier: 1e308, MaxDelay: math.MaxInt64},
		} {
			for range 20 {
				var seen recorder
				chain := middleware.NewChain("x", &seen, policies.NewRetry(config))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				_ = chain.Do(ctx, fail)
				cancel()
				for i, e := range seen.of(middleware.RetryScheduled) {
					if e.Wait < 50*time.Millisecond || i > 0 {
						t.Fatalf("%+v: wait %d is %v", config, i+1, e.Wait)
					}
				}
			}
		}
	})
}

// Whether a value comes with the error makes no difference to its verdict.
func TestAnEarlyEndIsJudgedLikeTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, do := range map[string]func(context.Context, *middleware.Chain) error{
			"Do": func(ctx context.Context, c *middleware.Chain) error { return c.Do(ctx, fail) },
			"Call": func(ctx context.Context, c *middleware.Chain) error {
				_, err := middleware.Call(ctx, c, func(ctx context.Context) (int, error) { return 0, fail(ctx) })
				return err
			},
		} {
			outer := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
			chain := middleware.NewChain("x", outer, policies.NewRetry(policies.RetryConfig{Delay: time.Minute, MaxDelay: time.Minute}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := do(ctx, chain); !errors.Is(err, middleware.ErrDeadline) || outer.State() != policies.Open {
				t.Errorf("%s: %v, the breaker further out is %v, want open", name, err, outer.State())
			}
			cancel()
		}
	})
}

func TestTheResultOfTheLastAttemptSurvivesTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: time.Minute, MaxDelay: time.Minute}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, end, err := middleware.Stream(ctx, chain, func(context.Context) (string, error) { return "response", errBroken }, func(string) { t.Error("discarded") })
		defer end()
		if got != "response" || !errors.Is(err, middleware.ErrDeadline) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestAWaitEndsWithTheContext(t *testing.T) {
	enough := errors.New("enough")
	for _, row := range []struct {
		name  string
		cause error
	}{{"cancelled", context.Canceled}, {"cancelled with a cause", enough}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outer := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
				chain := middleware.NewChain("x", outer, policies.NewRetry(policies.RetryConfig{Delay: time.Minute, MaxDelay: time.Minute}))
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(row.cause) })
				begin := time.Now()
				err := chain.Do(ctx, fail)
				if d := time.Since(begin); d != time.Second {
					t.Errorf("returned after %v, want when the context ended", d)
				}
				if !errors.Is(err, row.cause) || !errors.Is(err, errBroken) {
					t.Errorf("got %v, want the cause and the last error", err)
				}
				if r := rejection(t, err); !errors.Is(r, middleware.ErrCanceled) || !errors.Is(r, context.Canceled) || r.Timeout() {
					t.Errorf("got %v, want the end of the context", err)
				}
				if want := fmt.Sprintf("x: retry: %s while the call was held back; last error: broken", row.cause); err.Error() != want {
					t.Errorf("got %q, want %q", err, want)
				}
				if outer.State() != policies.Closed {
					t.Error("the caller's cancellation opened a breaker further out")
				}
			})
		})
	}
}

func TestATotalTimeoutEndsTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x",
			policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 10 * time.Second}),
			policies.NewRetry(policies.RetryConfig{Attempts: 100}),
			policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 3 * time.Second}))
		attempts := 0
		begin := time.Now()
		err := chain.Do(t.Context(), func(ctx context.Context) error { attempts++; return hang(ctx) })
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("took %v, want at most the total limit", d)
		}
		if attempts < 3 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d attempts, %v", attempts, err)
		}
	})
}

func TestATotalTimeoutKeepsTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x",
			policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Second}),
			policies.NewRetry(policies.RetryConfig{}))
		err := chain.Do(t.Context(), func(context.Context) error {
			time.Sleep(5 * time.Second) // without a look at the context
			return errBroken
		})
		if want := "x: total: time limit exceeded; last error: broken"; err == nil || err.Error() != want || !errors.Is(err, errBroken) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestRetryGivesUpTheFailedResultBeforeTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Second, Jitter: -1}))
		begin := time.Now()
		var discarded time.Duration
		_, end, _ := middleware.Stream(t.Context(), chain, func(ctx context.Context) (int, error) {
			return middleware.Attempt(ctx), errBroken
		}, func(n int) { discarded = time.Since(begin) })
		end()
		if discarded != 0 {
			t.Errorf("discarded after %v, want before the wait", discarded)
		}
	})
}

func TestARefusedRetrySaysWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := policies.NewBreaker(policies.BreakerConfig{Name: "outer", FailureThreshold: 1})
		chain := middleware.NewChain("x", outer, policies.NewRetry(policies.RetryConfig{}), policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
		err := chain.Do(t.Context(), fail)
		r := rejection(t, err)
		if !errors.Is(err, middleware.ErrOpen) || !errors.Is(err, errBroken) || r.Policy != "breaker" || r.RetryAfter == 0 {
			t.Errorf("got %v, want the refusal and the failure before it", err)
		}
		if outer.State() != policies.Open {
			t.Error("a breaker further out did not count the failure")
		}
		outer.Reset()
		err = chain.Do(t.Context(), fail)
		if r := rejection(t, err); r.Err != nil || outer.State() != policies.Closed {
			t.Errorf("a call that never ran: %v", err)
		}
		// What another chain refused is the operation's own error.
		elsewhere := &middleware.Rejection{Chain: "y", Policy: "breaker", Reason: middleware.ErrOpen}
		err = middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{})).Do(t.Context(), func(ctx context.Context) error {
			if middleware.Attempt(ctx) == 1 {
				return errBroken
			}
			return elsewhere
		})
		if err != error(elsewhere) {
			t.Errorf("got %v, want the other chain's rejection itself", err)
		}
	})
}

func TestSuccessfulRetryAllocatesNothing(t *testing.T) {
	chain := middleware.NewChain("x",
		policies.NewRetry(policies.RetryConfig{}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9}))
	if n := testing.AllocsPerRun(1000, func() { _ = chain.Do(t.Context(), succeed) }); n != 0 {
		t.Errorf("retry and rate limit: %v allocations, want 0", n)
	}
}
