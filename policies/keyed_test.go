package policies_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// to returns the context of a call with a key.
func to(t *testing.T, key string) context.Context {
	return middleware.WithOperation(context.WithoutCancel(t.Context()), middleware.Operation{Key: key})
}

func perKey(c policies.KeyedConfig, b policies.BreakerConfig) *policies.Keyed[*policies.Breaker] {
	return policies.NewKeyed(c, func(key string) *policies.Breaker {
		b := b
		b.Key = key
		return policies.NewBreaker(b)
	})
}

func list(k *policies.Keyed[*policies.Breaker]) string {
	var all []string
	for key := range k.All() {
		all = append(all, key)
	}
	return strings.Join(all, " ")
}

func TestEachKeyHasABreakerOfItsOwn(t *testing.T) {
	k := perKey(policies.KeyedConfig{}, policies.BreakerConfig{FailureThreshold: 1})
	var seen recorder
	chain := middleware.NewChain("x", &seen, k)
	_ = chain.Do(to(t, "a"), fail)
	if err := chain.Do(to(t, "a"), succeed); !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("a: %v", err)
	}
	for _, key := range []string{"b", ""} {
		if err := chain.Do(to(t, key), succeed); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	k.For("c").ForceOpen()
	if got := list(k); got != " a b c" {
		t.Errorf("keys %q", got)
	}
	var got []string
	for _, e := range seen.events {
		got = append(got, fmt.Sprint(e.Kind, " ", e.Chain, " ", e.Policy, " ", e.Key))
	}
	if want := "[transition x breaker a rejected x breaker a transition x breaker c]"; fmt.Sprint(got) != want {
		t.Errorf("events %v, want %v", got, want)
	}
	if k.Name() != "keyed" {
		t.Errorf("the name is %q", k.Name())
	}
}

func TestTheKeyOfACallCanBeChosen(t *testing.T) {
	k := perKey(policies.KeyedConfig{Name: "per tenant", Key: func(ctx context.Context) string { return ctx.Value(traceKey{}).(string) }}, policies.BreakerConfig{})
	_ = middleware.NewChain("x", k).Do(context.WithValue(t.Context(), traceKey{}, "tenant"), succeed)
	if list(k) != "tenant" || k.Name() != "per tenant" {
		t.Errorf("keys %q of %q", list(k), k.Name())
	}
}

// The number of keys is bounded; further ones share the policy of OverflowKey.
func TestKeysAreBounded(t *testing.T) {
	k := perKey(policies.KeyedConfig{Max: 3}, policies.BreakerConfig{FailureThreshold: 2})
	chain := middleware.NewChain("x", k)
	for i := range 10 {
		_ = chain.Do(to(t, fmt.Sprint(i)), fail)
	}
	if got := list(k); got != "0 1 2 _overflow" {
		t.Errorf("keys %q", got)
	}
	if s := k.For("0").Status(); s.State != policies.Closed || s.Counts.Failures != 1 {
		t.Errorf("0: %+v", s)
	}
	if k.For("9").State() != policies.Open || k.For("9") != k.For(policies.OverflowKey) {
		t.Error("the others do not share a breaker")
	}
}

func TestIdleKeysAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Minute
		k := perKey(policies.KeyedConfig{Max: 6, Idle: idle}, policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Hour, SuccessThreshold: 1})
		chain := middleware.NewChain("x", k)
		do := func(key string, op func(context.Context) error) { _ = chain.Do(to(t, key), op) }
		do("idle", succeed)
		do("open", fail)
		k.For("forced").ForceClose()
		var finish func()
		func() {
			release, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				do("in flight", func(context.Context) error { <-release; return nil })
			}()
			finish = func() { close(release); <-done }
		}()
		synctest.Wait()
		do("used", succeed)
		time.Sleep(idle)
		do("sixth", succeed) // sweeps: all of them have been used
		if got := list(k); got != "forced idle in flight open sixth used" {
			t.Fatalf("keys %q", got)
		}
		do("seventh", succeed) // no room, and no sweep so soon
		if got := list(k); !strings.HasPrefix(got, policies.OverflowKey) {
			t.Fatalf("keys %q", got)
		}
		time.Sleep(idle / 2)
		do("used", succeed)
		time.Sleep(idle / 2)
		do("eighth", succeed) // sweeps: idle and sixth have been used in the first half only
		if got := list(k); got != "_overflow eighth forced in flight open sixth used" {
			t.Errorf("keys %q", got)
		}
		finish()
		time.Sleep(idle)
		do("ninth", succeed)
		if got := list(k); got != "_overflow eighth forced in flight ninth open" {
			t.Errorf("a minute after the call has ended: keys %q", got)
		}
		time.Sleep(idle)
		do("tenth", succeed)
		if got := list(k); got != "_overflow forced ninth open tenth" {
			t.Errorf("two minutes after: keys %q", got)
		}
		time.Sleep(time.Hour)
		do("open", succeed) // a probe
		time.Sleep(2 * idle)
		do("a", succeed)
		time.Sleep(2 * idle)
		do("b", succeed)
		if got := list(k); got != "_overflow a b forced" {
			t.Errorf("at the end: keys %q", got)
		}
	})
}

// However many keys come at once, each has one breaker and none is lost while it
// is open.
func TestAnOpenBreakerIsNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := perKey(policies.KeyedConfig{Max: 50, Idle: time.Second}, policies.BreakerConfig{FailureThreshold: 1, Timeout: 10 * time.Hour})
		chain := middleware.NewChain("x", k)
		var wg sync.WaitGroup
		var lost atomic.Int64
		for g := range 8 {
			wg.Go(func() {
				bad := fmt.Sprint("bad ", g)
				_ = chain.Do(to(t, bad), fail)
				for i := range 300 {
					_ = chain.Do(to(t, fmt.Sprint(g, " ", i%(40+g))), succeed)
					if i%10 == 0 {
						time.Sleep(time.Second)
					}
					if i%100 == 99 {
						time.Sleep(time.Minute) // long unused
						if !errors.Is(chain.Do(to(t, bad), succeed), middleware.ErrOpen) {
							lost.Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		if n := lost.Load(); n != 0 {
			t.Errorf("%d open breakers were lost", n)
		}
		if n := len(maps.Collect(k.All())); n > 51 {
			t.Errorf("%d keys, want 50 and one at the most", n)
		}
	})
}

func TestAFailureToMakeAPolicyTakesNoRoom(t *testing.T) {
	fails := true
	k := policies.NewKeyed(policies.KeyedConfig{Max: 1}, func(key string) *policies.Breaker {
		if fails {
			panic("no breaker")
		}
		return policies.NewBreaker(policies.BreakerConfig{Key: key})
	})
	chain := middleware.NewChain("x", k)
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = chain.Do(to(t, "a"), succeed)
		}()
	}
	fails = false
	if err := chain.Do(to(t, "a"), succeed); err != nil || list(k) != "a" {
		t.Errorf("got %v, keys %q", err, list(k))
	}
	defer func() {
		if recover() == nil {
			t.Error("NewKeyed took a nil function")
		}
	}()
	policies.NewKeyed[*policies.Breaker](policies.KeyedConfig{}, nil)
}

// A closer is a policy that can be closed and attached.
type closer struct {
	middleware.PolicyFunc
	err      error
	closed   *atomic.Int64
	attached *atomic.Int64
}

func (c closer) Close() error               { c.closed.Add(1); return c.err }
func (c closer) Attach(_ *middleware.Chain) { c.attached.Add(1) }

func TestKeyedClosesAndAttachesEachOfItsPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed, attached atomic.Int64
		k := policies.NewKeyed(policies.KeyedConfig{Max: 2, Idle: time.Minute}, func(string) closer {
			return closer{func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }, errBroken, &closed, &attached}
		})
		k.For("a")
		middleware.NewChain("nobody listens", k)
		chain := middleware.NewChain("x", new(recorder), k)
		if n := attached.Load(); n != 2 {
			t.Errorf("attached %d times, want 2", n)
		}
		_ = chain.Do(to(t, "b"), succeed)
		_ = chain.Do(to(t, "c"), succeed)
		if n := attached.Load(); n != 4 {
			t.Errorf("attached %d times, want 4", n)
		}
		if err := k.Close(); !errors.Is(err, errBroken) || closed.Load() != 3 {
			t.Errorf("closed %d of 3: %v", closed.Load(), err)
		}
		time.Sleep(time.Minute)
		k.For("d")
		time.Sleep(time.Minute)
		k.For("e") // a and b are dropped, and e comes too late to stay open
		if n := closed.Load(); n != 6 {
			t.Errorf("closed %d times, want 6", n)
		}
	})
}

// A chain may be dropped when all of its policies may.
func TestKeyedChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := policies.NewKeyed(policies.KeyedConfig{Idle: time.Minute}, func(key string) *middleware.Chain {
			return middleware.NewChain(key, policies.NewRateLimit(policies.RateLimitConfig{}), policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Hour}))
		})
		chain := middleware.NewChain("x", k)
		_ = chain.Do(to(t, "open"), fail)
		_ = chain.Do(to(t, "closed"), succeed)
		for range 3 {
			time.Sleep(time.Minute)
			k.For("other")
			_ = k.For(fmt.Sprint(time.Now().Unix()))
		}
		all := maps.Collect(k.All())
		if all["open"] == nil || all["closed"] != nil {
			t.Errorf("keys %v", slices.Sorted(maps.Keys(all)))
		}
	})
}

// A breaker is kept during its ramp, and no longer.
func TestARecoveringBreakerIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := perKey(policies.KeyedConfig{Idle: time.Second}, policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second, Ramp: time.Minute})
		chain := middleware.NewChain("x", k)
		_ = chain.Do(to(t, "a"), fail)
		time.Sleep(time.Second)
		_ = chain.Do(to(t, "a"), succeed)
		for range 3 {
			time.Sleep(5 * time.Second)
			k.For(fmt.Sprint(time.Now().Unix()))
		}
		if got := list(k); !strings.HasSuffix(got, " a") {
			t.Errorf("during the ramp: keys %q", got)
		}
		time.Sleep(time.Minute)
		k.For("last")
		if got := list(k); strings.HasSuffix(got, " a") {
			t.Errorf("after the ramp: keys %q", got)
		}
	})
}

// Two first calls of one key make two policies, of which one stays and the other is
// closed, and they take the room of one.
func TestTwoFirstCallsOfAKeyTakeTheRoomOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed, attached atomic.Int64
		var both sync.WaitGroup
		both.Add(2)
		k := policies.NewKeyed(policies.KeyedConfig{Max: 3}, func(key string) closer {
			if key == "a" {
				both.Done()
				both.Wait()
			}
			return closer{func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }, nil, &closed, &attached}
		})
		chain := middleware.NewChain("x", k)
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() { _ = chain.Do(to(t, "a"), succeed) })
		}
		calls.Wait()
		if n := closed.Load(); n != 1 {
			t.Errorf("%d closed, want 1", n)
		}
		_, _ = k.For("b"), k.For("c")
		if n := len(maps.Collect(k.All())); n != 3 {
			t.Errorf("%d keys, want 3 of 3", n)
		}
	})
}

// A key is idle from the end of its last call on, so calls that are longer than Idle
// are counted like others.
func TestLongCallsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := perKey(policies.KeyedConfig{Idle: 10 * time.Minute}, policies.BreakerConfig{FailureThreshold: 2})
		chain := middleware.NewChain("x", k)
		for i := range 2 {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = chain.Do(to(t, "backup"), lasting(25*time.Minute, errBroken))
			}()
			time.Sleep(12 * time.Minute)
			k.For(fmt.Sprint("other ", i)) // sweeps
			<-done
			k.For(fmt.Sprint("another ", i)) // sweeps
		}
		if s := k.For("backup").Status(); s.State != policies.Open {
			t.Errorf("after two long failures: %+v", s)
		}
	})
}

// A call whose result is streamed is in flight until that has been read or closed.
func TestAKeyWhoseResultIsReadIsNotDropped(t *testing.T) {
	for name, finish := range map[string]func(*middleware.Streamed[int]){"read": (*middleware.Streamed[int]).Release, "closed": (*middleware.Streamed[int]).Close} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := perKey(policies.KeyedConfig{Max: 1, Idle: time.Minute}, policies.BreakerConfig{})
				chain := middleware.NewChain("x", k)
				sweeps := func() {
					for range 3 {
						time.Sleep(time.Minute)
						k.For("other")
					}
				}
				var s middleware.Streamed[int]
				_, _ = s.Do(to(t, "a"), chain, streamer(func(context.Context) (int, error) { return 1, nil }))
				sweeps()
				if got := list(k); got != "_overflow a" {
					t.Errorf("while the result is read: keys %q", got)
				}
				finish(&s)
				sweeps()
				if got := list(k); got != "_overflow other" {
					t.Errorf("after that: keys %q", got)
				}
				s.Close()
			})
		})
	}
}

// Whatever ends the calls of a key, the last end makes it idle.
func TestAKeyIsIdleAfterEveryEnd(t *testing.T) {
	for name, op := range map[string]func(context.Context) error{
		"success": succeed,
		"failure": fail,
		"panic":   func(context.Context) error { panic("boom") },
		"Goexit":  func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := perKey(policies.KeyedConfig{Max: 1, Idle: time.Minute}, policies.BreakerConfig{})
				chain := middleware.NewChain("x", k)
				for _, call := range []func(){
					func() { _ = chain.Do(to(t, "a"), op) },
					func() {
						_, end, _ := middleware.Stream(to(t, "a"), chain, func(ctx context.Context) (int, error) { return 1, op(ctx) }, nil)
						end()
					},
				} {
					var wg sync.WaitGroup
					wg.Go(func() {
						defer func() { _ = recover() }()
						call()
					})
					wg.Wait()
				}
				for range 2 {
					time.Sleep(time.Minute)
					k.For("other")
				}
				if got := list(k); got != "_overflow other" {
					t.Errorf("keys %q", got)
				}
			})
		})
	}
}

// A bulkhead in use is kept, and a rate limit that pauses, even if no call came by way of
// the key.
func TestWhatIsInUseOrPausesIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bulkheads := policies.NewKeyed(policies.KeyedConfig{Max: 1, Idle: time.Minute}, func(string) *policies.Bulkhead {
			return policies.NewBulkhead(policies.BulkheadConfig{})
		})
		limits := policies.NewKeyed(policies.KeyedConfig{Max: 1, Idle: time.Minute}, func(string) *policies.RateLimit {
			return policies.NewRateLimit(policies.RateLimitConfig{MaxPause: 10 * time.Minute})
		})
		bulkhead, limit := bulkheads.For("a"), limits.For("a")
		_ = middleware.NewChain("x", limit).Do(t.Context(), throttled(time.Hour))
		var wg sync.WaitGroup
		wg.Go(func() { _ = middleware.NewChain("x", bulkhead).Do(t.Context(), lasting(10*time.Minute-1, nil)) })
		there := func() (a, b bool) {
			for range 3 {
				time.Sleep(time.Minute)
				bulkheads.For("other")
				limits.For("other")
			}
			return maps.Collect(bulkheads.All())["a"] == bulkhead, maps.Collect(limits.All())["a"] == limit
		}
		for range 3 {
			if a, b := there(); !a || !b {
				t.Errorf("kept meanwhile: bulkhead %v, rate limit %v", a, b)
			}
		}
		wg.Wait()
		if a, b := there(); a || b {
			t.Errorf("kept in the end: bulkhead %v, rate limit %v", a, b)
		}
	})
}

// What is kept is what would not be the same anew, whatever it is embedded in.
func TestWhatIsNotAsNewIsKept(t *testing.T) {
	type hostBreaker struct{ *policies.Breaker }
	synctest.Test(t, func(t *testing.T) {
		limits := policies.NewKeyed(policies.KeyedConfig{Idle: time.Minute}, func(string) *policies.RateLimit {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 1.0 / 3600, Burst: 1})
		})
		wrapped := policies.NewKeyed(policies.KeyedConfig{Idle: time.Minute}, func(string) hostBreaker {
			return hostBreaker{policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Hour, RecoveryTime: time.Hour})}
		})
		limited, broken := middleware.NewChain("x", limits), middleware.NewChain("x", wrapped)
		_ = limited.Do(to(t, "a"), succeed)
		_ = broken.Do(to(t, "a"), fail)
		passed := 0
		for i := range 50 {
			time.Sleep(time.Minute)
			limits.For(fmt.Sprint(i))
			wrapped.For(fmt.Sprint(i))
			if i%3 == 2 && limited.Do(to(t, "a"), succeed) == nil {
				passed++
			}
		}
		if passed != 0 {
			t.Errorf("%d more calls passed a limit of one in an hour", passed)
		}
		if err := broken.Do(to(t, "a"), succeed); !errors.Is(err, middleware.ErrOpen) {
			t.Errorf("an open breaker in a type of its own was dropped: %v", err)
		}
	})
}

// Close is for keys to come too, and for the breakers in chains.
func TestNothingRunsAfterKeyedIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int64
		c := checked(func(context.Context) error { checks.Add(1); return errBroken })
		breakers := policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.Breaker { return policies.NewBreaker(c) })
		chains := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *middleware.Chain { return middleware.NewChain(key, policies.NewBreaker(c)) })
		do := func(key string) {
			_ = middleware.NewChain("x", breakers).Do(to(t, key), fail)
			_ = middleware.NewChain("x", chains).Do(to(t, key), fail)
		}
		do("before")
		_, _ = breakers.Close(), chains.Close()
		do("after")
		time.Sleep(time.Hour)
		if n := checks.Load(); n != 0 {
			t.Errorf("%d health checks after Close", n)
		}
	})
}

// The key of the overflow takes no room from others.
func TestTheOverflowTakesNoRoom(t *testing.T) {
	k := perKey(policies.KeyedConfig{Max: 1}, policies.BreakerConfig{})
	k.For(policies.OverflowKey)
	k.For("a")
	if got := list(k); got != "_overflow a" || k.For("b") != k.For(policies.OverflowKey) {
		t.Errorf("keys %q", got)
	}
}

// However many first calls of a key come at once, they need room for one.
func TestFirstCallsOfAKeyNeedRoomForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var both sync.WaitGroup
		both.Add(2)
		k := policies.NewKeyed(policies.KeyedConfig{Max: 1}, func(key string) *policies.Breaker {
			if key == "a" {
				both.Done()
				both.Wait()
			}
			return policies.NewBreaker(policies.BreakerConfig{Key: key})
		})
		chain := middleware.NewChain("x", k)
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() { _ = chain.Do(to(t, "a"), succeed) })
		}
		calls.Wait()
		if got := list(k); got != "a" {
			t.Errorf("keys %q, want a alone", got)
		}
	})
}

// A Close that panics takes no room away.
func TestAClosePanicTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics := true
		k := policies.NewKeyed(policies.KeyedConfig{Max: 1, Idle: time.Minute}, func(string) panicCloser {
			return panicCloser{func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }, &panics}
		})
		k.For("a")
		time.Sleep(time.Minute)
		k.For("b") // a has been used
		time.Sleep(time.Minute)
		func() {
			defer func() { _ = recover() }()
			k.For("c") // drops a
		}()
		panics = false
		k.For("d")
		keys := slices.Sorted(maps.Keys(maps.Collect(k.All())))
		if !slices.Contains(keys, "d") {
			t.Errorf("keys %q, want d among them", keys)
		}
	})
}

type panicCloser struct {
	middleware.PolicyFunc
	panics *bool
}

func (c panicCloser) Close() error {
	if *c.panics {
		panic("close")
	}
	return nil
}

// First calls of several keys at once do not exceed the bound either: those that find
// the room taken share the overflow.
func TestFirstCallsOfSeveralKeysKeepTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var both sync.WaitGroup
		both.Add(2)
		k := policies.NewKeyed(policies.KeyedConfig{Max: 1}, func(key string) *policies.Breaker {
			if key != policies.OverflowKey {
				both.Done()
				both.Wait()
			}
			return policies.NewBreaker(policies.BreakerConfig{Key: key})
		})
		chain := middleware.NewChain("x", k)
		var calls sync.WaitGroup
		for _, key := range []string{"a", "b"} {
			calls.Go(func() { _ = chain.Do(to(t, key), succeed) })
		}
		calls.Wait()
		if got := list(k); got != "_overflow a" && got != "_overflow b" {
			t.Errorf("keys %q, want one of a and b, and the overflow", got)
		}
	})
}
