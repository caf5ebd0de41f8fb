package guides

import (
	"testing"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/middleware/middlewaretest"
)

// chainOf returns the chain that a service of the file has.
func chainOf(t *testing.T, file, service string) *middleware.Chain {
	t.Helper()
	config, err := tidegate.LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := tidegate.New(config, tidegate.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	s, err := manager.Service(service)
	if err != nil {
		t.Fatal(err)
	}
	return s.Chain()
}

func TestBillingGetsOverAnOutage(t *testing.T) {
	const begins, ends = 2 * time.Minute, 4 * time.Minute
	result := middlewaretest.Scenario{
		Duration: 10 * time.Minute,
		Load:     middlewaretest.Load{Rate: 20, Timeout: 10 * time.Second},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.LogNormal(80*time.Millisecond, time.Second),
			Servers: 25,
			Errors:  0.005,
			Outages: []middlewaretest.Outage{{From: begins, Until: ends, Hangs: 1}},
		},
	}.Run(t, func() *middleware.Chain { return chainOf(t, "tidegate.yaml", "billing") })
	t.Log(result) // go test -v shows the time line
	if before := result.Between(0, begins); before.Success() < 0.999 || before.Amplification() > 1.02 {
		t.Errorf("before the outage %.4f succeed, with %.3f requests each", before.Success(), before.Amplification())
	}
	if opened, ok := result.TimeToOpen(begins); !ok || opened > 3*time.Second {
		t.Errorf("the breaker opens after %v", opened)
	}
	if recovered, ok := result.TimeToRecover(ends, 0.98); !ok || recovered > 90*time.Second {
		t.Errorf("calls succeed again %v after the outage", recovered)
	}
}

// hot returns what a service that is called at that share of what it can bear, and repeated
// with that ratio, makes of its calls when it has been ten times as slow for five seconds.
func hot(t *testing.T, share, ratio float64) *middlewaretest.Result {
	t.Helper()
	t.Setenv("TIDEGATE_SERVICES_STORE_BUDGET_RATIO", number(ratio))
	return middlewaretest.Scenario{
		Duration: 2 * time.Minute,
		Load:     middlewaretest.Load{Rate: 60 * share, Even: true},
		Dependency: middlewaretest.Dependency{
			Latency: middlewaretest.Fixed(100 * time.Millisecond),
			Servers: 6, // 60 requests a second
			Outages: []middlewaretest.Outage{{From: 20 * time.Second, Until: 25 * time.Second, Slow: 10}},
		},
	}.Run(t, func() *middleware.Chain { return chainOf(t, "budget.yaml", "store") })
}

// A budget that fits into the spare capacity ends the failure, one that does not keeps it going.
func TestABudgetHasToFit(t *testing.T) {
	for _, row := range []struct {
		share, ratio float64
		recovers     bool
	}{
		{0.8, 0.2, true}, // 0.96
		{0.93, 0.2, false},
		{0.93, 0.02, true}, // 0.95
	} {
		recovered, ok := hot(t, row.share, row.ratio).TimeToRecover(25*time.Second, 0.9)
		if ok != row.recovers {
			t.Errorf("at a load of %v with a ratio of %v it recovers: %v (after %v)", row.share, row.ratio, ok, recovered)
		}
	}
}
