//go:build real

package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// TestRealAggregatedAPI has an API that the API server would get from another server, which
// is not there: its breaker opens, and nobody else's.
func TestRealAggregatedAPI(t *testing.T) {
	cluster := theCluster(t)
	namespace, direct := cluster.namespace(t), cluster.direct(t)
	serveMetricsFromNowhere(t, cluster, namespace)
	metrics := func(client *clientset.Clientset) error {
		return client.CoreV1().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").Do(t.Context()).Error()
	}
	await(t, func() error {
		if err := metrics(direct); !apierrors.IsServiceUnavailable(err) {
			return fmt.Errorf("metrics.k8s.io is not unavailable: %w", err)
		}
		return nil
	})

	w, chain := &wire{}, newChainThat(3)
	client := newClient(t, cluster.wrapped(w, chain.Chain))
	for range 3 {
		if err := metrics(client); !apierrors.IsServiceUnavailable(err) {
			t.Errorf("got %v, want 503", err)
		}
	}
	if err := metrics(client); !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("got %v, want that the breaker is open", err)
	}
	if n := w.count("GET /apis/metrics.k8s.io/v1beta1/nodes"); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}

	// All else goes on.
	ctx := t.Context()
	if _, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, configMap("a"), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	events, err := client.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	events.Stop()
	server := "https://" + cluster.address
	want := map[string]policies.State{
		server + "/apis/metrics.k8s.io read": policies.Open,
		server + "/apis/apps read":           policies.Closed,
		server + "/api read":                 policies.Closed,
		server + "/api write":                policies.Closed,
		server + "/api watch":                policies.Closed,
	}
	for key, breaker := range chain.breakers.All() {
		if state, ok := want[key]; !ok || breaker.State() != state {
			t.Errorf("the breaker of %q is %v", key, breaker.State())
		}
		delete(want, key)
	}
	for key := range want {
		t.Errorf("there is no breaker of %q", key)
	}
}

// serveMetricsFromNowhere registers metrics.k8s.io with a service that has no endpoints,
// until the test ends.
func serveMetricsFromNowhere(t *testing.T, cluster *realCluster, namespace string) {
	t.Helper()
	direct := cluster.direct(t)
	if _, err := direct.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfigAndClient(cluster.config, direct.CoreV1().RESTClient().(*rest.RESTClient).Client)
	if err != nil {
		t.Fatal(err)
	}
	services := client.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	if _, err := services.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": "v1beta1.metrics.k8s.io"},
		"spec": map[string]any{
			"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
			"insecureSkipTLSVerify": true, "service": map[string]any{"name": "metrics", "namespace": namespace, "port": int64(443)},
		},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { services.Delete(context.Background(), "v1beta1.metrics.k8s.io", metav1.DeleteOptions{}) })
}
