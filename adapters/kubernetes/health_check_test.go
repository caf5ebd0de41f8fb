package kubernetes_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
)

func TestAHealthCheckSaysWhatFailed(t *testing.T) {
	const checks = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\r\n[-]poststarthook/rbac failed: not finished\r\nreadyz check failed\n"
	const may = "the credentials of the config may not ask"
	for _, row := range []struct {
		status int
		text   string
		want   string // "" for no error
	}{
		{200, "ok", ""},
		{200, checks, ""},
		{500, checks, "kubernetes: /readyz answered with status 500 (Internal Server Error): " +
			"etcd failed: reason withheld, poststarthook/rbac failed: not finished"},
		{503, "", "kubernetes: /readyz answered with status 503 (Service Unavailable)"},
		{500, "a page [-]of somebody else's", "kubernetes: /readyz answered with status 500 (Internal Server Error)"},
		{401, "Unauthorized", "kubernetes: /readyz answered with status 401 (Unauthorized): " + may},
		{403, "[-]no", "kubernetes: /readyz answered with status 403 (Forbidden): " + may},
		{404, "no such page", "kubernetes: /readyz answered with status 404 (Not Found)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(row.status)
				w.Write([]byte(row.text))
			}))
			check, err := adapter.HealthCheck(s.config())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := check(t.Context()); err != nil {
				got = err.Error()
			}
			if got != row.want {
				t.Errorf("%d: %q, want %q", row.status, got, row.want)
			}
			s.wantRequests(t, 1)
		})
	}
}

func TestAHealthCheckKeepsThePathOfTheHost(t *testing.T) {
	for host, path := range map[string]string{
		"https://kube.test":                         "/readyz",
		"https://kube.test/":                        "/readyz",
		"kube.test:443":                             "/readyz",
		"https://rancher.test/k8s/clusters/c-1":     "/k8s/clusters/c-1/readyz",
		"https://rancher.test/k8s/clusters/c-1/":    "/k8s/clusters/c-1/readyz",
		"https://rancher.test/k8s/clusters/c%2F1/x": "/k8s/clusters/c/1/x/readyz",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, newAPI())
			config := s.config()
			config.Host = host
			check, err := adapter.HealthCheck(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := check(t.Context()); err != nil {
				t.Errorf("%s: %v", host, err)
			}
			if got := s.seen(); len(got) != 1 || got[0].path != path || got[0].method != http.MethodGet {
				t.Errorf("%s: %+v, want %s", host, got, path)
			}
		})
	}
}
