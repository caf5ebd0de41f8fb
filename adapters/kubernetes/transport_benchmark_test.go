package kubernetes

import (
	"net/http"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

type instant struct{ response http.Response }

func (i *instant) RoundTrip(*http.Request) (*http.Response, error) {
	resp := i.response
	return &resp, nil
}

// BenchmarkWrap is what Wrap costs a request, beside the transport that it stands on.
func BenchmarkWrap(b *testing.B) {
	chain := middleware.NewChain("cluster",
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
	base := &instant{http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}}
	wrapped, err := rest.TransportFor(Wrap(&rest.Config{Host: "https://10.0.0.1", Transport: base}, chain))
	if err != nil {
		b.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "https://10.0.0.1/apis/apps/v1/namespaces/a/deployments/b", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	for name, rt := range map[string]http.RoundTripper{"transports": transports.New(base, chain), "kubernetes": wrapped} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}
