package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestInformersSurviveFiveMinutesOfFaults(t *testing.T) {
	for _, row := range []struct {
		name        string
		opts        []adapter.Option
		retries     bool
		noWatchList bool
	}{
		{name: "client-go repeats"},
		{name: "the chain repeats", opts: []adapter.Option{adapter.WithRetries()}, retries: true},
		{name: "client-go repeats, lists instead of streams", noWatchList: true},
		{name: "the chain repeats, lists instead of streams", opts: []adapter.Option{adapter.WithRetries()}, retries: true, noWatchList: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				a.noWatchList = row.noWatchList
				surviveFaults(t, a, row.retries, row.opts)
			})
		})
	}
}

func surviveFaults(t *testing.T, a *api, retries bool, opts []adapter.Option) {
	ctx, stop := context.WithCancel(t.Context())
	clean, faulty := serve(t, a), serve(t, a)
	writer := clientFor(t, clean.config())
	alter(ctx, t, writer, rand.New(rand.NewPCG(1, 2)), 40)

	var transitions moves
	wrapped := faulty.connect(t, surviving(&transitions, retries), opts...)
	// Two pairs of informers share the chain, as those of several controllers do.
	tested := []*mirror{startMirror(ctx, wrapped), startMirror(ctx, wrapped)}
	reference := startMirror(ctx, clientFor(t, clean.config()))
	defer func() {
		stop()
		for _, m := range append(tested, reference) {
			m.factory.Shutdown()
		}
	}()
	for _, m := range append(tested, reference) {
		m.factory.WaitForCacheSync(ctx.Done())
	}

	faulty.plan(rotation())
	random := rand.New(rand.NewPCG(3, 4))
	for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(time.Second) {
		alter(ctx, t, writer, random, 1)
		switch second := int(time.Since(start) / time.Second); {
		case second%60 == 45:
			faulty.restart(a, 12*time.Second)
		case second%10 == 0:
			faulty.cut()
		}
	}
	faulty.plan(nil)
	alter(ctx, t, writer, random, 10)

	// The reflectors' own back-off is up to a minute by now.
	for range 300 {
		if synctest.Wait(); tested[0].equal(reference) == nil && tested[1].equal(reference) == nil {
			break
		}
		time.Sleep(time.Second)
	}
	for _, m := range append(tested, reference) {
		if err := m.equalStored(a); err != nil {
			t.Error(err)
		}
		if err := m.handlersSawAll(); err != nil {
			t.Error(err)
		}
		if err := m.equal(reference); err != nil {
			t.Error(err)
		}
	}
	for name, rounds := range map[string]int{
		"429": 3, "503": 3, "reset": 3, "eof": 3, "hang": 3, "cut": 3, "restart": 3,
		"refused": 1, // nobody may have been dialling
	} {
		if n := faulty.strikes(name); n < rounds {
			t.Errorf("%d faults %q, want %d at least", n, name, rounds)
		}
	}
	for _, to := range []string{"open", "half_open", "closed"} {
		if transitions.to(to) == 0 {
			t.Errorf("the breaker never became %s", to)
		}
	}
	t.Logf("%d requests, faults %v, opened %d times", len(faulty.seen()), faulty.struck, transitions.to("open"))
}

// rotation gives each request in turn another fault, and lets some through.
func rotation() func(int, *http.Request) *fault {
	faults := []*fault{
		fairness("1"), nil, unavailable(""), reset, nil, eof, hang, nil,
		severed(200), unavailable("1"), nil, reset, eof, hang, unavailable(""), nil,
		severed(2000), nil,
	}
	turn := 0
	return func(int, *http.Request) *fault {
		turn++
		return faults[(turn-1)%len(faults)]
	}
}

// surviving returns the chain that the package recommends, with short limits.
func surviving(transitions *moves, retries bool) *middleware.Chain {
	var retry *policies.Retry
	if retries {
		retry = policies.NewRetry(policies.RetryConfig{Attempts: 3, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1})})
	}
	return middleware.NewChain("kube",
		transitions,
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 20 * time.Second, Scope: policies.UntilEnd}),
		retry,
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, Timeout: 3 * time.Second, MaxRecoveryTime: 10 * time.Second}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 10, MaxWait: 2 * time.Second, MaxPause: 5 * time.Second}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 4, MaxWait: 2 * time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "headers", Limit: time.Second}),
	)
}

// moves collects the transitions of a chain's breaker.
type moves struct {
	mu     sync.Mutex
	states []string
}

func (m *moves) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (m *moves) Observe(_ context.Context, e middleware.Event) {
	if e.Kind == middleware.Transition {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.states = append(m.states, e.To)
	}
}

func (m *moves) to(state string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.states {
		if s == state {
			n++
		}
	}
	return n
}

// alter creates, changes and removes n random objects.
func alter(ctx context.Context, t *testing.T, c client.Interface, random *rand.Rand, n int) {
	t.Helper()
	for range n {
		name, value := fmt.Sprintf("object-%d", random.IntN(30)), fmt.Sprint(random.Uint32())
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": value}}
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{NodeName: value}}
		maps, pods := c.CoreV1().ConfigMaps("default"), c.CoreV1().Pods("default")
		var err error
		if _, missing := maps.Get(ctx, name, metav1.GetOptions{}); missing != nil {
			_, err = maps.Create(ctx, m, metav1.CreateOptions{})
		} else if random.IntN(3) == 0 {
			err = maps.Delete(ctx, name, metav1.DeleteOptions{})
		} else {
			_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
		}
		if _, missing := pods.Get(ctx, name, metav1.GetOptions{}); missing != nil {
			_, e := pods.Create(ctx, p, metav1.CreateOptions{})
			err = errors.Join(err, e)
		} else if random.IntN(3) == 0 {
			err = errors.Join(err, pods.Delete(ctx, name, metav1.DeleteOptions{}))
		} else {
			_, e := pods.Update(ctx, p, metav1.UpdateOptions{})
			err = errors.Join(err, e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A mirror is a pair of informers, and what their handlers saw last.
type mirror struct {
	factory informers.SharedInformerFactory
	stores  map[string]cache.Store

	mu   sync.Mutex
	last map[string]map[string]string
}

func startMirror(ctx context.Context, c client.Interface) *mirror {
	factory := informers.NewSharedInformerFactory(c, 0)
	m := &mirror{factory: factory, stores: map[string]cache.Store{}, last: map[string]map[string]string{}}
	for resource, informer := range map[string]cache.SharedIndexInformer{
		"configmaps": factory.Core().V1().ConfigMaps().Informer(),
		"pods":       factory.Core().V1().Pods().Informer(),
	} {
		last := map[string]string{}
		m.stores[resource], m.last[resource] = informer.GetStore(), last
		set := func(object any) {
			m.mu.Lock()
			defer m.mu.Unlock()
			key, whole := fingerprint(object)
			last[key] = whole
		}
		informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    set,
			UpdateFunc: func(_, object any) { set(object) },
			DeleteFunc: func(object any) {
				if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = gone.Obj
				}
				m.mu.Lock()
				defer m.mu.Unlock()
				key, _ := fingerprint(object)
				delete(last, key)
			},
		})
	}
	factory.StartWithContext(ctx)
	return m
}

// fingerprint returns the name of an object, and all of it that has to be equal.
func fingerprint(object any) (key, whole string) {
	if u, ok := object.(*unstructured.Unstructured); ok {
		var typed runtime.Object = &corev1.ConfigMap{}
		if u.GetKind() == "Pod" {
			typed = &corev1.Pod{}
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, typed); err != nil {
			return u.GetName(), err.Error()
		}
		object = typed
	}
	m, err := meta.Accessor(object)
	if err != nil {
		return fmt.Sprintf("%T", object), err.Error()
	}
	var data any
	switch o := object.(type) {
	case *corev1.ConfigMap:
		data = o.Data
	case *corev1.Pod:
		data = o.Spec.NodeName
	}
	return m.GetName(), fmt.Sprint(m.GetUID(), " ", m.GetResourceVersion(), " ", data)
}

func fingerprints[T any](objects []T) map[string]string {
	prints := map[string]string{}
	for _, object := range objects {
		key, whole := fingerprint(object)
		prints[key] = whole
	}
	return prints
}

func (m *mirror) equal(other *mirror) error {
	return m.compare(func(resource string) map[string]string { return fingerprints(other.stores[resource].List()) })
}

func (m *mirror) equalStored(a *api) error {
	return m.compare(func(resource string) map[string]string {
		return fingerprints(a.stored("/api/v1/namespaces/default/" + resource))
	})
}

func (m *mirror) handlersSawAll() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.compare(func(resource string) map[string]string { return m.last[resource] })
}

func (m *mirror) compare(want func(resource string) map[string]string) error {
	for _, resource := range slices.Sorted(maps.Keys(m.stores)) {
		got, want := fingerprints(m.stores[resource].List()), want(resource)
		if !maps.Equal(got, want) || len(got) == 0 {
			return fmt.Errorf("%s differ:\n got %v\nwant %v", resource, got, want)
		}
	}
	return nil
}
