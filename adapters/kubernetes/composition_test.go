package kubernetes_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

const core, metrics = "https://kube.test:443/api ", "https://kube.test:443/apis/metrics.k8s.io "

func TestADoAroundAnotherChainRunsThatOncePerRequest(t *testing.T) {
	getPod := func(ctx context.Context, c client.Interface) error {
		_, err := c.CoreV1().Pods("default").Get(ctx, "one", metav1.GetOptions{})
		return err
	}
	nodes := func(ctx context.Context, c client.Interface) error {
		return c.CoreV1().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").Do(ctx).Error()
	}
	for _, row := range []struct {
		name      string
		fault     *fault
		verb      adapter.Verb
		call      func(context.Context, client.Interface) error
		requests  int
		operation string // of the inner chain
		key       string
	}{
		{"it goes well", nil, adapter.Get, calls["list"], 1, "list configmaps", core + "read"},
		{"503 to a get", unavailable(""), adapter.Get, getPod, 2, "get pods", core + "read"},
		{"503 with Retry-After to a create", unavailable("1"), adapter.Create, calls["create"], 2, "create configmaps", core + "write"},
		{"503 of an aggregated API", unavailable("1"), adapter.List, nodes, 2, "list nodes", metrics + "read"},
		{"429", fairness("1"), adapter.Update, calls["update"], 2, "update configmaps", core + "write"},
		{"reset", reset, adapter.Get, getPod, 2, "get pods", core + "read"},
		{"reset of a write", reset, adapter.Delete, calls["delete"], 1, "delete configmaps", core + "write"},
	} {
		for name, opts := range map[string][]adapter.Option{"": nil, ", it would repeat": {adapter.WithRetries()}} {
			t.Run(row.name+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serve(t, newAPI())
					s.always(row.fault)
					within, around := &recorder{}, &recorder{}
					inner := middleware.NewChain("inner", within, repeating(5))
					outer := middleware.NewChain("outer", repeating(2), around)
					c := s.connect(t, inner, opts...)
					err := adapter.Do(t.Context(), outer, row.verb, func(ctx context.Context) error { return row.call(ctx, c) })
					if (err == nil) != (row.fault == nil) {
						t.Error(err)
					}
					s.wantRequests(t, row.requests)
					passed := within.take()
					for _, one := range passed {
						if one.operation.Name != row.operation || one.operation.Key != row.key {
							t.Errorf("inside it is %q, key %q", one.operation.Name, one.operation.Key)
						}
					}
					if len(passed) != row.requests {
						t.Errorf("%d requests passed the inner chain %d times", row.requests, len(passed))
					}
					for _, one := range around.take() {
						if one.operation.Name != string(row.verb) || one.operation.Key != "" {
							t.Errorf("outside it is %q, key %q", one.operation.Name, one.operation.Key)
						}
					}
				})
			})
		}
	}
}

func TestK11ADoAroundBreakersOfEachAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		s.plan(func(_ int, r *http.Request) *fault {
			if strings.HasPrefix(r.URL.Path, "/apis/metrics.k8s.io/") {
				return unavailable("")
			}
			return nil
		})
		breakers := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 3})
		})
		c := s.connect(t, middleware.NewChain("apis", breakers))
		around := &recorder{}
		outer := middleware.NewChain("calls", repeating(2), around)
		nodes := func() error {
			return adapter.Do(t.Context(), outer, adapter.List, func(ctx context.Context) error {
				return c.CoreV1().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/nodes").Do(ctx).Error()
			})
		}
		if err := nodes(); !apierrors.IsServiceUnavailable(err) {
			t.Errorf("metrics: %v", err)
		}
		s.wantRequests(t, 2)
		around.take()
		if err := nodes(); !errors.Is(err, middleware.ErrOpen) { // as its second attempt is refused
			t.Errorf("metrics, after three failures: %v", err)
		}
		s.wantRequests(t, 1)
		if runs := around.take(); len(runs) != 2 || runs[1].verdict.Class != middleware.Ignored || runs[1].verdict.Retry {
			t.Errorf("%+v", runs)
		}
		for _, row := range []struct {
			verb adapter.Verb
			call string
		}{{adapter.CreateNamed, "create"}, {adapter.Get, "get"}, {adapter.List, "list"}, {adapter.Delete, "delete"}} {
			if err := adapter.Do(t.Context(), outer, row.verb, func(ctx context.Context) error { return calls[row.call](ctx, c) }); err != nil {
				t.Errorf("%s: %v", row.call, err)
			}
		}
		want := map[string]policies.State{metrics + "read": policies.Open, core + "read": policies.Closed, core + "write": policies.Closed}
		for key, b := range breakers.All() {
			if state, ok := want[key]; !ok || b.State() != state {
				t.Errorf("the breaker of %q is %v", key, b.State())
			}
			delete(want, key)
		}
		if len(want) != 0 {
			t.Errorf("there is no breaker of %v", want)
		}
	})
}

func TestADoJudgesWhatAnotherChainRefuses(t *testing.T) {
	for _, row := range []struct {
		name     string
		policy   func(*testing.T) middleware.Policy
		reason   error
		safe     bool // repeated if the call is safe, else never
		class    middleware.Class
		requests int // for each attempt
	}{
		{"open", func(*testing.T) middleware.Policy {
			b := policies.NewBreaker(policies.BreakerConfig{})
			b.ForceOpen()
			return b
		}, middleware.ErrOpen, false, middleware.Ignored, 0},
		{"rate limit", func(t *testing.T) middleware.Policy {
			return full(t, policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 1}))
		}, middleware.ErrRateLimited, false, middleware.Ignored, 0},
		{"bulkhead", func(t *testing.T) middleware.Policy {
			p, entered := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1}), make(chan struct{})
			go middleware.NewChain("others", p).Do(t.Context(), func(ctx context.Context) error {
				close(entered)
				<-ctx.Done()
				return nil
			})
			<-entered
			return p
		}, middleware.ErrBulkheadFull, false, middleware.Ignored, 0},
		{"time limit", func(*testing.T) middleware.Policy {
			return policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second})
		}, middleware.ErrTimeout, true, middleware.Failure, 1},
	} {
		for _, of := range []struct {
			verb adapter.Verb
			call string
			safe bool
		}{{adapter.Get, "get", true}, {adapter.List, "list", true}, {adapter.CreateNamed, "create", true}, {adapter.Create, "create", false}, {adapter.Update, "update", false}, {adapter.Delete, "delete", false}} {
			t.Run(row.name+"/"+string(of.verb), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serve(t, newAPI())
					s.always(hang)
					c := s.connect(t, middleware.NewChain("inner", row.policy(t)))
					around, breaker := &recorder{}, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
					outer := middleware.NewChain("outer", breaker, repeating(3), around)
					start := time.Now()
					err := adapter.Do(t.Context(), outer, of.verb, func(ctx context.Context) error { return calls[of.call](ctx, c) })
					var rejection *middleware.Rejection
					if !errors.Is(err, row.reason) || !errors.As(err, &rejection) || rejection.Chain != "inner" {
						t.Errorf("%T: %v", err, err)
					}
					attempts := 1
					if row.safe && of.safe {
						attempts = 3
					}
					runs := around.take()
					if len(runs) != attempts {
						t.Errorf("%d runs, want %d", len(runs), attempts)
					}
					for _, one := range runs {
						if v := one.verdict; v.Class != row.class || v.Retry != (attempts > 1) {
							t.Errorf("%+v", v)
						}
					}
					if open := breaker.State() == policies.Open; open != (row.class == middleware.Failure) {
						t.Errorf("the breaker is %v", breaker.State())
					}
					if took := time.Since(start).Round(time.Second); took != time.Duration(row.requests*attempts)*time.Second {
						t.Errorf("it took %v", took)
					}
					s.wantRequests(t, row.requests*attempts)
				})
			})
		}
	}
}
