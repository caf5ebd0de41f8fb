package kubernetes

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Whatever a path is, the names that keys and spans are made of hold no path.
func FuzzParse(f *testing.F) {
	for _, path := range []string{
		"/api/v1/namespaces/a/pods/b/log", "/apis/apps/v1/watch/namespaces/a/deployments/b", "/apis/a/v1", "/api", "/",
		"", "//", "/k8s/clusters/c/api/v1/nodes", "/readyz/etcd", "/api/v1/namespaces/a/status", "/api/v1/watch",
	} {
		f.Add("GET", path, "watch=1")
	}
	f.Fuzz(func(t *testing.T, method, path, query string) {
		req := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}}
		a := parse(req, "/k8s/clusters/c")
		if strings.Count(a.group, "/") > 2 || strings.Contains(a.resource, "/") || strings.Contains(a.subresource, "/") {
			t.Errorf("%q is %+v", path, a)
		}
		if !slices.Contains([]string{"read", "write", "watch"}, a.class()) || a.class() == "watch" != a.long {
			t.Errorf("%q has the class %q, and is long-running: %t", path, a.class(), a.long)
		}
		if a.long && a.mayRepeat(req) {
			t.Errorf("%q is long-running and may be repeated", path)
		}
	})
}
