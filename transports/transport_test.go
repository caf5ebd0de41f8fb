package transports_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
	"github.com/tidegate-go/tidegate/transports/retryable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server is a loopback server that counts, and a transport that reaches it.
type server struct {
	*httptest.Server

	base        *http.Transport
	engine      policies.RetryEngine
	requests    atomic.Int32
	connections atomic.Int32
}

// engines are those that repeat requests in the tests, by name.
var engines = map[string]policies.RetryEngine{"own": nil, "go-retryablehttp": retryable.NewEngine()}

// over runs a test against the handler over HTTP/1 and over HTTP/2, with each engine.
func over(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, s *server)) {
	t.Helper()
	for _, version := range []string{"HTTP/1", "HTTP/2"} {
		for name, engine := range engines {
			t.Run(version+"/"+name, func(t *testing.T) {
				s := serve(t, version, handler)
				s.engine = engine
				test(t, s)
			})
		}
	}
}

// withEngines runs a test without a server with each engine.
func withEngines(t *testing.T, test func(t *testing.T, retrying retryingFunc)) {
	t.Helper()
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) { test(t, (&server{engine: engine}).retrying) })
	}
}

type retryingFunc func(attempts int, inner ...middleware.Policy) *middleware.Chain

func serve(t *testing.T, version string, handler http.HandlerFunc) *server {
	t.Helper()
	s := new(server)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.requests.Add(1)
		handler(w, r.WithContext(context.WithValue(r.Context(), numberKey{}, int(n))))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	switch version {
	case "HTTP/1":
		s.Start()
		s.base = new(http.Transport)
	case "HTTPS/1":
		s.StartTLS()
		s.base = s.Client().Transport.(*http.Transport)
	case "HTTP/2":
		s.EnableHTTP2 = true
		s.StartTLS()
		s.base = s.Client().Transport.(*http.Transport)
	}
	t.Cleanup(func() {
		s.base.CloseIdleConnections()
		s.Close()
	})
	return s
}

type numberKey struct{} // of the number of a request, counted from 1

// answers returns a handler that gives the statuses in turn, the last one for
// ever, with as many letters as requests so far.
func answers(statuses ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		i := r.Context().Value(numberKey{}).(int)
		w.WriteHeader(statuses[min(i, len(statuses))-1])
		_, _ = io.WriteString(w, strings.Repeat("x", i))
	}
}

// retrying returns a chain that repeats at once, more or less.
func (s *server) retrying(attempts int, inner ...middleware.Policy) *middleware.Chain {
	retry := policies.NewRetry(policies.RetryConfig{Attempts: attempts, Delay: time.Microsecond, Jitter: -1, Engine: s.engine})
	return middleware.NewChain("test", append([]middleware.Policy{retry}, inner...)...)
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// do sends the request and wants a response with the status; it returns its body.
func do(t *testing.T, rt http.RoundTripper, req *http.Request, status int) string {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", req.Method, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: reading the body: %v", req.Method, err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s: status %d, want %d", req.Method, resp.StatusCode, status)
	}
	return string(got)
}

func wantRequests(t *testing.T, s *server, want int) {
	t.Helper()
	if got := int(s.requests.Load()); got != want {
		t.Errorf("the server got %d requests, want %d", got, want)
	}
}

// A spy is the body of a request or a response that counts.
type spy struct {
	io.Reader

	reads, closes atomic.Int32
}

func newSpy(s string) *spy { return &spy{Reader: strings.NewReader(s)} }

func (s *spy) Read(p []byte) (int, error) {
	s.reads.Add(1)
	return s.Reader.Read(p)
}

func (s *spy) Close() error {
	s.closes.Add(1)
	return nil
}

// A baseFunc is a base transport made of a function.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A recorder keeps the events of a chain.
type recorder struct {
	mu     sync.Mutex
	events []middleware.Event
}

func (r *recorder) Execute(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }

func (r *recorder) Observe(_ context.Context, e middleware.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) of(kind middleware.Kind) []middleware.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []middleware.Event
	for _, e := range r.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

func TestH24NilBaseIsTheDefaultTransportAtTheTimeOfTheCall(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	rt := transports.New(nil, nil)
	var none *http.Transport
	typed := transports.New(none, nil)
	var calls int
	http.DefaultTransport = baseFunc(func(*http.Request) (*http.Response, error) {
		calls++
		return &http.Response{StatusCode: http.StatusOK}, nil
	})
	do(t, rt, request(t, "GET", "http://example.com", nil), http.StatusOK)
	do(t, typed, request(t, "GET", "http://example.com", nil), http.StatusOK)
	do(t, new(transports.Transport), request(t, "GET", "http://example.com", nil), http.StatusOK)
	if calls != 3 {
		t.Errorf("the default transport was used %d times, want 3", calls)
	}

	for _, bad := range []http.RoundTripper{rt, nil} {
		http.DefaultTransport = bad
		body := newSpy("x")
		resp, err := rt.RoundTrip(request(t, "POST", "http://example.com", body))
		if resp != nil || err == nil || !strings.Contains(err.Error(), "http.DefaultTransport") {
			t.Errorf("a base that is no transport: %v, %v", resp, err)
		}
		if body.closes.Load() == 0 {
			t.Error("the body was not closed")
		}
		rt.CloseIdleConnections()
	}
}

func TestClientIsACopy(t *testing.T) {
	s := serve(t, "HTTP/1", answers(http.StatusServiceUnavailable, http.StatusOK))
	original := &http.Client{Transport: s.base, Timeout: time.Minute}
	wrapped := transports.Client(original, s.retrying(2))
	if original.Transport != s.base || wrapped == original || wrapped.Timeout != time.Minute {
		t.Error("the client is not an untouched original and a full copy")
	}
	resp, err := wrapped.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	if c := transports.Client(nil, nil); c == nil || c.Transport == nil {
		t.Error("a nil client gave no client")
	}
}

func TestBadRequestsAreErrors(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		base := new(http.Transport)
		rt := transports.New(base, retrying(3, policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})))
		if resp, err := rt.RoundTrip(nil); resp != nil || err == nil {
			t.Errorf("nil request: %v, %v", resp, err)
		}
		for name, change := range map[string]func(*http.Request){
			"no URL":         func(r *http.Request) { r.URL = nil },
			"no host":        func(r *http.Request) { r.URL.Host = "" },
			"bad scheme":     func(r *http.Request) { r.URL.Scheme = "ftp" },
			"no scheme":      func(r *http.Request) { r.URL.Scheme = "" },
			"no header map":  func(r *http.Request) { r.Header = nil },
			"bad header":     func(r *http.Request) { r.Header["a b"] = []string{"x"} },
			"bad value":      func(r *http.Request) { r.Header["A"] = []string{"x\ny"} },
			"bad method":     func(r *http.Request) { r.Method = "GE T" },
			"bad trailer":    func(r *http.Request) { r.Trailer = http.Header{"a b": nil} },
			"GetBody of nil": func(r *http.Request) { r.URL.Host = ""; r.GetBody = nil },
		} {
			t.Run(name, func(t *testing.T) {
				req := request(t, "PUT", "http://127.0.0.1/", nil)
				body := newSpy("x")
				req.Body, req.GetBody = body, func() (io.ReadCloser, error) { return newSpy("x"), nil }
				change(req)
				resp, err := rt.RoundTrip(req)
				if resp != nil || err == nil {
					t.Fatalf("got %v, %v", resp, err)
				}
				// The breaker opens at the first failure: it must not have been one.
				if errors.Is(err, middleware.ErrOpen) {
					t.Errorf("a bad request opened the breaker: %v", err)
				}
				if body.closes.Load() == 0 {
					t.Error("the body was not closed")
				}
			})
		}
	})
}

func TestBaseThatBreaksItsContract(t *testing.T) {
	failed := errors.New("failed")
	body := newSpy("x")
	for name, row := range map[string]struct {
		resp *http.Response
		err  error
		want string
	}{
		"neither response nor error": {nil, nil, "neither a response nor an error"},
		"both":                       {&http.Response{StatusCode: 200, Body: body}, failed, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) { return row.resp, row.err }), nil)
			resp, err := rt.RoundTrip(request(t, "GET", "http://example.com", nil))
			if resp != nil || err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, %v, want the error %q", resp, err, row.want)
			}
		})
	}
	if body.closes.Load() == 0 {
		t.Error("the body of a response that came with an error was not closed")
	}
}

func TestChainThatAnswersWithoutAResponse(t *testing.T) {
	silent := middleware.PolicyFunc(func(context.Context, middleware.Next) error { return nil })
	rt := transports.New(nil, middleware.NewChain("quiet", silent))
	resp, err := rt.RoundTrip(request(t, "GET", "http://example.com", nil))
	if resp != nil || err == nil || !strings.Contains(err.Error(), `"quiet"`) {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestH26TheKeyIsTheServer(t *testing.T) {
	var got middleware.Operation
	rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
		got = middleware.OperationOf(r.Context())
		return &http.Response{StatusCode: http.StatusOK}, nil
	}), nil)
	for _, row := range []struct {
		method, url, name string
		want              middleware.Operation
	}{
		{"GET", "http://Example.COM/a?token=x", "", middleware.Operation{Name: "GET", Key: "http://example.com:80", Idempotent: true}},
		{"", "https://user:secret@example.com", "", middleware.Operation{Name: "GET", Key: "https://example.com:443", Idempotent: true}},
		{"POST", "HTTPS://example.com:8443/", "", middleware.Operation{Name: "POST", Key: "https://example.com:8443"}},
		{"GET", "http://[FE80::1%25Eth0]/", "", middleware.Operation{Name: "GET", Key: "http://[fe80::1%Eth0]:80", Idempotent: true}},
		{"GET", "http://[::1]/", "", middleware.Operation{Name: "GET", Key: "http://[::1]:80", Idempotent: true}},
		{"GET", "unix://[::1]/", "", middleware.Operation{Name: "GET", Key: "unix://[::1]", Idempotent: true}},
		{"GET", "http://example.com", "list users", middleware.Operation{Name: "list users", Key: "http://example.com:80", Idempotent: true}},
	} {
		req := request(t, row.method, row.url, nil)
		req.Method = row.method
		if row.name != "" {
			req = req.WithContext(middleware.WithOperation(req.Context(), middleware.Operation{Name: row.name, Key: "other"}))
		}
		do(t, rt, req, http.StatusOK)
		if got != row.want {
			t.Errorf("%s %s: %+v, want %+v", row.method, row.url, got, row.want)
		}
	}
}

func TestH23CloseIdleConnectionsAndUnwrapping(t *testing.T) {
	s := serve(t, "HTTP/1", answers(http.StatusOK))
	inner := transports.New(s.base, nil)
	client := &http.Client{Transport: transports.New(inner, nil)}
	do(t, client.Transport, request(t, "GET", s.URL, nil), http.StatusOK)
	client.CloseIdleConnections()
	do(t, client.Transport, request(t, "GET", s.URL, nil), http.StatusOK)
	if n := s.connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2: the idle one was to be closed", n)
	}
	if inner.WrappedRoundTripper() != http.RoundTripper(s.base) {
		t.Error("WrappedRoundTripper is not the base")
	}
	transports.New(baseFunc(nil), nil).CloseIdleConnections() // a base that has none
}

// Functions of the user's that panic leave nothing behind.
func TestPanicsOfFunctionsLeaveNothing(t *testing.T) {
	fails := func(*http.Request) bool { panic("boom") }
	for name, opt := range map[string]transports.Option{
		"key":        transports.WithKey(func(*http.Request) string { panic("boom") }),
		"idempotent": transports.WithIdempotent(fails),
		"repeatable": transports.WithRepeatable(fails),
		"classifier": transports.WithClassifier(func(*http.Request, *http.Response, error) middleware.Verdict { panic("boom") }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which ends only when no goroutine is left
				answer, body := newSpy("x"), newSpy("x")
				asked := false
				rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
					asked = true
					r.Body.Close()
					return &http.Response{StatusCode: 200, Body: answer}, nil
				}), nil, opt)
				req := request(t, "POST", "http://example.com", body)
				req.Cancel = make(chan struct{})
				func() {
					defer func() {
						if recover() != "boom" {
							t.Error("the panic was lost")
						}
					}()
					rt.RoundTrip(req)
				}()
				if body.closes.Load() == 0 || asked && answer.closes.Load() == 0 {
					t.Errorf("the request's body was closed %d times, the response's %d", body.closes.Load(), answer.closes.Load())
				}
			})
		})
	}
}

func TestH29ManyRequestsAtOnce(t *testing.T) {
	var n atomic.Int32
	over(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		if n.Add(1)%3 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		w.Write(got)
	}, func(t *testing.T, s *server) {
		rt := transports.New(s.base, s.retrying(4,
			policies.NewHedge(policies.HedgeConfig{Delay: 5 * time.Millisecond, When: func(context.Context) bool { return true }}),
			policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1000}),
			policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e6}),
			policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 50, MaxQueue: 1000, MaxWait: time.Minute}),
			policies.NewTimeout(policies.TimeoutConfig{}),
		))
		payload := bytes.Repeat([]byte("0123456789"), 1000)
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				for range 5 {
					resp, err := rt.RoundTrip(request(t, "PUT", s.URL, bytes.NewReader(payload)))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || !bytes.Equal(got, payload) {
						t.Errorf("%d bytes came back, %v", len(got), err)
					}
				}
			})
		}
		group.Wait()
	})
}
