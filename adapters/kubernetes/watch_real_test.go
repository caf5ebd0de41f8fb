//go:build real

package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// TestRealWatch watches for half a minute by way of a chain that lets one call at a time
// through and gives it a second, as the config does too.
func TestRealWatch(t *testing.T) {
	t.Parallel()
	cluster := theCluster(t)
	w, chain := &wire{}, newChain(quickRetry(),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second, Scope: policies.UntilEnd}))
	var open atomic.Int64
	namespace := cluster.namespace(t)
	config := w.below(cluster.config)
	config.Timeout = time.Second
	maps := newClient(t, kubernetes.Wrap(config, chain.Chain, kubernetes.WithOpenCount(&open))).CoreV1().ConfigMaps(namespace)
	direct := cluster.direct(t).CoreV1().ConfigMaps(namespace)
	object, err := direct.Create(t.Context(), configMap("a"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: object.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := range 30 {
		<-tick.C
		object.Data = map[string]string{"n": fmt.Sprint(n)}
		if object, err = direct.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		select {
		case e, ok := <-events.ResultChan():
			if got, is := e.Object.(*corev1.ConfigMap); !ok || !is || got.ResourceVersion != object.ResourceVersion {
				t.Fatalf("update %d: got %v, want %v", n, e, object)
			}
		case <-time.After(time.Minute):
			t.Fatalf("update %d did not come in a minute", n)
		}
		if open.Load() != 1 {
			t.Errorf("%d watches are open, want 1", open.Load())
		}
		// The watch has no place in the bulkhead.
		if n%10 == 0 {
			if _, err := maps.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
	events.Stop()
	for range events.ResultChan() {
	}
	await(t, func() error {
		if n := open.Load(); n != 0 {
			return fmt.Errorf("%d watches are open", n)
		}
		return nil
	})
	if n := w.count("GET /configmaps"); n != 1 {
		t.Errorf("%d watches, want 1", n)
	}
	chain.wantClosed(t)
}

// TestRealWatchThatCannotBegin has the chain end a watch before it began: client-go, which
// calls some such watches a success without events, says so and does not try again.
func TestRealWatchThatCannotBegin(t *testing.T) {
	cluster := theCluster(t)
	for _, row := range []struct {
		name     string
		fault    injector.Fault
		policy   middleware.Policy
		want     error
		requests int
	}{
		{"the server hangs", injector.Hang(), policies.NewTimeout(policies.TimeoutConfig{Limit: 300 * time.Millisecond}), middleware.ErrTimeout, 1},
		{"the breaker is open", injector.Fault{}, refuse(), middleware.ErrOpen, 0},
	} {
		for mode, opts := range map[string][]kubernetes.Option{"client-go repeats": nil, "the chain repeats": {kubernetes.WithRetries()}} {
			t.Run(row.name+"/"+mode, func(t *testing.T) {
				w := &wire{}
				proxy, config := cluster.behindProxy(t, w.below(cluster.config))
				set(t, proxy, row.fault)
				chain := middleware.NewChain("kubernetes", quickRetry(), row.policy)
				events, err := newClient(t, kubernetes.Wrap(config, chain, opts...)).CoreV1().Pods("default").Watch(t.Context(), metav1.ListOptions{})
				if !errors.Is(err, row.want) || events != nil {
					t.Errorf("got %v, %v, want %v", events, err, row.want)
				}
				if n := w.total(); n != row.requests {
					t.Errorf("%d requests, want %d", n, row.requests)
				}
			})
		}
	}
}

// TestRealTimeout has the time limit of the config end what is no watch.
func TestRealTimeout(t *testing.T) {
	cluster := theCluster(t)
	proxy, config := cluster.behindProxy(t, cluster.config)
	set(t, proxy, injector.Hang())
	config.Timeout = 300 * time.Millisecond
	chain := newChain(quickRetry())
	client := newClient(t, kubernetes.Wrap(config, chain.Chain, kubernetes.WithRetries()))
	if _, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
	chain.wantClosed(t)
}

// TestRealExec asks for a command in a pod that has no node: the server's own answer to the
// upgrade comes through, once.
func TestRealExec(t *testing.T) {
	cluster := theCluster(t)
	for protocol, executorFor := range map[string]func(*rest.Config, *url.URL) (remotecommand.Executor, error){
		"SPDY": func(config *rest.Config, u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutor(config, "POST", u)
		},
		"WebSocket": func(config *rest.Config, u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(config, "GET", u.String())
		},
	} {
		t.Run(protocol, func(t *testing.T) {
			w, chain := &wire{}, newChain(quickRetry())
			namespace, direct := cluster.namespace(t), cluster.direct(t)
			pod(t, direct, namespace)
			request := direct.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name("pod").SubResource("exec").
				VersionedParams(&corev1.PodExecOptions{Command: []string{"true"}, Stdout: true}, scheme.ParameterCodec)
			stream := func(config *rest.Config) error {
				executor, err := executorFor(config, request.URL())
				if err != nil {
					t.Fatal(err)
				}
				return executor.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
			}
			want, got := stream(cluster.config), stream(cluster.wrapped(w, chain.Chain, kubernetes.WithRetries()))
			if got == nil || !strings.Contains(got.Error(), "does not have a host assigned") || got.Error() != want.Error() {
				t.Errorf("got the error %v, and without the chain %v", got, want)
			}
			if n := w.total(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			chain.wantClosed(t)

			// Nor is it repeated when another request would be. A WebSocket cannot be answered by
			// the wire.
			if protocol == "WebSocket" {
				return
			}
			w.set(func(r *http.Request) *http.Response { return statusAnswer(r, 503, "ServiceUnavailable", "1") })
			if err := stream(cluster.wrapped(w, chain.Chain, kubernetes.WithRetries())); err == nil {
				t.Error("no error of a 503")
			}
			if n := w.total(); n != 2 {
				t.Errorf("%d requests, want 2", n)
			}
		})
	}
}
