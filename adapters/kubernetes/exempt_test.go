package kubernetes_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// lists sends n requests at once, and returns how long that took.
func lists(t *testing.T, config *rest.Config, n int) time.Duration {
	t.Helper()
	c, start := clientFor(t, config), time.Now()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := calls["list"](t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

func TestK9ManyExemptRequestsAtOnceWaitForNothing(t *testing.T) {
	for name, limit := range map[string]func(*rest.Config){
		"the default of client-go": func(c *rest.Config) { c.QPS, c.Burst = 0, 0 },
		"its own limit":            func(c *rest.Config) { c.QPS, c.Burst = 1, 1 },
		"a limiter": func(c *rest.Config) {
			c.QPS = 0
			c.RateLimiter = adapter.RateLimiter(middleware.NewChain("tokens", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Hour})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, newAPI())
				config := s.config()
				limit(config)
				chain := middleware.NewChain("kube", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Hour}))
				if took := lists(t, adapter.Exempt(adapter.Wrap(config, chain)), 50); took != 0 {
					t.Errorf("exempt requests waited for %v", took)
				}
				s.wantRequests(t, 50)
				if took := lists(t, config, 50); took < time.Second {
					t.Errorf("others waited for %v only, so this shows nothing", took)
				}
			})
		})
	}
}

// foreign is a round tripper of somebody else's.
type foreign struct{ base http.RoundTripper }

func (f *foreign) RoundTrip(r *http.Request) (*http.Response, error) { return f.base.RoundTrip(r) }

func (f *foreign) WrappedRoundTripper() http.RoundTripper { return f.base }

func TestK9AnExemptIsFoundInsideOfAForeignTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		breaker := policies.NewBreaker(policies.BreakerConfig{})
		breaker.ForceOpen()
		chain := middleware.NewChain("kube", breaker)
		for name, row := range map[string]struct {
			config *rest.Config
			passes bool
		}{
			"exempt":     {adapter.Exempt(s.config()), true},
			"not exempt": {s.config(), false},
		} {
			for range 2 {
				row.config.Wrap(func(base http.RoundTripper) http.RoundTripper { return &foreign{base} })
			}
			err := calls["list"](t.Context(), clientFor(t, adapter.Wrap(row.config, chain)))
			if (err == nil) != row.passes {
				t.Errorf("%s: %v", name, err)
			}
		}
		s.wantRequests(t, 1)
	})
}

// The chain repeats nothing of them, so client-go does.
func TestK9ExemptRequestsKeepTheirRetryAfter(t *testing.T) {
	for name, config := range map[string]func(*rest.Config, *middleware.Chain) *rest.Config{
		"Exempt after Wrap": func(c *rest.Config, chain *middleware.Chain) *rest.Config {
			return adapter.Exempt(adapter.Wrap(c, chain, adapter.WithRetries()))
		},
		"Exempt before Wrap": func(c *rest.Config, chain *middleware.Chain) *rest.Config {
			return adapter.Wrap(adapter.Exempt(c), chain, adapter.WithRetries())
		},
	} {
		for call, fault := range map[string]*fault{"get": fairness("2"), "create": unavailable("2"), "list": reset} {
			t.Run(name+"/"+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, seen := serve(t, newAPI()), &recorder{}
					s.first(2, fault)
					start := time.Now()
					err := calls[call](t.Context(), clientFor(t, config(s.config(), middleware.NewChain("kube", repeating(2), seen))))
					if err != nil && !apierrors.IsNotFound(err) {
						t.Error(err)
					}
					if took := time.Since(start); fault != reset && took < 4*time.Second {
						t.Errorf("it took %v", took)
					}
					if n := len(seen.take()); n != 0 {
						t.Errorf("the chain saw %d", n)
					}
					s.wantRequests(t, 3)
				})
			})
		}
	}
}
