package main

import (
	"context"
	"net/url"
	"os"
	"time"

	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A host is a Git host with the chain that all calls of it pass.
type host struct {
	*git.Client

	breaker *policies.Breaker
}

// newHost returns the host of the repository at address. Close its breaker. What is in
// milliseconds suits a demonstration: for a real host leave it out, the defaults are
// longer.
func newHost(address string, observers ...middleware.Policy) (*host, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	config := git.Config{
		Schemes: []string{"http"}, // the zero value stands for https and ssh
		// The server is on this machine, whatever the user's settings say.
		Env: []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"},
	}
	probe, err := git.New(nil, config) // the chain would reject what asks whether it may open again
	if err != nil {
		return nil, err
	}
	h := new(host)
	h.breaker = policies.NewBreaker(policies.BreakerConfig{
		Key:              u.Host,
		FailureThreshold: 4,
		Timeout:          100 * time.Millisecond, // until the first health check
		HealthInterval:   time.Second,
		HealthCheck: func(ctx context.Context) error {
			_, err := probe.LsRemote(ctx, address, "HEAD")
			return err
		},
		RecoveryTime: 10 * time.Minute, // when calls are tried, should no health check pass
	})
	h.Client, err = git.New(middleware.NewChain("git", append(observers,
		policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 10 * time.Millisecond}),
		h.breaker,
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 4, MaxQueue: 100}), // for a program with many loops
		policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Minute}),
	)...), config)
	return h, err
}
