package kubernetes_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestK2WhichRequestsAreLongRunning(t *testing.T) {
	const pods = "/api/v1/namespaces/default/pods"
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}}
	for _, row := range []struct {
		method, target string
		header         http.Header
		long           bool
	}{
		{"GET", pods + "?watch=true", nil, true},
		{"GET", pods + "?watch=1", nil, true},
		{"GET", pods + "?watch", nil, true}, // as the API server reads it
		{"GET", pods + "?limit=500&watch=true&resourceVersion=7", nil, true},
		{"GET", pods + "/one?watch=true", nil, true},
		{"GET", "/apis/apps/v1/deployments?watch=true", nil, true},
		{"GET", pods + "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", nil, true},
		{"GET", pods + "?watch=false", nil, false},
		{"GET", pods + "?watch=0", nil, false},
		{"GET", pods, nil, false},
		{"POST", pods, nil, false},
		{"DELETE", pods, nil, false},

		{"GET", "/api/v1/watch/pods", nil, true},
		{"GET", "/api/v1/watch/namespaces/default/pods", nil, true},
		{"GET", "/api/v1/watch/namespaces/default/pods/one", nil, true},
		{"GET", "/apis/apps/v1/watch/deployments", nil, true},

		{"GET", "/api/v1/namespaces/watch", nil, false},
		{"GET", "/api/v1/namespaces/watch/pods", nil, false},
		{"GET", "/api/v1/namespaces/watch/pods/watch", nil, false},
		{"GET", "/api/v1/namespaces/default/configmaps/watch", nil, false},
		{"GET", "/api/v1/namespaces/exec/configmaps/exec", nil, false},
		{"GET", "/api/v1/namespaces/log/configmaps/log?follow=true", nil, false},
		{"GET", "/api/v1/namespaces/proxy/configmaps/proxy", nil, false},
		{"GET", pods + "/exec", nil, false},
		{"GET", pods + "/log?follow=true", nil, false},
		{"GET", "/api/v1/namespaces/proxy/status", nil, false},
		{"GET", "/api/v1/nodes/proxy", nil, false},
		{"GET", "/apis/example.com/v1/namespaces/default/watches/exec/status", nil, false},

		{"GET", pods + "/one/log?follow=true", nil, true},
		{"GET", pods + "/one/log?follow=1&tailLines=5", nil, true},
		{"GET", pods + "/one/log?follow=false", nil, false},
		{"GET", pods + "/one/log", nil, false},

		{"POST", pods + "/one/exec?command=sh", nil, true},
		{"GET", pods + "/one/exec?command=sh", nil, true},
		{"POST", pods + "/one/attach", nil, true},
		{"POST", pods + "/one/portforward", nil, true},
		{"GET", pods + "/one/proxy", nil, true},
		{"GET", pods + "/one/proxy/some/path", nil, true},
		{"POST", "/api/v1/namespaces/default/services/http:web:80/proxy/a/b", nil, true},
		{"GET", "/api/v1/nodes/node-1/proxy/metrics", nil, true},
		{"POST", pods + "/one/eviction", nil, false},
		{"POST", pods + "/one/binding", nil, false},
		{"PUT", pods + "/one/status", nil, false},

		{"GET", "/some/tunnel", upgrade, true},
		{"GET", "/some/tunnel", http.Header{"Connection": {"keep-alive, upgrade"}}, true},
		{"GET", "/some/tunnel", http.Header{"Upgrade": {"websocket"}}, true},
		{"GET", "/some/tunnel", http.Header{"Connection": {"close"}}, false},

		{"GET", "/readyz", nil, false},
		{"GET", "/version", nil, false},
		{"GET", "/watch", nil, false},
		{"GET", "/api", nil, false},
		{"GET", "/api/v1", nil, false},
		{"GET", "/apis", nil, false},
		{"GET", "/apis/apps/v1", nil, false},
	} {
		for _, host := range []string{
			"https://kube.test", "https://rancher.example/k8s/clusters/c-1", "https://rancher.example/api/v1/watch/", "https://kube.test:6443",
		} {
			seen := &recorder{}
			config := &rest.Config{Host: host, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("body"))}, nil
			})}
			req, err := http.NewRequestWithContext(t.Context(), row.method, strings.TrimSuffix(host, "/")+row.target, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(req.Header, row.header)
			resp, err := httpClientFor(t, adapter.Wrap(config, middleware.NewChain("kube", seen))).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			one := seen.one(t)
			if one.held == row.long || strings.HasSuffix(one.operation.Key, " watch") != row.long {
				t.Errorf("%s %s%s: held %v until its end, as %q, key %q; want long-running %v",
					row.method, host, row.target, one.held, one.operation.Name, one.operation.Key, row.long)
			}
			resp.Body.Close()
		}
	}
}

// crowded is a chain in which whatever is held shows: one place, one slow call.
func crowded(scope policies.TimeoutScope) (*middleware.Chain, *policies.Breaker, *policies.Bulkhead) {
	breaker := policies.NewBreaker(policies.BreakerConfig{SlowCall: time.Second, SlowRate: 0.01, MinCalls: 1})
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	return middleware.NewChain("kube", breaker, bulkhead, policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Second, Scope: scope})), breaker, bulkhead
}

func TestK2AWatchHoldsNothingAfterItsHeaders(t *testing.T) {
	for _, scope := range []policies.TimeoutScope{policies.UntilResult, policies.EachRead, policies.UntilEnd} {
		t.Run(scope.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain, breaker, bulkhead := crowded(scope)
				var open atomic.Int64
				s := serve(t, newAPI())
				config := s.config()
				config.Timeout = 5 * time.Second // client-go would cut the watch
				wrapped := adapter.Wrap(config, chain, adapter.WithOpenCount(&open))
				c := clientFor(t, wrapped)
				w, err := c.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				logs, err := c.CoreV1().Pods("default").GetLogs("one", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(logs)
				for range 60 { // a line each second
					if !lines.Scan() {
						t.Fatalf("the log ended: %v", lines.Err())
					}
				}
				list, err := httpClientFor(t, wrapped).Get("https://kube.test/api/v1/namespaces/default/configmaps")
				if err != nil {
					t.Fatal(err)
				}
				if n := open.Load(); n != 2 || bulkhead.Status().Running != 1 {
					t.Errorf("while a list is read %d are open, %d places taken", n, bulkhead.Status().Running)
				}
				list.Body.Close()
				if n := open.Load(); n != 2 || bulkhead.Status().Running != 0 {
					t.Errorf("%d are open, %d places taken", n, bulkhead.Status().Running)
				}
				time.Sleep(20 * time.Minute)
				if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), aMap("one"), metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				if err := logs.Close(); err != nil {
					t.Error(err)
				}
				if e := <-w.ResultChan(); e.Type != watch.Added {
					t.Errorf("%+v", e)
				}
				w.Stop()
				synctest.Wait()
				if n := open.Load(); n != 0 {
					t.Errorf("%d are open at the end", n)
				}
				if breaker.State() != policies.Closed {
					t.Errorf("the breaker is %v", breaker.State())
				}
				s.wantRequests(t, 4)
			})
		})
	}
}

func TestK2AWatchIsNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		s.always(hang)
		c := s.connect(t, middleware.NewChain("kube",
			policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * time.Second}),
			policies.NewHedge(policies.HedgeConfig{Delay: time.Second})))
		for call, want := range map[string]int{"watch": 1, "get": 2} {
			if err := calls[call](t.Context(), c); !errors.Is(err, middleware.ErrTimeout) {
				t.Errorf("%s: %v", call, err)
			}
			s.wantRequests(t, want)
		}
	})
}

// A hedge of an apply that is carried out late would undo the caller's next one.
func TestK15AWriteIsNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		s.always(&fault{"slow", func(s *server, w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Second)
			s.handler.ServeHTTP(w, r)
		}})
		c := s.connect(t, middleware.NewChain("kube", policies.NewHedge(policies.HedgeConfig{Delay: time.Second})))
		apply := func(ctx context.Context) error {
			_, err := c.CoreV1().ConfigMaps("default").Patch(ctx, "one", types.ApplyPatchType,
				[]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}`), metav1.PatchOptions{FieldManager: "test"})
			return err
		}
		for _, row := range []struct {
			call func(context.Context) error
			want int
		}{
			{apply, 1},
			{func(ctx context.Context) error { return calls["update"](ctx, c) }, 1},
			{func(ctx context.Context) error { return calls["get"](ctx, c) }, 2},
		} {
			if err := row.call(t.Context()); err != nil {
				t.Error(err)
			}
			s.wantRequests(t, row.want)
		}
	})
}

// The copy has no timeout, and still other requests end by it.
func TestK2TheTimeoutOfTheConfigHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		s.always(hang)
		config := s.config()
		config.Timeout = 5 * time.Second
		start := time.Now()
		err := calls["get"](t.Context(), clientFor(t, adapter.Wrap(config, middleware.NewChain("kube", repeating(3)), adapter.WithRetries())))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != config.Timeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A watch that hangs ends by it, with an error and after one try; one that has begun goes on.
func TestK2TheTimeoutOfTheConfigIsForTheOpeningOfAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		config := s.config()
		config.Timeout = 5 * time.Second
		var open atomic.Int64
		c := clientFor(t, adapter.Wrap(config, middleware.NewChain("kube"), adapter.WithOpenCount(&open)))
		w, err := c.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late"}}
		if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if e := <-w.ResultChan(); e.Type != watch.Added {
			t.Errorf("after a minute of a watch: %+v", e)
		}
		w.Stop()
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d are open", n)
		}

		s.always(hang)
		before, start := len(s.seen()), time.Now()
		w, err = c.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
		if w != nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Timeout of the config") || time.Since(start) != config.Timeout {
			t.Errorf("%v, %v after %v", w, err, time.Since(start))
		}
		if n := len(s.seen()) - before; n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestK3AWatchCountsOnceAsItBegins(t *testing.T) {
	for _, row := range []struct {
		name string
		gone bool
		end  func(s *server, a *api)
	}{
		{"the server ends it in time", false, func(*server, *api) { time.Sleep(time.Hour) }},
		{"410 Gone inside the stream", true, func(_ *server, a *api) { a.forget(); a.touch() }},
		{"the connection breaks", false, func(s *server, _ *api) { s.cut() }},
		{"the server restarts", false, func(s *server, a *api) { s.restart(a, time.Minute) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := &recorder{}
				breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
				a := newAPI()
				s := serve(t, a)
				w, err := s.connect(t, middleware.NewChain("kube", breaker, seen)).CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
				if err != nil {
					t.Fatal(err)
				}
				if one := seen.one(t); one.verdict.Class != middleware.Success || one.held || one.operation.Name != "watch configmaps" {
					t.Errorf("%+v", one)
				}
				synctest.Wait()
				row.end(s, a)
				gone := false
				for e := range w.ResultChan() {
					gone = gone || apierrors.IsResourceExpired(apierrors.FromObject(e.Object))
				}
				if gone != row.gone {
					t.Errorf("the stream said 410 Gone: %v", gone)
				}
				if runs := seen.take(); len(runs) != 0 || breaker.State() != policies.Closed {
					t.Errorf("%d more runs, the breaker is %v", len(runs), breaker.State())
				}
			})
		})
	}
}
