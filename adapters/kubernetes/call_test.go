package kubernetes_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	client "k8s.io/client-go/kubernetes"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

var aResource = schema.GroupResource{Resource: "configmaps"}

// makeGenerated creates a configmap with a generated name.
func makeGenerated(ctx context.Context, c client.Interface) error {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "some-"}}
	_, err := c.CoreV1().ConfigMaps("default").Create(ctx, m, metav1.CreateOptions{})
	return err
}

func TestK12WhichCallsAreRepeated(t *testing.T) {
	calls := map[string]func(context.Context, client.Interface) error{
		"get": calls["get"], "list": calls["list"], "create": makeGenerated, "create named": calls["create"],
		"update": calls["update"], "delete": calls["delete"],
	}
	rejected := failing(apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "one", nil))
	const attempts = 3
	type wanted map[adapter.Verb]int // requests, 1 if not named
	for _, row := range []struct {
		name  string
		fault *fault
		want  wanted
		class middleware.Class
	}{
		{"TooManyRequests", fairness("1"), wanted{adapter.Get: 3, adapter.List: 3, adapter.Create: 3, adapter.CreateNamed: 3, adapter.Update: 3, adapter.Delete: 3}, middleware.Throttled},
		{"TooManyRequests, no hint", fairness("0"), wanted{adapter.Get: 3, adapter.List: 3, adapter.Create: 3, adapter.CreateNamed: 3, adapter.Update: 3, adapter.Delete: 3}, middleware.Throttled},
		{"ServerTimeout", failing(apierrors.NewServerTimeout(aResource, "get", 1)), wanted{adapter.Get: 3, adapter.List: 3, adapter.CreateNamed: 3, adapter.Update: 3, adapter.Delete: 3}, middleware.Failure},
		{"Timeout", failing(apierrors.NewTimeoutError("slow", 0)), wanted{adapter.Get: 3, adapter.List: 3, adapter.CreateNamed: 3}, middleware.Failure},
		{"ServiceUnavailable", unavailable(""), wanted{adapter.Get: 3, adapter.List: 3, adapter.CreateNamed: 3}, middleware.Failure},
		{"ServiceUnavailable, with a hint", unavailable("1"), wanted{adapter.Get: 3, adapter.List: 3, adapter.Create: 3, adapter.CreateNamed: 3, adapter.Update: 3, adapter.Delete: 3}, middleware.Failure},
		{"InternalError", failing(apierrors.NewInternalError(errModified)), wanted{adapter.Get: 3, adapter.List: 3}, middleware.Failure},
		{"reset", reset, wanted{adapter.Get: 3, adapter.List: 3, adapter.CreateNamed: 3}, middleware.Failure},
		{"eof", eof, wanted{adapter.Get: 3, adapter.List: 3, adapter.CreateNamed: 3}, middleware.Failure},
		{"NotFound", failing(apierrors.NewNotFound(aResource, "one")), nil, middleware.Success},
		{"AlreadyExists", failing(apierrors.NewAlreadyExists(aResource, "one")), nil, middleware.Success},
		{"Conflict", failing(apierrors.NewConflict(aResource, "one", errModified)), nil, middleware.Success},
		{"Forbidden", failing(apierrors.NewForbidden(aResource, "one", errModified)), nil, middleware.Success},
		{"Invalid", rejected, nil, middleware.Success},
		{"Expired", failing(apierrors.NewResourceExpired("old")), nil, middleware.Success},
		{"Unauthorized", failing(apierrors.NewUnauthorized("no token")), wanted{adapter.Get: 2, adapter.List: 2, adapter.Create: 2, adapter.CreateNamed: 2, adapter.Update: 2, adapter.Delete: 2}, middleware.Success},
	} {
		for _, verb := range []adapter.Verb{adapter.Get, adapter.List, adapter.Create, adapter.CreateNamed, adapter.Update, adapter.Delete} {
			// However the client was made, only Do repeats.
			for name, opts := range map[string][]adapter.Option{"": nil, ", the chain repeats": {adapter.WithRetries()}} {
				t.Run(row.name+"/"+string(verb)+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := serve(t, newAPI())
						s.always(row.fault)
						seen := &recorder{}
						chain := middleware.NewChain("kube", repeating(attempts), seen)
						c := s.connect(t, chain, opts...)
						err := adapter.Do(t.Context(), chain, verb, func(ctx context.Context) error { return calls[string(verb)](ctx, c) })
						if err == nil {
							t.Error("no error")
						}
						want := max(1, row.want[verb])
						s.wantRequests(t, want)
						runs := seen.take()
						if len(runs) != want || runs[0].verdict.Class != row.class {
							t.Errorf("%d runs, want %d of class %v: %+v", len(runs), want, row.class, runs)
						}
					})
				})
			}
		}
	}
}

// What never reached the server is repeated, whatever it is.
func TestK12WhatWasNeverSentIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := serve(t, a)
		s.restart(a, time.Second)
		chain := middleware.NewChain("kube", policies.NewRetry(policies.RetryConfig{Attempts: 5, Delay: time.Second}))
		c := s.connect(t, chain)
		if err := adapter.Do(t.Context(), chain, adapter.Create, func(ctx context.Context) error { return makeGenerated(ctx, c) }); err != nil {
			t.Error(err)
		}
		if n := len(a.stored("/api/v1/namespaces/default/configmaps")); n != 1 || s.strikes("refused") == 0 {
			t.Errorf("%d objects after %d refused connections", n, s.strikes("refused"))
		}
	})
}

var slow = apierrors.NewServerTimeout(aResource, "update", 1)

// An answer that was lost leaves open whether the call was carried out.
func TestK12AfterAnAttemptInDoubt(t *testing.T) {
	for _, row := range []struct {
		name     string
		verb     adapter.Verb
		opts     []adapter.Option
		call     func(context.Context, client.Interface) error
		answers  []error // of the server, in place of one that is lost
		requests int
		is       func(error) bool // what the server said at last
	}{
		{name: "an object whose last finalizer an update took away", verb: adapter.Update, call: calls["update"],
			answers: []error{slow, apierrors.NewNotFound(aResource, "one")}, requests: 2, is: apierrors.IsNotFound},
		{name: "an object that a delete has made terminate", verb: adapter.Delete, call: calls["delete"],
			answers: []error{slow, apierrors.NewConflict(aResource, "one", errModified)}, requests: 2, is: apierrors.IsConflict},
		{name: "no namespace for a create", verb: adapter.CreateNamed, call: calls["create"],
			answers: []error{slow, apierrors.NewNotFound(aResource, "default")}, requests: 2},
		{name: "a generated name is not made twice", verb: adapter.Create, call: makeGenerated, requests: 1},
		{name: "a fixed name may be ours", verb: adapter.CreateNamed, call: calls["create"], requests: 2, is: apierrors.IsAlreadyExists},
		{name: "a delete is not repeated", verb: adapter.Delete, call: calls["delete"], requests: 1},
		{name: "what is gone may be our doing", verb: adapter.Delete, opts: []adapter.Option{adapter.Idempotent()}, call: calls["delete"], requests: 2, is: apierrors.IsNotFound},
	} {
		for _, wrapped := range []bool{true, false} {
			if !wrapped && row.answers != nil {
				continue // client-go repeats by itself
			}
			t.Run(row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAPI()
					s := serve(t, a)
					chain := middleware.NewChain("kube", repeating(3))
					c := s.connect(t, chain)
					if !wrapped {
						c = clientFor(t, s.config())
					}
					if row.verb == adapter.Delete {
						if err := calls["create"](t.Context(), clientFor(t, serve(t, a).config())); err != nil {
							t.Fatal(err)
						}
					}
					s.first(1, lost)
					if row.answers != nil {
						s.plan(func(n int, _ *http.Request) *fault { return failing(row.answers[n-1]) })
					}
					err := adapter.Do(t.Context(), chain, row.verb, func(ctx context.Context) error { return row.call(ctx, c) }, row.opts...)
					var ambiguous *adapter.AmbiguousError
					switch {
					case row.is == nil && (err == nil || errors.As(err, &ambiguous)):
						t.Errorf("%v, want that of the connection", err)
					case row.is != nil && (!errors.As(err, &ambiguous) || !row.is(err) || ambiguous.Verb != row.verb):
						t.Errorf("%v, want an ambiguous one", err)
					}
					s.wantRequests(t, row.requests)
					if n := len(a.stored("/api/v1/namespaces/default/configmaps")); row.answers == nil && (n == 1) != (row.verb != adapter.Delete) {
						t.Errorf("%d objects", n)
					}
				})
			})
		}
	}
}

func TestK12ResultsAndRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		s := serve(t, a)
		breaker := policies.NewBreaker(policies.BreakerConfig{})
		chain := middleware.NewChain("kube", breaker)
		c := s.connect(t, chain)
		create := func(ctx context.Context) (*corev1.ConfigMap, error) {
			return c.CoreV1().ConfigMaps("default").Create(ctx, aMap("one"), metav1.CreateOptions{})
		}
		if m, err := adapter.Call(t.Context(), chain, adapter.CreateNamed, create); err != nil || m.UID == "" {
			t.Errorf("%+v, %v", m, err)
		}
		breaker.ForceOpen()
		if m, err := adapter.Call(t.Context(), chain, adapter.CreateNamed, create); m != nil || !errors.Is(err, middleware.ErrOpen) {
			t.Errorf("%+v, %v", m, err)
		}
		s.wantRequests(t, 1)
	})
}

// A call around another one has its requests too.
func TestARequestPassesAChainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &recorder{}
		outer := middleware.NewChain("outer", seen, policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}))
		c := serve(t, newAPI()).connect(t, outer)
		err := adapter.Do(t.Context(), outer, adapter.List, func(ctx context.Context) error {
			return adapter.Do(ctx, middleware.NewChain("inner"), adapter.List, func(ctx context.Context) error { return calls["list"](ctx, c) })
		})
		if err != nil {
			t.Error(err)
		}
		if n := len(seen.take()); n != 1 {
			t.Errorf("it passed %d times", n)
		}
		s := serve(t, newAPI())
		if err := calls["list"](t.Context(), clientFor(t, adapter.Wrap(adapter.Wrap(s.config(), outer), outer))); err != nil {
			t.Error(err)
		}
		if n := len(seen.take()); n != 1 {
			t.Errorf("wrapped twice, it passed %d times", n)
		}
	})
}

// A disruption budget is no overload.
func TestK12AnEvictionThatABudgetRefuses(t *testing.T) {
	for name, opts := range map[string][]adapter.Option{"client-go repeats": nil, "the chain repeats": {adapter.WithRetries()}} {
		for _, inDo := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAPI()
					a.budget = true
					s := serve(t, a)
					clean := clientFor(t, serve(t, a).config())
					if _, err := clean.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, metav1.CreateOptions{}); err != nil {
						t.Fatal(err)
					}
					seen := &recorder{}
					chain := middleware.NewChain("kube", repeating(3), seen)
					c := s.connect(t, chain, opts...)
					call := func(ctx context.Context) error { return calls["evict"](ctx, c) }
					err := call(t.Context())
					if inDo {
						seen.take()
						s.wantRequests(t, 1)
						err = adapter.Do(t.Context(), chain, adapter.Create, call)
					}
					if !apierrors.IsTooManyRequests(err) || !apierrors.HasStatusCause(err, "DisruptionBudget") {
						t.Errorf("%T: %v", err, err)
					}
					if one := seen.one(t); one.verdict.Class != middleware.Success || one.verdict.Retry {
						t.Errorf("%+v", one)
					}
					s.wantRequests(t, 1)
				})
			})
		}
	}
}
