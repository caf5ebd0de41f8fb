package kubernetes

import (
	"net/http"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/transports"
)

// Exempt returns a copy of config whose requests nothing holds back: they go past the
// chain of [Wrap], whether Wrap came before or comes after, and the copy has no client-side
// rate limit. Make the clients of it that must not wait:
//
//	lock, err := resourcelock.NewFromKubeconfig(..., kubernetes.Exempt(config), renewDeadline)
//	manager.Options{LeaderElectionConfig: kubernetes.Exempt(config)} // of controller-runtime
//
// A leader whose renewal queues behind other calls, or is refused because they failed,
// loses its lease, and with it the work that was under way. It is for few requests, such as
// those of leader election and health checks. Exempt panics if config is nil.
func Exempt(config *rest.Config) *rest.Config {
	if config == nil {
		panic("kubernetes: Exempt: the config is nil")
	}
	exempted := rest.CopyConfig(config)
	exempted.RateLimiter, exempted.QPS, exempted.Burst = nil, -1, 0
	exempted.Wrap(func(base http.RoundTripper) http.RoundTripper { return &exempt{base} })
	return exempted
}

// exempt sends requests past the policies of transports further in. Those further out find
// it, see isExempt.
type exempt struct{ base http.RoundTripper }

func (e *exempt) RoundTrip(req *http.Request) (*http.Response, error) {
	return e.base.RoundTrip(req.WithContext(transports.SkipPolicies(req.Context())))
}

// CloseIdleConnections closes the idle connections of the base transport, if it can.
func (e *exempt) CloseIdleConnections() { utilnet.CloseIdleConnectionsFor(e.base) }

// WrappedRoundTripper returns the base transport.
func (e *exempt) WrappedRoundTripper() http.RoundTripper { return e.base }

// isExempt reports whether base is a transport of Exempt, or stands around one.
func isExempt(base http.RoundTripper) bool {
	for base != nil {
		if _, ok := base.(*exempt); ok {
			return true
		}
		outer, ok := base.(utilnet.RoundTripperWrapper)
		if !ok {
			return false
		}
		base = outer.WrappedRoundTripper()
	}
	return false
}
