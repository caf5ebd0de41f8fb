package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func ExampleWrap() {
	server := startCluster()
	defer server.Close()
	config, ctx := &rest.Config{Host: server.URL}, context.Background()

	perGroup := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker { // ".../apis/apps read"
		return policies.NewBreaker(policies.BreakerConfig{Key: key})
	})
	chain := middleware.NewChain("cluster",
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute}),
		policies.NewRetry(policies.RetryConfig{}),
		perGroup,
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 50, MaxWait: 10 * time.Second}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 20, MaxQueue: 100, MaxWait: 10 * time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "headers", Limit: 5 * time.Second}),
	)
	config.QPS = -1                                                   // the chain has the limit
	config = kubernetes.Wrap(config, chain, kubernetes.WithRetries()) // the chain repeats, client-go does not
	clients, err := client.NewForConfig(config)                       // for informers and watches as well
	if err != nil {
		panic(err)
	}
	leases, err := client.NewForConfig(kubernetes.Exempt(config)) // leader election must never wait
	if err != nil {
		panic(err)
	}
	pods, err := clients.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	switch {
	case errors.Is(err, middleware.ErrOpen):
		fmt.Println("the API server is down:", err)
	case err != nil:
		fmt.Println("failed:", apierrors.ReasonForError(err), err)
	default:
		fmt.Println(len(pods.Items), "pod")
	}
	calls := middleware.NewChain("calls", policies.NewRetry(policies.RetryConfig{})) // breakers and limits are with the requests
	err = kubernetes.RetryOnConflict(ctx, calls, retry.DefaultRetry, func(ctx context.Context) error {
		settings, err := clients.CoreV1().ConfigMaps("default").Get(ctx, "settings", metav1.GetOptions{})
		if err != nil {
			return err
		}
		settings.Data = map[string]string{"color": "blue"}
		_, err = clients.CoreV1().ConfigMaps("default").Update(ctx, settings, metav1.UpdateOptions{})
		return err
	})
	fmt.Println("updated:", err)

	_, err = leases.CoordinationV1().Leases("default").Get(ctx, "leader", metav1.GetOptions{})
	fmt.Println("lease:", apierrors.ReasonForError(err))
	// Output:
	// 1 pod
	// updated: <nil>
	// lease: NotFound
}

func ExampleCall() {
	server := startCluster()
	defer server.Close()
	requests := middleware.NewChain("requests", policies.NewBreaker(policies.BreakerConfig{}), policies.NewTimeout(policies.TimeoutConfig{}))
	calls := middleware.NewChain("calls", policies.NewRetry(policies.RetryConfig{}))
	clients, err := client.NewForConfig(kubernetes.Wrap(&rest.Config{Host: server.URL}, requests))
	if err != nil {
		panic(err)
	}

	// The server answers 503 once.
	pods, err := kubernetes.Call(context.Background(), calls, kubernetes.List, func(ctx context.Context) (*corev1.PodList, error) {
		return clients.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	})
	fmt.Println(len(pods.Items), err)
	// Output: 1 <nil>
}

// startCluster starts what takes itself for an API server that is overloaded at first.
func startCluster() *httptest.Server {
	var asked, updated atomic.Int32
	answer := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/default/pods", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		answer(w, http.StatusOK, `{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "web"}}]}`)
	})
	mux.HandleFunc("/api/v1/namespaces/default/configmaps/settings", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && updated.Add(1) == 1 {
			answer(w, http.StatusConflict, `{"apiVersion": "v1", "kind": "Status", "reason": "Conflict", "code": 409}`)
			return
		}
		answer(w, http.StatusOK, `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, `{"apiVersion": "v1", "kind": "Status", "reason": "NotFound", "code": 404}`)
	})
	return httptest.NewServer(mux)
}
