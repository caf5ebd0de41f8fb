package observability

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A Monitor looks at once and then in its interval, and tells each hook, also after one that
// panicked.
func TestAMonitorTellsWhenAlertsBeginAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		m, all := withCircuits("a")
		all["a"].is("open", began.Add(-time.Hour), began.Add(-time.Hour), "one")
		var told []string
		monitor := StartMonitoring(t.Context(), m, nil, WithAlertHook(nil),
			WithAlertHook(func(context.Context, Alert) { panic("hook") }),
			WithAlertHook(func(ctx context.Context, a Alert) {
				told = append(told, fmt.Sprintf("%v %s %v %v", time.Since(began), a.Name, a.Ended.IsZero(), ctx.Err()))
			}))
		defer monitor.Close()
		synctest.Wait()
		if got := named(monitor.Alerts()); !slices.Equal(got, []string{breakerStuckOpen, breakerOpen}) {
			t.Errorf("at once: %v", got)
		}
		time.Sleep(11 * time.Second)
		all["a"].is("closed", time.Now(), time.Time{}, "")
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := monitor.Alerts(); len(got) != 2 {
			t.Errorf("between two looks: %v", named(got))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := monitor.Alerts(); len(got) != 0 {
			t.Errorf("afterwards: %v", named(got))
		}
		monitor.Close() // so that nobody tells any more
		want := []string{"0s BreakerStuckOpen true <nil>", "0s BreakerOpen true <nil>", "20s BreakerStuckOpen false <nil>", "20s BreakerOpen false <nil>"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestTheLifeOfAMonitor(t *testing.T) {
	var none context.Context
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, row := range map[string]struct {
		ctx  context.Context
		want int // alerts
	}{"nil": {none, 1}, "ended": {ended, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, all := withCircuits("a")
				all["a"].is("open", time.Now().Add(-2*time.Minute), time.Time{}, "")
				monitor := StartMonitoring(row.ctx, m)
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := monitor.Alerts(); len(got) < row.want || row.want == 0 && len(got) > 0 {
					t.Errorf("alerts: %v", named(got))
				}
				monitor.Close()
				monitor.Close()
				before := monitor.Alerts()
				time.Sleep(time.Hour)
				if !slices.Equal(before, monitor.Alerts()) {
					t.Errorf("a closed Monitor looks on")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		monitor := StartMonitoring(ctx, nil, WithInterval(time.Hour), WithThresholds(Thresholds{BreakerOpen: -1}))
		cancel()
		<-monitor.done // without Close
		if got := monitor.Alerts(); len(got) != 0 {
			t.Errorf("of no Manager: %v", got)
		}
	})
}

// A reporter that panics is no policy of this module, and must not end the program.
type panicking struct{ circuit }

func (*panicking) Reports(func(middleware.Report) bool) { panic("report") }

func TestAMonitorOutlivesAPanicOfAPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		monitor := StartMonitoring(t.Context(), &staff{[]*middleware.Chain{middleware.NewChain("x", &panicking{})}})
		time.Sleep(time.Minute)
		monitor.Close()
	})
}

// Close waits for a hook, whose context has ended then.
func TestCloseWaitsForAHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, all := withCircuits("a")
		all["a"].is("open", time.Now().Add(-2*time.Minute), time.Time{}, "")
		over := false
		monitor := StartMonitoring(t.Context(), m, WithAlertHook(func(ctx context.Context, _ Alert) {
			<-ctx.Done()
			time.Sleep(time.Minute)
			over = true
		}))
		time.Sleep(time.Second)
		monitor.Close()
		if !over {
			t.Error("Close returned before the hook")
		}
	})
}

// Two breakers of one name are one alert, which begins once and ends with the last of them.
func TestTwoBreakersOfOneNameAreOneAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := policies.NewBreaker(policies.BreakerConfig{}), policies.NewBreaker(policies.BreakerConfig{})
		var told []string
		monitor := StartMonitoring(t.Context(), managed{middleware.NewChain("x", one, two)}, WithAlertHook(func(_ context.Context, a Alert) {
			told = append(told, fmt.Sprintf("%s %t", a.Name, a.Ended.IsZero()))
		}))
		defer monitor.Close()
		one.ForceOpen()
		time.Sleep(5 * time.Second)
		two.ForceOpen()
		time.Sleep(5 * time.Minute)
		if got := named(monitor.Alerts()); !slices.Equal(got, []string{breakerOpen}) {
			t.Errorf("the alerts are %q", got)
		}
		one.Release()
		time.Sleep(time.Minute)
		two.Release()
		time.Sleep(time.Minute)
		monitor.Close()
		if want := []string{"BreakerOpen true", "BreakerOpen false"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// One chain whose policy panics when it is asked does not hide the others.
func TestAPolicyThatPanicsHidesNoOtherChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaker := policies.NewBreaker(policies.BreakerConfig{})
		breaker.ForceOpen()
		m := managed{middleware.NewChain("bad", &panicking{}), middleware.NewChain("good", breaker)}
		monitor := StartMonitoring(t.Context(), m)
		defer monitor.Close()
		time.Sleep(2 * time.Minute)
		if got := named(monitor.Alerts()); !slices.Equal(got, []string{breakerOpen}) {
			t.Errorf("the alerts are %q", got)
		}
	})
}

// A nil manager has no services.
func TestANilManager(t *testing.T) {
	var none *nilManager
	for name, m := range map[string]Manager{"nil": nil, "a nil pointer": none} {
		if got := Health(m); got.Status != Pass || len(got.Services) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if got := recordsOf(m, ""); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
		monitor := StartMonitoring(t.Context(), m)
		monitor.Close()
	}
}

type nilManager struct{ managed }
