package kubernetes_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	adapter "github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestK8TheChainLimitsInPlaceOfQPS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newAPI())
		config := s.config()
		config.QPS, config.Burst = 0.001, 1
		config.RateLimiter = adapter.RateLimiter(middleware.NewChain("tokens",
			policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 2, MaxWait: time.Minute})))
		c := clientFor(t, config)
		start := time.Now()
		for range 5 {
			if err := calls["list"](t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start).Round(time.Millisecond); took != 3*time.Second {
			t.Errorf("five calls at one a second, two of them at once, took %v", took)
		}
		start = time.Now()
		for range 5 {
			if err := calls["watch"](t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("watches waited for %v", took)
		}
	})
}

func TestK8ARefusedTokenIsTheErrorOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, row := range map[string]struct {
			policy middleware.Policy
			limit  time.Duration
			want   error
		}{
			"no wait":        {full(t, policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.01, Burst: 1})), time.Hour, middleware.ErrRateLimited},
			"too long":       {full(t, policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.01, Burst: 1, MaxWait: time.Second})), time.Hour, middleware.ErrRateLimited},
			"past its limit": {full(t, policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.01, Burst: 1, MaxWait: time.Hour})), time.Minute, context.DeadlineExceeded},
		} {
			s := serve(t, newAPI())
			config := s.config()
			config.RateLimiter = adapter.RateLimiter(middleware.NewChain("tokens", row.policy))
			ctx, cancel := context.WithTimeout(t.Context(), row.limit)
			start := time.Now()
			err := calls["list"](ctx, clientFor(t, config))
			cancel()
			var rejection *middleware.Rejection
			if !errors.Is(err, row.want) || !errors.As(err, &rejection) || time.Since(start) != 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
			s.wantRequests(t, 0)
		}
	})
}

func TestK8TheLimiterKeepsItsContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := adapter.RateLimiter(middleware.NewChain("tokens", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Minute})))
		defer l.Stop()
		if !l.TryAccept() || l.TryAccept() {
			t.Error("TryAccept does not tell whether there is a token")
		}
		start := time.Now()
		l.Accept()
		l.Accept()
		if took := time.Since(start).Round(time.Millisecond); took != 2*time.Second {
			t.Errorf("two tokens took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		if err := l.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		breaker, tries := policies.NewBreaker(policies.BreakerConfig{}), 0
		breaker.ForceOpen()
		time.AfterFunc(10*time.Second, breaker.Reset)
		adapter.RateLimiter(middleware.NewChain("shut", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			tries++
			return next.Do(ctx)
		}), breaker)).Accept()
		if tries > 200 {
			t.Errorf("Accept asked %d times in ten seconds", tries)
		}
	})
}
