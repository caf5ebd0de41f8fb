package transports

import (
	"net/http"

	"github.com/tidegate-go/tidegate/middleware"
)

// An Option changes what [New] and [Client] make. A nil Option changes nothing.
type Option func(*options)

type options struct {
	classify func(*http.Request, *http.Response, error) middleware.Verdict
	hosts    *hostChains
}

// WithClassifier sets the function that judges each attempt, in place of
// [Classify], which it may ask for all that it does not know better. Nil is
// Classify.
//
// classify gets what Classify gets. It must not read or close bodies, nor change
// anything, and must be safe for concurrent use. A response whose verdict is a
// Success without Retry is none of the policies' business. A request that has a
// body without GetBody is never repeated, whatever the verdict says.
func WithClassifier(classify func(req *http.Request, resp *http.Response, err error) middleware.Verdict) Option {
	return func(o *options) { o.classify = classify }
}

// WithChainPerHost sends each request also through a chain of its host, inside
// the chain that all share: one breaker per host, for instance.
//
//	transports.New(nil, middleware.NewChain("web", retry), transports.WithChainPerHost(
//		func(host string) *middleware.Chain {
//			return middleware.NewChain(host, policies.NewBreaker(policies.BreakerConfig{}))
//		}))
//
// build is called once for each host, at its first request, with the key that
// [Transport] describes. It may return nil for no policies. Observers hear the
// events of a host's chain only when they are part of it. A nil build changes
// nothing.
//
// At most 1000 hosts get a chain of their own. All further hosts share one, built
// with the key "*".
func WithChainPerHost(build func(host string) *middleware.Chain) Option {
	return func(o *options) {
		o.hosts = nil
		if build != nil {
			o.hosts = &hostChains{build: build, chains: make(map[string]func() *middleware.Chain)}
		}
	}
}
