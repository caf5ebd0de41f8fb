package transports_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func TestH1TheCallersRequestIsUnchanged(t *testing.T) {
	over(t, answers(503, 503, 200), func(t *testing.T, s *server) {
		tampering := baseFunc(func(r *http.Request) (*http.Response, error) {
			r.Header.Set("Traceparent", "x")
			r.Header["X-Many"][0] = "changed"
			r.URL.Path = "/elsewhere"
			return s.base.RoundTrip(r)
		})
		req := request(t, "PUT", s.URL+"/here", strings.NewReader("payload"))
		req.Header["X-Many"] = []string{"a", "b"}
		req.Trailer = http.Header{"X-Sum": nil}
		req.ContentLength = -1 // trailers need it
		before := *req
		header, trailer, url := req.Header.Clone(), req.Trailer.Clone(), *req.URL

		do(t, transports.New(tampering, s.retrying(3)), req, 200)
		wantRequests(t, s, 3)
		if req.Body != before.Body || req.URL != before.URL || *req.URL != url || req.ContentLength != before.ContentLength ||
			req.Context() != before.Context() || reflect.ValueOf(req.GetBody).Pointer() != reflect.ValueOf(before.GetBody).Pointer() {
			t.Errorf("the request was changed: %+v, before %+v", *req, before)
		}
		if !reflect.DeepEqual(req.Header, header) || !reflect.DeepEqual(req.Trailer, trailer) {
			t.Errorf("a map of the request was changed: %v %v", req.Header, req.Trailer)
		}
	})
}

func TestH2EachAttemptHasItsOwnRequest(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		var attempts []*http.Request
		rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("X-Mark") != "" || r.Trailer.Get("X-Mark") != "" {
				t.Error("an attempt sees what an earlier one wrote")
			}
			r.Header.Set("X-Mark", "x")
			r.Trailer.Set("X-Mark", "x")
			attempts = append(attempts, r)
			r.Body.Close()
			return &http.Response{StatusCode: 503}, nil
		}), retrying(3))
		req := request(t, "PUT", "http://example.com", strings.NewReader("payload"))
		cancel := make(chan struct{})
		req.Cancel = cancel
		req.TransferEncoding, req.Close, req.Host, req.Trailer = []string{"chunked"}, true, "other.example", http.Header{"X-Sum": nil}
		do(t, rt, req, 503)
		if len(attempts) != 3 {
			t.Fatalf("%d attempts, want 3", len(attempts))
		}
		for i, r := range attempts {
			if r == req || i > 0 && r == attempts[0] {
				t.Error("a request was used twice")
			}
			if r.Cancel != req.Cancel || r.ContentLength != req.ContentLength || !r.Close || r.Host != req.Host ||
				!reflect.DeepEqual(r.TransferEncoding, req.TransferEncoding) || r.URL.String() != req.URL.String() {
				t.Errorf("attempt %d lost a field: %+v", i+1, r)
			}
			if n := middleware.Attempt(r.Context()); n != i+1 {
				t.Errorf("the context of attempt %d says %d", i+1, n)
			}
		}
	})
}

// Trailers of a request are set while its body is being read, in the map of the
// caller, and still go out.
func TestH2TrailersOfTheRequestAreSent(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Trailer.Get("X-Sum"))
	}, func(t *testing.T, s *server) {
		req := request(t, "POST", s.URL, nil)
		req.Trailer = http.Header{"X-Sum": nil}
		req.ContentLength = -1
		req.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
			req.Trailer.Set("X-Sum", "42")
			return 0, io.EOF
		}))
		if got := do(t, transports.New(s.base, s.retrying(3)), req, 200); got != "42" {
			t.Errorf("the trailer arrived as %q", got)
		}
	})
}

// Also when net/http sends the request again by itself, with another body.
func TestH2TrailersAreSentAgain(t *testing.T) {
	s := loopback.New(t, loopback.HTTP2, loopback.Script(loopback.ResetStream(7).After(0), loopback.OK("well")))
	req := request(t, "PUT", s.URL, nil)
	req.Trailer = http.Header{"X-Sum": nil}
	req.ContentLength = -1
	ends := make(chan struct{})
	defer close(ends)
	req.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) { // does not end by itself
		select {
		case <-ends:
			return 0, io.EOF
		default:
			return copy(p, "x"), nil
		}
	}))
	req.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(readerFunc(func([]byte) (int, error) {
			req.Trailer.Set("X-Sum", "42")
			return 0, io.EOF
		})), nil
	}
	do(t, transports.New(s.Transport(), nil), req, 200)
	all := s.Requests()
	if last := all[len(all)-1]; last.Trailer.Get("X-Sum") != "42" {
		t.Errorf("the trailers of the second request are %v", last.Trailer)
	}
}

// A hedge that comes too late leaves the caller's request alone: it is the caller's again.
func TestH1TheRequestIsTheCallersAfterTheCall(t *testing.T) {
	late := &lateContext{begun: make(chan struct{}), over: make(chan struct{})}
	hold := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		if middleware.Attempt(ctx) == 2 {
			late.Context = ctx
			return next.Do(late)
		}
		return next.Do(ctx)
	})
	lost := make(chan error, 1)
	note := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		if middleware.Attempt(ctx) == 2 {
			lost <- err
		}
		return err
	})
	always := func(context.Context) bool { return true }
	var attempts atomic.Int32
	rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) {
		attempts.Add(1)
		<-late.begun
		return &http.Response{StatusCode: 200}, nil
	}), middleware.NewChain("", policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, When: always}), note, hold))
	req := request(t, "POST", "http://example.com", nil)
	do(t, rt, req, 200)
	close(late.over)
	for range 1000 {
		req.Header.Set("X", "y") // the race detector sees who else looks
	}
	if err := <-lost; err == nil || attempts.Load() != 1 {
		t.Errorf("%v; %d attempts were sent", err, attempts.Load())
	}
}

// A lateContext holds back who asks it for a value, as the hooks of a POST do.
type lateContext struct {
	context.Context

	once        sync.Once
	begun, over chan struct{}
}

func (c *lateContext) Value(key any) any {
	c.once.Do(func() {
		close(c.begun)
		<-c.over
	})
	return c.Context.Value(key)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// H3: whatever happens, the body of the request is closed, and a body that was not
// sent is not read.
func TestH3TheRequestBodyIsAlwaysClosed(t *testing.T) {
	closed, forced := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1000}), policies.NewBreaker(policies.BreakerConfig{})
	forced.ForceOpen()
	empty := policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.0001, Burst: 1})
	if err := middleware.NewChain("", empty).Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	slow := policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.0001, Burst: 1, MaxWait: 100 * time.Hour})
	refused := &http.Transport{DialContext: refusing}
	noAgain := func() (io.ReadCloser, error) { return nil, errors.New("no more") }

	over(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(503)
	}, func(t *testing.T, s *server) {
		for name, row := range map[string]struct {
			chain *middleware.Chain
			base  http.RoundTripper
			ctx   context.Context
			again func() (io.ReadCloser, error)
			reads bool
		}{
			"first attempt":     {chain: nil, reads: true},
			"several attempts":  {chain: s.retrying(3, closed), again: func() (io.ReadCloser, error) { return newSpy("x"), nil }, reads: true},
			"open breaker":      {chain: s.retrying(3, forced)},
			"rate limit":        {chain: middleware.NewChain("", empty)},
			"context has ended": {chain: middleware.NewChain("", slow), ctx: ended},
			"GetBody fails":     {chain: s.retrying(3), again: noAgain, reads: true},
			"refused dial":      {chain: s.retrying(3), base: refused},
			"silent policy":     {chain: middleware.NewChain("", middleware.PolicyFunc(func(context.Context, middleware.Next) error { return nil }))},
		} {
			t.Run(name, func(t *testing.T) {
				body := newSpy("payload")
				req := request(t, "PUT", s.URL, body)
				req.GetBody = row.again
				if row.ctx != nil {
					req = req.WithContext(row.ctx)
				}
				base := row.base
				if base == nil {
					base = s.base
				}
				resp, err := transports.New(base, row.chain).RoundTrip(req)
				if (resp == nil) == (err == nil) {
					t.Errorf("exactly one of response and error, but got %v and %v", resp, err)
				}
				if resp != nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				// The transport may close it from another goroutine, a little later.
				wait(t, "the body to be closed", func() bool { return body.closes.Load() > 0 })
				if read := body.reads.Load() > 0; read != row.reads {
					t.Errorf("the body was read: %t, want %t", read, row.reads)
				}
			})
		}
	})
}

func TestH3TheBodyIsClosedWhenAPolicyPanics(t *testing.T) {
	body := newSpy("x")
	rt := transports.New(nil, middleware.NewChain("", middleware.PolicyFunc(func(context.Context, middleware.Next) error { panic("boom") })))
	defer func() {
		if recover() != "boom" || body.closes.Load() != 1 {
			t.Error("the panic was lost, or the body not closed")
		}
	}()
	rt.RoundTrip(request(t, "POST", "http://example.com", body))
}

// wait polls; it fails when the condition is not true after a generous time.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

func TestH4AttemptsAfterTheFirstUseGetBody(t *testing.T) {
	var bodies []string
	var lengths []int64
	over(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		bodies, lengths = append(bodies, string(got)), append(lengths, r.ContentLength)
		w.WriteHeader(503)
	}, func(t *testing.T, s *server) {
		bodies, lengths = nil, nil
		first := newSpy("payload")
		var again []*spy
		req := request(t, "PUT", s.URL, first)
		req.ContentLength = 7
		req.GetBody = func() (io.ReadCloser, error) {
			again = append(again, newSpy("payload"))
			return again[len(again)-1], nil
		}
		do(t, transports.New(s.base, s.retrying(3)), req, 503)
		if want := []string{"payload", "payload", "payload"}; !reflect.DeepEqual(bodies, want) {
			t.Errorf("the server read %q", bodies)
		}
		if want := []int64{7, 7, 7}; !reflect.DeepEqual(lengths, want) { // H7
			t.Errorf("the lengths were %d", lengths)
		}
		if first.reads.Load() == 0 || len(again) != 2 {
			t.Errorf("the caller's body had %d reads and GetBody %d calls", first.reads.Load(), len(again))
		}
		for _, b := range append(again, first) {
			wait(t, "each body to be closed", func() bool { return b.closes.Load() > 0 })
		}
	})
}

func TestH5ABodyWithoutGetBodyIsSentOnce(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(503)
	}, func(t *testing.T, s *server) {
		eager := func(*http.Request, *http.Response, error) middleware.Verdict {
			return middleware.Verdict{Class: middleware.Failure, Retry: true}
		}
		for name, opt := range map[string]transports.Option{"by default": nil, "even if the classifier wants more": transports.WithClassifier(eager)} {
			t.Run(name, func(t *testing.T) {
				s.requests.Store(0)
				do(t, transports.New(s.base, s.retrying(3), opt), request(t, "PUT", s.URL, newSpy("payload")), 503)
				wantRequests(t, s, 1)
			})
		}
	})
}

// A body is passed on as it is read: the server sees the first half before the
// second half exists.
func TestH5NothingIsBuffered(t *testing.T) {
	half := make(chan struct{})
	over(t, func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 1<<16))
		half <- struct{}{}
		n, _ := io.Copy(io.Discard, r.Body)
		if n != 1<<16 {
			w.WriteHeader(500)
		}
	}, func(t *testing.T, s *server) {
		source, sink := io.Pipe()
		go func() {
			sink.Write(make([]byte, 1<<16))
			<-half
			sink.Write(make([]byte, 1<<16))
			sink.Close()
		}()
		do(t, transports.New(s.base, s.retrying(3)), request(t, "PUT", s.URL, source), 200)
	})
}

func TestH7NoBodyStaysNoBody(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		for _, body := range []io.ReadCloser{nil, http.NoBody} {
			var seen []io.ReadCloser
			rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
				seen = append(seen, r.Body)
				return &http.Response{StatusCode: 503}, nil
			}), retrying(2))
			req := request(t, "GET", "http://example.com", nil)
			req.Body = body
			req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("must not be asked") }
			do(t, rt, req, 503)
			if !reflect.DeepEqual(seen, []io.ReadCloser{body, body}) {
				t.Errorf("the attempts had the bodies %v, want %v", seen, body)
			}
		}
	})
}

func TestH7AGetBodyThatFailsEndsTheAttempts(t *testing.T) {
	broken := errors.New("the file is gone")
	over(t, answers(503), func(t *testing.T, s *server) {
		for name, get := range map[string]func() (io.ReadCloser, error){
			"error": func() (io.ReadCloser, error) { return nil, broken },
			"nil":   func() (io.ReadCloser, error) { return nil, nil },
		} {
			t.Run(name, func(t *testing.T) {
				s.requests.Store(0)
				req := request(t, "PUT", s.URL, strings.NewReader("payload"))
				req.GetBody = get
				resp, err := transports.New(s.base, s.retrying(5)).RoundTrip(req)
				if resp != nil || err == nil {
					t.Fatalf("got %v, %v", resp, err)
				}
				if name == "error" && !errors.Is(err, broken) {
					t.Errorf("%v does not wrap the error of GetBody", err)
				}
				var last interface{ StatusCode() int }
				if !errors.As(err, &last) || last.StatusCode() != 503 {
					t.Errorf("%v does not wrap what failed before", err)
				}
				wantRequests(t, s, 1)
			})
		}
	})
}

// A policy that runs an attempt again although it may not gets an error, and no
// empty or half-read body is sent.
func TestH5APolicyThatRepeatsRegardless(t *testing.T) {
	s := serve(t, "HTTP/1", answers(503))
	stubborn := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		next.Do(ctx)
		return next.Do(ctx)
	})
	resp, err := transports.New(s.base, middleware.NewChain("", stubborn)).RoundTrip(request(t, "PUT", s.URL, newSpy("x")))
	if resp != nil || err == nil || !strings.Contains(err.Error(), "GetBody") {
		t.Errorf("got %v, %v", resp, err)
	}
	wantRequests(t, s, 1)
}

func TestH8IdempotentRequestsAreRepeated(t *testing.T) {
	over(t, answers(503), func(t *testing.T, s *server) {
		for _, row := range []struct {
			method string
			header http.Header
			want   int
		}{
			{"GET", nil, 2}, {"HEAD", nil, 2}, {"OPTIONS", nil, 2}, {"TRACE", nil, 2}, {"PUT", nil, 2}, {"DELETE", nil, 2}, {"", nil, 2},
			{"POST", nil, 1}, {"PATCH", nil, 1}, {"PROPFIND", nil, 1},
			{"POST", http.Header{"Idempotency-Key": {"k"}}, 2},
			{"PATCH", http.Header{"X-Idempotency-Key": {"k"}}, 2},
			{"POST", http.Header{"Idempotency-Key": {}}, 2}, // as in net/http: marked, and not sent
		} {
			s.requests.Store(0)
			req := request(t, row.method, s.URL, nil)
			req.Method = row.method
			maps.Copy(req.Header, row.header)
			do(t, transports.New(s.base, s.retrying(2)), req, 503)
			if got := int(s.requests.Load()); got != row.want {
				t.Errorf("%s %v: %d attempts, want %d", row.method, row.header, got, row.want)
			}
		}
	})
}

// What stands further in, and the base, know which attempt it is.
func TestH12TheContextHasTheNumberOfTheAttempt(t *testing.T) {
	over(t, answers(503, 503, 200), func(t *testing.T, s *server) {
		var inner, base []int
		note := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			inner = append(inner, middleware.Attempt(ctx))
			return next.Do(ctx)
		})
		rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
			base = append(base, middleware.Attempt(r.Context()))
			return s.base.RoundTrip(r)
		}), s.retrying(3, note))
		do(t, rt, request(t, "GET", s.URL, nil), 200)
		if want := []int{1, 2, 3}; !reflect.DeepEqual(inner, want) || !reflect.DeepEqual(base, want) {
			t.Errorf("a policy saw the attempts %v and the base %v", inner, base)
		}
	})
}
