package policies_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPoliciesConform(t *testing.T) {
	for name, newPolicy := range map[string]func() middleware.Policy{
		"timeout":            func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{}) },
		"timeout of streams": func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{Scope: policies.UntilEnd}) },
		"retry":              func() middleware.Policy { return policies.NewRetry(policies.RetryConfig{}) },
		"breaker":            func() middleware.Policy { return policies.NewBreaker(policies.BreakerConfig{}) },
		"rate limit":         func() middleware.Policy { return policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 3}) },
		"rate limit that waits": func() middleware.Policy {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 3, MaxWait: time.Second})
		},
		"rate limit that pauses": func() middleware.Policy {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 3, MaxPause: time.Second})
		},
		"rate limit that adapts": func() middleware.Policy {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 3, MinRate: 1})
		},
		"rate limit that observes": func() middleware.Policy {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, Burst: 3, ObserveOnly: true})
		},
		"timeout that observes": func() middleware.Policy {
			return policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second, ObserveOnly: true})
		},
		"timeout that observes streams": func() middleware.Policy {
			return policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second, Scope: policies.UntilEnd, ObserveOnly: true})
		},
		"timeout that observes reads": func() middleware.Policy {
			return policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second, Scope: policies.EachRead, ObserveOnly: true})
		},
		"chaos": func() middleware.Policy { return policies.NewChaos(policies.ChaosConfig{Enabled: true}) },
		"chaos that delays": func() middleware.Policy {
			return policies.NewChaos(policies.ChaosConfig{Enabled: true, LatencyRate: 1, Latency: time.Second})
		},
		"chaos that cuts late": func() middleware.Policy {
			return policies.NewChaos(policies.ChaosConfig{Enabled: true, CutRate: 1, CutAfter: 48 * time.Hour})
		},
		"bulkhead": func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2})
		},
		"bulkhead that waits": func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 3})
		},
		"bulkhead until the result": func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 3, UntilResult: true})
		},
		"bulkhead, last come, first served": func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 3, Order: policies.LIFO})
		},
		"bulkhead with leases": func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 3, Lease: time.Hour})
		},
		"bulkhead that observes": func() middleware.Policy {
			return policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, ObserveOnly: true})
		},
		"adaptive limit": func() middleware.Policy {
			return policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Initial: 2, MinCalls: 1})
		},
		"adaptive limit that waits": func() middleware.Policy {
			return policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Algorithm: policies.Vegas, Initial: 1, MaxQueue: 3, UntilResult: true})
		},
		"keyed": func() middleware.Policy {
			return policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.Bulkhead { return policies.NewBulkhead(policies.BulkheadConfig{}) })
		},
		"hedge": func() middleware.Policy {
			return policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always})
		},
		"hedge by quantile": func() middleware.Policy { return policies.NewHedge(policies.HedgeConfig{MinCalls: 1, When: always}) },
		"all of them": func() middleware.Policy {
			return middleware.NewChain("",
				policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute}),
				policies.NewRetry(policies.RetryConfig{}),
				policies.NewHedge(policies.HedgeConfig{Delay: time.Second, When: always}),
				policies.NewBreaker(policies.BreakerConfig{}),
				policies.NewRateLimit(policies.RateLimitConfig{}),
				policies.NewBulkhead(policies.BulkheadConfig{}),
				policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{}),
				policies.NewTimeout(policies.TimeoutConfig{Name: "attempt"}),
			)
		},
	} {
		t.Run(name, func(t *testing.T) { middlewaretest.TestPolicy(t, newPolicy) })
	}
}

// A recorder keeps the events of a chain.
type recorder struct {
	mu     sync.Mutex
	events []middleware.Event
}

func (r *recorder) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (r *recorder) Observe(_ context.Context, e middleware.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// of returns the events of one kind.
func (r *recorder) of(kind middleware.Kind) []middleware.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []middleware.Event
	for _, e := range r.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

var errBroken = errors.New("broken")

func fail(context.Context) error    { return errBroken }
func succeed(context.Context) error { return nil }

// rejection returns the *Rejection in err, or fails the test.
func rejection(t *testing.T, err error) *middleware.Rejection {
	t.Helper()
	var r *middleware.Rejection
	if !errors.As(err, &r) {
		t.Fatalf("got %v (%T), want a rejection", err, err)
	}
	return r
}

func TestValidateNamesTheSetting(t *testing.T) {
	type config interface{ Validate() error }
	for _, row := range []struct {
		name   string
		config config
		want   string // empty: valid
	}{
		{"zero timeout", policies.TimeoutConfig{}, ""},
		{"zero retry", policies.RetryConfig{}, ""},
		{"zero rate limit", policies.RateLimitConfig{}, ""},
		{"zero breaker", policies.BreakerConfig{}, ""},
		{"no jitter", policies.RetryConfig{Jitter: -1}, ""},
		{"recovery time alone", policies.BreakerConfig{RecoveryTime: time.Hour}, ""},
		{"timeout alone", policies.BreakerConfig{Timeout: time.Hour}, ""},
		{"timeout", policies.TimeoutConfig{Limit: -time.Second},
			"policies: TimeoutConfig.Limit is -1s: it must be a positive duration, or 0 for the default"},
		{"attempts", policies.RetryConfig{Attempts: -1},
			"policies: RetryConfig.Attempts is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"multiplier", policies.RetryConfig{Multiplier: 0.5},
			"policies: RetryConfig.Multiplier is 0.5: it must be 1 or more, or 0 for the default"},
		{"multiplier that is no number", policies.RetryConfig{Multiplier: math.NaN()},
			"policies: RetryConfig.Multiplier is NaN: it must be 1 or more, or 0 for the default"},
		{"jitter", policies.RetryConfig{Jitter: 1.5},
			"policies: RetryConfig.Jitter is 1.5: it must be between 0 and 1, or negative for none"},
		{"a long delay alone", policies.RetryConfig{Delay: time.Minute}, ""},
		{"a short cap alone", policies.RetryConfig{MaxDelay: time.Millisecond}, ""},
		{"delay above its cap", policies.RetryConfig{Delay: time.Minute, MaxDelay: time.Second},
			"policies: RetryConfig.MaxDelay is 1s: it must be at least Delay, which is 1m0s"},
		{"rate", policies.RateLimitConfig{Rate: -1},
			"policies: RateLimitConfig.Rate is -1: it must be above 0 and at most 2147483647, or 0 for the default"},
		{"burst", policies.RateLimitConfig{Burst: -1},
			"policies: RateLimitConfig.Burst is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"max wait", policies.RateLimitConfig{MaxWait: -1},
			"policies: RateLimitConfig.MaxWait is -1ns: it must be 0 (reject at once) or a positive duration"},
		{"max pause", policies.RateLimitConfig{MaxPause: -1},
			"policies: RateLimitConfig.MaxPause is -1ns: it must be 0 (no pause) or a positive duration"},
		{"a rate that adapts", policies.RateLimitConfig{MinRate: 100, Decrease: 0.999, Recovery: 1}, ""},
		{"a least rate above the rate", policies.RateLimitConfig{Rate: 2, MinRate: 3},
			"policies: RateLimitConfig.MinRate is 3: it must be at most Rate, which is 2"},
		{"a least rate above the default", policies.RateLimitConfig{MinRate: 101},
			"policies: RateLimitConfig.MinRate is 101: it must be at most Rate, which is 100"},
		{"a least rate that is no number", policies.RateLimitConfig{MinRate: math.NaN()},
			"policies: RateLimitConfig.MinRate is NaN: it must be above 0, or 0 for a rate that stays"},
		{"negative least rate, no decrease", policies.RateLimitConfig{MinRate: -1, Decrease: 1, Recovery: -1},
			"policies: RateLimitConfig.MinRate is -1: it must be above 0, or 0 for a rate that stays\n" +
				"policies: RateLimitConfig.Decrease is 1: it must be above 0 and below 1, or 0 for the default\n" +
				"policies: RateLimitConfig.Recovery is -1ns: it must be a positive duration, or 0 for the default"},
		{"what an adaptive rate needs, without one", policies.RateLimitConfig{Decrease: 0.5, Recovery: time.Second},
			"policies: RateLimitConfig.Decrease is 0.5: it must be 0 without MinRate\n" +
				"policies: RateLimitConfig.Recovery is 1s: it must be 0 without MinRate"},
		{"nested attempts", policies.RetryConfig{NestedAttempts: 3}, ""},
		{"negative nested attempts", policies.RetryConfig{NestedAttempts: -1},
			"policies: RetryConfig.NestedAttempts is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"more nested attempts than attempts", policies.RetryConfig{Attempts: 1, NestedAttempts: 2},
			"policies: RetryConfig.NestedAttempts is 2: it must be at most Attempts, which is 1"},
		{"more nested attempts than the default", policies.RetryConfig{NestedAttempts: 4},
			"policies: RetryConfig.NestedAttempts is 4: it must be at most Attempts, which is 3"},
		{"a chaos", policies.ChaosConfig{Enabled: true}, ""},
		{"a chaos that spares nobody", policies.ChaosConfig{
			Enabled: true, LatencyRate: 1, Latency: 1, ErrorRate: 0.7, HangRate: 0.2, CutRate: 0.1, For: time.Hour,
		}, ""},
		{"a chaos that nobody meant", policies.ChaosConfig{},
			"policies: ChaosConfig.Enabled is false: it must be true, since a Chaos disturbs calls on purpose; where that is not meant, leave it out"},
		{"rates of a chaos", policies.ChaosConfig{Enabled: true, LatencyRate: -1, ErrorRate: 1.5, OutcomeRate: math.NaN(), HangRate: -0.1, CutRate: math.Inf(1)},
			"policies: ChaosConfig.LatencyRate is -1: it must be between 0 and 1\n" +
				"policies: ChaosConfig.ErrorRate is 1.5: it must be between 0 and 1\n" +
				"policies: ChaosConfig.OutcomeRate is NaN: it must be between 0 and 1\n" +
				"policies: ChaosConfig.HangRate is -0.1: it must be between 0 and 1\n" +
				"policies: ChaosConfig.CutRate is +Inf: it must be between 0 and 1"},
		{"more than all calls", policies.ChaosConfig{Enabled: true, ErrorRate: 0.5, HangRate: 0.6},
			"policies: ChaosConfig.ErrorRate is 0.5: it must be at most 1 together with OutcomeRate, HangRate and CutRate"},
		{"a chaos without what it is about", policies.ChaosConfig{Enabled: true, LatencyRate: 1, OutcomeRate: 1},
			"policies: ChaosConfig.Latency is 0s: it must be a positive duration with LatencyRate\n" +
				"policies: ChaosConfig.Outcome is nil: it must be set with OutcomeRate"},
		{"negative times of a chaos", policies.ChaosConfig{Enabled: true, For: -1, Latency: -2, CutAfter: -3},
			"policies: ChaosConfig.For is -1ns: it must be a positive duration, or 0 for until Disarm\n" +
				"policies: ChaosConfig.Latency is -2ns: it must be a positive duration\n" +
				"policies: ChaosConfig.CutAfter is -3ns: it must be 0 (at once) or a positive duration"},
		{"zero bulkhead", policies.BulkheadConfig{}, ""},
		{"a queue alone", policies.BulkheadConfig{MaxQueue: math.MaxInt32}, ""},
		{"a bulkhead", policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 1, MaxWait: 1, UntilResult: true}, ""},
		{"negative places", policies.BulkheadConfig{MaxConcurrent: -1},
			"policies: BulkheadConfig.MaxConcurrent is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"negative queue", policies.BulkheadConfig{MaxQueue: -1},
			"policies: BulkheadConfig.MaxQueue is -1: it must be between 1 and 2147483647, or 0 for none"},
		{"negative wait in a queue", policies.BulkheadConfig{MaxQueue: 1, MaxWait: -1},
			"policies: BulkheadConfig.MaxWait is -1ns: it must be a positive duration, or 0 for the default"},
		{"a wait without a queue", policies.BulkheadConfig{MaxWait: time.Second},
			"policies: BulkheadConfig.MaxWait is 1s: it must be 0 without MaxQueue"},
		{"a bulkhead with everything", policies.BulkheadConfig{MaxQueue: 1, Order: policies.LIFO, Lease: 1, ObserveOnly: true}, ""},
		{"order of a queue", policies.BulkheadConfig{Order: 2},
			"policies: BulkheadConfig.Order is 2: it must be FIFO or LIFO"},
		{"negative lease of a place", policies.BulkheadConfig{Lease: -1},
			"policies: BulkheadConfig.Lease is -1ns: it must be a positive duration, or 0 for ever"},
		{"zero adaptive limit", policies.AdaptiveLimitConfig{}, ""},
		{"a gradient with everything", policies.AdaptiveLimitConfig{
			Initial: 5, Min: 5, Max: 5, Window: 1, MinCalls: 1, Tolerance: 1, Decrease: 0.1, MaxQueue: 1, MaxWait: 1, Order: policies.LIFO}, ""},
		{"an aimd that knows slow calls", policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, SlowCall: 1}, ""},
		{"a large minimum alone", policies.AdaptiveLimitConfig{Min: 1000}, ""},
		{"a large beginning alone", policies.AdaptiveLimitConfig{Initial: 1000}, ""},
		{"a small maximum alone", policies.AdaptiveLimitConfig{Max: 1}, ""},
		{"algorithm", policies.AdaptiveLimitConfig{Algorithm: 3},
			"policies: AdaptiveLimitConfig.Algorithm is 3: it must be Gradient, Vegas or AIMD"},
		{"negative limits", policies.AdaptiveLimitConfig{Initial: -1, Min: -2, Max: -3, MinCalls: -4, Window: -5},
			"policies: AdaptiveLimitConfig.Initial is -1: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: AdaptiveLimitConfig.Min is -2: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: AdaptiveLimitConfig.Max is -3: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: AdaptiveLimitConfig.Window is -5ns: it must be a positive duration, or 0 for the default\n" +
				"policies: AdaptiveLimitConfig.MinCalls is -4: it must be between 1 and 2147483647, or 0 for the default"},
		{"a maximum below the minimum", policies.AdaptiveLimitConfig{Initial: 7, Min: 5, Max: 4},
			"policies: AdaptiveLimitConfig.Max is 4: it must be at least Min, which is 5"},
		{"a beginning above the maximum", policies.AdaptiveLimitConfig{Initial: 7, Max: 4},
			"policies: AdaptiveLimitConfig.Initial is 7: it must be between Min and Max, which are 1 and 4"},
		{"a beginning below the minimum", policies.AdaptiveLimitConfig{Initial: 7, Min: 8},
			"policies: AdaptiveLimitConfig.Initial is 7: it must be between Min and Max, which are 8 and 200"},
		{"tolerance", policies.AdaptiveLimitConfig{Tolerance: 0.9},
			"policies: AdaptiveLimitConfig.Tolerance is 0.9: it must be 1 or more, or 0 for the default"},
		{"infinite tolerance", policies.AdaptiveLimitConfig{Tolerance: math.Inf(1)},
			"policies: AdaptiveLimitConfig.Tolerance is +Inf: it must be 1 or more, or 0 for the default"},
		{"tolerance that is no number", policies.AdaptiveLimitConfig{Tolerance: math.NaN()},
			"policies: AdaptiveLimitConfig.Tolerance is NaN: it must be 1 or more, or 0 for the default"},
		{"tolerance of what has none", policies.AdaptiveLimitConfig{Algorithm: policies.Vegas, Tolerance: 2},
			"policies: AdaptiveLimitConfig.Tolerance is 2: it must be 0 without Gradient"},
		{"slow calls of what does not count them", policies.AdaptiveLimitConfig{SlowCall: 1},
			"policies: AdaptiveLimitConfig.SlowCall is 1ns: it must be 0 without AIMD"},
		{"negative slow call of an aimd", policies.AdaptiveLimitConfig{Algorithm: policies.AIMD, SlowCall: -1},
			"policies: AdaptiveLimitConfig.SlowCall is -1ns: it must be a positive duration, or 0 for none"},
		{"decrease", policies.AdaptiveLimitConfig{Decrease: 1},
			"policies: AdaptiveLimitConfig.Decrease is 1: it must be above 0 and below 1, or 0 for the default"},
		{"decrease that is no number", policies.AdaptiveLimitConfig{Decrease: math.NaN()},
			"policies: AdaptiveLimitConfig.Decrease is NaN: it must be above 0 and below 1, or 0 for the default"},
		{"the queue of a limit", policies.AdaptiveLimitConfig{MaxQueue: -1, MaxWait: -1, Order: 2},
			"policies: AdaptiveLimitConfig.MaxQueue is -1: it must be between 1 and 2147483647, or 0 for none\n" +
				"policies: AdaptiveLimitConfig.MaxWait is -1ns: it must be a positive duration, or 0 for the default\n" +
				"policies: AdaptiveLimitConfig.Order is 2: it must be FIFO or LIFO"},
		{"a wait without the queue of a limit", policies.AdaptiveLimitConfig{MaxWait: time.Second},
			"policies: AdaptiveLimitConfig.MaxWait is 1s: it must be 0 without MaxQueue"},
		{"threshold", policies.BreakerConfig{FailureThreshold: math.MinInt},
			"policies: BreakerConfig.FailureThreshold is -9223372036854775808: it must be between 1 and 2147483647, or 0 for the default"},
		{"recovery below timeout", policies.BreakerConfig{Timeout: time.Minute, RecoveryTime: time.Second},
			"policies: BreakerConfig.RecoveryTime is 1s: it must be at least Timeout, which is 1m0s"},
		{"recovery below the default timeout", policies.BreakerConfig{RecoveryTime: time.Second}, ""},
		{"all at once", policies.BreakerConfig{FailureThreshold: -1, SuccessThreshold: -2, Timeout: -3, RecoveryTime: -4},
			"policies: BreakerConfig.FailureThreshold is -1: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: BreakerConfig.Timeout is -3ns: it must be a positive duration, or 0 for the default\n" +
				"policies: BreakerConfig.RecoveryTime is -4ns: it must be a positive duration, or 0 for the default\n" +
				"policies: BreakerConfig.SuccessThreshold is -2: it must be between 1 and 2147483647, or 0 for the default"},
		{"a rate over the default window", policies.BreakerConfig{FailureRate: 1, MinCalls: 1}, ""},
		{"a rate over calls", policies.BreakerConfig{FailureRate: 0.001, MinCalls: 100, WindowCalls: 100}, ""},
		{"slow calls", policies.BreakerConfig{SlowCall: time.Second, MinCalls: 1}, ""},
		{"many buckets alone", policies.BreakerConfig{FailureRate: 1, MinCalls: 1, Buckets: 1000}, ""},
		{"a shorter time until probes alone, below its cap", policies.BreakerConfig{RecoveryTime: time.Minute, MaxRecoveryTime: time.Minute}, ""},
		{"a longer recovery time alone, above the default cap", policies.BreakerConfig{RecoveryTime: time.Hour}, ""},
		{"one probe at a time reaches any threshold", policies.BreakerConfig{SuccessThreshold: 5, MaxProbes: 1}, ""},
		{"as many probes at a time as are needed", policies.BreakerConfig{SuccessThreshold: 3, MaxProbes: 3}, ""},
		{"a health check", policies.BreakerConfig{HealthCheck: succeed, Timeout: time.Second, RecoveryTime: 2 * time.Second}, ""},
		{"a health check and the default timeout", policies.BreakerConfig{HealthCheck: succeed, RecoveryTime: time.Minute}, ""},
		{"rate above 1", policies.BreakerConfig{FailureRate: 1.5, MinCalls: 1},
			"policies: BreakerConfig.FailureRate is 1.5: it must be above 0 and at most 1, or 0 for none"},
		{"negative rate", policies.BreakerConfig{FailureRate: -0.5},
			"policies: BreakerConfig.FailureRate is -0.5: it must be above 0 and at most 1, or 0 for none"},
		{"rate that is no number", policies.BreakerConfig{FailureRate: math.NaN()},
			"policies: BreakerConfig.FailureRate is NaN: it must be above 0 and at most 1, or 0 for none"},
		{"rate without a minimum", policies.BreakerConfig{FailureRate: 0.5},
			"policies: BreakerConfig.MinCalls is 0: it must be between 1 and 2147483647 with FailureRate or SlowCall"},
		{"slow calls without a minimum", policies.BreakerConfig{SlowCall: 1},
			"policies: BreakerConfig.MinCalls is 0: it must be between 1 and 2147483647 with FailureRate or SlowCall"},
		{"slow rate above 1 and without slow calls", policies.BreakerConfig{SlowRate: 2},
			"policies: BreakerConfig.SlowRate is 2: it must be above 0 and at most 1, or 0 for the default"},
		{"negative slow call with a minimum", policies.BreakerConfig{SlowCall: -1, MinCalls: 5},
			"policies: BreakerConfig.SlowCall is -1ns: it must be a positive duration, or 0 for none"},
		{"slow rate above 1", policies.BreakerConfig{SlowCall: 1, SlowRate: 2, MinCalls: 1},
			"policies: BreakerConfig.SlowRate is 2: it must be above 0 and at most 1, or 0 for the default"},
		{"slow rate that is no number", policies.BreakerConfig{SlowCall: 1, SlowRate: math.NaN(), MinCalls: 1},
			"policies: BreakerConfig.SlowRate is NaN: it must be above 0 and at most 1, or 0 for the default"},
		{"slow rate without slow calls", policies.BreakerConfig{SlowRate: 0.5},
			"policies: BreakerConfig.SlowRate is 0.5: it must be 0 without SlowCall"},
		{"minimum without a rate", policies.BreakerConfig{MinCalls: 5},
			"policies: BreakerConfig.MinCalls is 5: it must be 0 without FailureRate and SlowCall"},
		{"window without a rate", policies.BreakerConfig{Window: time.Second},
			"policies: BreakerConfig.Window is 1s: it must be 0 without FailureRate and SlowCall"},
		{"buckets without a rate", policies.BreakerConfig{Buckets: 5},
			"policies: BreakerConfig.Buckets is 5: it must be 0 without FailureRate and SlowCall"},
		{"window of calls without a rate", policies.BreakerConfig{WindowCalls: 5},
			"policies: BreakerConfig.WindowCalls is 5: it must be 0 without FailureRate and SlowCall"},
		{"two windows", policies.BreakerConfig{FailureRate: 1, MinCalls: 1, WindowCalls: 5, Window: time.Second},
			"policies: BreakerConfig.Window is 1s: it must be 0 with WindowCalls"},
		{"buckets of calls", policies.BreakerConfig{FailureRate: 1, MinCalls: 1, WindowCalls: 5, Buckets: 2},
			"policies: BreakerConfig.Buckets is 2: it must be 0 with WindowCalls"},
		{"a minimum that the window does not hold", policies.BreakerConfig{FailureRate: 1, MinCalls: 6, WindowCalls: 5},
			"policies: BreakerConfig.MinCalls is 6: it must be at most WindowCalls, which is 5"},
		{"too large a window", policies.BreakerConfig{FailureRate: 1, MinCalls: 6, WindowCalls: 65537},
			"policies: BreakerConfig.WindowCalls is 65537: it must be between 1 and 65536, or 0 for a window of time"},
		{"negative window of calls", policies.BreakerConfig{FailureRate: 1, MinCalls: 6, WindowCalls: -1},
			"policies: BreakerConfig.WindowCalls is -1: it must be between 1 and 65536, or 0 for a window of time"},
		{"negative window", policies.BreakerConfig{FailureRate: 1, MinCalls: 6, Window: -1},
			"policies: BreakerConfig.Window is -1ns: it must be at least 10ms, a millisecond for each bucket, or 0 for the default"},
		{"a window too short for its buckets", policies.BreakerConfig{FailureRate: 1, MinCalls: 6, Window: 999 * time.Millisecond, Buckets: 1000},
			"policies: BreakerConfig.Window is 999ms: it must be at least 1s, a millisecond for each bucket, or 0 for the default"},
		{"too many buckets", policies.BreakerConfig{FailureRate: 1, MinCalls: 6, Buckets: 1001},
			"policies: BreakerConfig.Buckets is 1001: it must be between 1 and 1000, or 0 for the default"},
		{"negative buckets", policies.BreakerConfig{FailureRate: 1, MinCalls: 6, Buckets: -1},
			"policies: BreakerConfig.Buckets is -1: it must be between 1 and 1000, or 0 for the default"},
		{"backoff below 1", policies.BreakerConfig{RecoveryBackoff: 0.5},
			"policies: BreakerConfig.RecoveryBackoff is 0.5: it must be 1 or more, or 0 for the default"},
		{"infinite backoff", policies.BreakerConfig{RecoveryBackoff: math.Inf(1)},
			"policies: BreakerConfig.RecoveryBackoff is +Inf: it must be 1 or more, or 0 for the default"},
		{"backoff that is no number", policies.BreakerConfig{RecoveryBackoff: math.NaN()},
			"policies: BreakerConfig.RecoveryBackoff is NaN: it must be 1 or more, or 0 for the default"},
		{"negative cap", policies.BreakerConfig{MaxRecoveryTime: -1},
			"policies: BreakerConfig.MaxRecoveryTime is -1ns: it must be a positive duration, or 0 for the default"},
		{"cap below the recovery time", policies.BreakerConfig{RecoveryTime: time.Minute, MaxRecoveryTime: time.Second},
			"policies: BreakerConfig.MaxRecoveryTime is 1s: it must be at least RecoveryTime, which is 1m0s"},
		{"cap below the timeout", policies.BreakerConfig{Timeout: time.Minute, MaxRecoveryTime: time.Second},
			"policies: BreakerConfig.MaxRecoveryTime is 1s: it must be at least RecoveryTime, which is 1m0s"},
		{"cap below the default timeout", policies.BreakerConfig{MaxRecoveryTime: time.Second},
			"policies: BreakerConfig.MaxRecoveryTime is 1s: it must be at least RecoveryTime, which is 30s"},
		{"a health check alone", policies.BreakerConfig{HealthCheck: succeed}, ""},
		{"a health check and a timeout", policies.BreakerConfig{HealthCheck: succeed, Timeout: math.MaxInt64 / 2}, ""},
		{"health check without time for it", policies.BreakerConfig{HealthCheck: succeed, Timeout: 30 * time.Second, RecoveryTime: 30 * time.Second},
			"policies: BreakerConfig.RecoveryTime is 30s: it must be longer than Timeout, which is 30s, to leave time for HealthCheck"},
		{"health check and a recovery time alone", policies.BreakerConfig{HealthCheck: succeed, RecoveryTime: time.Second},
			"policies: BreakerConfig.RecoveryTime is 1s: it must be longer than Timeout, which is 1s, to leave time for HealthCheck"},
		{"negative health interval", policies.BreakerConfig{HealthInterval: -1},
			"policies: BreakerConfig.HealthInterval is -1ns: it must be a positive duration, or 0 for the default"},
		{"negative probes", policies.BreakerConfig{MaxProbes: -1},
			"policies: BreakerConfig.MaxProbes is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"more probes at a time than are needed", policies.BreakerConfig{MaxProbes: 3},
			"policies: BreakerConfig.MaxProbes is 3: it must be at most SuccessThreshold, which is 2"},
		{"negative lease", policies.BreakerConfig{ProbeLease: -1},
			"policies: BreakerConfig.ProbeLease is -1ns: it must be a positive duration, or 0 for the default"},
		{"negative ramp", policies.BreakerConfig{Ramp: -1},
			"policies: BreakerConfig.Ramp is -1ns: it must be a positive duration, or 0 for none"},
		{"zero budget", policies.BudgetConfig{}, ""},
		{"a budget that is off, without a floor", policies.BudgetConfig{Ratio: -1, MinPerSecond: -1}, ""},
		{"the largest budget", policies.BudgetConfig{Ratio: 1000, MinPerSecond: math.MaxInt32, Window: math.MaxInt64}, ""},
		{"the shortest window of a budget", policies.BudgetConfig{Window: 10 * time.Millisecond}, ""},
		{"ratio", policies.BudgetConfig{Ratio: 1001},
			"policies: BudgetConfig.Ratio is 1001: it must be above 0 and at most 1000, 0 for the default, or negative for no bound"},
		{"ratio that is no number", policies.BudgetConfig{Ratio: math.NaN()},
			"policies: BudgetConfig.Ratio is NaN: it must be above 0 and at most 1000, 0 for the default, or negative for no bound"},
		{"infinite ratio, and negative", policies.BudgetConfig{Ratio: math.Inf(-1)},
			"policies: BudgetConfig.Ratio is -Inf: it must be above 0 and at most 1000, 0 for the default, or negative for no bound"},
		{"floor", policies.BudgetConfig{MinPerSecond: math.Inf(1)},
			"policies: BudgetConfig.MinPerSecond is +Inf: it must be above 0 and at most 2147483647, 0 for the default, or negative for none"},
		{"infinite floor, and negative", policies.BudgetConfig{MinPerSecond: math.Inf(-1)},
			"policies: BudgetConfig.MinPerSecond is -Inf: it must be above 0 and at most 2147483647, 0 for the default, or negative for none"},
		{"floor that is no number", policies.BudgetConfig{MinPerSecond: math.NaN()},
			"policies: BudgetConfig.MinPerSecond is NaN: it must be above 0 and at most 2147483647, 0 for the default, or negative for none"},
		{"a window that is too short", policies.BudgetConfig{Window: 9 * time.Millisecond},
			"policies: BudgetConfig.Window is 9ms: it must be at least 10ms, or 0 for the default"},
		{"zero hedge", policies.HedgeConfig{}, ""},
		{"a hedge with everything", policies.HedgeConfig{Quantile: 0.5, MinCalls: 1, MaxHedges: 9}, ""},
		{"negative delay of a hedge", policies.HedgeConfig{Delay: -1},
			"policies: HedgeConfig.Delay is -1ns: it must be a positive duration, or 0 for the Quantile"},
		{"delay with what a quantile needs", policies.HedgeConfig{Delay: 1, Quantile: 0.5, MinCalls: 1},
			"policies: HedgeConfig.Quantile is 0.5: it must be 0 with Delay\n" +
				"policies: HedgeConfig.MinCalls is 1: it must be 0 with Delay"},
		{"quantile of all", policies.HedgeConfig{Quantile: 1},
			"policies: HedgeConfig.Quantile is 1: it must be above 0 and below 1, or 0 for the default"},
		{"quantile that is no number", policies.HedgeConfig{Quantile: math.NaN()},
			"policies: HedgeConfig.Quantile is NaN: it must be above 0 and below 1, or 0 for the default"},
		{"negative quantile and numbers", policies.HedgeConfig{Quantile: -0.5, MinCalls: -1, MaxHedges: -1},
			"policies: HedgeConfig.Quantile is -0.5: it must be above 0 and below 1, or 0 for the default\n" +
				"policies: HedgeConfig.MinCalls is -1: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: HedgeConfig.MaxHedges is -1: it must be between 1 and 2147483647, or 0 for the default"},
		{"keys", policies.KeyedConfig{Max: -1, Idle: -1},
			"policies: KeyedConfig.Max is -1: it must be between 1 and 2147483647, or 0 for the default\n" +
				"policies: KeyedConfig.Idle is -1ns: it must be a positive duration, or 0 for the default"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.config.Validate()
			if row.want == "" {
				if err != nil {
					t.Errorf("got %v, want a valid setting", err)
				}
				return
			}
			if err == nil || err.Error() != row.want {
				t.Fatalf("\ngot  %v\nwant %s", err, row.want)
			}
			var setting *policies.SettingError
			if !errors.As(err, &setting) || setting.Field == "" {
				t.Errorf("got %T, want a *SettingError", err)
			}
			defer func() {
				if got, ok := recover().(error); !ok || got.Error() != row.want {
					t.Errorf("the constructor panicked with %v, want the same error", got)
				}
			}()
			construct(row.config)
			t.Error("the constructor took settings that are not valid")
		})
	}
}

func construct(config any) {
	switch c := config.(type) {
	case policies.TimeoutConfig:
		policies.NewTimeout(c)
	case policies.RetryConfig:
		policies.NewRetry(c)
	case policies.RateLimitConfig:
		policies.NewRateLimit(c)
	case policies.ChaosConfig:
		policies.NewChaos(c)
	case policies.BulkheadConfig:
		policies.NewBulkhead(c)
	case policies.AdaptiveLimitConfig:
		policies.NewAdaptiveLimit(c)
	case policies.BreakerConfig:
		policies.NewBreaker(c)
	case policies.BudgetConfig:
		policies.NewBudget(c)
	case policies.HedgeConfig:
		policies.NewHedge(c)
	case policies.KeyedConfig:
		policies.NewKeyed(c, func(string) *policies.Breaker { return nil })
	}
}
