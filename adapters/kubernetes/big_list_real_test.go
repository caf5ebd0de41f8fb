//go:build real

package kubernetes_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

const (
	bigCount = 5000
	bigData  = 2000 // bytes in each object
	bigRate  = 2 << 20
	bigLimit = 3 * time.Second // less than the whole takes at that rate
)

// TestRealBigList lists and watches many objects over a slow connection: a time limit for
// the headers does not cut what follows them, and one for the whole does, unless it is a
// watch.
func TestRealBigList(t *testing.T) {
	cluster := theCluster(t)
	namespace := cluster.namespace(t)
	makeMany(t, cluster, namespace)
	base := rest.CopyConfig(cluster.config)
	base.DisableCompression = true
	proxy, base := cluster.behindProxy(t, base)
	if err := proxy.Set(injector.Slow(bigRate)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		scope policies.TimeoutScope
		watch bool
		want  error
	}{
		{"list, limit for the headers", policies.UntilResult, false, nil},
		{"list, limit for each read", policies.EachRead, false, nil},
		{"list, limit for the whole", policies.UntilEnd, false, middleware.ErrTimeout},
		{"watch, limit for the headers", policies.UntilResult, true, nil},
		{"watch, limit for the whole", policies.UntilEnd, true, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			chain := newChain(policies.NewTimeout(policies.TimeoutConfig{Limit: bigLimit, Scope: row.scope}))
			maps := newClient(t, kubernetes.Wrap(base, chain.Chain)).CoreV1().ConfigMaps(namespace)
			var got []corev1.ConfigMap
			var err error
			if row.watch {
				got = watchAll(t, func(options metav1.ListOptions) (watch.Interface, error) { return maps.Watch(t.Context(), options) })
			} else {
				var list *corev1.ConfigMapList
				if list, err = maps.List(t.Context(), metav1.ListOptions{}); err == nil {
					got = list.Items
				}
			}
			if !errors.Is(err, row.want) || row.want == nil && len(got) != bigCount {
				t.Errorf("got %d objects, %v, want %v", len(got), err, row.want)
			}
			for _, object := range got {
				if len(object.Data["text"]) != bigData {
					t.Fatalf("%s is not whole", object.Name)
				}
			}
			if row.want == nil {
				chain.wantClosed(t)
			}
		})
	}
}

// makeMany makes the objects.
func makeMany(t *testing.T, cluster *realCluster, namespace string) {
	t.Helper()
	maps := cluster.direct(t).CoreV1().ConfigMaps(namespace)
	var made atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for n := made.Add(1); n <= bigCount; n = made.Add(1) {
				text := strings.Repeat(rand.Text(), bigData)[:bigData]
				if _, err := maps.Create(t.Context(), configMap(fmt.Sprint("object-", n), "text", text), metav1.CreateOptions{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// watchAll returns what there is, as the events at the beginning of a watch.
func watchAll(t *testing.T, watching func(metav1.ListOptions) (watch.Interface, error)) (got []corev1.ConfigMap) {
	t.Helper()
	yes := true
	events, err := watching(metav1.ListOptions{
		SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		select {
		case e, ok := <-events.ResultChan():
			object, is := e.Object.(*corev1.ConfigMap)
			switch {
			case !ok || !is:
				t.Fatalf("after %d objects: %v", len(got), e)
			case e.Type == watch.Bookmark && object.Annotations[metav1.InitialEventsAnnotationKey] == "true":
				return got
			case e.Type == watch.Added:
				got = append(got, *object)
			}
		case <-ctx.Done():
			t.Fatalf("after two minutes: %d objects", len(got))
		}
	}
}
