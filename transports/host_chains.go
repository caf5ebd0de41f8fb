package transports

import (
	"context"
	"sync"

	"github.com/tidegate-go/tidegate/middleware"
)

const (
	maxHosts   = 1000
	otherHosts = "*" // the key of all hosts beyond maxHosts; no host has it
)

// hostChains is a policy that runs a chain chosen by the key of the operation.
type hostChains struct {
	build func(string) *middleware.Chain

	mu     sync.RWMutex
	chains map[string]func() *middleware.Chain // each builds its chain once, outside the lock
}

// Name returns the name of the policy.
func (h *hostChains) Name() string { return "per_host" }

// Execute implements [middleware.Policy].
func (h *hostChains) Execute(ctx context.Context, next middleware.Next) error {
	return h.chain(middleware.OperationOf(ctx).Key).Execute(ctx, next)
}

func (h *hostChains) chain(key string) *middleware.Chain {
	h.mu.RLock()
	get := h.find(key)
	h.mu.RUnlock()
	if get == nil {
		h.mu.Lock()
		get = h.find(key)
		if get == nil {
			get = h.add(key)
		}
		h.mu.Unlock()
	}
	return get()
}

// find returns nil when there is no chain for the key yet. A lock is held.
func (h *hostChains) find(key string) func() *middleware.Chain {
	if get, ok := h.chains[key]; ok || len(h.chains) < maxHosts {
		return get
	}
	return h.chains[otherHosts]
}

func (h *hostChains) add(key string) func() *middleware.Chain {
	if len(h.chains) >= maxHosts {
		key = otherHosts
	}
	get := sync.OnceValue(func() *middleware.Chain { return h.build(key) })
	h.chains[key] = get
	return get
}
