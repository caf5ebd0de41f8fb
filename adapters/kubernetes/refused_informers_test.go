package kubernetes_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// After an outage, informers go on where they were. If the breaker had them read all their
// objects anew, they would all do so at the moment when the server comes back.
func TestInformersThatAreRefusedKeepTheirPlace(t *testing.T) {
	for _, row := range []struct {
		name  string
		chain func() (chain *middleware.Chain, refuse, admit func())
		down  time.Duration
	}{
		{"the breaker opens because the server is down", func() (*middleware.Chain, func(), func()) {
			breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2, Timeout: 10 * time.Second, MaxRecoveryTime: 20 * time.Second})
			return middleware.NewChain("kube", breaker), func() {}, func() {}
		}, time.Minute},
		{"the breaker is forced open", func() (*middleware.Chain, func(), func()) {
			breaker := policies.NewBreaker(policies.BreakerConfig{})
			return middleware.NewChain("kube", breaker), breaker.ForceOpen, breaker.Reset
		}, 0},
		{"the rate limit refuses most", func() (*middleware.Chain, func(), func()) {
			return middleware.NewChain("kube", policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.2, Burst: 6})), func() {}, func() {}
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				a := newAPI()
				clean, s := serve(t, a), serve(t, a)
				writer := clientFor(t, clean.config())
				if err := calls["create"](ctx, writer); err != nil {
					t.Fatal(err)
				}
				chain, refuse, admit := row.chain()
				mirrors := []*mirror{}
				for range 3 {
					mirrors = append(mirrors, startMirror(ctx, s.connect(t, chain)))
				}
				defer func() {
					stop()
					for _, m := range mirrors {
						m.factory.Shutdown()
					}
				}()
				for _, m := range mirrors {
					m.factory.WaitForCacheSync(ctx.Done())
				}
				time.Sleep(3 * time.Minute)
				s.wantRequests(t, 6)

				refuse()
				s.mu.Lock()
				s.down = time.Now().Add(row.down)
				s.mu.Unlock()
				s.cut()
				time.Sleep(time.Minute)
				if err := calls["delete"](ctx, writer); err != nil {
					t.Fatal(err)
				}
				admit()
				time.Sleep(3*time.Minute + 30*time.Second)
				for _, r := range s.seen() {
					if !strings.Contains(r.query, "watch=true") || strings.Contains(r.query, "sendInitialEvents") {
						t.Errorf("an informer read all objects anew: %s?%s", r.path, r.query)
					}
				}
				if n := len(s.seen()); n != 6 {
					t.Errorf("%d requests, want one of each informer", n)
				}
				for _, m := range mirrors {
					if n := len(m.stores["configmaps"].List()); n != 0 {
						t.Errorf("%d objects, of which the server has none", n)
					}
				}
			})
		})
	}
}

func TestInformersStartWhenTheBreakerLetsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		a := newAPI()
		if err := calls["create"](ctx, clientFor(t, serve(t, a).config())); err != nil {
			t.Fatal(err)
		}
		breaker := policies.NewBreaker(policies.BreakerConfig{})
		breaker.ForceOpen()
		s := serve(t, a)
		m := startMirror(ctx, s.connect(t, middleware.NewChain("kube", breaker)))
		time.Sleep(2 * time.Minute)
		s.wantRequests(t, 0)
		breaker.Reset()
		time.Sleep(2 * time.Minute)
		if n := len(m.stores["configmaps"].List()); n != 1 {
			t.Errorf("%d objects, want 1", n)
		}
		stop()
		m.factory.Shutdown()
	})
}

// A reflector does not look at its context while it waits after a 429 to its first watch.
func TestInformersStopAtOnce(t *testing.T) {
	for _, row := range []struct {
		name   string
		policy middleware.Policy
	}{
		{"while the rate limit makes them wait", full(t, policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.0001, Burst: 1, MaxWait: 24 * time.Hour}))},
		{"after a time limit", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second})},
		{"while a rate limit refuses them", full(t, policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.0001, Burst: 1}))},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				s := serve(t, newAPI())
				s.always(hang)
				m := startMirror(ctx, s.connect(t, middleware.NewChain("kube", row.policy)))
				time.Sleep(1500 * time.Millisecond)
				start := time.Now()
				stop()
				m.factory.Shutdown()
				if took := time.Since(start); took != 0 {
					t.Errorf("they stopped after %v", took)
				}
			})
		})
	}
}

func TestInformersOverHTTP2(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	a := newAPI()
	web, config := loopback(t, a)
	writer := clientFor(t, serve(t, a).config())
	chain := middleware.NewChain("kube", policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, MaxQueue: 9}),
		policies.NewTimeout(policies.TimeoutConfig{Scope: policies.UntilEnd}))
	m := startMirror(ctx, clientFor(t, adapter.Wrap(config, chain)))
	defer func() {
		stop()
		m.factory.Shutdown()
	}()
	m.factory.WaitForCacheSync(ctx.Done())
	random, tick := rand.New(rand.NewPCG(5, 6)), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 3 {
		alter(ctx, t, writer, random, 20)
		deadline := time.Now().Add(20 * time.Second)
		for m.equalStored(a) != nil || m.handlersSawAll() != nil {
			if time.Now().After(deadline) {
				t.Fatalf("%v, %v", m.equalStored(a), m.handlersSawAll())
			}
			<-tick.C
		}
		web.CloseClientConnections()
	}
}
