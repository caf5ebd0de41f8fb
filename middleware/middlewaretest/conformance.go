// Package middlewaretest tests policies: [TestPolicy] checks that one keeps the promises of
// [middleware.Policy], and a [Scenario] shows what the settings of a chain come to, in
// virtual time, when the dependency is slow or down.
package middlewaretest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
)

// chainName is the name of the chain in all checks.
const chainName = "conformance"

// A promise is one sentence of the contract and the test of it.
type promise struct {
	name string
	test func(t *testing.T, make func() middleware.Policy)
}

var promises = []promise{
	{"a success reaches the caller", success},
	{"the operation's own error reaches the caller", ownError},
	{"the context is derived from the caller's", derivedContext},
	{"a caller that has gone is not kept", callerGone},
	{"a wait ends when the caller cancels", cancelledWait},
	{"what is held is released when the operation panics", afterPanics},
	{"what is held is released when the operation calls Goexit", afterGoexits},
	{"what is held is released when the caller cancels", afterCancellations},
	{"the context of a streamed result lives until its end", streamScope},
	{"every result is delivered or discarded, once", everyResult},
	{"the policy is safe for concurrent use by several chains", concurrentUse},
}

// TestPolicy runs the conformance suite: one subtest for each promise of
// [middleware.Policy]. newPolicy returns a new policy each time; its state must
// start fresh, and it must let a single call through. The policy may refuse
// calls, but not for longer than a day after the last failure.
//
// The subtests run in virtual time, in a bubble of [testing/synctest]: they need
// no time, and a goroutine that outlives its call fails them. newPolicy is called
// inside of the bubble. Run them with the race detector. A timer that is left
// running, or a permit given back while a stream goes on, the suite cannot see.
func TestPolicy(t *testing.T, newPolicy func() middleware.Policy) {
	t.Helper()
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { p.test(t, newPolicy) })
		})
	}
}

func success(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	var ran atomic.Int64
	got, err := middleware.Call(t.Context(), chain, func(context.Context) (string, error) {
		ran.Add(1)
		return "result", nil
	})
	if err != nil || got != "result" || ran.Load() == 0 {
		t.Errorf("got %q, %v after %d runs, want the operation's result", got, err, ran.Load())
	}
}

func ownError(t *testing.T, newPolicy func() middleware.Policy) {
	for _, v := range []middleware.Verdict{
		{Class: middleware.Success, Reason: "not_found"},
		{Class: middleware.Failure, Reason: "broken"},
		{Class: middleware.Ignored, Reason: "caller"},
	} {
		chain := middleware.NewChain(chainName, newPolicy())
		want := errors.New("the operation's own")
		err := chain.Do(t.Context(), func(context.Context) error { return middleware.Judged(want, v) })
		if err != want {
			t.Errorf("verdict %v without retry: got %v (%T), want the operation's error itself", v.Class, err, err)
		}
	}
}

type contextKey struct{}

func derivedContext(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "value"))
	defer cancel()
	err := chain.Do(ctx, func(ctx context.Context) error {
		if ctx.Value(contextKey{}) != "value" {
			t.Error("the operation does not see a value of the caller's context")
		}
		cancel()
		if !ends(ctx) {
			t.Error("the caller's cancellation does not reach the operation")
		}
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
	check(t, err, context.Canceled)
}

// ends reports whether ctx ends within a virtual second.
func ends(ctx context.Context) bool {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

func callerGone(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begin := time.Now()
	err := chain.Do(ctx, func(ctx context.Context) error { return ctx.Err() })
	if waited := time.Since(begin); waited > 0 {
		t.Errorf("the call took %v although the caller had gone", waited)
	}
	if err == nil {
		t.Error("got no error although the caller had gone and the operation said so")
	}
	check(t, err, context.Canceled)
}

// cancelledWait makes the policy wait, if it ever does: for a turn, because the calls
// come at once, and before a retry, because they fail.
func cancelledWait(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	ctx, cancel := context.WithCancel(t.Context())
	const after = 10 * time.Millisecond
	time.AfterFunc(after, cancel)
	begin := time.Now()
	failed := errors.New("failed")
	for range calls {
		err := chain.Do(ctx, func(context.Context) error {
			return middleware.Judged(failed, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "failed"})
		})
		check(t, err, failed)
	}
	if waited := time.Since(begin); waited > after {
		t.Errorf("calls were held for %v, want no longer than until the caller cancelled, after %v", waited, after)
	}
}

// calls is how often the checks of releases fail a call: more than anything that a
// policy of a reasonable test setting holds.
const calls = 64

func afterPanics(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	value := &struct{ int }{42}
	for range calls {
		var ran atomic.Bool
		got := func() (got any) {
			defer func() { got = recover() }()
			check(t, chain.Do(t.Context(), func(context.Context) error { ran.Store(true); panic(value) }))
			return nil
		}()
		if ran.Load() && got != any(value) {
			t.Fatalf("the caller recovered %v, want the value that the operation panicked with", got)
		}
	}
	admits(t, chain)
}

func afterGoexits(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	for range calls {
		var ran, returned atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			check(t, chain.Do(t.Context(), func(context.Context) error {
				ran.Store(true)
				runtime.Goexit()
				return nil
			}))
			returned.Store(true)
		})
		wg.Wait()
		if ran.Load() && returned.Load() {
			t.Fatal("the caller went on although the operation called Goexit")
		}
	}
	admits(t, chain)
}

func afterCancellations(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	for range calls {
		ctx, cancel := context.WithCancel(t.Context())
		err := chain.Do(ctx, func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		cancel()
		check(t, err, context.Canceled)
	}
	admits(t, chain)
}

// admits fails the test unless a call goes through a day later.
func admits(t *testing.T, chain *middleware.Chain) {
	t.Helper()
	time.Sleep(24 * time.Hour)
	if err := chain.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("a day later a call is still refused: %v", err)
	}
}

func streamScope(t *testing.T, newPolicy func() middleware.Policy) {
	chain := middleware.NewChain(chainName, newPolicy())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	inner, end, err := middleware.Stream(ctx, chain, func(ctx context.Context) (context.Context, error) { return ctx, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if inner.Err() != nil {
		t.Errorf("the context of the result has ended (%v) before the result was consumed", context.Cause(inner))
	}
	end()
	end()
	if inner.Done() != ctx.Done() && inner.Err() == nil {
		t.Error("the context that the policy derived is not released at the end of the result")
	}
}

func everyResult(t *testing.T, newPolicy func() middleware.Policy) {
	for failures := range 3 {
		chain := middleware.NewChain(chainName, newPolicy())
		var made, discarded atomic.Int64
		open := make(map[int64]bool)
		var mu sync.Mutex
		failed := errors.New("failed")
		value, end, err := middleware.Stream(t.Context(), chain, func(context.Context) (int64, error) {
			n := made.Add(1)
			mu.Lock()
			open[n] = true
			mu.Unlock()
			if n <= int64(failures) {
				return n, middleware.Judged(failed, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "failed"})
			}
			return n, nil
		}, func(n int64) {
			mu.Lock()
			defer mu.Unlock()
			if !open[n] {
				t.Errorf("result %d was discarded twice, or never made", n)
			}
			delete(open, n)
			discarded.Add(1)
		})
		synctest.Wait() // for runs that have lost
		check(t, err, failed)
		if err == nil && value == 0 {
			t.Errorf("after %d failures: success without a result", failures)
		}
		delivered := int64(0)
		if value != 0 {
			delivered = 1
		}
		if open[value] != (delivered == 1) || made.Load() != discarded.Load()+delivered {
			t.Errorf("after %d failures: of %d results %d were discarded and %d delivered", failures, made.Load(), discarded.Load(), delivered)
		}
		end()
	}
}

func concurrentUse(t *testing.T, newPolicy func() middleware.Policy) {
	policy := newPolicy()
	failed := errors.New("failed")
	var wg sync.WaitGroup
	for i := range 50 {
		chain := middleware.NewChain(chainName, policy)
		wg.Go(func() {
			for n := range 20 {
				want := fmt.Sprintf("%d/%d", i, n)
				got, err := middleware.Call(t.Context(), chain, func(context.Context) (string, error) {
					if n%5 == 0 {
						return "", failed
					}
					return want, nil
				})
				if err == nil && got != want {
					t.Errorf("got the result %q of another call, want %q", got, want)
				}
				check(t, err, failed)
			}
		})
	}
	wg.Wait()
}

// check fails the test unless err is nil, one of the allowed errors or a
// well-formed rejection.
func check(t *testing.T, err error, allowed ...error) {
	t.Helper()
	if err == nil {
		return
	}
	if middleware.Unjudged(err) != err {
		t.Errorf("the caller sees the annotation of an error: %v", err)
	}
	if r, ok := errors.AsType[*middleware.Rejection](err); ok {
		switch {
		case r.Chain != chainName || r.Policy == "" || r.Reason == nil:
			t.Errorf("a rejection must name chain, policy and reason; got %+v: use Next.Reject", r)
		case r.Timeout() && !errors.Is(r, context.DeadlineExceeded):
			t.Errorf("a timeout that is not context.DeadlineExceeded: %v", r)
		}
		return
	}
	for _, a := range allowed {
		if errors.Is(err, a) {
			return
		}
	}
	t.Errorf("got an error that neither the operation returned nor is a *middleware.Rejection: %v (%T)", err, err)
}
