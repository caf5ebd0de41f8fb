package kubernetes_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	client "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
)

func TestK6WhatStandsInsideIsFound(t *testing.T) {
	base := &closes{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext}}
	config := &rest.Config{Host: "https://kube.test", Transport: base, BearerToken: "token", UserAgent: "test"}
	chain := middleware.NewChain("kube")
	for name, wrapped := range map[string]*rest.Config{
		"wrapped":           adapter.Wrap(config, chain),
		"wrapped twice":     adapter.Wrap(adapter.Wrap(config, chain), chain),
		"exempt":            adapter.Exempt(config),
		"wrapped, exempt":   adapter.Exempt(adapter.Wrap(config, chain)),
		"exempted, wrapped": adapter.Wrap(adapter.Exempt(config), chain),
	} {
		rt := httpClientFor(t, wrapped).Transport
		var inner http.RoundTripper
		for at := rt; at != nil; {
			inner = at
			outer, ok := at.(utilnet.RoundTripperWrapper)
			if !ok {
				break
			}
			at = outer.WrappedRoundTripper()
		}
		if inner != http.RoundTripper(base.Transport) {
			t.Errorf("%s: WrappedRoundTripper leads to a %T", name, inner)
		}
		if dial, err := utilnet.DialerFor(rt); err != nil || dial == nil {
			t.Errorf("%s: dialer %p, %v", name, dial, err)
		}
		base.closed = 0
		utilnet.CloseIdleConnectionsFor(rt)
		if base.closed != 1 {
			t.Errorf("%s: idle connections were closed %d times", name, base.closed)
		}
	}
}

type closes struct {
	*http.Transport

	closed int
}

func (c *closes) CloseIdleConnections() { c.closed++ }

func (c *closes) WrappedRoundTripper() http.RoundTripper { return c.Transport }

func TestK10TheConfigOfTheCallerStays(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	full := func() *rest.Config {
		return &rest.Config{
			Host: "https://kube.test", APIPath: "/apis", Username: "name", Password: "secret", BearerToken: "token", BearerTokenFile: "file",
			Impersonate:     rest.ImpersonationConfig{UserName: "other", Groups: []string{"a"}, Extra: map[string][]string{"k": {"v"}}},
			TLSClientConfig: rest.TLSClientConfig{CAData: []byte("ca"), CAFile: "ca.crt", ServerName: "kube"},
			UserAgent:       "test", QPS: 7, Burst: 9, Timeout: time.Minute,
			ExecProvider: &clientcmdapi.ExecConfig{Command: "plugin", Args: []string{"x"}},
			Transport:    http.DefaultTransport,
		}
	}
	for name, change := range map[string]func(*rest.Config) *rest.Config{
		"Wrap": func(c *rest.Config) *rest.Config {
			return adapter.Wrap(c, middleware.NewChain("kube"), adapter.WithRetries())
		},
		"Exempt": adapter.Exempt,
		"HealthCheck": func(c *rest.Config) *rest.Config {
			if _, err := adapter.HealthCheck(c); err == nil {
				t.Error("HealthCheck made a client of a config that is wrong")
			}
			return rest.CopyConfig(c)
		},
	} {
		config := full()
		changed := change(config)
		if !reflect.DeepEqual(config, full()) {
			t.Errorf("%s changed the config to %#v", name, config)
		}
		if changed == config {
			t.Errorf("%s returned the config itself", name)
		}
		// A function is equal to nothing: it is enough that it is there.
		config.Dial = dial
		if change(config).Dial == nil || config.WrapTransport != nil {
			t.Errorf("%s lost the dialer, or left a wrapper behind", name)
		}
	}
}

func TestK10TokensAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		config := s.config()
		config.BearerTokenFile = filepath.Join(t.TempDir(), "token")
		write := func(token string) {
			t.Helper()
			if err := os.WriteFile(config.BearerTokenFile, []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("first")
		c := clientFor(t, adapter.Wrap(config, middleware.NewChain("kube", repeating(2)), adapter.WithRetries()))
		for _, token := range []string{"first", "second"} {
			write(token)
			time.Sleep(2 * time.Minute)
			if err := calls["list"](t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got := s.seen(); got[len(got)-1].authorization != "Bearer "+token {
				t.Errorf("the server got %q, want %q", got[len(got)-1].authorization, token)
			}
		}
	})
}

func TestK10PluginsAndCertificates(t *testing.T) {
	tokens := make(chan string, 10)
	a := newAPI()
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get("Authorization")
		a.ServeHTTP(w, r)
	}))
	web.Config.ErrorLog, web.EnableHTTP2 = quiet, true
	web.StartTLS()
	t.Cleanup(web.Close)
	config := trusting(web)
	config.ExecProvider = &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: os.Args[0], InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		Env: []clientcmdapi.ExecEnvVar{{Name: pluginToken, Value: "from-the-plugin"}},
	}
	seen := &recorder{}
	wrapped := adapter.Wrap(config, middleware.NewChain("kube", seen))
	t.Cleanup(func() { closeIdle(t, wrapped) })
	if err := calls["list"](t.Context(), clientFor(t, wrapped)); err != nil {
		t.Fatal(err)
	}
	if token := <-tokens; token != "Bearer from-the-plugin" || len(seen.take()) != 1 {
		t.Errorf("the server got %q", token)
	}
}

// controller-runtime makes one http.Client and clients over it.
func TestK10ClientsOverOneHTTPClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		seen := &recorder{}
		wrapped := adapter.Wrap(s.config(), middleware.NewChain("kube", seen))
		httpClient := httpClientFor(t, wrapped)
		if httpClient.Timeout != 0 {
			t.Errorf("the http.Client has the timeout %v", httpClient.Timeout)
		}
		c, err := client.NewForConfigAndClient(wrapped, httpClient)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"create", "get", "list", "delete"} {
			if err := calls[call](t.Context(), c); err != nil {
				t.Error(err)
			}
			if got, want := seen.one(t).operation.Name, fmt.Sprintf("%s configmaps", call); got != want {
				t.Errorf("operation %q, want %q", got, want)
			}
		}
	})
}

func TestK10ClientsOfOtherKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &recorder{}
		config := adapter.Wrap(serve(t, newAPI()).config(), middleware.NewChain("kube", seen))
		resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
		free, err := dynamic.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := free.Resource(resource).Namespace("default").List(t.Context(), metav1.ListOptions{}); err != nil || list.GetKind() != "ConfigMapList" {
			t.Errorf("%+v, %v", list, err)
		}
		w, err := free.Resource(resource).Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.Stop()
		var names []string
		for _, one := range seen.take() {
			names = append(names, one.operation.Name)
		}
		if !slices.Equal(names, []string{"list configmaps", "watch configmaps"}) {
			t.Errorf("the chain saw %q", names)
		}
	})
}

func TestARequestWithoutAURLIsAnError(t *testing.T) {
	rt := httpClientFor(t, adapter.Wrap(&rest.Config{Host: "https://kube.test"}, middleware.NewChain("kube"))).Transport
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if resp, err := rt.RoundTrip(&http.Request{Method: method}); err == nil {
			resp.Body.Close()
			t.Errorf("%s: no error", method)
		}
	}
}
