//go:build real

package kubernetes_test

import (
	"testing"

	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/internal/injector"
)

// behindProxy puts a proxy with faults before the API server. It returns the proxy and a
// copy of config that goes by way of it.
func (c *realCluster) behindProxy(t testing.TB, config *rest.Config) (*injector.Injector, *rest.Config) {
	t.Helper()
	proxy := injector.New()
	if err := proxy.Start(c.address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	config = rest.CopyConfig(config)
	config.Host = "https://" + proxy.Addr()
	return proxy, config
}
