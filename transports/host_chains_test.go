package transports

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestChainPerHost(t *testing.T) {
	built := make(map[string]int)
	rt := New(roundTripper(func(r *http.Request) (*http.Response, error) {
		status := http.StatusOK
		if r.URL.Host == "bad.example" {
			status = http.StatusInternalServerError
		}
		return &http.Response{StatusCode: status}, nil
	}), nil, WithChainPerHost(func(host string) *middleware.Chain {
		built[host]++
		if host == "http://none.example:80" {
			return nil
		}
		return middleware.NewChain(host, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
	}))
	get := func(url string) error {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
		_, err := rt.RoundTrip(req)
		return err
	}
	for _, url := range []string{"http://bad.example/", "http://good.example", "http://GOOD.example:80/x", "http://none.example", "http://none.example"} {
		if err := get(url); err != nil {
			t.Fatalf("%s: %v", url, err)
		}
	}
	if err := get("http://bad.example"); err == nil || !strings.Contains(err.Error(), "http://bad.example:80") {
		t.Errorf("the breaker of the host should be open: %v", err)
	}
	if err := get("http://good.example"); err != nil {
		t.Errorf("another host suffers: %v", err)
	}
	if len(built) != 3 || built["http://good.example:80"] != 1 {
		t.Errorf("chains were built for %v", built)
	}

	for i := range 3 * maxHosts {
		if err := get(fmt.Sprintf("http://h%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(built) != maxHosts+1 || built[otherHosts] != 1 {
		t.Errorf("%d chains, %d of them for all the others", len(built), built[otherHosts])
	}
	if err := get("http://bad.example"); err == nil {
		t.Error("a host lost its open breaker")
	}
}

func TestChainPerHostRunsInsideTheSharedChain(t *testing.T) {
	var order []string
	note := func(name string) middleware.Policy {
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			order = append(order, name)
			return next.Do(ctx)
		})
	}
	for name, row := range map[string]struct {
		opt  Option
		want string
	}{
		"set":       {WithChainPerHost(func(string) *middleware.Chain { return middleware.NewChain("", note("host")) }), "shared host"},
		"nil build": {WithChainPerHost(nil), "shared"},
	} {
		order = nil
		rt := New(roundTripper(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil }),
			middleware.NewChain("web", note("shared")), row.opt)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
		if _, err := rt.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(order, " "); got != row.want || rt.chain.Name() != "web" {
			t.Errorf("%s: order %q in the chain %q, want %q", name, got, rt.chain.Name(), row.want)
		}
	}
}
