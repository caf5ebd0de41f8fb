//go:build real

package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	clientset "k8s.io/client-go/kubernetes"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func quickRetry() middleware.Policy {
	return policies.NewRetry(policies.RetryConfig{
		Attempts: 4, Delay: 10 * time.Millisecond, MaxDelay: 10 * time.Millisecond,
		Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
	})
}

// pod makes a pod without a node that runs, as far as the API server knows.
func pod(t *testing.T, client *clientset.Clientset, namespace string) *corev1.Pod {
	t.Helper()
	pods := client.CoreV1().Pods(namespace)
	p, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "pod", Labels: map[string]string{"app": "a"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if p, err = pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// An eviction that a disruption budget refuses is answered 429, as one that is to be
// repeated: but neither the server nor the client does anything wrong.
func TestRealEviction(t *testing.T) {
	cluster := theCluster(t)
	for _, row := range []struct {
		name    string
		settled bool // the budget is spent; otherwise its controller has not seen it, and the server says when to come back
		evict   func(t *testing.T, w *wire, chain *middleware.Chain, namespace string) error
	}{
		{"transport", true, func(t *testing.T, w *wire, chain *middleware.Chain, namespace string) error {
			return evict(t.Context(), newClient(t, cluster.wrapped(w, chain)), namespace)
		}},
		{"transport that retries", true, func(t *testing.T, w *wire, chain *middleware.Chain, namespace string) error {
			return evict(t.Context(), newClient(t, cluster.wrapped(w, chain, kubernetes.WithRetries())), namespace)
		}},
		{"transport that retries, with Retry-After", false, func(t *testing.T, w *wire, chain *middleware.Chain, namespace string) error {
			return evict(t.Context(), newClient(t, cluster.wrapped(w, chain, kubernetes.WithRetries())), namespace)
		}},
		{"call", true, func(t *testing.T, w *wire, chain *middleware.Chain, namespace string) error {
			client := newClient(t, w.below(cluster.config))
			return kubernetes.Do(t.Context(), chain, kubernetes.Create, func(ctx context.Context) error {
				return evict(ctx, client, namespace)
			})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			namespace, direct := cluster.namespace(t), cluster.direct(t)
			pod(t, direct, namespace)
			one := intstr.FromInt32(1)
			budgets := direct.PolicyV1().PodDisruptionBudgets(namespace)
			budget, err := budgets.Create(t.Context(), &policyv1.PodDisruptionBudget{
				ObjectMeta: metav1.ObjectMeta{Name: "budget"},
				Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if row.settled {
				budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: budget.Generation, CurrentHealthy: 1, DesiredHealthy: 1, ExpectedPods: 1}
				if _, err := budgets.UpdateStatus(t.Context(), budget, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			w, chain := &wire{}, newChain(quickRetry())
			err = row.evict(t, w, chain.Chain, namespace)
			if !apierrors.IsTooManyRequests(err) || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
				t.Errorf("got %v, want 429 because of the disruption budget", err)
			}
			if n := w.count("POST /eviction"); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			chain.wantClosed(t)
			if _, err := direct.CoreV1().Pods(namespace).Get(t.Context(), "pod", metav1.GetOptions{}); err != nil {
				t.Errorf("the pod is gone: %v", err)
			}
		})
	}
}

// TestRealThrottled has two requests in a row be refused as priority and fairness does it:
// either client-go repeats them or the chain, and never both.
func TestRealThrottled(t *testing.T) {
	cluster := theCluster(t)
	for _, row := range []struct {
		name    string
		call    bool
		opts    []kubernetes.Option
		repeats int // of the chain
	}{
		{"client-go repeats", false, nil, 0},
		{"the chain repeats", false, []kubernetes.Option{kubernetes.WithRetries()}, 2},
		{"the chain of a call repeats", true, nil, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w, chain := &wire{}, newChain(quickRetry())
			w.set(func(r *http.Request) *http.Response {
				if w.requests["POST "+r.URL.Path] > 2 {
					return nil
				}
				return statusAnswer(r, 429, "TooManyRequests", "1")
			})
			maps := newClient(t, cluster.wrapped(w, chain.Chain, row.opts...)).CoreV1().ConfigMaps(cluster.namespace(t))
			create := func(ctx context.Context) error {
				_, err := maps.Create(ctx, configMap("a"), metav1.CreateOptions{})
				return err
			}
			var err error
			if row.call {
				err = kubernetes.Do(t.Context(), chain.Chain, kubernetes.Create, create)
			} else {
				err = create(t.Context())
			}
			if n := w.total(); err != nil || n != 3 {
				t.Errorf("got %v after %d requests, want 3", err, n)
			}
			if n := chain.seen(middleware.RetryScheduled); n != row.repeats {
				t.Errorf("the chain repeated it %d times, want %d", n, row.repeats)
			}
			chain.wantClosed(t)
		})
	}
}

func evict(ctx context.Context, client *clientset.Clientset, namespace string) error {
	return client.PolicyV1().Evictions(namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "pod", Namespace: namespace}})
}

func TestRealConflict(t *testing.T) {
	cluster := theCluster(t)
	w, chain := &wire{}, newChain(quickRetry())
	client := newClient(t, w.below(cluster.config))
	counters := client.CoreV1().ConfigMaps(cluster.namespace(t))
	if _, err := counters.Create(t.Context(), configMap("counter", "n", "0"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	backoff := wait.Backoff{Steps: 1000, Duration: time.Millisecond, Factor: 1.5, Jitter: 1, Cap: 100 * time.Millisecond}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				if err := kubernetes.RetryOnConflict(t.Context(), chain.Chain, backoff, func(ctx context.Context) error {
					counter, err := counters.Get(ctx, "counter", metav1.GetOptions{})
					if err != nil {
						return err
					}
					var n int
					fmt.Sscan(counter.Data["n"], &n)
					counter.Data["n"] = fmt.Sprint(n + 1)
					_, err = counters.Update(ctx, counter, metav1.UpdateOptions{})
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if counter, err := counters.Get(t.Context(), "counter", metav1.GetOptions{}); err != nil || counter.Data["n"] != "40" {
		t.Errorf("got %v, %v, want 40", counter, err)
	}
	if n := w.count("PUT /counter"); n <= 40 {
		t.Errorf("%d updates: there was no conflict", n)
	}
	chain.wantClosed(t)
}

// TestRealApply loses the answer to a request that the server has had, or a connection
// before it could carry the request. What may be repeated then is, and nothing else.
func TestRealApply(t *testing.T) {
	cluster := theCluster(t)
	type configMaps = typedv1.ConfigMapInterface
	applied := func(ctx context.Context, maps configMaps, options metav1.ApplyOptions) error {
		options.FieldManager, options.Force = "test", true
		_, err := maps.Apply(ctx, applyv1.ConfigMap("new", "").WithLabels(map[string]string{"made": "here"}).WithData(map[string]string{"key": "1"}), options)
		return err
	}
	created := func(ctx context.Context, maps configMaps, m metav1.ObjectMeta, options metav1.CreateOptions) error {
		m.Labels = map[string]string{"made": "here"}
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: m}, options)
		return err
	}
	patched := func(ctx context.Context, maps configMaps, kind types.PatchType, text string) error {
		_, err := maps.Patch(ctx, "old", kind, []byte(text), metav1.PatchOptions{})
		return err
	}
	dry := []string{metav1.DryRunAll}
	for _, row := range []struct {
		name  string
		do    func(ctx context.Context, maps configMaps) error
		again bool // it may be repeated although the server may have carried it out
		made  int  // so many objects it makes at the most
	}{
		{"get", func(ctx context.Context, maps configMaps) error {
			_, err := maps.Get(ctx, "old", metav1.GetOptions{})
			return err
		}, true, 0},
		{"apply", func(ctx context.Context, maps configMaps) error { return applied(ctx, maps, metav1.ApplyOptions{}) }, true, 1},
		{"dry-run of apply", func(ctx context.Context, maps configMaps) error {
			return applied(ctx, maps, metav1.ApplyOptions{DryRun: dry})
		}, true, 0},
		{"create", func(ctx context.Context, maps configMaps) error {
			return created(ctx, maps, metav1.ObjectMeta{Name: "new"}, metav1.CreateOptions{})
		}, false, 1},
		{"create with a name of the server's", func(ctx context.Context, maps configMaps) error {
			return created(ctx, maps, metav1.ObjectMeta{GenerateName: "new-"}, metav1.CreateOptions{})
		}, false, 1},
		{"dry-run of create", func(ctx context.Context, maps configMaps) error {
			return created(ctx, maps, metav1.ObjectMeta{Name: "new"}, metav1.CreateOptions{DryRun: dry})
		}, true, 0},
		{"JSON patch", func(ctx context.Context, maps configMaps) error {
			return patched(ctx, maps, types.JSONPatchType, `[{"op":"add","path":"/data/b","value":"2"}]`)
		}, false, 0},
		{"merge patch", func(ctx context.Context, maps configMaps) error {
			return patched(ctx, maps, types.StrategicMergePatchType, `{"data":{"b":"2"}}`)
		}, false, 0},
	} {
		for _, fault := range []string{"the answer is lost", "the handshake is lost"} {
			t.Run(row.name+"/"+fault, func(t *testing.T) {
				namespace, direct, w, chain := cluster.namespace(t), cluster.direct(t), &wire{}, newChainThat(100, quickRetry())
				if _, err := direct.CoreV1().ConfigMaps(namespace).Create(t.Context(), configMap("old", "a", "1"), metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				proxy, config := cluster.behindProxy(t, w.below(cluster.config))
				client := newClient(t, kubernetes.Wrap(config, chain.Chain, kubernetes.WithRetries()))
				// It opens a connection.
				if _, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "no", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					t.Fatal(err)
				}
				before := w.total()
				if fault == "the answer is lost" {
					w.cut.Store(true)
				} else {
					await(t, func() error {
						if closeIdleOf(client); proxy.Open() > 0 {
							return errors.New("the connection is open")
						}
						return nil
					})
					if err := proxy.Set(injector.Reset(0).Times(1)); err != nil {
						t.Fatal(err)
					}
				}
				err := row.do(t.Context(), client.CoreV1().ConfigMaps(namespace))
				if w.cut.Load() {
					t.Error("no answer was lost")
				}
				want := 2
				if fault == "the answer is lost" && !row.again {
					want = 1
				}
				if n := w.total() - before; n != want {
					t.Errorf("%d requests, want %d", n, want)
				}
				if (err == nil) != (want == 2) {
					t.Errorf("got the error %v where %d requests are wanted", err, want)
				}
				list, failed := direct.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "made=here"})
				if failed != nil || len(list.Items) > row.made || err == nil && len(list.Items) < row.made {
					t.Errorf("there are %d objects, want %d: %v", len(list.Items), row.made, failed)
				}
			})
		}
	}
}
