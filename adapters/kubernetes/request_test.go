package kubernetes_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"k8s.io/client-go/rest"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
)

// configOf returns a config of a server that answers all requests alike.
func configOf(status int, body string) *rest.Config {
	return &rest.Config{Host: "https://kube.test", Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}
}

func send(t *testing.T, c *http.Client, method, target string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://kube.test"+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestK11VerbsAndTheirClasses(t *testing.T) {
	const pods = "/api/v1/namespaces/default/pods"
	for _, row := range []struct{ method, target, name, class string }{
		{"HEAD", "/readyz", "head", " read"},
		{"OPTIONS", "/version", "options", " read"},
		{"HEAD", "/apis/apps/v1", "head", "/apis/apps read"},
		{"OPTIONS", "/apis/apps/v1", "options", "/apis/apps read"},
		{"OPTIONS", pods, "options pods", "/api read"},
		{"POST", "/readyz", "post", " write"},
		{"PUT", "/apis/apps/v1", "put", "/apis/apps write"},

		{"GET", pods + "?watch=true", "watch pods", "/api watch"},
		{"HEAD", pods + "?watch=true", "list pods", "/api read"},
		{"POST", pods + "?watch=true", "create pods", "/api write"},
		{"POST", pods + "?watch=false", "create pods", "/api write"},
		{"DELETE", pods + "?watch=true", "deletecollection pods", "/api write"},
		{"DELETE", pods + "?watch=false", "deletecollection pods", "/api write"},
	} {
		seen := &recorder{}
		c := httpClientFor(t, adapter.Wrap(configOf(http.StatusOK, "body"), middleware.NewChain("kube", seen)))
		resp := send(t, c, row.method, row.target)
		one := seen.one(t)
		resp.Body.Close()
		if key := "https://kube.test:443" + row.class; one.operation.Name != row.name || one.operation.Key != key {
			t.Errorf("%s %s is %q, key %q; want %q, key %q", row.method, row.target, one.operation.Name, one.operation.Key, row.name, key)
		}
		if long := strings.HasSuffix(row.class, " watch"); one.held == long {
			t.Errorf("%s %s is long-running: %v", row.method, row.target, !one.held)
		}
	}
}

// As it is a read, what broke is asked for again.
func TestReadsOfNoResourceAreRepeated(t *testing.T) {
	for method, want := range map[string]int{"GET": 3, "HEAD": 3, "OPTIONS": 3, "POST": 1, "DELETE": 1} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newAPI())
			s.always(unavailable(""))
			c := httpClientFor(t, adapter.Wrap(s.config(), middleware.NewChain("kube", repeating(3)), adapter.WithRetries()))
			send(t, c, method, "/readyz").Body.Close()
			s.wantRequests(t, want)
		})
	}
}

func TestTheOpenCountIsOfAnswersWith200(t *testing.T) {
	const watch = "/api/v1/pods?watch=true"
	for status, want := range map[int]int64{200: 1, 201: 0, 204: 0, 403: 0, 410: 0, 429: 0, 500: 0, 503: 0} {
		var open atomic.Int64
		c := httpClientFor(t, adapter.Wrap(configOf(status, "{}"), middleware.NewChain("kube"), nil, adapter.WithOpenCount(nil), adapter.WithOpenCount(&open)))
		resp := send(t, c, http.MethodGet, watch)
		if n := open.Load(); n != want {
			t.Errorf("%d: %d are open, want %d", status, n, want)
		}
		resp.Body.Close()
		if n := open.Load(); n != 0 {
			t.Errorf("%d: %d are open after Close", status, n)
		}
	}
}

func TestTheOpenCountGoesDownOnceAtTheEndOrAtClose(t *testing.T) {
	var open atomic.Int64
	c := httpClientFor(t, adapter.Wrap(configOf(http.StatusOK, "events"), middleware.NewChain("kube"), adapter.WithOpenCount(&open)))
	want := func(when string, n int64) {
		t.Helper()
		if got := open.Load(); got != n {
			t.Errorf("%s: %d are open, want %d", when, got, n)
		}
	}
	read := send(t, c, http.MethodGet, "/api/v1/pods?watch=true")
	other := send(t, c, http.MethodGet, "/api/v1/namespaces/default/pods/one/log?follow=true")
	list := send(t, c, http.MethodGet, "/api/v1/pods")
	want("two of three are long-running", 2)
	list.Body.Close()
	if _, err := io.ReadFull(read.Body, make([]byte, 3)); err != nil {
		t.Error(err)
	}
	want("in the middle", 2)
	if text, err := io.ReadAll(read.Body); err != nil || string(text) != "nts" {
		t.Errorf("%q, %v", text, err)
	}
	want("at the end of one", 1)
	read.Body.Close()
	want("one is closed after its end", 1)
	other.Body.Close()
	other.Body.Close()
	want("the other is closed", 0)
}
