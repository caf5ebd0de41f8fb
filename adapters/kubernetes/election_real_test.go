//go:build real

package kubernetes_test

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A candidate runs for leadership until the test ends or it has lost it.
type candidate struct {
	leads chan struct{} // closed when it leads
	over  chan struct{} // closed when it no longer runs
}

func standFor(t *testing.T, config *rest.Config, namespace string) *candidate {
	t.Helper()
	c := &candidate{leads: make(chan struct{}), over: make(chan struct{})}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Name: "lease", Namespace: namespace}, Client: newClient(t, config).CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: t.Name()},
		},
		LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: 300 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(c.leads) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(c.over)
		elector.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-c.over
	})
	return c
}

// awaitEnd waits for a channel to be closed, for two minutes at the most.
func awaitEnd(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatalf("after two minutes: %s", what)
	}
}

// An obstacle is what keeps calls from the API server.
type obstacle struct {
	breaker *policies.Breaker
	chain   *middleware.Chain
	occupy  func() // takes the only place in the bulkhead until the test ends
}

func newObstacle(t *testing.T) *obstacle {
	t.Helper()
	o := &obstacle{breaker: policies.NewBreaker(policies.BreakerConfig{})}
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	o.chain = middleware.NewChain("kubernetes", o.breaker, bulkhead)
	inBulkhead, leave, left := middleware.NewChain("occupant", bulkhead), make(chan struct{}), make(chan struct{})
	close(left)
	o.occupy = func() {
		left = make(chan struct{})
		// The candidate may have the place for a moment.
		entered := make(chan struct{})
		go func() {
			defer close(left)
			for {
				err := inBulkhead.Do(context.Background(), func(context.Context) error {
					close(entered)
					<-leave
					return nil
				})
				if !errors.Is(err, middleware.ErrBulkheadFull) {
					return
				}
				select {
				case <-time.After(time.Millisecond):
				case <-leave:
					return
				}
			}
		}()
		awaitEnd(t, "the bulkhead has no place", entered)
	}
	t.Cleanup(func() {
		close(leave)
		<-left
	})
	return o
}

// TestRealLeaderElection has a leader keep its lease past everything that holds other calls
// back, and shows that each of that would have it lose the lease.
func TestRealLeaderElection(t *testing.T) {
	t.Parallel()
	cluster := theCluster(t)
	for name, exempted := range map[string]func(*rest.Config, *middleware.Chain) *rest.Config{
		"Exempt of Wrap": func(config *rest.Config, chain *middleware.Chain) *rest.Config {
			return kubernetes.Exempt(kubernetes.Wrap(config, chain))
		},
		"Wrap of Exempt": func(config *rest.Config, chain *middleware.Chain) *rest.Config {
			return kubernetes.Wrap(kubernetes.Exempt(config), chain)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace, o := cluster.namespace(t), newObstacle(t)
			o.occupy()
			o.breaker.ForceOpen()
			config := rest.CopyConfig(cluster.config)
			config.QPS, config.Burst = 0.01, 1
			c := standFor(t, exempted(config, o.chain), namespace)
			awaitEnd(t, "it does not lead", c.leads)
			// That many renewals take longer than the limit for one.
			leases := cluster.direct(t).CoordinationV1().Leases(namespace)
			for renewals, last := 0, (metav1.MicroTime{}); renewals < 20; {
				lease, err := leases.Get(t.Context(), "lease", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if !lease.Spec.RenewTime.Equal(&last) {
					renewals, last = renewals+1, *lease.Spec.RenewTime
				}
				select {
				case <-c.over:
					t.Fatal("it lost its lease")
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	for name, hinder := range map[string]func(*obstacle){
		"the breaker is open":     func(o *obstacle) { o.breaker.ForceOpen() },
		"the bulkhead is full":    func(o *obstacle) { o.occupy() },
		"the limiter is too slow": func(*obstacle) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, config := newObstacle(t), rest.CopyConfig(cluster.config)
			if name == "the limiter is too slow" {
				config.QPS, config.Burst = 0.01, 3
			}
			c := standFor(t, kubernetes.Wrap(config, o.chain), cluster.namespace(t))
			awaitEnd(t, "it does not lead", c.leads)
			hinder(o)
			awaitEnd(t, "it keeps its lease", c.over)
		})
	}
}
