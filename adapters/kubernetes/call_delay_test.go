package kubernetes_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// exactly repeats without jitter, so that what is waited for is what was asked for.
func exactly(attempts int) *policies.Retry {
	return policies.NewRetry(policies.RetryConfig{
		Attempts: attempts, Delay: time.Millisecond, Jitter: -1, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: -1}),
	})
}

// The transport hides the header from client-go, and Do waits for it.
func TestDoWaitsForTheHeaderThatClientGoDoesNotSee(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault *fault
		verb  adapter.Verb
		call  string
		want  time.Duration // in all, for three attempts
	}{
		{"429 in plain text, get", fairness("7"), adapter.Get, "get", 14 * time.Second},
		{"429 in plain text, create", fairness("7"), adapter.Create, "create", 14 * time.Second},
		{"429 in plain text, delete", fairness("2"), adapter.Delete, "delete", 4 * time.Second},
		{"503 with a Status", unavailable("3"), adapter.Create, "create", 6 * time.Second},
		{"no header", fairness(""), adapter.Create, "create", 3 * time.Millisecond},
	} {
		for name, opts := range map[string][]adapter.Option{"": nil, ", the chain repeats": {adapter.WithRetries()}} {
			t.Run(row.name+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := serve(t, newAPI())
					s.always(row.fault)
					chain := middleware.NewChain("kube", exactly(3))
					c := s.connect(t, chain, opts...)
					start := time.Now()
					if err := adapter.Do(t.Context(), chain, row.verb, func(ctx context.Context) error { return calls[row.call](ctx, c) }); err == nil {
						t.Error("no error")
					}
					if took := time.Since(start); took != row.want {
						t.Errorf("it took %v, want %v", took, row.want)
					}
					s.wantRequests(t, 3)
				})
			})
		}
	}
}

// What the server asked for is of its last answer: an attempt that breaks asks for nothing.
func TestDoWaitsForTheHeaderOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		s.plan(func(n int, _ *http.Request) *fault { return []*fault{fairness("7"), reset, nil}[n-1] })
		chain := middleware.NewChain("kube", exactly(3))
		c := s.connect(t, chain)
		start := time.Now()
		if err := adapter.Do(t.Context(), chain, adapter.List, func(ctx context.Context) error { return calls["list"](ctx, c) }); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 7*time.Second || took > 7*time.Second+time.Second/2 {
			t.Errorf("it took %v", took)
		}
		s.wantRequests(t, 3)
	})
}

func TestWithRetriesTheRetryAfterOfA500IsWaitedFor(t *testing.T) {
	for _, code := range []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newAPI())
			s.always(&fault{"5xx", func(_ *server, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3")
				http.Error(w, "not now", code)
			}})
			seen := &recorder{}
			c := s.connect(t, middleware.NewChain("kube", exactly(3), seen), adapter.WithRetries())
			start := time.Now()
			if err := calls["get"](t.Context(), c); err == nil {
				t.Error("no error")
			}
			if took := time.Since(start); took != 6*time.Second {
				t.Errorf("%d: it took %v", code, took)
			}
			for _, one := range seen.take() {
				if one.verdict.After != 3*time.Second || one.verdict.Class != middleware.Failure {
					t.Errorf("%d: %+v", code, one.verdict)
				}
			}
			s.wantRequests(t, 3)
		})
	}
}

// A watch inside of a call stays client-go's: it waits as the server asks, and makes an
// empty watch of one that broke.
func TestAWatchInsideOfDoIsNotSettled(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault *fault
		is    func(error) bool
		want  time.Duration // not less
	}{
		{"reset", reset, nil, 0},
		{"eof", eof, nil, 0},
		{"429", fairness("2"), apierrors.IsTooManyRequests, 20 * time.Second},
		{"503", unavailable("2"), apierrors.IsServiceUnavailable, 20 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(row.fault)
				chain := middleware.NewChain("kube", repeating(1))
				c := s.connect(t, chain, adapter.WithRetries())
				start := time.Now()
				err := adapter.Do(t.Context(), chain, adapter.List, func(ctx context.Context) error {
					w, err := c.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
					if err != nil {
						return err
					}
					if _, more := <-w.ResultChan(); more {
						t.Error("there is an event")
					}
					return nil
				})
				if row.is == nil && err != nil || row.is != nil && !row.is(err) {
					t.Errorf("%T: %v", err, err)
				}
				if took := time.Since(start); took < row.want {
					t.Errorf("it took %v", took)
				}
				s.wantRequests(t, 11)
			})
		})
	}
}

func TestAnEvictionThatABudgetRefusesOpensNoBreaker(t *testing.T) {
	for _, row := range []struct {
		name string
		opts []adapter.Option
		inDo bool
	}{
		{"Wrap", nil, false}, {"Wrap, the chain repeats", []adapter.Option{adapter.WithRetries()}, false},
		{"Do", nil, true}, {"Do, the chain repeats", []adapter.Option{adapter.WithRetries()}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				a.budget = true
				s := serve(t, a)
				one := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "one"}}
				if _, err := clientFor(t, serve(t, a).config()).CoreV1().Pods("default").Create(t.Context(), one, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, TripOnThrottle: true})
				chain := middleware.NewChain("kube", repeating(3), breaker)
				c := s.connect(t, chain, row.opts...)
				evict := func(ctx context.Context) error { return calls["evict"](ctx, c) }
				call := evict
				if row.inDo {
					call = func(ctx context.Context) error { return adapter.Do(ctx, chain, adapter.Create, evict) }
				}
				err := call(t.Context())
				if !apierrors.IsTooManyRequests(err) {
					t.Errorf("%T: %v", err, err)
				}
				if breaker.State() != policies.Closed {
					t.Errorf("the breaker is %v", breaker.State())
				}
				s.wantRequests(t, 1)
			})
		})
	}
}

func TestAHedgeInDoIsForReadsOnly(t *testing.T) {
	late := &fault{"late", func(s *server, w http.ResponseWriter, r *http.Request) {
		time.Sleep(5 * time.Second)
		s.handler.ServeHTTP(w, r)
	}}
	named := func(op middleware.Operation) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return middleware.WithOperation(ctx, op) }
	}
	for _, row := range []struct {
		name string
		verb adapter.Verb
		call string
		in   func(context.Context) context.Context
		opts []adapter.Option
		want int
	}{
		{name: "get", verb: adapter.Get, call: "get", want: 2},
		{name: "list", verb: adapter.List, call: "list", want: 2},
		{name: "a list with a name", verb: adapter.List, call: "list", in: named(middleware.Operation{Name: "mine"}), want: 2},
		{name: "create", verb: adapter.Create, call: "create", want: 1},
		{name: "create named", verb: adapter.CreateNamed, call: "create", want: 1},
		{name: "update", verb: adapter.Update, call: "update", want: 1},
		{name: "patch", verb: adapter.Patch, call: "update", want: 1},
		{name: "apply", verb: adapter.Apply, call: "update", want: 1},
		{name: "delete", verb: adapter.Delete, call: "delete", want: 1},
		{name: "delete collection", verb: adapter.DeleteCollection, call: "delete", want: 1},
		{name: "a delete that may run twice, but not side by side", verb: adapter.Delete, call: "delete", opts: []adapter.Option{adapter.Idempotent()}, want: 1},
		{name: "a delete whose operation says more", verb: adapter.Delete, call: "delete", in: named(middleware.Operation{Idempotent: true}), want: 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				s.always(late)
				chain := middleware.NewChain("kube", policies.NewHedge(policies.HedgeConfig{Delay: time.Second}))
				c := s.connect(t, chain)
				ctx := t.Context()
				if row.in != nil {
					ctx = row.in(ctx)
				}
				// There is no object that the call could be about, which is nothing to go by.
				_ = adapter.Do(ctx, chain, row.verb, func(ctx context.Context) error { return calls[row.call](ctx, c) }, row.opts...)
				s.wantRequests(t, row.want)
			})
		})
	}
}
