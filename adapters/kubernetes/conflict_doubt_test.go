package kubernetes_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
)

// The first update may have been carried out, so the conflict may be with that.
func TestK13AConflictInDoubtEndsTheTries(t *testing.T) {
	for _, row := range []struct {
		name     string
		opts     []adapter.Option
		requests int
		ok       bool
	}{
		{"it ends them", nil, 4, false},
		{"unless the call is idempotent", []adapter.Option{nil, adapter.Idempotent()}, 6, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				s := serve(t, a)
				if err := calls["create"](t.Context(), clientFor(t, serve(t, a).config())); err != nil {
					t.Fatal(err)
				}
				s.plan(func(n int, _ *http.Request) *fault {
					switch n { // get, update, get, update
					case 2:
						return failing(slow)
					case 4:
						return failing(apierrors.NewConflict(aResource, "one", errModified))
					default:
						return nil
					}
				})
				chain := middleware.NewChain("kube", repeating(3))
				c := s.connect(t, chain)
				err := adapter.RetryOnConflict(t.Context(), chain, wait.Backoff{Steps: 5, Duration: time.Second}, func(ctx context.Context) error {
					return increment(ctx, c, func() {})
				}, row.opts...)
				var ambiguous *adapter.AmbiguousError
				switch {
				case row.ok && err != nil:
					t.Error(err)
				case !row.ok && (!errors.As(err, &ambiguous) || ambiguous.Verb != adapter.Update || !apierrors.IsConflict(err)):
					t.Errorf("%T: %v", err, err)
				}
				s.wantRequests(t, row.requests)
			})
		})
	}
}

func TestK13TheContextEndsTheWaitBetweenTries(t *testing.T) {
	for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
		t.Run(want.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if want == context.Canceled {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(time.Minute, cancel)
				}
				defer cancel()
				start, tries := time.Now(), 0
				err := adapter.RetryOnConflict(ctx, middleware.NewChain("kube"), wait.Backoff{Steps: 5, Duration: time.Hour}, func(context.Context) error {
					tries++
					return apierrors.NewConflict(aResource, "one", errModified)
				})
				if !errors.Is(err, want) || !apierrors.IsConflict(err) {
					t.Errorf("%v, want that of the context and the conflict", err)
				}
				if time.Since(start) != time.Minute || tries != 1 {
					t.Errorf("%d tries in %v", tries, time.Since(start))
				}
			})
		})
	}
}

func TestK13ThereIsAtLeastOneTry(t *testing.T) {
	for _, steps := range []int{-1, 0, 1} {
		synctest.Test(t, func(t *testing.T) {
			for _, want := range []error{nil, apierrors.NewConflict(aResource, "one", errModified)} {
				start, tries := time.Now(), 0
				err := adapter.RetryOnConflict(t.Context(), middleware.NewChain("kube"), wait.Backoff{Steps: steps, Duration: time.Second}, func(context.Context) error {
					tries++
					return want
				})
				if err != want || tries != 1 || time.Since(start) != 0 {
					t.Errorf("%d steps: %v after %d tries in %v", steps, err, tries, time.Since(start))
				}
			}
		})
	}
}
