package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports/retryable"
)

// With another engine everything happens as with the loop of the package: the same
// attempts, waits, events and errors, whatever the operation does and the caller wants.
func TestAnEngineChangesNothing(t *testing.T) {
	kinds := make(map[string]bool)
	for seed := range uint64(300) {
		var histories [2]string
		for i, engine := range []policies.RetryEngine{nil, retryable.NewEngine()} {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0))
				ctx := t.Context()
				switch random.IntN(4) {
				case 0:
					var cancel func()
					ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(5000))*time.Millisecond)
					defer cancel()
				case 1:
					var cancel func()
					ctx, cancel = context.WithCancel(ctx)
					defer time.AfterFunc(time.Duration(random.IntN(5000))*time.Millisecond, cancel).Stop()
				}
				var log []string
				begin := time.Now()
				note := middleware.ObserverFunc(func(ctx context.Context, e middleware.Event) {
					kinds[e.Kind.String()+" "+e.Reason] = true
					log = append(log, fmt.Sprint(time.Since(begin), " ", e.Kind, e.Attempt, e.Wait, e.Reason, e.Err))
				})
				retry := policies.NewRetry(policies.RetryConfig{
					Attempts: 1 + random.IntN(5), Delay: time.Second, Jitter: -1, MaxAfter: 10 * time.Second, Engine: engine,
				})
				op := func(ctx context.Context) error {
					log = append(log, fmt.Sprint(time.Since(begin), " attempt ", middleware.Attempt(ctx)))
					time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
					if random.IntN(4) == 0 {
						return nil
					}
					return middleware.Judged(fmt.Errorf("failure %d", random.IntN(100)), middleware.Verdict{
						Class: middleware.Failure, Retry: random.IntN(8) > 0, After: time.Duration(max(0, random.IntN(16)-4)) * time.Second,
					})
				}
				var err error
				if random.IntN(2) == 0 {
					err = middleware.NewChain("x", note, retry).Do(ctx, op)
				} else {
					var n int
					var end func()
					n, end, err = middleware.Stream(ctx, middleware.NewChain("x", note, retry), func(ctx context.Context) (int, error) { return 1, op(ctx) },
						func(int) { log = append(log, "discarded") })
					end()
					log = append(log, fmt.Sprint("got ", n))
				}
				histories[i] = fmt.Sprint(log, time.Since(begin), err, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded))
			})
		}
		if histories[0] != histories[1] {
			t.Fatalf("seed %d:\nown    %s\nengine %s", seed, histories[0], histories[1])
		}
	}
	for _, want := range []string{"retry_scheduled backoff", "retry_scheduled retry_after", "retry_stopped exhausted", "retry_stopped not_retryable",
		"retry_stopped retry_after", "retry_stopped deadline", "retry_stopped canceled"} {
		if !kinds[want] {
			t.Errorf("%q never happened", want)
		}
	}
}

func TestARetryWithAnotherEngineKeepsThePromises(t *testing.T) {
	middlewaretest.TestPolicy(t, func() middleware.Policy {
		return policies.NewRetry(policies.RetryConfig{Delay: time.Microsecond, Engine: retryable.NewEngine()})
	})
}

// An engine that breaks its promise loses no error.
func TestAnEngineThatFails(t *testing.T) {
	broken, failed := errors.New("the engine is broken"), errors.New("failed")
	for name, row := range map[string]struct {
		engine engineFunc
		want   error
	}{
		"before an attempt": {func(context.Context, func(context.Context) (time.Duration, bool)) error { return broken }, broken},
		"after an attempt": {func(ctx context.Context, attempt func(context.Context) (time.Duration, bool)) error {
			attempt(ctx)
			return broken
		}, failed},
	} {
		retry := policies.NewRetry(policies.RetryConfig{Engine: row.engine})
		err := middleware.NewChain("x", retry).Do(t.Context(), func(context.Context) error { return failed })
		if !slices.Contains([]error{row.want}, err) {
			t.Errorf("%s: got %v, want %v", name, err, row.want)
		}
	}
}

type engineFunc func(context.Context, func(context.Context) (time.Duration, bool)) error

func (f engineFunc) Run(ctx context.Context, attempt func(context.Context) (time.Duration, bool)) error {
	return f(ctx, attempt)
}
