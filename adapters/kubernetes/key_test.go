package kubernetes_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestK11KeysAndNames(t *testing.T) {
	const pods = "/api/v1/namespaces/default/pods"
	for _, row := range []struct{ method, target, name, key string }{
		{"GET", pods + "/one", "get pods", "/api read"},
		{"GET", pods, "list pods", "/api read"},
		{"HEAD", pods, "list pods", "/api read"},
		{"GET", "/api/v1/pods", "list pods", "/api read"},
		{"GET", "/api/v1/namespaces", "list namespaces", "/api read"},
		{"GET", "/api/v1/namespaces/default", "get namespaces", "/api read"},
		{"PUT", "/api/v1/namespaces/default/finalize", "update namespaces/finalize", "/api write"},
		{"GET", pods + "?watch=true", "watch pods", "/api watch"},
		{"POST", pods, "create pods", "/api write"},
		{"PUT", pods + "/one/status", "update pods/status", "/api write"},
		{"PATCH", pods + "/one", "patch pods", "/api write"},
		{"DELETE", pods + "/one", "delete pods", "/api write"},
		{"DELETE", pods, "deletecollection pods", "/api write"},
		{"POST", pods + "/one/eviction", "create pods/eviction", "/api write"},
		{"GET", pods + "/one/log", "get pods/log", "/api read"},
		{"GET", "/apis/apps/v1/namespaces/default/deployments/web/scale", "get deployments/scale", "/apis/apps read"},
		{"GET", "/apis/metrics.k8s.io/v1beta1/nodes", "list nodes", "/apis/metrics.k8s.io read"},
		{"GET", "/apis/metrics.k8s.io/v1beta1/nodes?watch=1", "watch nodes", "/apis/metrics.k8s.io watch"},
		{"GET", "/apis/apps/v1", "get", "/apis/apps read"},
		{"GET", "/version", "get", " read"},
	} {
		for host, server := range map[string]string{
			"https://kube.test":                        "https://kube.test:443",
			"http://kube.test":                         "http://kube.test:80",
			"https://KUBE.test:6443":                   "https://kube.test:6443",
			"https://[::1]:6443":                       "https://[::1]:6443",
			"https://rancher.example/k8s/clusters/c-1": "https://rancher.example:443",
		} {
			seen := &recorder{}
			config := &rest.Config{Host: host, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
			})}
			req, err := http.NewRequestWithContext(t.Context(), row.method, host+row.target, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := httpClientFor(t, adapter.Wrap(config, middleware.NewChain("kube", seen))).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := seen.one(t).operation; got.Name != row.name || got.Key != server+row.key {
				t.Errorf("%s %s%s is %q, key %q; want %q, key %q", row.method, host, row.target, got.Name, got.Key, row.name, server+row.key)
			}
		}
	}
}

func TestK11OneAPIThatFailsHoldsNothingElseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		s.plan(func(_ int, r *http.Request) *fault {
			if strings.HasPrefix(r.URL.Path, "/apis/metrics.k8s.io/") {
				return unavailable("")
			}
			return nil
		})
		breakers := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 2})
		})
		c := s.connect(t, middleware.NewChain("kube", breakers))
		metrics := func() error {
			return c.CoreV1().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").Do(t.Context()).Error()
		}
		for range 2 {
			if err := metrics(); err == nil || errors.Is(err, middleware.ErrOpen) {
				t.Errorf("metrics: %v", err)
			}
		}
		if err := metrics(); !errors.Is(err, middleware.ErrOpen) {
			t.Errorf("metrics, after failures: %v", err)
		}
		for _, call := range []string{"create", "get", "list", "watch", "delete"} {
			if err := calls[call](t.Context(), c); err != nil {
				t.Errorf("%s: %v", call, err)
			}
		}
		if _, err := c.CoordinationV1().Leases("default").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
		for key, b := range breakers.All() {
			if want := key == "https://kube.test:443/apis/metrics.k8s.io read"; (b.State() == policies.Open) != want {
				t.Errorf("the breaker of %q is %v", key, b.State())
			}
		}
	})
}
