package observability_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// What a policy holds just now is measured when somebody collects.
func TestCallsThatRunAndWaitAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		chain := middleware.NewChain("x", r.observer(), policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 2, MaxQueue: 5, MaxWait: time.Hour}))
		limited := middleware.NewChain("y", r.observer(), policies.NewRateLimit(policies.RateLimitConfig{Rate: 1, Burst: 1, MaxWait: time.Hour}))
		end := make(chan struct{})
		for range 5 {
			go func() { _ = chain.Do(t.Context(), func(context.Context) error { <-end; return nil }) }()
			go func() { _ = limited.Do(t.Context(), succeed) }()
		}
		synctest.Wait()
		for i, want := range [][]string{
			{
				"call.state=running chain.name=x policy.name=bulkhead policy.type=bulkhead: 2",
				"call.state=waiting chain.name=x policy.name=bulkhead policy.type=bulkhead: 3",
				"call.state=waiting chain.name=y policy.name=rate_limit policy.type=rate_limit: 4",
			},
			{
				"call.state=running chain.name=x policy.name=bulkhead policy.type=bulkhead: 0",
				"call.state=waiting chain.name=x policy.name=bulkhead policy.type=bulkhead: 0",
				"call.state=waiting chain.name=y policy.name=rate_limit policy.type=rate_limit: 0",
			},
		} {
			// Both observers tell of it to one provider, each of its own chains.
			if got := r.measured(t, "tidegate.policy.active"); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if i == 0 {
				close(end)
			}
			time.Sleep(time.Minute)
		}
		runtime.KeepAlive(chain)
		runtime.KeepAlive(limited)
	})
}

// A breaker for each key: the status counts them, and the time that they were in a state
// never falls, though they go.
func TestBreakersOfKeysAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		keyed := policies.NewKeyed(policies.KeyedConfig{Max: 3, Idle: time.Second}, func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 1, Timeout: time.Minute})
		})
		chain := middleware.NewChain("x", r.observer(), keyed)
		call := func(key string, err error) {
			ctx := middleware.WithOperation(t.Context(), middleware.Operation{Key: key})
			_ = chain.Do(ctx, func(context.Context) error { return err })
		}
		call("a", nil)
		call("b", codedError{503})
		call("c", nil)
		time.Sleep(10 * time.Second)
		if got, want := r.measured(t, "tidegate.breaker.status"), []string{
			"breaker.state=closed chain.name=x policy.name=breaker: 2",
			"breaker.state=half_open chain.name=x policy.name=breaker: 0",
			"breaker.state=open chain.name=x policy.name=breaker: 1",
		}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		closed := func() string { return r.measured(t, "tidegate.breaker.state.time")[0] }
		if got, want := closed(), "breaker.state=closed chain.name=x policy.name=breaker: 20"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		call("d", nil) // takes the place of an idle one
		call("e", nil)
		if got, want := closed(), "breaker.state=closed chain.name=x policy.name=breaker: 20"; got != want {
			t.Errorf("the time fell: got %q, want %q", got, want)
		}
		time.Sleep(5 * time.Second)
		keys := len(slices.Collect(maps.Keys(maps.Collect(keyed.All())))) - 1 // "b" is open
		if got, want := closed(), fmt.Sprintf("breaker.state=closed chain.name=x policy.name=breaker: %d", 20+5*keys); got != want || keys == 0 {
			t.Errorf("what came after is lost: got %q, want %q with %d keys", got, want, keys)
		}
		runtime.KeepAlive(chain)
	})
}

// A chain inside of another one of the same name has the same policies: they count once.
func TestAPolicyOfTwoChainsOfOneNameCountsOnce(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	inner := middleware.NewChain("x", o, breaker)
	outer, other := middleware.NewChain("x", inner), middleware.NewChain("y", o, breaker)
	got := r.measured(t, "tidegate.breaker.status")
	if want := []string{
		"breaker.state=closed chain.name=x policy.name=breaker: 1", "breaker.state=closed chain.name=y policy.name=breaker: 1",
		"breaker.state=half_open chain.name=x policy.name=breaker: 0", "breaker.state=half_open chain.name=y policy.name=breaker: 0",
		"breaker.state=open chain.name=x policy.name=breaker: 0", "breaker.state=open chain.name=y policy.name=breaker: 0",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	runtime.KeepAlive(outer)
	runtime.KeepAlive(other)
}

// Breakers of one name in chains of one name: what one has done stays when it goes, and that
// of the other one counts once. So it does when a chain goes that had the same policies.
func TestTheTimeOfABreakerThatIsGoneStays(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	defer runtime.KeepAlive(o)
	report := func(d time.Duration) *teller {
		return &teller{{Type: "breaker", Name: "b", Breaker: &middleware.Circuit{State: "closed", Times: []middleware.StateTime{{State: "closed", Time: d}}}}}
	}
	one, other := report(10*time.Second), report(100*time.Second)
	first, second, third := middleware.NewChain("x", o, one), middleware.NewChain("x", o, other), middleware.NewChain("x", o, other)
	check := func(want string) {
		t.Helper()
		if got := r.measured(t, "tidegate.breaker.state.time"); !slices.Equal(got, []string{"breaker.state=closed chain.name=x policy.name=b: " + want}) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
	check("110")
	forget(t, &second)
	check("110")
	*one, *other = *report(20 * time.Second), *report(101 * time.Second)
	check("121")
	forget(t, &first)
	check("121")
	*other = *report(105 * time.Second)
	check("125")
	*other = *report(1 * time.Second) // a new one in its place
	check("126")
	(*other)[0].Breaker.Times = []middleware.StateTime{{State: "closed", Time: 200 * ms}, {State: "open", Time: time.Second}} // told a little early before
	if got := r.measured(t, "tidegate.breaker.state.time"); !slices.Equal(got, []string{
		"breaker.state=closed chain.name=x policy.name=b: 126", "breaker.state=open chain.name=x policy.name=b: 1",
	}) {
		t.Errorf("got %q", got)
	}
	runtime.KeepAlive(third)
}

// forget waits until nothing is left of the chain.
func forget(t *testing.T, chain **middleware.Chain) {
	t.Helper()
	collected := make(chan struct{})
	runtime.AddCleanup(*chain, func(c chan struct{}) { close(c) }, collected)
	*chain = nil
	for range 1000 {
		runtime.GC()
		select {
		case <-collected:
			return
		default:
			runtime.Gosched()
		}
	}
	t.Fatal("the chain is kept")
}

// A teller reports what it is told.
type teller []middleware.Report

func (teller) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (s teller) Reports(yield func(middleware.Report) bool) {
	for _, r := range s {
		if !yield(r) {
			return
		}
	}
}

// A state that a breaker was in has a series from then on.
func TestStatesThatABreakerWasIn(t *testing.T) {
	r := newRecorder()
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	chain := middleware.NewChain("x", r.observer(), breaker)
	breaker.ForceOpen()
	breaker.Reset()
	if got, want := r.measured(t, "tidegate.breaker.status"), []string{
		"breaker.state=closed chain.name=x policy.name=breaker: 1", "breaker.state=forced_open chain.name=x policy.name=breaker: 0",
		"breaker.state=half_open chain.name=x policy.name=breaker: 0", "breaker.state=open chain.name=x policy.name=breaker: 0",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	runtime.KeepAlive(chain)
}

// A policy need be no pointer, nor comparable.
func TestAPolicyThatIsAValueIsMeasured(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	same := counter{"c"} // in two chains of one name it counts once
	other := middleware.NewChain("x", o, same)
	chain := middleware.NewChain("x", o, same, teller{{Type: "queue", Name: "q", Running: 2, Waiting: 1}}, wrapped{teller{{Type: "queue", Name: "w", Running: 3}}})
	if got, want := r.measured(t, "tidegate.policy.active"), []string{
		"call.state=running chain.name=x policy.name=c policy.type=queue: 1", "call.state=running chain.name=x policy.name=q policy.type=queue: 2",
		"call.state=running chain.name=x policy.name=w policy.type=queue: 3",
		"call.state=waiting chain.name=x policy.name=q policy.type=queue: 1",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	runtime.KeepAlive(chain)
	runtime.KeepAlive(other)
}

type counter struct{ name string }

func (counter) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (c counter) Reports(yield func(middleware.Report) bool) {
	yield(middleware.Report{Type: "queue", Name: c.name, Running: 1})
}

type wrapped struct{ middleware.Reporter }

// A chain that nobody uses any more is not measured, nor kept, though it was in use.
func TestAChainThatIsGoneIsForgotten(t *testing.T) {
	r := newRecorder()
	o := r.observer()
	defer runtime.KeepAlive(o)
	for range 2 {
		chain := func() *middleware.Chain {
			breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
			chain := middleware.NewChain("gone", o, policies.NewTimeout(policies.TimeoutConfig{Limit: time.Hour}), breaker)
			for range 2 { // the first one opens the breaker
				_ = chain.Do(t.Context(), func(context.Context) error { return codedError{503} })
			}
			if n := len(r.measured(t, "tidegate.breaker.status")); n != 3 {
				t.Errorf("%d series, want 3", n)
			}
			return chain
		}()
		forget(t, &chain)
		if got := r.measured(t, "tidegate.breaker.status"); len(got) != 0 {
			t.Errorf("got %q of a chain that is gone", got)
		}
	}
}
