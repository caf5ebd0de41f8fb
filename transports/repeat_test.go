package transports_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// refusing dials a port that is surely closed.
func refusing(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1")
}

// at returns a DialContext that goes to each of the addresses in turn, and after
// them where it is told.
func at(dials *atomic.Int32, addrs ...string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if i := int(dials.Add(1)); i <= len(addrs) {
			addr = addrs[i-1]
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

func TestH10APOSTIsNotRepeatedOnAStatus(t *testing.T) {
	for _, status := range []int{408, 421, 425, 429, 499, 500, 502, 503, 504} {
		over(t, answers(status), func(t *testing.T, s *server) {
			do(t, transports.New(s.base, s.retrying(3)), request(t, "POST", s.URL, strings.NewReader("x")), status)
			wantRequests(t, s, 1)
		})
	}
}

func TestH10APOSTIsRepeatedOnAStatusWhenAskedTo(t *testing.T) {
	throttled := transports.WithClassifier(transports.Rules{RepeatThrottled: true}.Classify)
	for _, row := range []struct {
		status int
		after  string
		want   int
	}{{429, "", 3}, {503, "0", 3}, {503, "", 1}, {500, "0", 1}} {
		over(t, func(w http.ResponseWriter, r *http.Request) {
			if row.after != "" {
				w.Header().Set("Retry-After", row.after)
			}
			answers(row.status)(w, r)
		}, func(t *testing.T, s *server) {
			do(t, transports.New(s.base, s.retrying(3), throttled), request(t, "POST", s.URL, strings.NewReader("x")), row.status)
			wantRequests(t, s, row.want)
		})
	}
}

// A time limit that ends the attempt while it has no connection yet proves that nothing
// was sent.
func TestH10APOSTIsRepeatedWhenTheTimeWasUpBeforeItHadAConnection(t *testing.T) {
	over(t, answers(200), func(t *testing.T, s *server) {
		var dials atomic.Int32
		dial := s.base.DialContext
		s.base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			if dial != nil {
				return dial(ctx, network, addr)
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		// A limit that ends when the dial has begun, for the first attempt alone.
		limit := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			if middleware.Attempt(ctx) > 1 {
				return next.Do(ctx)
			}
			ctx, cancel := context.WithCancelCause(ctx)
			go func() {
				for dials.Load() == 0 {
					time.Sleep(time.Millisecond)
				}
				cancel(&middleware.Rejection{Reason: middleware.ErrTimeout})
			}()
			return next.Do(ctx)
		})
		do(t, transports.New(s.base, s.retrying(2, limit)), request(t, "POST", s.URL, strings.NewReader("x")), 200)
		wantRequests(t, s, 1)
	})
}

func TestH10APOSTIsRepeatedAfterARefusedDial(t *testing.T) {
	over(t, answers(200), func(t *testing.T, s *server) {
		var dials atomic.Int32
		s.base.DialContext = at(&dials, closedPort(t), closedPort(t))
		do(t, transports.New(s.base, s.retrying(3)), request(t, "POST", s.URL, strings.NewReader("x")), 200)
		wantRequests(t, s, 1)
		if n := dials.Load(); n != 3 {
			t.Errorf("%d dials, want 3", n)
		}
	})
}

func TestH10APOSTIsRepeatedAfterAProxyFailed(t *testing.T) {
	s := serve(t, "HTTPS/1", answers(200))
	closed := closedPort(t)
	var asked atomic.Int32
	s.base.Proxy = func(*http.Request) (*url.URL, error) {
		if asked.Add(1) == 1 {
			return &url.URL{Scheme: "http", Host: closed}, nil
		}
		return nil, nil
	}
	do(t, transports.New(s.base, s.retrying(3)), request(t, "POST", s.URL, strings.NewReader("x")), 200)
	wantRequests(t, s, 1)
}

// breaking listens, and closes each connection after it has read something.
func breaking(t *testing.T) (addr string, broken *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	broken = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			broken.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String(), broken
}

func TestH10APOSTIsRepeatedAfterABrokenHandshake(t *testing.T) {
	for _, version := range []string{"HTTPS/1", "HTTP/2"} {
		s := serve(t, version, answers(200))
		addr, broken := breaking(t)
		var dials atomic.Int32
		s.base.DialContext = at(&dials, addr)
		do(t, transports.New(s.base, s.retrying(3)), request(t, "POST", s.URL, strings.NewReader("x")), 200)
		wantRequests(t, s, 1)
		if broken.Load() != 1 || dials.Load() != 2 {
			t.Errorf("%s: %d broken handshakes and %d dials, want 1 and 2", version, broken.Load(), dials.Load())
		}
	}
}

func TestH10APOSTThatMayHaveArrivedIsNotRepeated(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		addr, broken := breaking(t)
		for _, row := range []struct {
			method string
			want   int32
		}{{"POST", 1}, {"PUT", 3}} {
			broken.Store(0)
			base := new(http.Transport)
			resp, err := transports.New(base, retrying(3)).RoundTrip(request(t, row.method, "http://"+addr, strings.NewReader("x")))
			if resp != nil || err == nil {
				t.Fatalf("%s: %v, %v", row.method, resp, err)
			}
			if n := broken.Load(); n != row.want {
				t.Errorf("%s: %d attempts, want %d", row.method, n, row.want)
			}
			base.CloseIdleConnections()
		}
	})
}

// The connection breaks after the handshake and after the request: the handshake
// is no excuse.
func TestH10APOSTThatBreaksAfterTheHandshakeIsNotRepeated(t *testing.T) {
	for _, version := range []string{"HTTPS/1", "HTTP/2"} {
		s := serve(t, version, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		resp, err := transports.New(s.base, s.retrying(3)).RoundTrip(request(t, "POST", s.URL, strings.NewReader("x")))
		if resp != nil || err == nil {
			t.Errorf("%s: got %v, %v", version, resp, err)
		}
		wantRequests(t, s, 1)
	}
}

// net/http sends by itself once more what it takes for repeatable. That the second dial is
// refused does not prove that the first was never sent.
func TestH10ADialForTheSecondTimeProvesNothing(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			s := loopback.New(t, loopback.HTTP1, loopback.Script(loopback.OK("well"), loopback.Close()))
			var attempts, dials atomic.Int32
			base := s.Transport()
			base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials.Add(1) > 1 {
					addr = "127.0.0.1:1" // nobody is there any more
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			count := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				attempts.Add(1)
				return next.Do(ctx)
			})
			rt := transports.New(base, (&server{engine: engine}).retrying(3, count))
			do(t, rt, request(t, "GET", s.URL, nil), 200)
			attempts.Store(0)
			req := request(t, "GET", s.URL, nil)
			_, err := rt.RoundTrip(req.WithContext(transports.Idempotent(req.Context(), false)))
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "dial" || attempts.Load() != 1 || s.Count() != 2 {
				t.Errorf("%v after %d attempts; the server got %d requests", err, attempts.Load(), s.Count())
			}
		})
	}
}

// A protocol that the user has added to net/http does not call the hook for the connection.
func TestH10AnotherProtocolProvesNothing(t *testing.T) {
	s := serve(t, "HTTP/2", answers(200))
	var sent atomic.Int32
	base := &http.Transport{
		TLSClientConfig: s.base.TLSClientConfig.Clone(),
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{
			"h2": func(_ string, c *tls.Conn) http.RoundTripper {
				return baseFunc(func(r *http.Request) (*http.Response, error) {
					sent.Add(1) // as if it had gone out
					c.Close()
					io.Copy(io.Discard, r.Body)
					r.Body.Close()
					return nil, io.ErrUnexpectedEOF
				})
			},
		},
	}
	base.TLSClientConfig.NextProtos = []string{"h2"}
	_, err := transports.New(base, s.retrying(3)).RoundTrip(request(t, "POST", s.URL, strings.NewReader("x")))
	if err == nil || sent.Load() != 1 {
		t.Errorf("%v; a POST was sent %d times", err, sent.Load())
	}
}

// Once is once for each call, whatever a chain around it has tried before.
func TestWhatIsRepeatedOnceIsSoInsideOfAnotherChain(t *testing.T) {
	over(t, answers(421, 421, 200), func(t *testing.T, s *server) {
		for _, outer := range []int{1, 2, 5} {
			s.requests.Store(0)
			req := request(t, "GET", s.URL, nil)
			if outer > 1 {
				req = req.WithContext(middleware.WithAttempt(req.Context(), outer))
			}
			chain := middleware.NewChain("", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				err := next.Do(ctx)
				if err != nil && middleware.VerdictOf(err).Retry {
					return next.Do(middleware.WithAttempt(ctx, outer+1))
				}
				return err
			}))
			do(t, transports.New(s.base, chain), req, 421)
			wantRequests(t, s, 2)
		}
	})
}

// The type of a stream error of net/http is its own, but it can be recognised.
func TestAResetStreamIsRecognised(t *testing.T) {
	s := serve(t, "HTTP/2", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	var reason string
	rt := transports.New(s.base, nil, transports.WithClassifier(func(req *http.Request, resp *http.Response, err error) middleware.Verdict {
		v := transports.Classify(req, resp, err)
		reason = v.Reason
		return v
	}))
	if resp, err := rt.RoundTrip(request(t, "GET", s.URL, nil)); resp != nil || err == nil || reason != "stream_reset" {
		t.Errorf("got %v, %v, reason %q", resp, err, reason)
	}
}

func TestCertificateErrorsAreNotRepeatedButOpenTheBreaker(t *testing.T) {
	s := serve(t, "HTTPS/1", answers(200))
	s.base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12} // trusts nobody here
	var seen recorder
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	resp, err := transports.New(s.base, s.retrying(3, breaker, &seen)).RoundTrip(request(t, "GET", s.URL, nil))
	var untrusted *tls.CertificateVerificationError
	if resp != nil || !errors.As(err, &untrusted) {
		t.Fatalf("got %v, %v", resp, err)
	}
	if len(seen.of(middleware.RetryScheduled)) != 0 || breaker.State() != policies.Open {
		t.Errorf("%d retries, breaker %s", len(seen.of(middleware.RetryScheduled)), breaker.State())
	}
}

func TestTheBreakerOpensOnServerErrorsOnly(t *testing.T) {
	for status, want := range map[int]policies.State{
		500: policies.Open, 502: policies.Open, 503: policies.Open, 504: policies.Open, 599: policies.Open,
		200: policies.Closed, 304: policies.Closed, 400: policies.Closed, 401: policies.Closed, 403: policies.Closed, 404: policies.Closed,
		409: policies.Closed, 412: policies.Closed, 429: policies.Closed, 501: policies.Closed,
	} {
		s := serve(t, "HTTP/1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 2})
		rt := transports.New(s.base, middleware.NewChain("", breaker))
		for range 2 {
			do(t, rt, request(t, "GET", s.URL, nil), status)
		}
		if got := breaker.State(); got != want {
			t.Errorf("after two %d the breaker is %s, want %s", status, got, want)
		}
		if want == policies.Open {
			resp, err := rt.RoundTrip(request(t, "GET", s.URL, nil))
			var rejection *middleware.Rejection
			if resp != nil || !errors.Is(err, middleware.ErrOpen) || !errors.As(err, &rejection) || rejection.RetryAfter <= 0 {
				t.Errorf("an open breaker gave %v, %v", resp, err)
			}
			wantRequests(t, s, 2)
		}
	}
}

func TestARejectionPassesTheClient(t *testing.T) {
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	client := transports.Client(nil, middleware.NewChain("billing", breaker))
	_, err := client.Get("http://user:secret@127.0.0.1:1/?token=secret")
	var rejection *middleware.Rejection
	if !errors.As(err, &rejection) || rejection.Chain != "billing" || strings.Contains(rejection.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestACallerThatGivesUpOpensNoBreaker(t *testing.T) {
	arrived := make(chan struct{})
	over(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done()
	}, func(t *testing.T, s *server) {
		breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		resp, err := transports.New(s.base, s.retrying(3, breaker)).RoundTrip(request(t, "GET", s.URL, nil).WithContext(ctx))
		if resp != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", resp, err)
		}
		if breaker.State() != policies.Closed {
			t.Error("the breaker is open")
		}
		wantRequests(t, s, 1)
	})
}

func TestTheTimeLimitOfTheChainIsAFailure(t *testing.T) {
	over(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}, func(t *testing.T, s *server) {
		for _, row := range []struct {
			method string
			want   int
		}{{"GET", 2}, {"POST", 1}} {
			var seen recorder
			breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: row.want})
			timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: 50 * time.Millisecond})
			resp, err := transports.New(s.base, s.retrying(2, &seen, breaker, timeout)).RoundTrip(request(t, row.method, s.URL, nil))
			if resp != nil || !errors.Is(err, middleware.ErrTimeout) {
				t.Errorf("%s: %v, %v", row.method, resp, err)
			}
			if breaker.State() != policies.Open {
				t.Errorf("%s: the breaker is %s", row.method, breaker.State())
			}
			if n := len(seen.of(middleware.TimedOut)); n != row.want {
				t.Errorf("%s: %d attempts, want %d", row.method, n, row.want)
			}
		}
	})
}
