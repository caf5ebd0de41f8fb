package tidegate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

var errDown = errors.New("down")

func equal(a, b []string) bool { return slices.Equal(a, b) }

// A recorder notes the events of chains and the attempts of HTTP clients.
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *recorder) Name() string { return "recorder" }

func (r *recorder) Observe(_ context.Context, e middleware.Event) {
	r.note("%s %s %s %s", e.Chain, e.Policy, e.Kind, e.Reason)
}

func (r *recorder) Execute(ctx context.Context, next middleware.Next) error {
	r.note("%s begins", next.Chain().Name())
	return next.Do(ctx)
}

func (r *recorder) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = errorTransport("the base is nil")
	}
	return transportFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		r.note("attempt %d", middleware.Attempt(req.Context()))
		return resp, err
	})
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func errorTransport(text string) transportFunc {
	return func(*http.Request) (*http.Response, error) { return nil, errors.New(text) }
}

func manager(t *testing.T, config Config, opts ...Option) *Manager {
	t.Helper()
	m, err := New(config, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func service(t *testing.T, m *Manager, name string) *Service {
	t.Helper()
	s, err := m.Service(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ok(context.Context) error   { return nil }
func down(context.Context) error { return errDown }

func TestHTTPClientTakesTheOptionsOfTransports(t *testing.T) {
	var key string
	client := service(t, manager(t, services("a", ServiceConfig{})), "a").HTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		key = middleware.OperationOf(r.Context()).Key
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})}, transports.WithKey(func(r *http.Request) string { return r.URL.Path }))
	resp, err := client.Get("http://example.com/tenant")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if key != "/tenant" {
		t.Errorf("the key is %q", key)
	}
}

func TestHTTPClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the server") }))
	defer server.Close()
	fails := 1
	flaky := transportFunc(func(*http.Request) (*http.Response, error) {
		if fails--; fails >= 0 {
			return nil, errDown
		}
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("from the transport"))}, nil
	})
	base := &http.Client{Transport: flaky, Timeout: time.Minute}

	r := &recorder{}
	s := service(t, manager(t, services("billing", ServiceConfig{Retry: policies.RetryConfig{Delay: 1}}), WithObserver((*recorder)(nil)), WithObserver(r)), "billing")
	for _, row := range []struct {
		name       string
		base       *http.Client
		body       string
		wantEvents []string
	}{
		{"nil is the zero client", nil, "from the server", []string{"billing begins", "attempt 1"}},
		{
			"a client", base, "from the transport",
			[]string{"billing begins", "attempt 1", "billing retry retry_scheduled backoff", "attempt 2"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			r.events = nil
			client := s.HTTPClient(row.base)
			resp, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != row.body {
				t.Errorf("got %q, %v", body, err)
			}
			if !equal(r.events, row.wantEvents) {
				t.Errorf("events %q", r.events)
			}
			client.CloseIdleConnections()
		})
	}
	if _, ok := base.Transport.(transportFunc); !ok {
		t.Error("HTTPClient changed the client it was given")
	}
	if got := s.HTTPClient(base).Timeout; got != time.Minute {
		t.Errorf("the copy has a timeout of %v", got)
	}
}

// A tap is an observer that only watches attempts.
type tap struct {
	watcher
	name string
}

func (p tap) Transport(base http.RoundTripper) http.RoundTripper {
	return transportFunc(func(req *http.Request) (*http.Response, error) {
		*p.seen = append(*p.seen, p.name)
		return base.RoundTrip(req)
	})
}

// Of several observers the first is outermost around an attempt too.
func TestAttemptsAreWatchedInOrder(t *testing.T) {
	var seen []string
	m := manager(t, services("a", ServiceConfig{}), WithObserver(tap{watcher{&seen}, "first"}), WithObserver(tap{watcher{&seen}, "second"}))
	client := service(t, m, "a").HTTPClient(&http.Client{Transport: transportFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
	})})
	resp, err := client.Get("http://example.com")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !equal(seen, []string{"first", "second"}) {
		t.Errorf("got %q", seen)
	}
}

// A watcher is an observer that is no policy.
type watcher struct{ seen *[]string }

func (w watcher) Observe(_ context.Context, e middleware.Event) {
	*w.seen = append(*w.seen, e.Kind.String())
}

func TestObservers(t *testing.T) {
	first, second, seen := &recorder{}, &recorder{}, []string{}
	m := manager(t, services("a", ServiceConfig{Retry: policies.RetryConfig{Attempts: 1}, Breaker: policies.BreakerConfig{FailureThreshold: 1}}),
		nil, WithObserver(nil), WithObserver((*recorder)(nil)), WithObserver(middleware.ObserverFunc(nil)),
		WithObserver(first), WithObserver(watcher{&seen}), WithObserver(second))
	all := service(t, m, "a").Chain().Policies()
	if all[0] != middleware.Policy(first) || all[2] != middleware.Policy(second) {
		t.Errorf("observers are not outermost in their order: %v", all)
	}
	if err := service(t, m, "a").Do(t.Context(), down); err != errDown {
		t.Fatal(err)
	}
	want := []string{"a begins", "a breaker transition consecutive_failures", "a retry retry_stopped exhausted"}
	if !equal(first.events, want) || !equal(second.events, want) || !equal(seen, []string{"transition", "retry_stopped"}) {
		t.Errorf("got %q, %q and %q", first.events, second.events, seen)
	}
	if err := m.ForceOpen("a"); err != nil {
		t.Fatal(err)
	}
	if got := seen[len(seen)-1]; got != "transition" || len(seen) != 3 {
		t.Errorf("forcing a breaker is not seen: %q", seen)
	}
}

func TestIsRejected(t *testing.T) {
	rejection := func(reason, err error) error {
		return &middleware.Rejection{Chain: "a", Policy: "p", Reason: reason, Err: err}
	}
	for _, row := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"an error of the operation", errDown, false},
		{"breaker open", rejection(middleware.ErrOpen, nil), true},
		{"probe limit", rejection(middleware.ErrTooManyProbes, nil), true},
		{"recovering", rejection(middleware.ErrRecovering, nil), true},
		{"rate limit", rejection(middleware.ErrRateLimited, nil), true},
		{"no time to wait for a turn", rejection(middleware.ErrDeadline, nil), true},
		{"a reason of somebody's own", rejection(errDown, nil), true},
		{"wrapped, as by http.Client", fmt.Errorf("get: %w", rejection(middleware.ErrOpen, nil)), true},
		{"time-out", rejection(middleware.ErrTimeout, context.DeadlineExceeded), false},
		{"time-out that ended the wait for a turn", rejection(middleware.ErrTimeout, nil), false},
		{"no time for another attempt", rejection(middleware.ErrDeadline, errDown), false},
		{"time-out of a call that was refused too late", rejection(middleware.ErrTimeout, rejection(middleware.ErrOpen, nil)), false},
		{"the caller's cancellation", context.Canceled, false},
		{"the caller's cancellation while a call waits for its turn", rejection(fmt.Errorf("%w: %w", middleware.ErrCanceled, context.Canceled), nil), false},
	} {
		if got := IsRejected(row.err); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

// Every way a call can end is counted, once.
func TestMetrics(t *testing.T) {
	judged := func(class middleware.Class) func(context.Context) error {
		return func(context.Context) error { return middleware.Judged(errDown, middleware.Verdict{Class: class}) }
	}
	elsewhere := &middleware.Rejection{Chain: "elsewhere", Policy: "breaker", Reason: middleware.ErrOpen}
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	limited := ServiceConfig{Timeout: time.Minute, RateLimit: policies.RateLimitConfig{Rate: 0.001, Burst: 1, MaxWait: time.Hour}}
	for _, row := range []struct {
		name   string
		config ServiceConfig
		calls  []func(context.Context) error
		want   Metrics
	}{
		{"success", ServiceConfig{}, []func(context.Context) error{ok}, Metrics{1, 1, 0, 0, 0}},
		{"an error that is an answer", ServiceConfig{}, []func(context.Context) error{judged(middleware.Success)}, Metrics{1, 1, 0, 0, 0}},
		{"failure, three attempts", ServiceConfig{}, []func(context.Context) error{down}, Metrics{1, 0, 1, 0, 0}},
		{"throttled", ServiceConfig{}, []func(context.Context) error{judged(middleware.Throttled)}, Metrics{1, 0, 1, 0, 0}},
		{"ignored", ServiceConfig{}, []func(context.Context) error{judged(middleware.Ignored)}, Metrics{1, 0, 0, 0, 1}},
		{"attempt timeout", ServiceConfig{}, []func(context.Context) error{hang}, Metrics{1, 0, 1, 0, 0}},
		{"timeout of the whole call", ServiceConfig{Timeout: time.Second, AttemptTimeout: Off}, []func(context.Context) error{hang}, Metrics{1, 0, 1, 0, 0}},
		{"timeout of a call that its operation gave up", ServiceConfig{Timeout: time.Second, AttemptTimeout: Off}, []func(context.Context) error{func(ctx context.Context) error {
			<-ctx.Done()
			return judged(middleware.Ignored)(ctx)
		}}, Metrics{1, 0, 1, 0, 0}},
		{"refused", ServiceConfig{Retry: policies.RetryConfig{Attempts: 1}, Breaker: policies.BreakerConfig{FailureThreshold: 1}}, []func(context.Context) error{down, ok, ok}, Metrics{3, 0, 1, 2, 0}},
		{"refused after a failure", ServiceConfig{Breaker: policies.BreakerConfig{FailureThreshold: 1}}, []func(context.Context) error{down}, Metrics{1, 0, 1, 0, 0}},
		{"refused by something inside", ServiceConfig{}, []func(context.Context) error{func(context.Context) error { return elsewhere }}, Metrics{1, 0, 0, 0, 1}},
		{"the deadline is before the turn", limited, []func(context.Context) error{ok, ok}, Metrics{2, 1, 0, 1, 0}},
		{"panic", ServiceConfig{}, []func(context.Context) error{func(context.Context) error { panic(errDown) }}, Metrics{1, 0, 1, 0, 0}},
		{"Goexit", ServiceConfig{}, []func(context.Context) error{func(context.Context) error { runtime.Goexit(); return nil }}, Metrics{1, 0, 1, 0, 0}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := manager(t, services("a", row.config))
				s := service(t, m, "a")
				for _, op := range row.calls {
					var wg sync.WaitGroup
					wg.Go(func() {
						defer func() { recover() }()
						s.Do(t.Context(), op)
					})
					wg.Wait()
				}
				if got := m.Metrics()["a"]; got != row.want {
					t.Errorf("got %+v, want %+v", got, row.want)
				}
			})
		})
	}
}

func TestMetricsOfACallThatItsCallerGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, services("a", ServiceConfig{}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := service(t, m, "a").Do(ctx, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || IsRejected(err) {
			t.Errorf("got %v", err)
		}
		if got := m.Metrics()["a"]; got != (Metrics{Total: 1, Ignored: 1}) {
			t.Errorf("got %+v", got)
		}
	})
}

// Counting costs no allocation.
func TestMeterAllocatesNothing(t *testing.T) {
	m := manager(t, Config{})
	s, err := m.AddChain("a", policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1}))
	if err != nil {
		t.Fatal(err)
	}
	bare := middleware.NewChain("a", policies.NewBreaker(policies.BreakerConfig{}))
	ctx := t.Context()
	base := testing.AllocsPerRun(100, func() { bare.Do(ctx, ok) })
	if n := testing.AllocsPerRun(100, func() { s.Do(ctx, ok) }); n != base {
		t.Errorf("a call allocates %v times more", n-base)
	}
}

// A service can be used where a chain is.
func TestChain(t *testing.T) {
	m := manager(t, services("a", ServiceConfig{}))
	s := service(t, m, "a")
	if s.Name() != "a" || s.Chain().Name() != "a" {
		t.Errorf("names %q and %q", s.Name(), s.Chain().Name())
	}
	n, err := middleware.Call(t.Context(), s.Chain(), func(context.Context) (int, error) { return 7, nil })
	if n != 7 || err != nil || m.Metrics()["a"].Successful != 1 {
		t.Errorf("got %v, %v and %+v", n, err, m.Metrics())
	}
}
