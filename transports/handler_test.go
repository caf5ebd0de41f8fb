package transports_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
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

// protected runs a test against what handler makes, a new one over HTTP/1 and one over
// HTTP/2.
func protected(t *testing.T, handler func() http.Handler, test func(t *testing.T, s *server)) {
	t.Helper()
	for _, version := range []string{"HTTP/1", "HTTP/2"} {
		t.Run(version, func(t *testing.T) { test(t, serve(t, version, handler().ServeHTTP)) })
	}
}

// get sends a GET and returns the response and its whole body.
func get(t *testing.T, s *server) (*http.Response, string) {
	t.Helper()
	resp, err := s.base.RoundTrip(request(t, "GET", s.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// rejecting returns a policy that refuses every call.
func rejecting(r middleware.Rejection) middleware.Policy {
	return middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error { return next.Reject(r) })
}

// seen returns a policy that keeps the error of the call.
func seen(err *error) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		*err = next.Do(ctx)
		return *err
	})
}

func answer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// local serves one request without a socket.
func local(ctx context.Context, h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	return w
}

func TestRejectedRequestsAreAnswered(t *testing.T) {
	for _, row := range []struct {
		name       string
		rejection  middleware.Rejection
		status     int
		retryAfter string
	}{
		{"rate limited", middleware.Rejection{Reason: middleware.ErrRateLimited, RetryAfter: 1200 * time.Millisecond}, 429, "2"},
		{"rate limited, whole seconds", middleware.Rejection{Reason: middleware.ErrRateLimited, RetryAfter: 2 * time.Second}, 429, "2"},
		{"rate limited, who knows until when", middleware.Rejection{Reason: middleware.ErrRateLimited}, 429, ""},
		{"open", middleware.Rejection{Reason: middleware.ErrOpen, RetryAfter: 30 * time.Second}, 503, "30"},
		{"open for a moment", middleware.Rejection{Reason: middleware.ErrOpen, RetryAfter: 1}, 503, "1"},
		{"open for ever", middleware.Rejection{Reason: middleware.ErrOpen, RetryAfter: math.MaxInt64}, 503, "9223372037"},
		{"half-open", middleware.Rejection{Reason: middleware.ErrTooManyProbes}, 503, ""},
		{"recovering", middleware.Rejection{Reason: middleware.ErrRecovering}, 503, ""},
		{"bulkhead full", middleware.Rejection{Reason: middleware.ErrBulkheadFull}, 503, ""},
		{"budget", middleware.Rejection{Reason: middleware.ErrBudgetExhausted}, 503, ""},
		{"deadline", middleware.Rejection{Reason: middleware.ErrDeadline, RetryAfter: 3 * time.Second}, 503, "3"},
		{"timeout", middleware.Rejection{Reason: middleware.ErrTimeout}, 503, ""},
		{"a timeout after a rate limit", middleware.Rejection{Reason: middleware.ErrTimeout, Err: &middleware.Rejection{Reason: middleware.ErrRateLimited}}, 503, ""},
		{"no reason", middleware.Rejection{}, 503, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			ran := false
			h := transports.NewHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }),
				middleware.NewChain("secret", rejecting(row.rejection)))
			protected(t, func() http.Handler { return h }, func(t *testing.T, s *server) {
				resp, body := get(t, s)
				if ran {
					t.Error("the handler ran")
				}
				if resp.StatusCode != row.status || body != http.StatusText(row.status)+"\n" {
					t.Errorf("status %d and body %q, want %d", resp.StatusCode, body, row.status)
				}
				if got := resp.Header.Get("Retry-After"); got != row.retryAfter {
					t.Errorf("Retry-After %q, want %q", got, row.retryAfter)
				}
				if got := resp.Header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control %q", got)
				}
				if resp.Close {
					t.Error("the connection is closed")
				}
			})
		})
	}
}

func TestAChainThatAnswersInItsOwnWay(t *testing.T) {
	for name, err := range map[string]error{"success without the handler": nil, "an error of its own": errors.New("mine")} {
		own := middleware.PolicyFunc(func(context.Context, middleware.Next) error { return err })
		if w := local(t.Context(), transports.NewHandler(answer(200), middleware.NewChain("", own))); w.Code != 500 || strings.Contains(w.Body.String(), "mine") {
			t.Errorf("%s: status %d and body %q", name, w.Code, w.Body)
		}
	}
}

func TestNoHandlerAndNoChain(t *testing.T) {
	if w := local(t.Context(), transports.NewHandler(answer(204), nil, nil, transports.WithHandlerKey(nil))); w.Code != 204 {
		t.Errorf("without a chain: status %d", w.Code)
	}
	defer func() {
		if recover() == nil {
			t.Error("a nil handler did not panic")
		}
	}()
	transports.NewHandler(nil, nil)
}

func TestARateLimitForEachClient(t *testing.T) {
	protected(t, func() http.Handler {
		perClient := policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.RateLimit {
			return policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 2})
		})
		return transports.NewHandler(answer(204), middleware.NewChain("", perClient),
			transports.WithHandlerKey(func(r *http.Request) string { return r.Header.Get("X-Client") }))
	}, func(t *testing.T, s *server) {
		for _, row := range []struct {
			client string
			status int
		}{{"a", 204}, {"a", 204}, {"a", 429}, {"b", 204}, {"a", 429}, {"", 204}} {
			req := request(t, "GET", s.URL, nil)
			req.Header.Set("X-Client", row.client)
			resp, err := s.base.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			if resp.StatusCode != row.status || (row.status == 429) != (after > 900 && after <= 1000) {
				t.Errorf("client %q: status %d and Retry-After %d, want status %d", row.client, resp.StatusCode, after, row.status)
			}
		}
	})
}

func TestABulkheadThatIsFull(t *testing.T) {
	end := make(chan struct{})
	protected(t, func() http.Handler {
		places := make(chan struct{}, 1)
		full := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			select {
			case places <- struct{}{}:
				return next.DoThen(ctx, func() { <-places })
			default:
				return next.Reject(middleware.Rejection{Policy: "bulkhead", Reason: middleware.ErrBulkheadFull})
			}
		})
		return transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			<-end
		}), middleware.NewChain("", full))
	}, func(t *testing.T, s *server) {
		first, err := s.base.RoundTrip(request(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer first.Body.Close()
		if resp, _ := get(t, s); resp.StatusCode != 503 {
			t.Errorf("beside a streaming request: status %d", resp.StatusCode)
		}
		end <- struct{}{}
		if _, err := io.Copy(io.Discard, first.Body); err != nil {
			t.Errorf("the first: %v", err)
		}
	})
}

func TestABreakerOfAServer(t *testing.T) {
	var breaker *policies.Breaker
	protected(t, func() http.Handler {
		breaker = policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3, Timeout: time.Hour})
		return transports.NewHandler(answers(500, 200, 502, 503, 504, 200), middleware.NewChain("", breaker))
	}, func(t *testing.T, s *server) {
		for i, want := range []int{500, 200, 502, 503, 504, 503, 503} {
			resp, body := get(t, s)
			rejected := i > 4
			if resp.StatusCode != want || strings.HasPrefix(body, "x") == rejected {
				t.Errorf("request %d: status %d and body %q, want %d", i+1, resp.StatusCode, body, want)
			}
			if after := resp.Header.Get("Retry-After"); rejected != (after == "3600") {
				t.Errorf("request %d: Retry-After %q", i+1, after)
			}
		}
		if breaker.State() != policies.Open {
			t.Errorf("the breaker is %v", breaker.State())
		}
	})
}

func TestTheStatusDecidesTheVerdict(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	success := middleware.Verdict{}
	failure := middleware.Verdict{Class: middleware.Failure, Reason: "status_5xx"}
	for name, row := range map[string]struct {
		ctx     context.Context
		handler http.HandlerFunc
		want    middleware.Verdict
		status  int
	}{
		"nothing":     {t.Context(), func(http.ResponseWriter, *http.Request) {}, success, 200},
		"200":         {t.Context(), answer(200), success, 200},
		"a body":      {t.Context(), func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")); w.WriteHeader(500) }, success, 200},
		"a string":    {t.Context(), func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); w.WriteHeader(500) }, success, 200},
		"a flush":     {t.Context(), func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.WriteHeader(500) }, success, 200},
		"301":         {t.Context(), answer(301), success, 301},
		"404":         {t.Context(), answer(404), success, 404},
		"429":         {t.Context(), answer(429), middleware.Verdict{Class: middleware.Throttled, Reason: "throttled"}, 429},
		"500":         {t.Context(), answer(500), failure, 500},
		"501":         {t.Context(), answer(501), failure, 501},
		"503 forever": {t.Context(), answer(503), failure, 503},
		"503 with Retry-After": {t.Context(), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(503)
		}, middleware.Verdict{Class: middleware.Failure, Reason: "status_5xx", After: 7 * time.Second}, 503},
		"the first status counts":   {t.Context(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(500) }, success, 200},
		"500, but the client left":  {gone, answer(500), middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}, 500},
		"200, but the client left":  {gone, answer(200), success, 200},
		"nothing, the client left":  {gone, func(http.ResponseWriter, *http.Request) {}, middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}, 499},
		"a proxy whose client left": {gone, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			h := transports.NewHandler(row.handler, middleware.NewChain("", seen(&err)))
			w := httptest.NewRecorder()
			func() {
				defer func() {
					if p := recover(); (p == http.ErrAbortHandler) != strings.HasPrefix(name, "a proxy") {
						t.Errorf("panic: %v", p)
					}
				}()
				h.ServeHTTP(w, httptest.NewRequestWithContext(row.ctx, "GET", "/", nil))
			}()
			if got := middleware.VerdictOf(err); got != row.want {
				t.Errorf("verdict %+v, want %+v", got, row.want)
			}
			if w.Code != row.status {
				t.Errorf("status %d, want %d", w.Code, row.status)
			}
		})
	}
}

func TestAnInformationalStatusIsNotTheStatus(t *testing.T) {
	var err error
	h := transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		w.WriteHeader(502)
	}), middleware.NewChain("", seen(&err)))
	protected(t, func() http.Handler { return h }, func(t *testing.T, s *server) {
		err = nil
		if resp, _ := get(t, s); resp.StatusCode != 502 || middleware.VerdictOf(err).Class != middleware.Failure {
			t.Errorf("status %d and verdict %+v", resp.StatusCode, middleware.VerdictOf(err))
		}
	})
}

// In virtual time: what a handler can do with a limit that passes.
func TestATimeoutOfAServer(t *testing.T) {
	wait := func(r *http.Request) { <-r.Context().Done() }
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		status  int
		body    string
		timeout bool
	}{
		"writes nothing": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			wait(r)
		}, 503, "Service Unavailable\n", true},
		"does not watch and writes nothing": {func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, 503, "Service Unavailable\n", true},
		"writes its own word": {func(w http.ResponseWriter, r *http.Request) {
			wait(r)
			http.Error(w, "late", http.StatusGatewayTimeout)
		}, 504, "late\n", true},
		"has begun":     {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "begun"); wait(r) }, 200, "begun", false},
		"succeeds late": {func(w http.ResponseWriter, r *http.Request) { wait(r); io.WriteString(w, "done") }, 200, "done", false},
		"in time":       {func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) }, 200, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var err error
				chain := middleware.NewChain("", seen(&err), policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}))
				w := local(t.Context(), transports.NewHandler(row.handler, chain))
				if w.Code != row.status || w.Body.String() != row.body {
					t.Errorf("status %d and body %q, want %d and %q", w.Code, w.Body, row.status, row.body)
				}
				if errors.Is(err, middleware.ErrTimeout) != row.timeout {
					t.Errorf("the policies saw %v", err)
				}
				if v := middleware.VerdictOf(err); row.timeout != (v == middleware.Verdict{Class: middleware.Failure, Reason: "timeout"}) {
					t.Errorf("verdict %+v", v)
				}
				if w.Header().Get("Content-Length") != "" {
					t.Error("the length of another body was kept")
				}
			})
		})
	}
}

func TestATimeoutOverSockets(t *testing.T) {
	h := transports.NewHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		middleware.NewChain("", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Millisecond})))
	protected(t, func() http.Handler { return h }, func(t *testing.T, s *server) {
		if resp, body := get(t, s); resp.StatusCode != 503 || body != "Service Unavailable\n" {
			t.Errorf("status %d and body %q", resp.StatusCode, body)
		}
	})
}

// A time limit that somebody outside set is no client that left.
func TestADeadlineFromOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h := transports.NewHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), nil)
		if w := local(ctx, h); w.Code != 503 {
			t.Errorf("status %d", w.Code)
		}
	})
}

func TestAPanicPassesThroughAndCountsAsAFailure(t *testing.T) {
	for _, value := range []any{"a value", http.ErrAbortHandler} {
		var breaker *policies.Breaker
		var held atomic.Int32
		var passed atomic.Pointer[any]
		t.Run(fmt.Sprint(value), func(t *testing.T) {
			protected(t, func() http.Handler {
				breaker = policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
				h := transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "begun")
					w.(http.Flusher).Flush()
					panic(value)
				}), middleware.NewChain("", breaker, holding(&held)))
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() {
						p := recover()
						passed.Store(&p)
						panic(p)
					}()
					h.ServeHTTP(w, r)
				})
			}, func(t *testing.T, s *server) {
				resp, err := s.base.RoundTrip(request(t, "GET", s.URL, nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("the response looks complete")
				}
				if p := passed.Load(); p == nil || *p != value {
					t.Errorf("the panic outside is %v", p)
				}
				if breaker.State() != policies.Open || held.Load() != 0 {
					t.Errorf("the breaker is %v, %d held", breaker.State(), held.Load())
				}
			})
		})
	}
}

func TestAStreamStreamsAndHoldsToItsEnd(t *testing.T) {
	for name, flush := range map[string]func(http.ResponseWriter) error{
		"Flusher":            func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
		"ResponseController": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Int32
			step := make(chan struct{})
			h := transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				for i := range 3 {
					fmt.Fprintf(w, "data: %d\n\n", i)
					if err := flush(w); err != nil {
						t.Error(err)
					}
					<-step
					if err := r.Context().Err(); err != nil {
						t.Error(err)
					}
				}
			}), middleware.NewChain("", policies.NewBreaker(policies.BreakerConfig{}), holding(&held), policies.NewTimeout(policies.TimeoutConfig{})))
			protected(t, func() http.Handler { return h }, func(t *testing.T, s *server) {
				resp, err := s.base.RoundTrip(request(t, "GET", s.URL, nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				lines := bufio.NewReader(resp.Body)
				for i := range 3 {
					if got, err := lines.ReadString('\n'); got != fmt.Sprintf("data: %d\n", i) || err != nil {
						t.Errorf("event %d: %q, %v", i, got, err)
					}
					lines.ReadString('\n')
					if held.Load() != 1 {
						t.Error("nothing is held while the handler streams")
					}
					step <- struct{}{}
				}
				if _, err := lines.ReadByte(); err != io.EOF || held.Load() != 0 {
					t.Errorf("the end: %v, %d held", err, held.Load())
				}
			})
		})
	}
}

func TestAHijackedConnectionIsASuccess(t *testing.T) {
	for name, hijack := range map[string]func(http.ResponseWriter) (io.ReadWriteCloser, *bufio.ReadWriter, error){
		"Hijacker": func(w http.ResponseWriter) (io.ReadWriteCloser, *bufio.ReadWriter, error) {
			return w.(http.Hijacker).Hijack()
		},
		"ResponseController": func(w http.ResponseWriter) (io.ReadWriteCloser, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Int32
			failed := errors.New("not called")
			released := make(chan struct{})
			protect := transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, buffered, err := hijack(w)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				line, _ := buffered.ReadString('\n')
				io.WriteString(conn, line)
			}), middleware.NewChain("", seen(&failed), holding(&held)))
			s := serve(t, "HTTP/1", func(w http.ResponseWriter, r *http.Request) {
				defer close(released)
				protect.ServeHTTP(w, r)
			})
			req := request(t, "GET", s.URL, nil)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "echo")
			resp, err := s.base.RoundTrip(req)
			if err != nil || resp.StatusCode != 101 {
				t.Fatalf("%v, %v", resp, err)
			}
			conn := resp.Body.(io.ReadWriteCloser)
			defer conn.Close()
			if held.Load() != 1 {
				t.Error("nothing is held while the handler has the connection")
			}
			io.WriteString(conn, "hello\n")
			if got, err := io.ReadAll(conn); string(got) != "hello\n" || err != nil {
				t.Errorf("echo %q, %v", got, err)
			}
			<-released
			if failed != nil || held.Load() != 0 {
				t.Errorf("the policies saw %v, %d held", failed, held.Load())
			}
		})
	}
}

func TestAHandlerRunsOnce(t *testing.T) {
	const runs = 3
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    middleware.Verdict
	}{
		"success": {answer(204), middleware.Verdict{}},
		"failure": {answer(503), middleware.Verdict{Class: middleware.Failure, Reason: "status_5xx"}},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			again := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				first := next.Do(ctx)
				for range runs {
					if err := next.Do(ctx); middleware.Unjudged(err) != middleware.Unjudged(first) || middleware.VerdictOf(err) != row.want {
						t.Errorf("another run: %v with %+v", err, middleware.VerdictOf(err))
					}
				}
				return first
			})
			retry := policies.NewRetry(policies.RetryConfig{Attempts: runs, Delay: time.Hour})
			local(t.Context(), transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls++
				row.handler(w, r)
			}), middleware.NewChain("", retry, again)))
			if calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	}

	t.Run("beside itself", func(t *testing.T) {
		calls := 0
		beside := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			return next.Do(context.WithValue(ctx, numberKey{}, func() error { return next.Do(ctx) }))
		})
		w := local(t.Context(), transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls++
			err := r.Context().Value(numberKey{}).(func() error)()
			if v := middleware.VerdictOf(err); err == nil || v.Class != middleware.Ignored || v.Retry {
				t.Errorf("a run beside the first: %v with %+v", err, v)
			}
			w.WriteHeader(204)
		}), middleware.NewChain("", beside)))
		if calls != 1 || w.Code != 204 {
			t.Errorf("%d calls, status %d", calls, w.Code)
		}
	})
}

func TestTheOperationOfARequest(t *testing.T) {
	key := transports.WithHandlerKey(func(r *http.Request) string { return r.Header.Get("X-Client") })
	given := middleware.Operation{Name: "list users", Key: "tenant", Idempotent: true}
	for name, row := range map[string]struct {
		pattern string
		given   middleware.Operation
		opts    []transports.HandlerOption
		want    middleware.Operation
	}{
		"method":                {"", middleware.Operation{}, nil, middleware.Operation{Name: "PUT"}},
		"pattern":               {"PUT /users/{id}", middleware.Operation{}, nil, middleware.Operation{Name: "PUT /users/{id}"}},
		"key":                   {"", middleware.Operation{}, []transports.HandlerOption{key}, middleware.Operation{Name: "PUT", Key: "c"}},
		"that of the context":   {"PUT /users/{id}", given, nil, middleware.Operation{Name: "list users", Key: "tenant"}},
		"the key of the option": {"", given, []transports.HandlerOption{key}, middleware.Operation{Name: "list users", Key: "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			var outside, inside middleware.Operation
			chain := middleware.NewChain("", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				outside = middleware.OperationOf(ctx)
				return next.Do(ctx)
			}))
			h := transports.NewHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				inside = middleware.OperationOf(r.Context())
			}), chain, row.opts...)
			if row.pattern != "" {
				mux := http.NewServeMux()
				mux.Handle(row.pattern, h)
				h = mux
			}
			ctx := t.Context()
			if row.given != (middleware.Operation{}) {
				ctx = middleware.WithOperation(ctx, row.given)
			}
			req := httptest.NewRequestWithContext(ctx, "PUT", "/users/7", nil)
			req.Header.Set("X-Client", "c")
			h.ServeHTTP(httptest.NewRecorder(), req)
			if outside != row.want {
				t.Errorf("for the policies %+v, want %+v", outside, row.want)
			}
			if inside != row.given {
				t.Errorf("for the handler %+v, want %+v", inside, row.given)
			}
		})
	}
}

func TestWhatAHandlerLeavesInItsRequest(t *testing.T) {
	var file, pattern string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload", func(_ http.ResponseWriter, r *http.Request) {
		err := r.ParseMultipartForm(1) // the rest goes to a file
		f, _, err2 := r.FormFile("file")
		if err = errors.Join(err, err2); err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		file = f.(*os.File).Name()
	})
	h := transports.NewHandler(mux, nil)
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Proto != version {
				t.Errorf("the version is %s, want %s", r.Proto, version)
			}
			h.ServeHTTP(w, r)
			pattern = r.Pattern
		}))
		s.EnableHTTP2 = version == "HTTP/2.0"
		s.StartTLS()
		var form bytes.Buffer
		parts := multipart.NewWriter(&form)
		part, _ := parts.CreateFormFile("file", "name")
		part.Write(make([]byte, 1<<10))
		parts.Close()
		req := request(t, "POST", s.URL+"/upload", &form)
		req.Header.Set("Content-Type", parts.FormDataContentType())
		do(t, s.Client().Transport, req, 200)
		s.Close() // the request is over
		if pattern != "POST /upload" {
			t.Errorf("%s: outside the pattern is %q", version, pattern)
		}
		if _, err := os.Stat(file); file == "" || !os.IsNotExist(err) {
			t.Errorf("%s: the file %q of the form is still there: %v", version, file, err)
		}
	}
}

func TestAClientThatLeavesTheQueue(t *testing.T) {
	for _, version := range []string{"HTTP/1", "HTTP/2"} {
		t.Run(version, func(t *testing.T) {
			limit := policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.001, Burst: 1, MaxWait: 2000 * time.Second})
			queued := make(chan struct{}, 2)
			arrives := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				queued <- struct{}{}
				return next.Do(ctx)
			})
			var runs atomic.Int32
			h := transports.NewHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs.Add(1) }),
				middleware.NewChain("", arrives, limit))
			logged := make(chan int, 1)
			s := serve(t, version, func(w http.ResponseWriter, r *http.Request) {
				record := &logger{ResponseWriter: w}
				h.ServeHTTP(record, r)
				if record.status != 0 {
					logged <- record.status
				}
			})
			get(t, s)
			<-queued
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan error)
			go func() {
				resp, err := s.base.RoundTrip(request(t, "GET", s.URL, nil).WithContext(ctx))
				if err == nil {
					resp.Body.Close()
				}
				left <- err
			}()
			<-queued
			leave()
			if err := <-left; !errors.Is(err, context.Canceled) {
				t.Errorf("the client got %v", err)
			}
			if status := <-logged; status != 499 || runs.Load() != 1 {
				t.Errorf("the status in the log is %d, the handler ran %d times", status, runs.Load())
			}
		})
	}
}

// A logger is an outer handler's ResponseWriter.
type logger struct {
	http.ResponseWriter

	status int
}

func (l *logger) WriteHeader(status int) {
	l.status = status
	l.ResponseWriter.WriteHeader(status)
}

// Our own client goes by what such a server says.
func TestAClientWaitsAsTheServerSays(t *testing.T) {
	const after = 90 * time.Second
	for _, row := range []struct {
		name     string
		maxAfter time.Duration
		kind     middleware.Kind
	}{
		{"as long as that", 2 * time.Minute, middleware.RetryScheduled},
		{"not so long", time.Minute, middleware.RetryStopped},
	} {
		t.Run(row.name, func(t *testing.T) {
			protected(t, func() http.Handler {
				return transports.NewHandler(answer(200), middleware.NewChain("",
					rejecting(middleware.Rejection{Reason: middleware.ErrRateLimited, RetryAfter: after - time.Millisecond})))
			}, func(t *testing.T, s *server) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var rec recorder
				leaves := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
					if e.Kind == middleware.RetryScheduled {
						cancel() // it has been seen, there is no need to wait
					}
				})
				rt := transports.New(s.base, middleware.NewChain("", &rec, leaves,
					policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond, Jitter: -1, MaxAfter: row.maxAfter})))
				resp, err := rt.RoundTrip(request(t, "GET", s.URL, nil).WithContext(ctx))
				if err == nil {
					defer resp.Body.Close()
				}
				events := rec.of(row.kind)
				if len(events) != 1 || events[0].Reason != "retry_after" || events[0].Wait != after {
					t.Errorf("events %+v", events)
				}
				if stopped := row.kind == middleware.RetryStopped; stopped != (err == nil && resp.StatusCode == 429) {
					t.Errorf("%v, %v", resp, err)
				}
				wantRequests(t, s, 1)
			})
		})
	}
}

func TestManyRequestsToOneHandler(t *testing.T) {
	var running, most atomic.Int32
	protected(t, func() http.Handler {
		var held atomic.Int32
		chain := middleware.NewChain("", policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e6}),
			policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1 << 20}), holding(&held), policies.NewTimeout(policies.TimeoutConfig{}))
		return transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			id := r.Header.Get("X-Id")
			if n, _ := strconv.Atoi(id); n%3 == 0 {
				w.WriteHeader(500)
			}
			io.WriteString(w, id)
		}), chain)
	}, func(t *testing.T, s *server) {
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				for j := range 5 {
					id, status := strconv.Itoa(5*i+j), 200
					if (5*i+j)%3 == 0 {
						status = 500
					}
					req := request(t, "GET", s.URL, nil)
					req.Header.Set("X-Id", id)
					resp, err := s.base.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if string(got) != id || resp.StatusCode != status || err != nil {
						t.Errorf("request %s: %q with %d, %v", id, got, resp.StatusCode, err)
					}
				}
			})
		}
		group.Wait()
		wantRequests(t, s, 500)
		if n := running.Load(); n != 0 {
			t.Errorf("%d requests are still running", n)
		}
	})
}

// What a request costs beside next: the record of the request, the copy of it that has
// the context, and a func value. A refusal costs its error and its headers.
func TestWhatAHandlerAllocates(t *testing.T) {
	silent := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	for _, row := range []struct {
		name  string
		chain *middleware.Chain
		want  float64
	}{
		{"no policies", nil, 3},
		{"breaker and rate limit", middleware.NewChain("", policies.NewBreaker(policies.BreakerConfig{}),
			policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e9, Burst: 1e9})), 3},
		{"refused", middleware.NewChain("", rejecting(middleware.Rejection{Reason: middleware.ErrRateLimited, RetryAfter: time.Minute})), 8},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := transports.NewHandler(silent, row.chain)
			var w http.ResponseWriter = http1{bare: bare{header: make(http.Header)}}
			req := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, req) })
			if n > row.want {
				t.Errorf("%v allocations, want at most %v", n, row.want)
			}
			t.Logf("%v allocations", n)
		})
	}
}

func ExampleNewHandler() {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	perClient := policies.NewKeyed(policies.KeyedConfig{}, func(string) *policies.RateLimit {
		return policies.NewRateLimit(policies.RateLimitConfig{Rate: 0.1, Burst: 2})
	})
	handler := transports.NewHandler(hello,
		middleware.NewChain("greetings",
			perClient,
			policies.NewBreaker(policies.BreakerConfig{}),
			policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Second}),
		),
		transports.WithHandlerKey(func(r *http.Request) string { return r.Header.Get("X-Client") }),
	)
	server := httptest.NewServer(handler)
	defer server.Close()

	for range 3 {
		resp, err := server.Client().Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Printf("%s, retry after %q\n", resp.Status, resp.Header.Get("Retry-After"))
	}
	// Output:
	// 200 OK, retry after ""
	// 200 OK, retry after ""
	// 429 Too Many Requests, retry after "10"
}

// What the handler has said of an answer that it did not give does not stand over the refusal.
func TestARefusalHasItsOwnHeaders(t *testing.T) {
	h := transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("ETag", "v1")
		w.Header().Set("X-Request-ID", "7")
		<-r.Context().Done()
	}), middleware.NewChain("", policies.NewTimeout(policies.TimeoutConfig{Limit: time.Millisecond})))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if got := w.Result().Header; w.Code != 503 || got.Get("Content-Encoding") != "" || got.Get("ETag") != "" || got.Get("X-Request-ID") != "7" {
		t.Errorf("%d, %v", w.Code, got)
	}
}
