package kubernetes_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// An election is a candidate that is alone.
type election struct {
	leads, lost chan struct{}
}

func elect(ctx context.Context, t *testing.T, config *rest.Config) *election {
	t.Helper()
	c := clientFor(t, config)
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, "default", "leader", c.CoreV1(), c.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: "me"})
	if err != nil {
		t.Fatal(err)
	}
	e := &election{make(chan struct{}), make(chan struct{})}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(e.leads) },
			OnStoppedLeading: func() { close(e.lost) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go elector.Run(ctx)
	return e
}

// within waits for ch to be closed.
func within(t *testing.T, limit time.Duration, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(limit):
		t.Fatalf("nothing happened in %v", limit)
	}
}

// crowd returns a chain that lets nothing through, once it is closed: its breaker is
// forced open, its bulkhead full, its rate limit spent.
func crowd(ctx context.Context, t *testing.T) (chain *middleware.Chain, shut func()) {
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	rate := policies.NewRateLimit(policies.RateLimitConfig{Rate: 100, Burst: 1000})
	return middleware.NewChain("kube", breaker, bulkhead, rate), func() {
		entered := make(chan struct{})
		go middleware.NewChain("other", bulkhead).Do(ctx, func(ctx context.Context) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		})
		<-entered
		for middleware.NewChain("other", rate).Do(ctx, func(context.Context) error { return nil }) == nil {
		}
		breaker.ForceOpen()
	}
}

func TestK9AnExemptLeaderNeverWaits(t *testing.T) {
	for name, exempt := range map[string]func(*rest.Config, *middleware.Chain) *rest.Config{
		"Exempt after Wrap": func(c *rest.Config, chain *middleware.Chain) *rest.Config {
			return adapter.Exempt(adapter.Wrap(c, chain))
		},
		"Exempt before Wrap": func(c *rest.Config, chain *middleware.Chain) *rest.Config {
			return adapter.Wrap(adapter.Exempt(c), chain)
		},
		"Exempt between": func(c *rest.Config, chain *middleware.Chain) *rest.Config {
			return adapter.Wrap(adapter.Exempt(adapter.Wrap(c, chain)), chain, adapter.WithRetries())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				chain, shut := crowd(ctx, t)
				shut()
				s := serve(t, newAPI())
				config := s.config()
				config.QPS, config.Burst = 0.001, 1
				config.RateLimiter = adapter.RateLimiter(chain)
				e := elect(ctx, t, exempt(config, chain))
				defer stop()
				start := time.Now()
				within(t, time.Minute, e.leads)
				if took := time.Since(start); took != 0 {
					t.Errorf("it took %v to become the leader", took)
				}
				time.Sleep(10*time.Minute + time.Second)
				select {
				case <-e.lost:
					t.Error("the lease was lost")
				default:
				}
				renewals := 0
				for _, r := range s.seen() {
					if r.method == "PUT" && strings.HasSuffix(r.path, "/leases/leader") {
						renewals++
					}
				}
				if renewals != 301 { // at once, and then one every two seconds
					t.Errorf("%d renewals", renewals)
				}
				if err := calls["get"](ctx, clientFor(t, adapter.Wrap(s.config(), chain))); err == nil {
					t.Error("others are not held back, so this shows nothing")
				}
				stop()
				within(t, time.Minute, e.lost)
			})
		})
	}
}

func TestK9AWrappedLeaderLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		chain, shut := crowd(ctx, t)
		s := serve(t, newAPI())
		e := elect(ctx, t, adapter.Wrap(s.config(), chain))
		within(t, time.Minute, e.leads)
		time.Sleep(61 * time.Second) // between two renewals
		select {
		case <-e.lost:
			t.Fatal("the lease was lost before anything held the leader back")
		default:
		}
		shut()
		start := time.Now()
		within(t, time.Minute, e.lost)
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("the lease was lost only after %v", took)
		}
	})
}

func TestK9AHealthCheckPassesThePolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		chain, shut := crowd(ctx, t)
		shut()
		s := serve(t, newAPI())
		check, err := adapter.HealthCheck(adapter.Wrap(s.config(), chain, adapter.WithRetries()))
		if err != nil {
			t.Fatal(err)
		}
		if err := check(ctx); err != nil {
			t.Error(err)
		}
		if got := s.seen(); len(got) != 1 || got[0].path != "/readyz" {
			t.Errorf("%v", got)
		}
		for _, f := range []*fault{unavailable("1"), fairness("0"), reset, eof} {
			s.wantRequests(t, len(s.seen()))
			s.always(f)
			if err := check(ctx); err == nil {
				t.Errorf("%s: no error", f.name)
			}
			s.wantRequests(t, 1)
		}
		s.plan(nil)
		if _, err := clientFor(t, adapter.Exempt(s.config())).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// A page to log in on is no answer of the API server, and nobody to give a token.
func TestK9AHealthCheckStaysAtItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, http.RedirectHandler("https://login.test/", http.StatusFound))
		check, err := adapter.HealthCheck(s.config())
		if err != nil {
			t.Fatal(err)
		}
		if err := check(t.Context()); err == nil {
			t.Error("no error")
		}
		s.wantRequests(t, 1)
	})
}

func TestAHealthCheckKeepsThePassword(t *testing.T) {
	_, err := adapter.HealthCheck(&rest.Config{Host: "https://user:hunter2@kube.test:port"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
