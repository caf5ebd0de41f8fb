package transports_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A shy base counts how often somebody closes its idle connections.
type shyBase struct {
	baseFunc

	closed atomic.Int32
}

func (b *shyBase) CloseIdleConnections() { b.closed.Add(1) }

func TestH24TheConnectionsOfTheBaseAreLeftAlone(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		for name, answer := range map[string]baseFunc{
			"error":  func(*http.Request) (*http.Response, error) { return nil, io.EOF },
			"status": func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 503}, nil },
			"answer": func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil },
		} {
			base := &shyBase{baseFunc: answer}
			resp, err := transports.New(base, retrying(3)).RoundTrip(request(t, "GET", "http://example.com", nil))
			if (resp == nil) == (err == nil) {
				t.Errorf("%s: %v, %v", name, resp, err)
			}
			if n := base.closed.Load(); n != 0 {
				t.Errorf("%s: the connections were closed %d times", name, n)
			}
		}
	})
}

// perKey returns a chain with a breaker for each key, which opens after one failure.
func perKey(breakers *policies.Keyed[*policies.Breaker]) *middleware.Chain {
	return middleware.NewChain("", breakers)
}

func newBreakers() *policies.Keyed[*policies.Breaker] {
	return policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
		return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 1})
	})
}

func TestH26EachServerHasItsOwnBreaker(t *testing.T) {
	healthy := serve(t, "HTTP/1", answers(200))
	over(t, answers(500), func(t *testing.T, s *server) {
		breakers := newBreakers()
		rt := transports.New(s.base, perKey(breakers))
		do(t, rt, request(t, "GET", s.URL, nil), 500)
		if _, err := rt.RoundTrip(request(t, "GET", strings.ToUpper(s.URL[:5])+s.URL[5:]+"/elsewhere", nil)); !errors.Is(err, middleware.ErrOpen) {
			t.Errorf("the server that failed: %v", err)
		}
		do(t, transports.New(healthy.base, perKey(breakers)), request(t, "GET", healthy.URL, nil), 200)
		if breakers.For(s.URL).State() != policies.Open || breakers.For(healthy.URL).State() != policies.Closed {
			t.Error("the keys are not the addresses")
		}
	})
}

// It is the URL that counts: the header Host is what a virtual host is called, not where it is.
func TestH26TheHeaderHostIsNoKey(t *testing.T) {
	var key string
	rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
		key = middleware.OperationOf(r.Context()).Key
		return &http.Response{StatusCode: 200}, nil
	}), nil)
	req := request(t, "GET", "http://192.0.2.1/", nil)
	req.Host = "bucket.example.com"
	do(t, rt, req, 200)
	if key != "http://192.0.2.1:80" {
		t.Errorf("the key is %q", key)
	}
}

func TestH26AUsersKey(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/bad/") {
			w.WriteHeader(500)
		}
	}, func(t *testing.T, s *server) {
		rt := transports.New(s.base, perKey(newBreakers()), transports.WithKey(func(r *http.Request) string {
			tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			return tenant
		}))
		do(t, rt, request(t, "GET", s.URL+"/bad/1", nil), 500)
		do(t, rt, request(t, "GET", s.URL+"/good/1", nil), 200)
		if _, err := rt.RoundTrip(request(t, "GET", s.URL+"/bad/2", nil)); !errors.Is(err, middleware.ErrOpen) {
			t.Errorf("the tenant that failed: %v", err)
		}
	})
}

// Many servers at once, of which the cache of keys knows one.
func TestH26ManyServersAtOnce(t *testing.T) {
	rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
		if key := middleware.OperationOf(r.Context()).Key; key != "http://"+r.URL.Host+":80" {
			t.Errorf("%s has the key %q", r.URL, key)
		}
		return &http.Response{StatusCode: 200}, nil
	}), nil)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 200 {
				do(t, rt, request(t, "GET", "http://"+string(rune('a'+i))+".example", nil), 200)
			}
		})
	}
	group.Wait()
}

// A user who asks for it: a proxy that fails opens its own breaker, and none of the
// servers behind it.
func TestH26AProxyFailureCountsAgainstTheProxy(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: closedPort(t)}
	base := &http.Transport{Proxy: http.ProxyURL(proxy)}
	servers, proxies := newBreakers(), policies.NewKeyed(policies.KeyedConfig{Key: func(context.Context) string { return proxy.Host }},
		func(key string) *policies.Breaker {
			return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: 2})
		})
	// Outside of it a failure of the proxy counts for nobody, inside only that counts.
	rejudge := func(ignore func(reason string) bool) middleware.Policy {
		return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			err := next.Do(ctx)
			if v := middleware.VerdictOf(err); err != nil && ignore(v.Reason) {
				v.Class = middleware.Ignored
				return middleware.Judged(err, v)
			}
			return err
		})
	}
	chain := middleware.NewChain("", servers,
		rejudge(func(reason string) bool { return reason == "proxy" }), proxies,
		rejudge(func(reason string) bool { return reason != "proxy" }))
	rt := transports.New(base, chain)
	for _, host := range []string{"https://a.example", "https://b.example"} {
		var op *net.OpError
		if _, err := rt.RoundTrip(request(t, "GET", host, nil)); !errors.As(err, &op) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := rt.RoundTrip(request(t, "GET", "https://c.example", nil)); !errors.Is(err, middleware.ErrOpen) {
		t.Errorf("the proxy that failed twice: %v", err)
	}
	for key, b := range servers.All() {
		if b.State() != policies.Closed {
			t.Errorf("the breaker of %s is %s", key, b.State())
		}
	}
}

// A redirect is a success of the server that sent it; each hop has its own key, and what
// the first one was entitled to stays with it.
func TestH25EachHopIsItsOwn(t *testing.T) {
	var auth []string
	target := serve(t, "HTTP/1", func(w http.ResponseWriter, r *http.Request) {
		auth = append(auth, r.Header.Get("Authorization"))
		w.WriteHeader(500)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		auth = nil
		s := serve(t, "HTTP/1", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, status) })
		breakers := newBreakers()
		client := transports.Client(&http.Client{Transport: s.base}, perKey(breakers))
		req := request(t, "POST", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), strings.NewReader("x"))
		req.Header.Set("Authorization", "Bearer secret")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 500 || breakers.For(target.URL).State() != policies.Open || breakers.For("http://localhost:"+req.URL.Port()).State() != policies.Closed {
			t.Errorf("%d: status %d, target %s", status, resp.StatusCode, breakers.For(target.URL).State())
		}
		if len(auth) != 1 || auth[0] != "" {
			t.Errorf("%d: the target saw the credentials %q", status, auth)
		}

		// The chain follows none of them by itself, and repeats none.
		s.requests.Store(0)
		do(t, transports.New(s.base, s.retrying(3)), request(t, "GET", s.URL, nil), status)
		wantRequests(t, s, 1)
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if resp, err = client.Get(s.URL); err != nil || resp.StatusCode != status {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
	}
}

// Half-open, one probe at a time: one that its caller gives up makes room for another.
func TestH27ACancelledProbeFreesItsSlot(t *testing.T) {
	arrived, fail := make(chan struct{}), new(atomic.Bool)
	over(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case fail.Load():
			w.WriteHeader(500)
		case r.URL.Path == "/hang":
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	}, func(t *testing.T, s *server) {
		breaker := policies.NewBreaker(policies.BreakerConfig{
			FailureThreshold: 1, Timeout: time.Millisecond, RecoveryTime: time.Millisecond, MaxProbes: 1, SuccessThreshold: 1,
		})
		rt := transports.New(s.base, s.retrying(1, breaker))
		fail.Store(true)
		do(t, rt, request(t, "GET", s.URL, nil), 500)
		fail.Store(false)
		wait(t, "the breaker to be ready for a probe", func() bool {
			_, err := rt.RoundTrip(request(t, "GET", "http://127.0.0.1:0", nil).WithContext(canceled()))
			return !errors.Is(err, middleware.ErrOpen)
		})
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			probed := make(chan error)
			go func() {
				_, err := rt.RoundTrip(request(t, "GET", s.URL+"/hang", nil).WithContext(ctx))
				probed <- err
			}()
			<-arrived
			if _, err := rt.RoundTrip(request(t, "GET", s.URL, nil)); !errors.Is(err, middleware.ErrTooManyProbes) {
				t.Errorf("beside a probe: %v", err)
			}
			cancel()
			if err := <-probed; !errors.Is(err, context.Canceled) {
				t.Errorf("the probe: %v", err)
			}
		}
		do(t, rt, request(t, "GET", s.URL, nil), 200)
		if breaker.State() != policies.Closed {
			t.Errorf("after a successful probe the breaker is %s", breaker.State())
		}
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestSkipPolicies(t *testing.T) {
	over(t, answers(503), func(t *testing.T, s *server) {
		forced := policies.NewBreaker(policies.BreakerConfig{})
		forced.ForceOpen()
		rt := transports.New(s.base, s.retrying(3, forced))
		req := request(t, "PUT", s.URL, strings.NewReader("x"))
		do(t, rt, req.WithContext(transports.SkipPolicies(req.Context())), 503)
		wantRequests(t, s, 1)
	})
}

func TestUnwrap(t *testing.T) {
	base := new(http.Transport)
	rt := transports.New(base, nil)
	if got := []http.RoundTripper{rt.Unwrap(), rt.WrappedRoundTripper()}; !reflect.DeepEqual(got, []http.RoundTripper{base, base}) {
		t.Errorf("%v", got)
	}
}

// One 429 with Retry-After holds every caller of the server, and of no other.
func TestR7OneAnswerPausesTheWholeKey(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var mu sync.Mutex
				sent := make(map[string][]time.Duration)
				throttle := true
				rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					sent[r.URL.Host] = append(sent[r.URL.Host], time.Since(begin))
					if r.URL.Host == "busy.example" && throttle {
						throttle = false
						return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"20"}}}, nil
					}
					return &http.Response{StatusCode: 200}, nil
				}), middleware.NewChain("",
					policies.NewRetry(policies.RetryConfig{Engine: engine, Delay: time.Second, Jitter: -1}),
					policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.RateLimit {
						return policies.NewRateLimit(policies.RateLimitConfig{Rate: 1000, MaxWait: time.Minute, MaxPause: time.Minute})
					})))
				do(t, rt, request(t, "GET", "http://other.example", nil), 200)
				var group sync.WaitGroup
				group.Go(func() { do(t, rt, request(t, "GET", "http://busy.example", nil), 200) })
				synctest.Wait()
				for range 5 {
					group.Go(func() { do(t, rt, request(t, "POST", "http://busy.example", nil), 200) })
					group.Go(func() { do(t, rt, request(t, "GET", "http://other.example", nil), 200) })
				}
				group.Wait()
				if got := sent["busy.example"]; len(got) != 7 || got[0] != 0 || got[1] < 20*time.Second {
					t.Errorf("the busy server was asked after %v, want once, and the others after 20 s", got)
				}
				for _, at := range sent["other.example"] {
					if at != 0 {
						t.Errorf("the other server had to wait: %v", sent["other.example"])
					}
				}
			})
		})
	}
}

// One server that fails uses up its own budget and rate, and their number is bounded.
func TestH26EachServerHasItsOwnLimitAndBudget(t *testing.T) {
	var chains atomic.Int32
	perServer := policies.NewKeyed(policies.KeyedConfig{Max: 10}, func(string) *middleware.Chain {
		chains.Add(1)
		return middleware.NewChain("",
			policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: 1, Budget: policies.NewBudget(policies.BudgetConfig{Ratio: 0.1, MinPerSecond: 0.1})}),
			policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 5}))
	})
	var requests atomic.Int32
	rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
		requests.Add(1)
		if r.URL.Host == "bad.example" {
			return &http.Response{StatusCode: 503}, nil
		}
		return &http.Response{StatusCode: 200}, nil
	}), middleware.NewChain("", perServer))
	for range 3 { // one repetition, the floor of ten seconds
		do(t, rt, request(t, "GET", "http://bad.example", nil), 503)
	}
	if got := requests.Load(); got != 4 {
		t.Errorf("%d requests, want three and one repetition", got)
	}
	do(t, rt, request(t, "GET", "http://bad.example", nil), 503)
	if _, err := rt.RoundTrip(request(t, "GET", "http://bad.example", nil)); !errors.Is(err, middleware.ErrRateLimited) {
		t.Errorf("the sixth request: %v", err)
	}
	do(t, rt, request(t, "GET", "http://good.example", nil), 200)
	for i := range 50 {
		_, _ = rt.RoundTrip(request(t, "GET", "http://"+string(rune('a'+i%26))+string(rune('a'+i/26))+".example", nil))
	}
	if got := chains.Load(); got > 11 {
		t.Errorf("%d servers have a chain, want 10 and one for all others", got)
	}
}
