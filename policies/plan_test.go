package policies_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// What policies plan follows from their settings, defaults included.
func TestPlan(t *testing.T) {
	off := policies.NewBudget(policies.BudgetConfig{Ratio: -1})
	budget := policies.NewBudget(policies.BudgetConfig{Ratio: 0.5, MinPerSecond: -1})
	seconds := func(s ...int) (sum time.Duration) {
		for _, n := range s {
			sum += time.Duration(n) * time.Second
		}
		return sum
	}
	for _, row := range []struct {
		name   string
		policy middleware.Planner
		want   middleware.Plan
	}{
		{"timeout", policies.NewTimeout(policies.TimeoutConfig{Name: "a"}), middleware.Plan{Type: "timeout", Name: "a", Limit: policies.DefaultTimeout}},
		{"timeout of each read", policies.NewTimeout(policies.TimeoutConfig{Scope: policies.EachRead, Limit: 1}), middleware.Plan{Type: "timeout", Name: "timeout", Limit: 1, EachRead: true}},
		{"timeout until the end", policies.NewTimeout(policies.TimeoutConfig{Scope: policies.UntilEnd, Limit: 1}), middleware.Plan{Type: "timeout", Name: "timeout", Limit: 1, UntilEnd: true}},
		{"retry", policies.NewRetry(policies.RetryConfig{Budget: budget}), middleware.Plan{
			Type: "retry", Name: "retry", Attempts: 3, NestedAttempts: 1,
			Backoff: 450 * time.Millisecond, LongestBackoff: 2*time.Minute + 225*time.Millisecond,
			Budget: &middleware.BudgetPlan{ID: budget, Ratio: 0.5}}},
		{"retry without a budget and jitter, and with a cap", policies.NewRetry(policies.RetryConfig{
			Attempts: 6, Delay: time.Second, MaxDelay: 5 * time.Second, Jitter: -1, MaxAfter: 3 * time.Second, Budget: off}), middleware.Plan{
			Type: "retry", Name: "retry", Attempts: 6, NestedAttempts: 1, Backoff: seconds(1, 2, 4, 5, 5), LongestBackoff: seconds(3, 3, 4, 5, 5)}},
		{"retry with a cap below the jitter", policies.NewRetry(policies.RetryConfig{
			Attempts: 3, Delay: 4 * time.Second, MaxDelay: 5 * time.Second, Jitter: 0.5, MaxAfter: time.Second, Budget: off}), middleware.Plan{
			Type: "retry", Name: "retry", Attempts: 3, NestedAttempts: 1, Backoff: seconds(5, 5), LongestBackoff: seconds(5, 5)}},
		{"retry without end", policies.NewRetry(policies.RetryConfig{Attempts: math.MaxInt32, Delay: 1000 * time.Hour, Multiplier: 1.0000001, MaxAfter: math.MaxInt64, Budget: off}), middleware.Plan{
			Type: "retry", Name: "retry", Attempts: math.MaxInt32, NestedAttempts: 1, Backoff: middleware.Unbounded, LongestBackoff: middleware.Unbounded}},
		{"retry that does not repeat", policies.NewRetry(policies.RetryConfig{Attempts: 1, Budget: off}), middleware.Plan{
			Type: "retry", Name: "retry", Attempts: 1, NestedAttempts: 1}},
		{"hedge", policies.NewHedge(policies.HedgeConfig{Delay: time.Second, MaxHedges: 2, Budget: budget}), middleware.Plan{
			Type: "hedge", Name: "hedge", Hedges: 2, HedgeDelay: time.Second, Budget: &middleware.BudgetPlan{ID: budget, Ratio: 0.5}}},
		{"hedge by a quantile", policies.NewHedge(policies.HedgeConfig{Budget: off}), middleware.Plan{Type: "hedge", Name: "hedge", Hedges: 1}},
		{"hedge of any call", policies.NewHedge(policies.HedgeConfig{When: always, Budget: off}), middleware.Plan{Type: "hedge", Name: "hedge", Hedges: 1, AnyCall: true}},
		{"nested retry", policies.NewRetry(policies.RetryConfig{Attempts: 4, NestedAttempts: 2, Jitter: -1, MaxAfter: 1, Budget: off}), middleware.Plan{
			Type: "retry", Name: "retry", Attempts: 4, NestedAttempts: 2, Backoff: 700 * time.Millisecond, LongestBackoff: 700 * time.Millisecond}},
		{"timeout that observes", policies.NewTimeout(policies.TimeoutConfig{ObserveOnly: true}), middleware.Plan{Type: "timeout", Name: "timeout", Limit: policies.DefaultTimeout, Observes: true}},
		{"rate limit that observes", policies.NewRateLimit(policies.RateLimitConfig{Rate: 2, MaxWait: time.Second, ObserveOnly: true}), middleware.Plan{
			Type: "rate_limit", Name: "rate_limit", Rate: 2, Burst: 2, Wait: time.Second, Observes: true}},
		{"bulkhead that observes", policies.NewBulkhead(policies.BulkheadConfig{MaxQueue: 1, ObserveOnly: true}), middleware.Plan{
			Type: "bulkhead", Name: "bulkhead", Places: 25, Wait: time.Second, Observes: true}},
		{"bulkhead with a lease", policies.NewBulkhead(policies.BulkheadConfig{Lease: time.Minute}), middleware.Plan{
			Type: "bulkhead", Name: "bulkhead", Places: 25, Lease: time.Minute}},
		{"adaptive limit with all", policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, Max: 30, SlowCall: time.Second, MaxQueue: 2, MaxWait: time.Minute}), middleware.Plan{
			Type: "adaptive_limit", Name: "adaptive_limit", Places: 30, SlowCall: time.Second, Wait: time.Minute}},
		{"throttle that observes", policies.NewThrottle(policies.ThrottleConfig{ObserveOnly: true}), middleware.Plan{Type: "throttle", Name: "throttle", Sheds: true, Observes: true}},
		{"deadline that observes", policies.NewDeadline(policies.DeadlineConfig{ObserveOnly: true}), middleware.Plan{Type: "deadline", Name: "deadline", Foresees: true, Observes: true}},
		{"chaos that delays", policies.NewChaos(policies.ChaosConfig{Enabled: true, LatencyRate: 0.1, Latency: time.Second}), middleware.Plan{
			Type: "chaos", Name: "chaos", Disturbs: true, Wait: time.Second}},
		{"chaos that hangs", policies.NewChaos(policies.ChaosConfig{Enabled: true, HangRate: 0.1}), middleware.Plan{
			Type: "chaos", Name: "chaos", Disturbs: true, Wait: middleware.Unbounded}},
		{"rate limit", policies.NewRateLimit(policies.RateLimitConfig{Rate: 2.5, MaxWait: time.Second}), middleware.Plan{
			Type: "rate_limit", Name: "rate_limit", Rate: 2.5, Burst: 3, Wait: time.Second}},
		{"bulkhead", policies.NewBulkhead(policies.BulkheadConfig{}), middleware.Plan{Type: "bulkhead", Name: "bulkhead", Places: 25}},
		{"bulkhead with a queue", policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 1}), middleware.Plan{
			Type: "bulkhead", Name: "bulkhead", Places: 2, Wait: time.Second}},
		{"adaptive limit", policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{}), middleware.Plan{Type: "adaptive_limit", Name: "adaptive_limit", Places: 200}},
		{"breaker", policies.NewBreaker(policies.BreakerConfig{}), middleware.Plan{Type: "breaker", Name: "breaker", Judges: true}},
		{"breaker by rates", policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, SlowCall: time.Second, MinCalls: 7}), middleware.Plan{
			Type: "breaker", Name: "breaker", Judges: true, MinCalls: 7, Window: policies.DefaultWindow, SlowCall: time.Second}},
		{"breaker by both", policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, FailureThreshold: 4, MinCalls: 7, ObserveOnly: true}), middleware.Plan{
			Type: "breaker", Name: "breaker", Judges: true, MinCalls: 4, Window: policies.DefaultWindow, Observes: true}},
		{"throttle", policies.NewThrottle(policies.ThrottleConfig{}), middleware.Plan{Type: "throttle", Name: "throttle", Sheds: true}},
		{"deadline", policies.NewDeadline(policies.DeadlineConfig{}), middleware.Plan{Type: "deadline", Name: "deadline", Foresees: true}},
		{"fallback", policies.NewFallback(policies.FallbackConfig{}), middleware.Plan{Type: "fallback", Name: "fallback", Replaces: true}},
		{"chaos", policies.NewChaos(policies.ChaosConfig{Enabled: true}), middleware.Plan{Type: "chaos", Name: "chaos", Disturbs: true}},
		{"keyed", perKey(policies.KeyedConfig{}, policies.BreakerConfig{}), middleware.Plan{Type: "keyed", Name: "keyed", PerKey: true, Unknown: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := row.policy.Plan()
			if got.Memory < 16 {
				t.Errorf("it takes %d bytes", got.Memory)
			}
			for r := range row.policy.(middleware.Reporter).Reports {
				if !slices.Equal(r.Settings, got.Settings) {
					t.Errorf("the settings are %v, not those of the report, which are %v", got.Settings, r.Settings)
				}
				break
			}
			got.Memory, got.Settings = 0, nil
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
		})
	}
}

// A Keyed plans what its first key does, without making one.
func TestPlanOfAKeyed(t *testing.T) {
	made := 0
	keyed := policies.NewKeyed(policies.KeyedConfig{Max: 10}, func(key string) *middleware.Chain {
		made++
		return middleware.NewChain(key,
			policies.NewRetry(policies.RetryConfig{Attempts: 2 + len(key)}), policies.NewBreaker(policies.BreakerConfig{Key: key}))
	})
	chain := middleware.NewChain("x", keyed)
	if e := chain.Explain(); e.Runs != 1 || !slices.Equal(e.Unknown, []string{"keyed"}) || made != 0 {
		t.Errorf("without a key there are %d runs, unknown are %q, %d were made", e.Runs, e.Unknown, made)
	}
	for _, key := range []string{"bbb", "aa"} {
		_ = chain.Do(to(t, key), succeed)
	}
	e := chain.Explain()
	if e.Runs != 4 || e.Unknown != nil || len(e.Policies) != 3 || !e.Policies[1].PerKey || made != 2 {
		t.Errorf("with keys there are %d runs, unknown are %q, %d were made:\n%s", e.Runs, e.Unknown, made, e)
	}
	one := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{}), policies.NewBreaker(policies.BreakerConfig{})).Explain().Memory
	if e.Memory < 10*one || e.Memory > 20*one {
		t.Errorf("ten keys take %d bytes, one takes %d", e.Memory, one)
	}
}

// Before there is a key, a Keyed plans what its sample does, which gets no call.
func TestPlanOfASample(t *testing.T) {
	keyed := perKey(policies.KeyedConfig{Max: 10}, policies.BreakerConfig{})
	sample := policies.NewRetry(policies.RetryConfig{Attempts: 5})
	keyed.PlanAs(sample)
	chain := middleware.NewChain("x", keyed)
	if e := chain.Explain(); e.Runs != 5 || e.Unknown != nil || len(e.Policies) != 2 || !e.Policies[1].PerKey {
		t.Errorf("with a sample there are %d runs, unknown are %q:\n%s", e.Runs, e.Unknown, e)
	}
	_ = chain.Do(to(t, "a"), succeed)
	if e := chain.Explain(); e.Runs != 1 || e.Policies[1].Type != "breaker" || sample.Budget().Status().Calls != 0 {
		t.Errorf("with a key there are %d runs:\n%s", e.Runs, e)
	}
	keyed = perKey(policies.KeyedConfig{}, policies.BreakerConfig{})
	keyed.PlanAs(sample)
	keyed.PlanAs(nil)
	if !keyed.Plan().Unknown {
		t.Error("a sample that has been taken back is known")
	}
}

// Plans may be asked for while calls run and settings change.
func TestPlanWhileCallsRun(t *testing.T) {
	chain := middleware.NewChain("x",
		policies.NewTimeout(policies.TimeoutConfig{}), policies.NewRetry(policies.RetryConfig{Delay: time.Microsecond}),
		policies.NewHedge(policies.HedgeConfig{MinCalls: 1, When: always}), perKey(policies.KeyedConfig{}, policies.BreakerConfig{}),
		policies.NewRateLimit(policies.RateLimitConfig{}), policies.NewBulkhead(policies.BulkheadConfig{}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			_ = chain.Do(to(t, fmt.Sprint(i%7)), func(context.Context) error {
				if i%3 == 0 {
					return errBroken
				}
				return nil
			})
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if e := chain.Explain(); e.Latency != policies.DefaultTimeout {
			t.Fatalf("got\n%s", e)
		}
	}
}
