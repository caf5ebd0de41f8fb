package observability_test

import (
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
)

// told returns the report of a policy with one reading.
func told(kind, name, key, reading string, value float64) middleware.Report {
	return middleware.Report{Type: kind, Name: name, Key: key, Readings: []middleware.Reading{{Name: "other", Value: 7}, {Name: reading, Value: value}}}
}

// adaptive returns a policy that has all readings with an instrument, and is a deadline too.
func adaptive() middleware.Policy {
	return teller{
		told("adaptive_limit", "adaptive_limit", "", "limit", 12),
		told("rate_limit", "rate_limit", "", "rate", 2.5),
		told("throttle", "throttle", "", "rejection", 0.25),
		told("chaos", "chaos", "", "armed", 1),
		told("deadline", "deadline", "", "usual", 0.1),
	}
}

// What policies tell of themselves is measured when somebody collects. Of policies for keys
// it is the sum, or what stands out.
func TestReadingsAreMeasured(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	chain := middleware.NewChain("x", o, adaptive())
	keys := middleware.NewChain("keys", o, teller{
		told("bulkhead", "b", "a", "limit", 3), told("bulkhead", "b", "b", "limit", 4),
		told("adaptive_limit", "l", "a", "limit", 10), told("adaptive_limit", "l", "b", "limit", 5),
		told("rate_limit", "r", "a", "rate", 3), told("rate_limit", "r", "b", "rate", 1.5), told("rate_limit", "r", "c", "rate", 2),
		told("throttle", "t", "a", "rejection", 0), told("throttle", "t", "b", "rejection", 0.5), told("throttle", "t", "c", "rejection", 0.25),
		told("chaos", "c", "a", "armed", 1), told("chaos", "c", "b", "armed", 0), told("chaos", "c", "c", "armed", 1),
	})
	off := middleware.NewChain("off", o, teller{told("chaos", "chaos", "", "armed", 0), told("throttle", "throttle", "", "rejection", 0)})
	odd := middleware.NewChain("odd", o, teller{
		told("throttle", "t", "", "share", 1), told("rate_limit", "r", "", "rate", math.NaN()), told("adaptive_limit", "l", "", "limit", math.Inf(1)),
		told("breaker", "b", "", "limit", 5), told("chaos", "c", "", "injected", 5),
	})
	for name, want := range map[string][]string{
		"tidegate.policy.limit": {
			"chain.name=keys policy.name=b policy.type=bulkhead: 7",
			"chain.name=keys policy.name=l policy.type=adaptive_limit: 15",
			"chain.name=x policy.name=adaptive_limit policy.type=adaptive_limit: 12",
		},
		"tidegate.rate_limit.rate":    {"chain.name=keys policy.name=r: 1.5", "chain.name=x policy.name=rate_limit: 2.5"},
		"tidegate.throttle.rejection": {"chain.name=keys policy.name=t: 0.5", "chain.name=off policy.name=throttle: 0", "chain.name=x policy.name=throttle: 0.25"},
		"tidegate.chaos.armed":        {"chain.name=keys policy.name=c: 2", "chain.name=off policy.name=chaos: 0", "chain.name=x policy.name=chaos: 1"},
	} {
		if got := r.measured(t, name); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, c := range []*middleware.Chain{chain, keys, off, odd} {
		runtime.KeepAlive(c)
	}
}

// An adaptive limit has its series of calls that run and wait from the beginning, as a
// bulkhead does.
func TestAnAdaptiveLimitIsMeasuredAsABulkheadIs(t *testing.T) {
	r := newRecorder()
	chain := middleware.NewChain("x", r.observer(), teller{{Type: "adaptive_limit", Name: "l"}})
	want := []string{
		"call.state=running chain.name=x policy.name=l policy.type=adaptive_limit: 0",
		"call.state=waiting chain.name=x policy.name=l policy.type=adaptive_limit: 0",
	}
	if got := r.measured(t, "tidegate.policy.active"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	runtime.KeepAlive(chain)
}
