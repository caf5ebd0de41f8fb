//go:build real

package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	clientset "k8s.io/client-go/kubernetes"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// TestRealInformersSurvive has informers follow objects that change all the time, through
// one fault after the other. In the end they know what is there.
func TestRealInformersSurvive(t *testing.T) {
	cluster := theCluster(t)
	namespace, before := cluster.namespace(t), goleak.IgnoreCurrent()
	restarted := goleak.IgnoreAnyFunction("github.com/tidegate-go/tidegate/adapters/kubernetes_test.(*process).run")
	direct, w := cluster.direct(t), &wire{}
	proxy, config := cluster.behindProxy(t, w.below(cluster.config))
	chain := newChaosChain()
	var open atomic.Int64
	client := newClient(t, kubernetes.Wrap(config, chain.Chain, kubernetes.WithOpenCount(&open)))
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	configMaps, secrets := factory.Core().V1().ConfigMaps().Lister(), factory.Core().V1().Secrets().Lister()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	factory.StartWithContext(ctx)
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			t.Fatalf("no list of %v", kind)
		}
	}
	known := func() (map[string]string, error) {
		ofMaps, err := configMaps.List(labels.Everything())
		ofSecrets, err2 := secrets.List(labels.Everything())
		all := map[string]string{}
		for _, m := range ofMaps {
			all["configmap "+m.Name] = stateOf(m)
		}
		for _, s := range ofSecrets {
			all["secret "+s.Name] = stateOf(s)
		}
		return all, errors.Join(err, err2)
	}

	changes := startChanges(ctx, direct, namespace)
	// Each fault also cuts the connections, so that no watch escapes it.
	answers := func(code int, reason, retryAfter string) func(*testing.T) {
		return func(t *testing.T) {
			w.set(func(r *http.Request) *http.Response { return statusAnswer(r, code, reason, retryAfter) })
			set(t, proxy, injector.Fault{})
		}
	}
	for _, fault := range []struct {
		name  string
		begin func(t *testing.T)
		lasts time.Duration
	}{
		{"429 with Retry-After", answers(429, "TooManyRequests", "1"), 6 * time.Second},
		{"503", answers(503, "ServiceUnavailable", ""), 5 * time.Second},
		{"503 with Retry-After", answers(503, "ServiceUnavailable", "1"), 5 * time.Second},
		{"reset", func(t *testing.T) { set(t, proxy, injector.Reset(10<<10)) }, 6 * time.Second},
		{"lost answers", func(t *testing.T) { set(t, proxy, injector.CutAnswer(4<<10)) }, 5 * time.Second},
		{"no answers", func(t *testing.T) { set(t, proxy, injector.Hang()) }, 6 * time.Second},
		{"no connections", func(t *testing.T) { set(t, proxy, injector.Refuse()) }, 4 * time.Second},
		{"crash of the API server", func(t *testing.T) { cluster.kill() }, 2 * time.Second},
	} {
		t.Log(fault.name, "after", changes.made.Load(), "changes")
		fault.begin(t)
		pause(t, fault.lasts)
		w.set(nil)
		if fault.name == "crash of the API server" {
			cluster.restart(t)
		}
		set(t, proxy, injector.Fault{})
		// Between the faults some get through.
		await(t, func() error {
			_, err := client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{Limit: 1})
			return err
		})
	}
	changes.stop()
	t.Log("quiet after", changes.made.Load(), "changes")
	if changes.made.Load() < 500 || w.faults() == 0 || chain.seen(middleware.Transition) == 0 {
		t.Errorf("%d changes, %d answers by the wire, %d transitions of breakers: the faults were none", changes.made.Load(), w.faults(), chain.seen(middleware.Transition))
	}

	want := map[string]string{}
	mapList, err := direct.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range mapList.Items {
		want["configmap "+mapList.Items[i].Name] = stateOf(&mapList.Items[i])
	}
	secretList, err := direct.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range secretList.Items {
		want["secret "+secretList.Items[i].Name] = stateOf(&secretList.Items[i])
	}
	await(t, func() error {
		got, err := known()
		if err != nil || !maps.Equal(got, want) {
			return fmt.Errorf("the informers know %d objects, which are not the %d that there are: %w", len(got), len(want), err)
		}
		return nil
	})
	if len(want) == 0 {
		t.Error("there is no object to compare")
	}

	cancel()
	factory.Shutdown()
	proxy.Close()
	await(t, func() error {
		closeIdleOf(client)
		closeIdleOf(direct)
		return goleak.Find(before, restarted)
	})
	if n := open.Load(); n != 0 {
		t.Errorf("%d watches are open", n)
	}
}

// newChaosChain returns a chain whose breakers try again soon.
func newChaosChain() *realChain {
	c := &realChain{events: map[middleware.Kind]int{}}
	c.breakers = policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
		return policies.NewBreaker(policies.BreakerConfig{
			Key: key, FailureThreshold: 3, SuccessThreshold: 1, Timeout: 500 * time.Millisecond, MaxRecoveryTime: 2 * time.Second,
		})
	})
	c.Chain = middleware.NewChain("kubernetes", middleware.ObserverFunc(c.observe), c.breakers,
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 50, MaxWait: time.Second}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 10}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Second, Scope: policies.UntilEnd}))
	return c
}

func set(t *testing.T, proxy *injector.Injector, fault injector.Fault) {
	t.Helper()
	if err := proxy.Set(fault); err != nil {
		t.Fatal(err)
	}
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// stateOf tells an object, and a state of it, from every other.
func stateOf(m metav1.Object) string { return fmt.Sprint(m.GetUID(), " ", m.GetResourceVersion()) }

// changes are made to the objects of a namespace until stop is called.
type changes struct {
	made atomic.Int64
	stop func()
}

// startChanges creates, updates and deletes objects, through faults of the server too.
func startChanges(ctx context.Context, client *clientset.Clientset, namespace string) *changes {
	ctx, cancel := context.WithCancel(ctx)
	c, ended := &changes{}, make(chan struct{})
	c.stop = func() {
		cancel()
		<-ended
	}
	configMaps, secrets := client.CoreV1().ConfigMaps(namespace), client.CoreV1().Secrets(namespace)
	count := func(err error) {
		if err == nil {
			c.made.Add(1)
		}
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			// Of a hundred names each is created, updated twice and deleted, in turn.
			name := fmt.Sprint("object-", n%100)
			text := map[string]string{"n": fmt.Sprint(n)}
			object := metav1.ObjectMeta{Name: name}
			switch n / 100 % 4 {
			case 0:
				_, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: object, Data: text}, metav1.CreateOptions{})
				count(err)
				_, err = secrets.Create(ctx, &corev1.Secret{ObjectMeta: object, StringData: text}, metav1.CreateOptions{})
				count(err)
			case 1, 2:
				_, err := configMaps.Update(ctx, &corev1.ConfigMap{ObjectMeta: object, Data: text}, metav1.UpdateOptions{})
				count(err)
				_, err = secrets.Update(ctx, &corev1.Secret{ObjectMeta: object, StringData: text}, metav1.UpdateOptions{})
				count(err)
			default:
				if n%3 > 0 {
					count(configMaps.Delete(ctx, name, metav1.DeleteOptions{}))
					count(secrets.Delete(ctx, name, metav1.DeleteOptions{}))
				}
			}
		}
	}()
	return c
}
