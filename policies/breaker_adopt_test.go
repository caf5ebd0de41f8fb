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

// A window of time has its new length from now on: the calls of before are in it for as long.
func TestApplyChangesTheLengthOfAWindow(t *testing.T) {
	for _, row := range []struct {
		first, second time.Duration
		after         time.Duration
		want          int
	}{
		{10 * time.Second, time.Hour, 50 * time.Minute, 4},
		{10 * time.Second, time.Hour, 2 * time.Hour, 0},
		{time.Hour, 10 * time.Second, 5 * time.Second, 4},
		{time.Hour, 10 * time.Second, time.Minute, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := policies.BreakerConfig{FailureRate: 0.9, MinCalls: 100, Window: row.first}
			b := policies.NewBreaker(c)
			run(b, "sfsf")
			c.Window = row.second
			apply(t, b, c)
			time.Sleep(row.after)
			if got := b.Status().Counts.Calls; got != row.want {
				t.Errorf("from %v to %v, after %v, the window has %d calls, want %d", row.first, row.second, row.after, got, row.want)
			}
		})
	}
}

// A health check that runs is told when it has been taken away.
func TestApplyEndsAHealthCheckThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Second, RecoveryTime: time.Hour, HealthInterval: 30 * time.Minute}
		with := c
		began, ended := make(chan struct{}), make(chan struct{})
		with.HealthCheck = func(ctx context.Context) error {
			close(began)
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		}
		b := policies.NewBreaker(with)
		run(b, "f")
		<-began
		apply(t, b, c)
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Error("it goes on")
			_ = b.Close()
		}
	})
}

// Another kind of window changes nothing else: not since when the breaker is closed and why,
// nor what was ignored.
func TestApplyOfAnotherWindowKeepsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Minute}
		b := policies.NewBreaker(c)
		run(b, "f")
		time.Sleep(time.Minute)
		run(b, "s")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = middleware.NewChain("gone", b).Do(ctx, func(context.Context) error { return ctx.Err() })
		time.Sleep(time.Hour)
		before := b.Status()
		apply(t, b, policies.BreakerConfig{FailureRate: 0.5, MinCalls: 5, SuccessThreshold: 1, Timeout: time.Minute})
		after := b.Status()
		if after.Last != before.Last || after.Last.Reason != "probe_succeeded" || after.Counts.Ignored != 1 {
			t.Errorf("it was %+v\nand is %+v", before, after)
		}
		b.Reports(func(r middleware.Report) bool {
			if got := time.Since(r.Breaker.Since); got != time.Hour {
				t.Errorf("it is closed since %v", got)
			}
			return true
		})
	})
}

func TestApplyTellsThatABreakerObserves(t *testing.T) {
	b := policies.NewBreaker(policies.BreakerConfig{})
	var got []string
	_ = middleware.NewChain("observed", middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		got = append(got, e.To+" "+e.Reason)
	}), b)
	apply(t, b, policies.BreakerConfig{ObserveOnly: true})
	apply(t, b, policies.BreakerConfig{})
	if want := []string{"observed_closed observe_only", "closed released"}; !slices.Equal(got, want) {
		t.Errorf("its chain heard %q, want %q", got, want)
	}
}
