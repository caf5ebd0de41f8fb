package policies_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// refusing returns policies that refuse every further call through any chain until the
// test ends, each for its reason.
func refusing(t *testing.T) map[error]middleware.Policy {
	t.Helper()
	bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
	limit := policies.NewAdaptiveLimit(policies.AdaptiveLimitConfig{Min: 1, Initial: 1, Max: 1})
	for _, p := range []middleware.Policy{bulkhead, limit} {
		begun, end, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			over <- middleware.NewChain("x", p).Do(context.Background(), func(context.Context) error { close(begun); <-end; return nil })
		}()
		<-begun
		t.Cleanup(func() {
			close(end)
			if err := <-over; err != nil {
				t.Error(err)
			}
		})
	}
	return map[error]middleware.Policy{middleware.ErrBulkheadFull: bulkhead, middleware.ErrConcurrencyLimited: limit}
}

// reasonOf allocates nothing, unlike errors.Is of a Rejection.
func reasonOf(err error) error {
	if r, ok := errors.AsType[*middleware.Rejection](err); ok {
		return r.Reason
	}
	return nil
}

// A refusal that is used again names the chain and the policy that refused.
func TestRefusalsNameTheirChain(t *testing.T) {
	for reason, p := range refusing(t) {
		for _, name := range []string{"a", "a", "b", "a"} {
			err := middleware.NewChain(name, p).Do(t.Context(), succeed)
			r, ok := errors.AsType[*middleware.Rejection](err)
			if !ok || r.Reason != reason || r.Chain != name || r.Policy != p.(interface{ Name() string }).Name() || r.Err != nil || r.RetryAfter != 0 {
				t.Errorf("chain %q: %#v", name, err)
			}
		}
	}
}

// A bulkhead or an adaptive limit that refuses a call allocates nothing for it, nor does a
// throttle.
func TestRefusalsAllocateNothing(t *testing.T) {
	for reason, p := range refusing(t) {
		chain := middleware.NewChain("x", p)
		if n := testing.AllocsPerRun(10_000, func() {
			if err := chain.Do(t.Context(), succeed); reasonOf(err) != reason {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations, want none", reason, n)
		}
	}
	chain := middleware.NewChain("x", policies.NewThrottle(policies.ThrottleConfig{MinCalls: 1}))
	shed := 0
	some := func() {
		for range 1000 {
			if reasonOf(chain.Do(t.Context(), fail)) == middleware.ErrThrottled {
				shed++
			}
		}
	}
	some()
	shed = 0
	if n := testing.AllocsPerRun(1, some); n > 10 || shed < 1500 { // a bucket may begin meanwhile
		t.Errorf("%v allocations for 1000 calls, want none for each; %d of 2000 were shed", n, shed)
	}
}
