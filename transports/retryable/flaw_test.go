package retryable_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
	"github.com/tidegate-go/tidegate/transports/retryable"
)

// What go-retryablehttp by itself does wrong, one test each: none of it happens with its
// loop as an engine.

var engine = retryable.NewEngine()

func chain(attempts int, inner ...middleware.Policy) *middleware.Chain {
	retry := policies.NewRetry(policies.RetryConfig{Attempts: attempts, Delay: time.Microsecond, Engine: engine})
	return middleware.NewChain("x", append([]middleware.Policy{retry}, inner...)...)
}

// script returns a server that answers 503 twice and then well, in each mode.
func script(t *testing.T, test func(t *testing.T, s *loopback.Server), steps ...loopback.Step) {
	t.Helper()
	loopback.Each(t, func(t *testing.T, mode loopback.Mode) { test(t, loopback.New(t, mode, loopback.Script(steps...))) })
}

func send(t *testing.T, rt http.RoundTripper, req *http.Request) (status int, body string) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

var unavailable = loopback.Status(503).Size(1000)

// Over HTTP/2 the server allocates for each piece, in the same process, so it says nothing.
func TestFlawTheBodyIsReadIntoMemory(t *testing.T) {
	const size = 32 << 20
	for _, mode := range []loopback.Mode{loopback.HTTP1, loopback.HTTPS1} {
		s := loopback.New(t, mode, loopback.Script(unavailable, loopback.OK("well")))
		source := loopback.Bytes(size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		status, _ := send(t, transports.New(s.Transport(), chain(3)), source.Request(t, "PUT", s.URL))
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; status != 200 || grown > size/2 {
			t.Errorf("%v: status %d; %d bytes were allocated to send %d twice", mode, status, grown, size)
		}
		if b := source.Seen(); b.GetBody != 1 {
			t.Errorf("%v: GetBody was called %d times, want once for the second attempt", mode, b.GetBody)
		}
	}
}

func TestFlawASeekerIsRewoundToItsBeginning(t *testing.T) {
	name := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(name, []byte("not this: payload"), 0o600); err != nil {
		t.Fatal(err)
	}
	want, _ := loopback.SumOf(strings.NewReader("payload"))
	whole, _ := loopback.SumOf(strings.NewReader("not this: payload"))
	script(t, func(t *testing.T, s *loopback.Server) {
		open := func() *http.Request {
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { file.Close() })
			file.Seek(10, io.SeekStart)
			req, _ := http.NewRequestWithContext(t.Context(), "PUT", s.URL, file)
			return req
		}
		send(t, transports.New(s.Transport(), chain(3), transports.WithReplay(0)), open())
		alone, err := retryablehttp.NewRequest("PUT", s.URL, open().Body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := quick(s.Transport()).Do(alone)
		finish(t, resp, err)
		for i, r := range s.Requests() {
			if i < 3 && r.Body != want {
				t.Errorf("request %d had %d bytes, want those from the offset on", i+1, r.Body.Length)
			}
			if i == 3 && r.Body != whole {
				t.Errorf("go-retryablehttp alone sent %d bytes: the flaw is not there any more", r.Body.Length)
			}
		}
	}, unavailable, unavailable, loopback.OK("well"))
}

func TestFlawTheBodyIsNotClosed(t *testing.T) {
	script(t, func(t *testing.T, s *loopback.Server) {
		source := loopback.Text("payload")
		send(t, transports.New(s.Transport(), chain(3)), source.Request(t, "PUT", s.URL))
		s.Transport().CloseIdleConnections()
		s.WantOpen(0)
		if b := source.Seen(); b.Open != 0 || b.Made != 3 {
			t.Errorf("of %d bodies %d were not closed", b.Made, b.Open)
		}
	}, unavailable, unavailable, loopback.OK("well"))
}

func TestFlawTheCallersRequestIsChanged(t *testing.T) {
	script(t, func(t *testing.T, s *loopback.Server) {
		req := loopback.Text("payload").Request(t, "PUT", s.URL)
		before := *req
		send(t, transports.New(s.Transport(), chain(3)), req)
		if req.Body != before.Body || req.URL != before.URL || req.ContentLength != before.ContentLength || req.Context() != before.Context() {
			t.Errorf("%+v, before %+v", *req, before)
		}
	}, unavailable, loopback.OK("well"))
}

func TestFlawAPOSTIsRepeated(t *testing.T) {
	script(t, func(t *testing.T, s *loopback.Server) {
		if status, _ := send(t, transports.New(s.Transport(), chain(3)), loopback.Text("x").Request(t, "POST", s.URL)); status != 503 || s.Count() != 1 {
			t.Errorf("status %d after %d requests", status, s.Count())
		}
	}, unavailable)
}

func TestFlawRedirectsAreFollowed(t *testing.T) {
	script(t, func(t *testing.T, s *loopback.Server) {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
		if status, _ := send(t, transports.New(s.Transport(), chain(3)), req); status != 302 || s.Count() != 1 {
			t.Errorf("status %d after %d requests", status, s.Count())
		}
	}, loopback.Status(302).Header("Location", "/elsewhere"))
}

func TestFlawAnExhausted5xxBecomesAnError(t *testing.T) {
	script(t, func(t *testing.T, s *loopback.Server) {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
		if status, body := send(t, transports.New(s.Transport(), chain(3)), req); status != 503 || body != "the last" || s.Count() != 3 {
			t.Errorf("status %d, %q after %d requests", status, body, s.Count())
		}
	}, unavailable, unavailable, loopback.Status(503).Body("the last"))
}

func TestFlawResponseAndErrorTogether(t *testing.T) {
	script(t, func(t *testing.T, s *loopback.Server) {
		send := func(do func(*http.Request) (*http.Response, error)) (both bool) {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
			resp, err := do(req)
			if resp != nil {
				resp.Body.Close()
			}
			if resp == nil && err == nil {
				t.Error("neither response nor error")
			}
			return resp != nil && err != nil
		}
		if both := send(transports.New(s.Transport(), chain(2)).RoundTrip); both {
			t.Error("the engine gave a response and an error")
		}
		alone := quick(s.Transport())
		alone.CheckRetry, alone.ErrorHandler = retryablehttp.ErrorPropagatedRetryPolicy, retryablehttp.PassthroughErrorHandler
		if both := send((&retryablehttp.RoundTripper{Client: alone}).RoundTrip); !both {
			t.Error("go-retryablehttp alone gave one of the two: the flaw is not there any more")
		}
		if both := send((&retryablehttp.RoundTripper{Client: retryable.Wrap(alone, nil)}).RoundTrip); both {
			t.Error("the bridge gave a response and an error")
		}
	}, unavailable)
}

// Nor when the context ends as the response comes.
func TestFlawResponseAndErrorTogetherAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	watch := &loopback.Watch{Base: roundTripper(func(req *http.Request) (*http.Response, error) {
		cancel()
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("x")), Request: req}, nil
	})}
	c := quick(watch)
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	resp, err := retryable.Wrap(c, nil).Do(newRequest(t, "GET", "http://example.com", nil).WithContext(ctx))
	if resp != nil || !errors.Is(err, context.Canceled) || watch.Leaked() != 0 {
		t.Errorf("%v, %v, %d bodies leaked", resp, err, watch.Leaked())
	}
}

func TestFlawTheErrorOfTheTransportIsReplaced(t *testing.T) {
	broken := &net.OpError{Op: "read", Err: errors.New("broken")}
	rt := transports.New(roundTripper(func(*http.Request) (*http.Response, error) { return nil, broken }), chain(3))
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://example.com", nil)
	_, err := rt.RoundTrip(req)
	if err != error(broken) { // no *url.Error either
		t.Errorf("got %v (%T), want the very error of the base", err, err)
	}
	var outer, inner *url.Error
	_, err = (&http.Client{Transport: rt}).Get("http://example.com")
	if !errors.As(err, &outer) || errors.As(outer.Err, &inner) {
		t.Errorf("got %v, want one *url.Error", err)
	}
}

// In virtual time: the waits are those of the Retry.
func TestFlawTheWaitsHaveNoJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		for range 50 {
			var waits []time.Duration
			note := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
				if e.Kind == middleware.RetryScheduled {
					waits = append(waits, e.Wait)
				}
			})
			retry := policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Second, Engine: engine})
			begin := time.Now()
			_ = middleware.NewChain("x", note, retry).Do(t.Context(), func(context.Context) error { return io.ErrUnexpectedEOF })
			took := time.Since(begin)
			if len(waits) != 1 || took != waits[0] || took < time.Second/2 || took > 3*time.Second/2 {
				t.Fatalf("waited %s, announced %v", took, waits)
			}
			seen[took] = true
		}
		if len(seen) < 20 {
			t.Errorf("only %d different waits", len(seen))
		}
	})
}

func TestFlawRetryAfterHasNoLimit(t *testing.T) {
	for _, after := range []string{"3600", "18446744074", strings.Repeat("9", 40)} {
		script(t, func(t *testing.T, s *loopback.Server) {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
			if status, _ := send(t, transports.New(s.Transport(), chain(3)), req); status != 503 || s.Count() != 1 {
				t.Errorf("%s: status %d after %d requests", after, status, s.Count())
			}
		}, loopback.Status(503).Header("Retry-After", after))
	}
}

func TestFlawIdleConnectionsAreClosed(t *testing.T) {
	base := new(closer)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://example.com", nil)
	if _, err := transports.New(base, chain(3)).RoundTrip(req); err == nil || base.closed != 0 {
		t.Errorf("%v; closed %d times", err, base.closed)
	}
}

func TestFlawResponsesAreDrainedWithoutALimit(t *testing.T) {
	script(t, func(t *testing.T, s *loopback.Server) {
		watch := &loopback.Watch{Base: s.Transport()}
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
		send(t, transports.New(watch, chain(3)), req)
		if watch.Leaked() != 0 || s.Count() != 2 {
			t.Errorf("%d bodies leaked, %d requests", watch.Leaked(), s.Count())
		}
	}, loopback.Status(503).Endless().Pause(10, nil), loopback.OK("well"))
}

func TestFlawACancelledWaitLosesTheError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	note := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
		if e.Kind == middleware.RetryScheduled {
			cancel()
		}
	})
	retry := policies.NewRetry(policies.RetryConfig{Delay: time.Hour, Engine: engine})
	err := middleware.NewChain("x", note, retry).Do(ctx, func(context.Context) error { return io.ErrUnexpectedEOF })
	if !errors.Is(err, context.Canceled) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the cancellation and what failed before", err)
	}
}

func TestFlawRetryMaxCountsRetries(t *testing.T) {
	for _, attempts := range []int{1, 2, 5} {
		n := 0
		_ = chain(attempts).Do(t.Context(), func(context.Context) error { n++; return io.ErrUnexpectedEOF })
		if n != attempts {
			t.Errorf("%d attempts, want %d", n, attempts)
		}
	}
}

func TestFlawAnOpenBreakerIsRepeated(t *testing.T) {
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	breaker.ForceOpen()
	asked := 0
	count := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		asked++
		return next.Do(ctx)
	})
	err := chain(5, count, breaker).Do(t.Context(), func(context.Context) error { return nil })
	if !errors.Is(err, middleware.ErrOpen) || asked != 1 {
		t.Errorf("%v after %d attempts", err, asked)
	}
}

// One engine for many requests at once, each with its own attempts.
func TestFlawTheStateIsTheClients(t *testing.T) {
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			n, want := 0, 1+i%3
			err := chain(3).Do(t.Context(), func(context.Context) error {
				if n++; n < want {
					return io.ErrUnexpectedEOF
				}
				return nil
			})
			if err != nil || n != want {
				t.Errorf("%v after %d attempts, want %d", err, n, want)
			}
		})
	}
	group.Wait()
}

// What goes wrong in an attempt reaches the caller as it is.
func TestTheEngineLetsPanicsPass(t *testing.T) {
	defer func() {
		if got := recover(); got != "boom" {
			t.Errorf("recovered %v", got)
		}
	}()
	_ = chain(3).Do(t.Context(), func(context.Context) error { panic("boom") })
}

func TestTheEngineLetsGoexitPass(t *testing.T) {
	returned := true
	var group sync.WaitGroup
	group.Go(func() {
		returned = false
		_ = chain(3).Do(t.Context(), func(context.Context) error { runtime.Goexit(); return nil })
		returned = true
	})
	group.Wait()
	if returned {
		t.Error("the goroutine went on")
	}
}

func BenchmarkEngine(b *testing.B) {
	for name, e := range map[string]policies.RetryEngine{"own": nil, "go-retryablehttp": engine} {
		for _, failures := range []int{0, 1} {
			b.Run(fmt.Sprintf("%s/%d failures", name, failures), func(b *testing.B) {
				c := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: 1, Engine: e}))
				b.ReportAllocs()
				for b.Loop() {
					n := 0
					_ = c.Do(b.Context(), func(context.Context) error {
						if n++; n <= failures {
							return io.ErrUnexpectedEOF
						}
						return nil
					})
				}
			})
		}
	}
}
