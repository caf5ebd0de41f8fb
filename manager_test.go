package tidegate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
)

// What is asked of a manager in vain, and what it says.
func TestManagerErrors(t *testing.T) {
	three := Config{Services: map[string]ServiceConfig{"minio": {}, "git": {}, "plain": {Breaker: policies.BreakerConfig{FailureThreshold: Off}}}}
	for _, row := range []struct {
		name   string
		config Config
		ask    func(m *Manager) error
		want   string
	}{
		{
			"unknown service", three, func(m *Manager) error { _, err := m.Service("mino"); return err },
			`tidegate: there is no service "mino" (did you mean "minio"?); there are: git, minio, plain`,
		},
		{
			"unknown service that is like no other", three, func(m *Manager) error { _, err := m.Service(""); return err },
			`tidegate: there is no service ""; there are: git, minio, plain`,
		},
		{
			"no services", Config{}, func(m *Manager) error { _, err := m.Service("minio"); return err },
			`tidegate: there is no service "minio", nor any other`,
		},
		{
			"a preset is no service", Config{}, func(m *Manager) error { return m.Reset("http") },
			`tidegate: there is no service "http", nor any other`,
		},
		{
			"reset", three, func(m *Manager) error { return m.Reset("x") },
			`tidegate: there is no service "x"; there are: git, minio, plain`,
		},
		{
			"release", three, func(m *Manager) error { return m.Release("got") },
			`tidegate: there is no service "got" (did you mean "git"?); there are: git, minio, plain`,
		},
		{
			"force open", three, func(m *Manager) error { return m.ForceOpen("x") },
			`tidegate: there is no service "x"; there are: git, minio, plain`,
		},
		{
			"force close", three, func(m *Manager) error { return m.ForceClose("x") },
			`tidegate: there is no service "x"; there are: git, minio, plain`,
		},
		{
			"force close without a breaker", three, func(m *Manager) error { return m.ForceClose("plain") },
			`tidegate: service "plain" has no breaker`,
		},
		{
			"disable", three, func(m *Manager) error { return m.Disable("x") },
			`tidegate: there is no service "x"; there are: git, minio, plain`,
		},
		{
			"disable without a breaker", three, func(m *Manager) error { return m.Disable("plain") },
			`tidegate: service "plain" has no breaker`,
		},
		{
			"observe", three, func(m *Manager) error { return m.ObserveOnly("x") },
			`tidegate: there is no service "x"; there are: git, minio, plain`,
		},
		{
			"observe without a breaker", three, func(m *Manager) error { return m.ObserveOnly("plain") },
			`tidegate: service "plain" has no breaker`,
		},
		{
			"force open without a breaker", three, func(m *Manager) error { return m.ForceOpen("plain") },
			`tidegate: service "plain" has no breaker`,
		},
		{
			"duplicate", three, func(m *Manager) error { _, err := m.Add("minio", ServiceConfig{}); return err },
			`tidegate: there is a service "minio" already: use another name, or Service to get it`,
		},
		{
			"duplicate chain", three, func(m *Manager) error { _, err := m.AddChain("git"); return err },
			`tidegate: there is a service "git" already: use another name, or Service to get it`,
		},
		{
			"no name", three, func(m *Manager) error { _, err := m.Add("", ServiceConfig{}); return err },
			`tidegate: services."": the name of the service is empty; allowed: up to 64 printable characters, no space at either end`,
		},
		{
			"no name for a chain", three, func(m *Manager) error { _, err := m.AddChain("a\n"); return err },
			`tidegate: services."a\n": the name of the service begins or ends with a space; allowed: up to 64 printable characters, no space at either end`,
		},
		{
			"bad settings", three, func(m *Manager) error {
				_, err := m.Add("x", ServiceConfig{Retry: policies.RetryConfig{Attempts: -2}})
				return err
			},
			"tidegate: services.x.retry.attempts: -2 is out of range; allowed: a whole number from 1 to 2147483647, or 0 for the default, or Off",
		},
		{
			"closed", three, func(m *Manager) error {
				m.Close()
				_, err := m.Add("x", ServiceConfig{})
				return err
			},
			"tidegate: the manager is closed",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := manager(t, row.config)
			before := len(m.Services())
			if err := row.ask(m); err == nil || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
			if after := len(m.Services()); after != before {
				t.Errorf("there were %d services and are %d", before, after)
			}
		})
	}
}

func TestServicesAreSorted(t *testing.T) {
	m := manager(t, Config{Services: map[string]ServiceConfig{"c": {}, "a": {}, "d": {}}})
	if _, err := m.AddChain("b"); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range m.Services() {
		names = append(names, s.Name())
	}
	if want := []string{"a", "b", "c", "d"}; !equal(names, want) {
		t.Errorf("got %v", names)
	}
}

// Package observability shows a Manager by way of this.
var _ observability.Manager = (*Manager)(nil)

func TestChainsAreThoseOfTheServices(t *testing.T) {
	m, err := New(Config{Services: map[string]ServiceConfig{"minio": {}, "git": {}, "api": {}}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	chains := m.Chains()
	if len(chains) != len(m.Services()) {
		t.Fatalf("%d chains of %d services", len(chains), len(m.Services()))
	}
	for i, s := range m.Services() {
		if chains[i] != s.Chain() {
			t.Errorf("chain %d is %q, want that of %q", i, chains[i].Name(), s.Name())
		}
	}
	if chains := new(Manager).Chains(); len(chains) != 0 {
		t.Errorf("a Manager without services has the chains %v", chains)
	}
}

func TestZeroManager(t *testing.T) {
	var m Manager
	if len(m.Services()) != 0 || len(m.States()) != 0 || len(m.Metrics()) != 0 || m.Health().Percent != 100 {
		t.Error("the zero Manager has services")
	}
	m.ResetAll()
	s, err := m.Add("minio", ServiceConfig{})
	if err != nil || s.Config().Breaker.FailureThreshold != 10 {
		t.Errorf("Add gives %v, %v", s, err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Error(err)
	}
}

func TestByHand(t *testing.T) {
	m := manager(t, Config{Services: map[string]ServiceConfig{"a": {}, "b": {}, "plain": {Breaker: policies.BreakerConfig{FailureThreshold: Off}}}})
	a, b := service(t, m, "a"), service(t, m, "b")
	state := func(want map[string]policies.State) {
		t.Helper()
		for name, got := range m.States() {
			if got != want[name] {
				t.Errorf("%s is %v, want %v", name, got, want[name])
			}
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	do(m.ForceOpen("a"))
	state(map[string]policies.State{"a": policies.ForcedOpen})
	if err := a.Do(t.Context(), ok); !IsRejected(err) || !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("a call through a forced breaker gives %v", err)
	}
	do(b.Do(t.Context(), ok))
	do(m.Release("a"))
	state(nil)
	do(a.Do(t.Context(), ok))

	do(m.ForceOpen("a"))
	do(m.Reset("a"))
	state(nil)

	for want, bring := range map[policies.State]func(string) error{
		policies.ForcedClosed: m.ForceClose, policies.Disabled: m.Disable, policies.ObservedClosed: m.ObserveOnly,
	} {
		do(bring("a"))
		state(map[string]policies.State{"a": want})
		do(a.Do(t.Context(), ok))
		if want == policies.ObservedClosed { // goes on observing
			do(m.Reset("a"))
			m.ResetAll()
			state(map[string]policies.State{"a": want})
		}
		do(m.Release("a"))
		state(nil)
	}

	do(m.ForceOpen("a"))
	do(m.ForceOpen("b"))
	state(map[string]policies.State{"a": policies.ForcedOpen, "b": policies.ForcedOpen})
	m.ResetAll()
	state(nil)

	// Closed is what a service without a breaker is, and its numbers go on.
	if got := m.Metrics()["a"]; got != (Metrics{Total: 5, Successful: 4, Rejected: 1}) {
		t.Errorf("metrics of a are %+v", got)
	}
}

// A hand-made chain with two breakers shows the one that lets less through.
func TestTwoBreakers(t *testing.T) {
	outer, inner := policies.NewBreaker(policies.BreakerConfig{}), policies.NewBreaker(policies.BreakerConfig{})
	m := manager(t, Config{})
	if _, err := m.AddChain("a", outer, inner); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*policies.Breaker{outer, inner} {
		b.ForceOpen()
		if got := m.States()["a"]; got != policies.ForcedOpen {
			t.Errorf("one breaker is forced open, the service is %v", got)
		}
		if err := m.Reset("a"); err != nil || b.State() != policies.Closed {
			t.Errorf("after a reset the breaker is %v, %v", b.State(), err)
		}
	}
}

// Breakers in chains that there is one of for each key are part of the service too.
func TestBreakersOfKeyedChains(t *testing.T) {
	keyed := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *middleware.Chain {
		return middleware.NewChain(key, policies.NewRetry(policies.RetryConfig{Attempts: 1}), policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
	})
	m := manager(t, Config{})
	s, err := m.AddChain("a", keyed)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"x", "y"} {
		_ = s.Do(middleware.WithOperation(t.Context(), middleware.Operation{Key: key}), ok)
	}
	_ = s.Do(middleware.WithOperation(t.Context(), middleware.Operation{Key: "y"}), down)
	if got := m.States()["a"]; got != policies.Open {
		t.Errorf("one of two is open, the service is %v", got)
	}
	if err := m.ForceClose("a"); err != nil || m.States()["a"] != policies.ForcedClosed {
		t.Errorf("got %v, the service is %v", err, m.States()["a"])
	}
}

// A chain with a breaker for each key shows the worst and acts on all that there are.
func TestKeyedBreakers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		keyed := policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{
				Key: key, FailureThreshold: 1, Timeout: time.Minute, RecoveryTime: time.Hour,
				HealthCheck: func(context.Context) error { checks.Add(1); return errDown },
			})
		})
		r := &recorder{}
		m := manager(t, Config{}, WithObserver(r))
		s, err := m.AddChain("a", policies.NewRetry(policies.RetryConfig{Attempts: 1}), middleware.NewChain("nested", keyed))
		if err != nil {
			t.Fatal(err)
		}
		do := func(key string, op func(context.Context) error) error {
			return s.Do(middleware.WithOperation(t.Context(), middleware.Operation{Key: key}), op)
		}
		states := func(want map[string]policies.State) {
			t.Helper()
			got := map[string]policies.State{}
			for key, b := range keyed.All() {
				got[key] = b.State()
			}
			if !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}

		if err := m.ForceOpen("a"); err == nil || err.Error() != `tidegate: service "a" has no breaker` {
			t.Errorf("before the first call: %v", err)
		}
		if h := m.Health(); h.Percent != 100 || m.States()["a"] != policies.Closed || h.Services[0].LastTransition != nil {
			t.Errorf("before the first call: %+v", h)
		}
		m.ResetAll()

		_ = do("x", ok)
		_ = do("y", down)
		_ = do("z", ok)
		states(map[string]policies.State{"x": policies.Closed, "y": policies.Open, "z": policies.Closed})
		if h := m.Health(); h.Percent != 0 || m.States()["a"] != policies.Open || h.Services[0].LastTransition.Err != errDown {
			t.Errorf("one of three is open: %+v", h)
		}
		if err := do("x", ok); err != nil {
			t.Errorf("a call with a key whose breaker is closed gives %v", err)
		}

		for want, act := range map[policies.State]func(string) error{
			policies.ForcedOpen: m.ForceOpen, policies.ForcedClosed: m.ForceClose,
			policies.Disabled: m.Disable, policies.ObservedClosed: m.ObserveOnly,
		} {
			for _, f := range []func(string) error{act, m.Release} {
				if err := f("a"); err != nil {
					t.Error(err)
				}
				states(map[string]policies.State{"x": want, "y": want, "z": want})
				want = policies.Closed
			}
		}
		if err := m.ForceOpen("a"); err != nil {
			t.Error(err)
		}
		if err := do("new", ok); err != nil {
			t.Errorf("a call with a key that comes later gives %v", err)
		}
		if err := m.Reset("a"); err != nil {
			t.Error(err)
		}
		_ = do("y", down)
		m.ResetAll()
		states(map[string]policies.State{"new": policies.Closed, "x": policies.Closed, "y": policies.Closed, "z": policies.Closed})

		_ = do("y", down)
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := m.Close(); err != nil || checks.Load() != 1 {
			t.Errorf("Close gives %v, after %d health checks", err, checks.Load())
		}
		time.Sleep(30 * time.Minute)
		if checks.Load() != 1 {
			t.Errorf("%d health checks after Close", checks.Load()-1)
		}
	})
}

// A closer is a policy with something to end.
type closer struct {
	middleware.PolicyFunc
	err   error
	calls *int
}

func (c closer) Close() error {
	*c.calls++
	return c.err
}

type closingObserver struct{ closer }

func (closingObserver) Observe(context.Context, middleware.Event) {}

func TestClose(t *testing.T) {
	pass := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) })
	var closed, spared int
	m, err := New(services("minio", ServiceConfig{}), WithObserver(closingObserver{closer{pass, nil, &spared}}))
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.AddChain("a", closer{pass, nil, &closed}, closer{pass, errDown, &closed})
	if err != nil {
		t.Fatal(err)
	}
	err = m.Close()
	if !errors.Is(err, errDown) || err.Error() != `tidegate: closing service "a": down` {
		t.Errorf("Close gives %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close gives %v the second time", err)
	}
	if closed != 2 || spared != 0 {
		t.Errorf("%d policies and %d observers closed, want 2 and 0", closed, spared)
	}
	if err := s.Do(t.Context(), ok); err != nil {
		t.Errorf("a call after Close gives %v", err)
	}
	if _, err := m.Service("a"); err != nil {
		t.Error(err)
	}
}

// A meddler uses the manager whenever it hears of something.
type meddler struct {
	manager *Manager
	panics  bool
	heard   int
}

func (p *meddler) Execute(ctx context.Context, next middleware.Next) error {
	p.manager.Health()
	return next.Do(ctx)
}

func (p *meddler) Observe(context.Context, middleware.Event) {
	p.heard++
	p.manager.Health()
	p.manager.ResetAll()
}

func (p *meddler) Attach(*middleware.Chain) {
	p.manager.Health()
	p.manager.Service("a")
	if p.panics {
		panic(errDown)
	}
}

func (p *meddler) Close() error {
	p.manager.Health()
	return p.manager.Close()
}

// No lock is held while the code of a policy or of an observer runs. If one were,
// this test would not end.
func TestNoLockWhileOtherCodeRuns(t *testing.T) {
	p := &meddler{}
	m, err := New(Config{}, WithObserver(p))
	if err != nil {
		t.Fatal(err)
	}
	p.manager = m
	s, err := m.AddChain("a", p, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
	if err != nil {
		t.Fatal(err)
	}
	s.Do(t.Context(), down)
	if err := m.ForceOpen("a"); err != nil {
		t.Error(err)
	}
	if p.heard == 0 {
		t.Error("the observer heard nothing")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// A service whose policies panic while they are put together is not there.
func TestAddThatPanics(t *testing.T) {
	m := manager(t, Config{})
	p := &meddler{manager: m, panics: true}
	func() {
		defer func() {
			if recover() != errDown {
				t.Error("the panic was lost")
			}
		}()
		m.AddChain("a", p)
	}()
	if _, err := m.Add("a", ServiceConfig{}); err != nil {
		t.Error(err)
	}
}

// A service that is made while the manager is closed is closed too.
func TestCloseWhileAdding(t *testing.T) {
	m := manager(t, Config{})
	calls := 0
	closing := &attached{func() { m.Close() }}
	s, err := m.AddChain("a", closing, closer{closing.Execute, errDown, &calls})
	if s != nil || err == nil || err.Error() != "tidegate: the manager is closed\ntidegate: closing service \"a\": down" || calls != 1 {
		t.Errorf("got %v, %v, %d closed", s, err, calls)
	}
	if len(m.Services()) != 0 {
		t.Error("it is there nevertheless")
	}
}

type attached struct{ do func() }

func (a *attached) Attach(*middleware.Chain) { a.do() }

func (a *attached) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

// Everything at once on one manager; the race detector is the judge, and the sums.
func TestConcurrentUse(t *testing.T) {
	m := manager(t, services("shared", ServiceConfig{Retry: policies.RetryConfig{Attempts: Off}, AttemptTimeout: Off}), WithObserver(&recorder{}))
	shared := service(t, m, "shared")
	const workers, rounds = 16, 50
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			name := fmt.Sprintf("own-%d", w)
			own, err := m.Add(name, ServiceConfig{Preset: HTTP})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := m.Add("contested", ServiceConfig{}); err == nil {
				defer func() {
					if _, err := m.Service("contested"); err != nil {
						t.Error(err)
					}
				}()
			}
			for i := range rounds {
				op := ok
				if i%3 == 0 {
					op = down
				}
				shared.Do(context.Background(), op)
				own.Do(context.Background(), ok)
				switch i % 6 {
				case 0:
					m.Health()
				case 1:
					m.States()
				case 2:
					m.Metrics()
				case 3:
					m.ResetAll()
				case 4:
					m.ForceOpen("shared")
				case 5:
					m.Release("shared")
				}
			}
		})
	}
	wg.Wait()
	if got := m.Metrics()["shared"]; got.Total != workers*rounds || got.Successful+got.Failed+got.Rejected != got.Total {
		t.Errorf("%d calls came to %+v", workers*rounds, got)
	}
	if n := len(m.Services()); n != workers+2 {
		t.Errorf("%d services", n)
	}
}

// Only the settings of the service that is asked for are used.
func TestServicesAreApart(t *testing.T) {
	m := manager(t, Config{Services: map[string]ServiceConfig{
		"a": {Retry: policies.RetryConfig{Attempts: Off}, Breaker: policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Hour}},
		"b": {Retry: policies.RetryConfig{Attempts: Off}, Breaker: policies.BreakerConfig{FailureThreshold: 1, Timeout: time.Hour}},
	}})
	service(t, m, "a").Do(t.Context(), down)
	if got := m.States(); got["a"] != policies.Open || got["b"] != policies.Closed {
		t.Errorf("got %v", got)
	}
}
