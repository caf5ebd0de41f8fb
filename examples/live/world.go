package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tidegate-go/tidegate"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A profile is how the calls to a service are.
type profile struct {
	name      string
	operation string
	every     time.Duration // between two calls, in the mean
	takes     time.Duration // a call, in the mean
	trouble   trouble       // what it has when it is its turn
	policies  func() []middleware.Policy
}

var dozen = []profile{
	{"minio-uploads", "PutObject", 60 * time.Millisecond, 45 * time.Millisecond, failing, storage},
	{"minio-backups", "PutObject", 400 * time.Millisecond, 320 * time.Millisecond, slow, storage},
	{"git-mirror", "Fetch", 700 * time.Millisecond, 500 * time.Millisecond, failing, plain},
	{"git-config", "LsRemote", 300 * time.Millisecond, 90 * time.Millisecond, slow, plain},
	{"billing", "GET /invoices/{id}", 40 * time.Millisecond, 25 * time.Millisecond, failing, web},
	{"search", "GET /search", 25 * time.Millisecond, 30 * time.Millisecond, slow, hedged},
	{"kubernetes-api", "list pods", 150 * time.Millisecond, 35 * time.Millisecond, throttling, limited},
	{"image-scanner", "Scan", 900 * time.Millisecond, 1200 * time.Millisecond, slow, narrow},
	{"mail", "Send", 350 * time.Millisecond, 180 * time.Millisecond, failing, web},
	{"registry", "GET /v2/{name}", 90 * time.Millisecond, 60 * time.Millisecond, flaky, web},
	{"ledger", "Append", 120 * time.Millisecond, 15 * time.Millisecond, none, plain},
	{"geo-tiles", "GET /tile", 30 * time.Millisecond, 12 * time.Millisecond, flaky, perHost},
}

// A world consists of services that are called all the time.
type world struct {
	services []*simulated
}

// newWorld adds n services to the manager.
func newWorld(manager *tidegate.Manager, n int) (*world, error) {
	w := new(world)
	for i := range n {
		p := dozen[i%len(dozen)]
		if i >= len(dozen) {
			p.name = fmt.Sprintf("%s-%02d", p.name, i/len(dozen)+1)
			p.every *= 12 // many services share the machine
		}
		service, err := manager.AddChain(p.name, p.policies()...)
		if err != nil {
			return nil, err
		}
		w.services = append(w.services, &simulated{profile: p, chain: service.Chain(), turn: i})
	}
	return w, nil
}

// run calls all services until ctx ends.
func (w *world) run(ctx context.Context) {
	var all sync.WaitGroup
	began := time.Now()
	for _, s := range w.services {
		all.Go(func() { s.run(ctx, began, len(w.services)) })
	}
	<-ctx.Done()
	all.Wait()
}

// A simulated service is a chain around an operation that answers as told by its trouble.
type simulated struct {
	profile
	chain *middleware.Chain
	turn  int
}

func (s *simulated) run(ctx context.Context, began time.Time, services int) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for ctx.Err() == nil {
		if !sleep(ctx, around(s.every)) {
			return
		}
		now := none
		if hasTurn(time.Since(began), s.turn, services) {
			now = s.trouble
		}
		calls.Go(func() { s.call(ctx, now) })
	}
}

// call makes one call, whose end nobody waits for but the service itself.
func (s *simulated) call(ctx context.Context, now trouble) {
	ctx = middleware.WithOperation(ctx, middleware.Operation{
		Name: s.operation, Key: fmt.Sprintf("host-%d", rand.IntN(4)), Idempotent: true,
	})
	// What comes of it stands on the page.
	_ = s.chain.Do(ctx, func(ctx context.Context) error { return now.answer(ctx, s.takes) })
}

// around returns a time that is d in the mean, now and then much longer.
func around(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.4 + 0.6*rand.ExpFloat64()))
}

// sleep reports false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// The chains, outermost policy first.

func plain() []middleware.Policy {
	return []middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: 50 * time.Millisecond}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 5, Timeout: 8 * time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 3 * time.Second}),
	}
}

func web() []middleware.Policy {
	return []middleware.Policy{
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: 2 * time.Second}),
		policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: 40 * time.Millisecond}),
		policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 10, Timeout: 6 * time.Second, Ramp: 8 * time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: 500 * time.Millisecond}),
	}
}

func storage() []middleware.Policy {
	return []middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Attempts: 4, Delay: 100 * time.Millisecond}),
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 5, Timeout: 10 * time.Second}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 8, MaxQueue: 16, MaxWait: time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 2 * time.Second}),
	}
}

func hedged() []middleware.Policy {
	return []middleware.Policy{
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Second}),
		policies.NewHedge(policies.HedgeConfig{Delay: 90 * time.Millisecond}),
		policies.NewBreaker(policies.BreakerConfig{SlowCall: 400 * time.Millisecond, SlowRate: 0.6, MinCalls: 10, Timeout: 8 * time.Second}),
	}
}

func limited() []middleware.Policy {
	return []middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Attempts: 3, Delay: 80 * time.Millisecond}),
		policies.NewBreaker(policies.BreakerConfig{Timeout: 8 * time.Second}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 9, Burst: 3, MaxWait: 800 * time.Millisecond, MaxPause: 3 * time.Second}),
	}
}

func narrow() []middleware.Policy {
	return []middleware.Policy{
		policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 4, Timeout: 12 * time.Second}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 6, MaxWait: 5 * time.Second}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 4 * time.Second}),
	}
}

func perHost() []middleware.Policy {
	return []middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 20 * time.Millisecond}),
		policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 4, Timeout: 5 * time.Second})
		}),
	}
}
