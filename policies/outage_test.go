package policies_test

import (
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
	"github.com/tidegate-go/tidegate/policies"
)

// How long a breaker takes to open, and how long after the outage calls succeed again, is
// known from its settings and the load.
func TestBreakerOpensAndRecoversInTime(t *testing.T) {
	const (
		begins = 30 * time.Second
		ends   = 80 * time.Second
		gap    = 20 * time.Millisecond // between calls
		limit  = time.Second
	)
	for _, row := range []struct {
		name    string
		outage  middlewaretest.Outage
		config  policies.BreakerConfig
		open    time.Duration
		recover time.Duration // rounded up to a second
	}{
		{
			"consecutive failures: the call that is one too many",
			middlewaretest.Outage{},
			policies.BreakerConfig{FailureThreshold: 5, Timeout: 30 * time.Second, RecoveryBackoff: 1},
			4 * gap,
			11 * time.Second, // probes fail at 60.1 s and succeed at 90.1 s
		},
		{
			"silence: the attempt timeout comes first",
			middlewaretest.Outage{Hangs: 1},
			policies.BreakerConfig{FailureThreshold: 5, Timeout: 30 * time.Second, RecoveryBackoff: 1},
			4*gap + limit,
			13 * time.Second, // the probe of 61.1 s fails at 62.1 s, the next one succeeds at 92.1 s
		},
		{
			"a rate: half of a window of 10 s",
			middlewaretest.Outage{},
			policies.BreakerConfig{FailureRate: 0.5, MinCalls: 20, Window: 10 * time.Second, Timeout: 30 * time.Second, RecoveryBackoff: 1},
			5 * time.Second,  // half of the calls in the window
			15 * time.Second, // the probes fail at 65 s
		},
		{
			"slow calls in flight: before any of them has ended",
			middlewaretest.Outage{Slow: 1000},
			policies.BreakerConfig{SlowCall: 200 * time.Millisecond, SlowRate: 0.5, MinCalls: 20, Window: 200 * time.Millisecond, Timeout: 30 * time.Second, RecoveryBackoff: 1},
			20*gap + 200*time.Millisecond, // when 20 calls have been slow that long
			12 * time.Second,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.outage.From, row.outage.Until = begins, ends
			r := middlewaretest.Scenario{
				Duration: 2 * time.Minute,
				Load:     middlewaretest.Load{Rate: float64(time.Second / gap), Even: true},
				Dependency: middlewaretest.Dependency{
					Latency: middlewaretest.Fixed(5 * time.Millisecond),
					Outages: []middlewaretest.Outage{row.outage},
				},
			}.Run(t, func() *middleware.Chain {
				return middleware.NewChain("storage", policies.NewBreaker(row.config), policies.NewTimeout(policies.TimeoutConfig{Limit: limit}))
			})
			t.Log(r)
			if got, ok := r.TimeToOpen(begins); !ok || (got-row.open).Abs() > row.open/10+gap {
				t.Errorf("opened after %v (%v), want about %v", got, ok, row.open)
			}
			if got, ok := r.TimeToRecover(ends, 0.99); !ok || got != row.recover {
				t.Errorf("recovered after %v (%v), want %v", got, ok, row.recover)
			}
			if during := r.Between(begins, ends); during.Amplification() > 0.15 {
				t.Errorf("the dependency got %.2f of the calls while it was down, want next to none", during.Amplification())
			}
		})
	}
}

// A breaker ends the metastable failure that the budget of another test does not: while it
// is open the dependency gets through with what has piled up.
func TestBreakerEndsAMetastableFailure(t *testing.T) {
	const ends = 25 * time.Second
	r := middlewaretest.Scenario{
		Duration: time.Minute,
		Load:     middlewaretest.Load{Rate: 56, Even: true},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(100 * time.Millisecond),
			Servers: 6,
			Outages: []middlewaretest.Outage{{From: ends - 5*time.Second, Until: ends, Slow: 10}},
		},
	}.Run(t, func() *middleware.Chain {
		return middleware.NewChain("database",
			policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 10 * time.Millisecond, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})}),
			policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 20, Timeout: 5 * time.Second, RecoveryBackoff: 1}),
			policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
	})
	t.Log(r)
	if got, ok := r.TimeToRecover(ends, 0.99); !ok || got > 15*time.Second {
		t.Errorf("recovered after %v (%v), want soon", got, ok)
	}
}

// The result of a scenario is the same each time, if its policies draw no random numbers.
func TestScenariosOfPoliciesAreRepeatable(t *testing.T) {
	s := middlewaretest.Scenario{
		Duration: 8 * time.Second,
		Seed:     7,
		Load: middlewaretest.Load{
			Rate: 200, Even: true, Clients: 5, Think: middlewaretest.Fixed(100 * time.Millisecond), Timeout: 400 * time.Millisecond,
			Context: idempotent, Surges: []middlewaretest.Surge{{From: 2 * time.Second, Until: 3 * time.Second, Times: 3}},
		},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Mixed(0.05, middlewaretest.Fixed(100*time.Millisecond), middlewaretest.Fixed(20*time.Millisecond)),
			Servers: 10, Queue: 20, Errors: 0.02,
			Outages: []middlewaretest.Outage{{From: 5 * time.Second, Until: 6 * time.Second, Hangs: 0.5}},
		},
	}
	run := func() *middlewaretest.Result {
		return s.Run(t, func() *middleware.Chain {
			budget := policies.NewBudget(policies.BudgetConfig{})
			return middleware.NewChain("storage",
				policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 300 * time.Millisecond}),
				policies.NewRetry(policies.RetryConfig{Delay: 20 * time.Millisecond, Jitter: -1, Budget: budget}),
				policies.NewHedge(policies.HedgeConfig{Delay: 40 * time.Millisecond, Budget: budget}),
				policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 20, Window: time.Second, Timeout: time.Second, RecoveryBackoff: 1}),
				policies.NewRateLimit(policies.RateLimitConfig{Rate: 400, Burst: 20, MaxWait: 50 * time.Millisecond}),
				policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 30, MaxQueue: 10}),
				policies.NewTimeout(policies.TimeoutConfig{Limit: 150 * time.Millisecond}))
		})
	}
	first := run()
	t.Log(first)
	for range 19 {
		if again := run(); again.String() != first.String() {
			t.Fatalf("got another result the next time:\n%v", again)
		}
	}
	s.Seed++
	if other := run(); other.String() == first.String() {
		t.Error("another seed has the same result")
	}
}
