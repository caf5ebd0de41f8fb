package policies_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A limit that only observes ends nothing, and says once what it would have ended.
func TestATimeoutThatObservesEndsNothing(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name  string
		op    time.Duration
		reads []time.Duration  // with pauses of a minute between them
		idle  time.Duration    // before the end of the result
		want  [3]time.Duration // when it is told, for each scope; -1: never
	}{
		{"quick", s, nil, 0, [3]time.Duration{-1, -1, -1}},
		{"as long as the limit", 2 * s, nil, 0, [3]time.Duration{2 * s, 2 * s, 2 * s}},
		{"longer", 5 * s, nil, 0, [3]time.Duration{5 * s, 5 * s, 5 * s}},
		{"a result that goes on", s, nil, 3 * s, [3]time.Duration{-1, -1, 4 * s}},
		{"a slow read", s, []time.Duration{s, 3 * s, 4 * s}, 0, [3]time.Duration{-1, 65 * s, 189 * s}},
		{"quick reads", s, []time.Duration{s, s, s}, 0, [3]time.Duration{-1, -1, 184 * s}},
		{"a slow result and slow reads", 3 * s, []time.Duration{3 * s, 4 * s}, 0, [3]time.Duration{3 * s, 3 * s, 130 * s}},
	} {
		for scope, want := range row.want {
			t.Run(row.name+"/"+policies.TimeoutScope(scope).String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					begin := time.Now()
					told := time.Duration(-1)
					note := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
						if e.Kind != middleware.WouldReject || e.Reason != "timeout" || e.Wait != 2*s || e.Policy != "timeout" || told >= 0 {
							t.Errorf("event %+v", e)
						}
						told = time.Since(begin)
					})
					timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * s, Scope: policies.TimeoutScope(scope), ObserveOnly: true})
					inner, end, err := middleware.Stream(t.Context(), middleware.NewChain("x", note, timeout), func(ctx context.Context) (context.Context, error) {
						time.Sleep(row.op)
						return ctx, ctx.Err()
					}, func(context.Context) { t.Error("discarded") })
					if _, limited := inner.Deadline(); err != nil || limited {
						t.Errorf("got %v, a deadline: %t", err, limited)
					}
					reads := middleware.ReadsOf(inner)
					for _, d := range row.reads {
						if reads != nil {
							reads(true)
						}
						time.Sleep(d)
						if reads != nil {
							reads(false)
						}
						time.Sleep(time.Minute)
					}
					time.Sleep(row.idle)
					if inner.Err() != nil {
						t.Errorf("the context ended: %v", inner.Err())
					}
					end()
					if told != want {
						t.Errorf("told after %v, want %v", told, want)
					}
				})
			})
		}
	}
}

// A failure after the limit is the operation's own, and a call that panics says nothing.
func TestATimeoutThatObservesChangesNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		chain := middleware.NewChain("x", &seen, policies.NewRetry(policies.RetryConfig{Attempts: 2}),
			policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: time.Second, ObserveOnly: true}))
		err := chain.Do(t.Context(), func(context.Context) error { time.Sleep(time.Minute); return errBroken })
		if err != errBroken {
			t.Errorf("got %v", err)
		}
		var attempts []int
		for _, e := range seen.of(middleware.WouldReject) {
			attempts = append(attempts, e.Attempt)
		}
		if want := []int{1, 2}; !slices.Equal(attempts, want) || len(seen.of(middleware.TimedOut)) != 0 {
			t.Errorf("told of the attempts %v, want %v", attempts, want)
		}
	})
}

// Calls in flight go on with the limit that they began with.
func TestATimeoutInFlightGoesOnAsItBegan(t *testing.T) {
	for _, row := range []struct {
		name         string
		before       policies.TimeoutConfig
		after        policies.TimeoutConfig
		flight, next time.Duration // how long a call of ten seconds lasts
	}{
		{"shorter", policies.TimeoutConfig{Limit: 5 * time.Second}, policies.TimeoutConfig{Limit: time.Second}, 5 * time.Second, time.Second},
		{"longer", policies.TimeoutConfig{Limit: 5 * time.Second}, policies.TimeoutConfig{Limit: time.Minute}, 5 * time.Second, 10 * time.Second},
		{"observed", policies.TimeoutConfig{Limit: 5 * time.Second}, policies.TimeoutConfig{Limit: 5 * time.Second, ObserveOnly: true}, 5 * time.Second, 10 * time.Second},
		{"enforced", policies.TimeoutConfig{Limit: 5 * time.Second, ObserveOnly: true}, policies.TimeoutConfig{Limit: 5 * time.Second}, 10 * time.Second, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			timeout := policies.NewTimeout(row.before)
			chain := middleware.NewChain("x", timeout)
			op := func(ctx context.Context) error {
				select {
				case <-time.After(10 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			time.AfterFunc(500*ms, func() {
				if err := timeout.Apply(row.after); err != nil {
					t.Error(err)
				}
			})
			for i, want := range []time.Duration{row.flight, row.next} {
				begin := time.Now()
				_ = chain.Do(t.Context(), op)
				if d := time.Since(begin); d != want {
					t.Errorf("%s: call %d took %v, want %v", row.name, i, d, want)
				}
			}
			if timeout.Limit() != row.after.Limit || timeout.Scope() != row.after.Scope {
				t.Errorf("%s: %v, %v", row.name, timeout.Limit(), timeout.Scope())
			}
		})
	}
}
