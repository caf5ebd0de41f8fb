package kubernetes_test

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	client "k8s.io/client-go/kubernetes"
)

func TestFakeKeepsObjects(t *testing.T) {
	a := newAPI()
	t.Run("pipes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { keepsObjects(t, clientFor(t, serve(t, a).config())) })
	})
	t.Run("loopback, HTTP/2", func(t *testing.T) {
		_, config := loopback(t, newAPI())
		keepsObjects(t, clientFor(t, config))
	})
}

func keepsObjects(t *testing.T, c client.Interface) {
	ctx, maps := t.Context(), c.CoreV1().ConfigMaps("default")
	_, err := maps.Get(ctx, "one", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) || err.Error() != `configmaps "one" not found` {
		t.Errorf("get of none: %v", err)
	}
	one, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Data: map[string]string{"a": "1"}}, metav1.CreateOptions{})
	if err != nil || one.UID == "" || one.ResourceVersion == "" || one.Data["a"] != "1" {
		t.Fatalf("%+v, %v", one, err)
	}
	if _, err := maps.Create(ctx, one, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("second create: %v", err)
	}
	generated, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "gen-"}}, metav1.CreateOptions{})
	if err != nil || len(generated.Name) <= len("gen-") {
		t.Fatalf("%+v, %v", generated, err)
	}
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "dry"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Error(err)
	}
	patched, err := maps.Patch(ctx, "one", types.MergePatchType, []byte(`{"data":{"a":null,"b":"2"}}`), metav1.PatchOptions{})
	if err != nil || patched.Data["b"] != "2" || len(patched.Data) != 1 || patched.UID != one.UID {
		t.Errorf("%+v, %v", patched, err)
	}
	if _, err := maps.Update(ctx, one, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("update of a stale version: %v", err)
	}
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 2 || list.ResourceVersion == "" {
		t.Errorf("%d objects at %q, %v", len(list.Items), list.ResourceVersion, err)
	}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=one"}); err != nil {
		t.Error(err)
	}
	if err := maps.Delete(ctx, generated.Name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if list, err := maps.List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("%d objects, %v", len(list.Items), err)
	}
}

func TestFakeWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		c := clientFor(t, serve(t, a).config())
		ctx, maps := t.Context(), c.CoreV1().ConfigMaps("default")
		one, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		yes, seconds := true, int64(90)
		w, err := maps.Watch(ctx, metav1.ListOptions{
			SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
			AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
		})
		if err != nil {
			t.Fatal(err)
		}
		wantEvent(t, w, watch.Added, one.ResourceVersion)
		wantEvent(t, w, watch.Bookmark, one.ResourceVersion)
		if err := maps.Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		wantEvent(t, w, watch.Deleted, "3")
		start := time.Now()
		wantEvent(t, w, watch.Bookmark, "3")
		if _, more := <-w.ResultChan(); more || time.Since(start) != 90*time.Second {
			t.Errorf("the watch ended after %v, more %v", time.Since(start), more)
		}

		a.forget()
		w, err = maps.Watch(ctx, metav1.ListOptions{ResourceVersion: "2"})
		if err != nil {
			t.Fatal(err)
		}
		if err := apierrors.FromObject((<-w.ResultChan()).Object); !apierrors.IsResourceExpired(err) {
			t.Errorf("watch of a version that is gone: %v", err)
		}
		_, err = maps.List(ctx, metav1.ListOptions{ResourceVersion: "99"})
		if !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
			t.Errorf("list at a version to come: %v", err)
		}
	})
}

func wantEvent(t *testing.T, w watch.Interface, kind watch.EventType, version string) {
	t.Helper()
	e := <-w.ResultChan()
	o, ok := e.Object.(metav1.Object)
	if e.Type != kind || !ok || o.GetResourceVersion() != version {
		t.Fatalf("event %v of %+v, want %v at %s", e.Type, e.Object, kind, version)
	}
}
