package kubernetes_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestK4AStreamingListIsAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &recorder{}
		yes := true
		w, err := serve(t, newAPI()).connect(t, middleware.NewChain("kube", seen)).CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{
			SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if one := seen.one(t); one.held || one.operation.Name != "watch configmaps" || one.operation.Idempotent {
			t.Errorf("%+v", one)
		}
	})
}

// A list is no watch: its limits are those that the chain has, and no other.
func TestK4ALongListHasTheLimitsOfTheChain(t *testing.T) {
	const list = `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`
	for _, row := range []struct {
		name  string
		scope policies.TimeoutScope
		pause time.Duration // between bytes
		ends  bool
	}{
		{"until the headers, a byte in a minute", policies.UntilResult, time.Minute, true},
		{"each read, a byte in a second", policies.EachRead, time.Second, true},
		{"each read, a byte in a minute", policies.EachRead, time.Minute, false},
		{"until the end, a byte in a second", policies.UntilEnd, time.Second, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(&fault{"slow", func(_ *server, w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					for i := range len(list) {
						if _, err := w.Write([]byte{list[i]}); err != nil || http.NewResponseController(w).Flush() != nil {
							return
						}
						select {
						case <-time.After(row.pause):
						case <-r.Context().Done():
							return
						}
					}
				}})
				seen := &recorder{}
				limit := policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Second, Scope: row.scope})
				err := calls["list"](t.Context(), s.connect(t, middleware.NewChain("kube", seen, limit)))
				if row.ends && err != nil || !row.ends && !errors.Is(err, middleware.ErrTimeout) {
					t.Error(err)
				}
				if one := seen.one(t); one.operation.Name != "list configmaps" || one.held {
					t.Errorf("%+v", one)
				}
			})
		})
	}
}
