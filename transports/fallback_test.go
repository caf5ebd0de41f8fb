package transports_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/internal/loopback"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

type alternative = func(*http.Request, error) (*http.Response, error)

// A sending is a base transport.
type sending func(*http.Request) (*http.Response, error)

func (f sending) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func fallingBack(inner ...middleware.Policy) *middleware.Chain {
	return middleware.NewChain("test", append([]middleware.Policy{policies.NewFallback(policies.FallbackConfig{})}, inner...)...)
}

// The body is there if it can be had again; else reading it is an error, and the caller gets
// what there was before.
func TestAFallbackToAnotherServer(t *testing.T) {
	const size = 200_000
	for _, mode := range []loopback.Mode{loopback.HTTP1, loopback.HTTPS1, loopback.HTTP2} {
		for _, row := range []struct {
			name     string
			method   string
			first    loopback.Option
			bodiless bool // without GetBody
			replay   bool
			inner    []middleware.Policy
			want     int // status
		}{
			{"a status", "PUT", loopback.Script(loopback.Status(503).Size(10_000)), false, false, nil, 200},
			{"a status, a large one", "GET", loopback.Script(loopback.Status(500).Size(1 << 20)), false, false, nil, 200},
			{"after retries", "PUT", loopback.Script(loopback.Status(503).Size(10_000)), false, false,
				[]middleware.Policy{policies.NewRetry(policies.RetryConfig{Delay: time.Microsecond}), policies.NewTimeout(policies.TimeoutConfig{})}, 200},
			{"a POST", "POST", loopback.Script(loopback.Close()), false, false, nil, 200},
			{"not sent", "POST", loopback.Script(loopback.OK("well")), true, false, []middleware.Policy{rejecting(middleware.Rejection{Reason: middleware.ErrOpen})}, 200},
			{"sent, and cannot be had again", "POST", loopback.Script(loopback.Status(503).Size(10_000)), true, false, nil, 503},
			{"sent, and was kept", "POST", loopback.Script(loopback.Status(503).Size(10_000)), true, true, nil, 200},
		} {
			t.Run(mode.String()+"/"+row.name, func(t *testing.T) {
				first, second := loopback.New(t, mode, row.first), loopback.New(t, mode, loopback.Script(loopback.OK("").Size(1<<20)))
				watch, other := &loopback.Watch{Base: first.Transport()}, &loopback.Watch{Base: second.Transport()}
				source := loopback.Bytes(size)
				source.NoGetBody = row.bodiless
				opts := []transports.Option{transports.WithFallback(func(req *http.Request, cause error) (*http.Response, error) {
					if cause == nil {
						t.Error("there is no cause")
					}
					if req.ContentLength != size {
						t.Errorf("the length of the body is %d", req.ContentLength)
					}
					req.URL.Host = strings.TrimPrefix(strings.TrimPrefix(second.URL, "https://"), "http://")
					return other.RoundTrip(req)
				})}
				if row.replay {
					opts = append(opts, transports.WithReplay(size))
				}
				bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
				chain := middleware.NewChain("outer", bulkhead, fallingBack(row.inner...))
				resp, err := transports.New(watch, chain, opts...).RoundTrip(source.Request(t, row.method, first.URL))
				if err != nil {
					t.Fatal(err)
				}
				if n := bulkhead.Status().Running; n != 1 && row.want == 200 {
					t.Errorf("%d places are held while the response is read", n)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if want := map[int]int64{200: 1 << 20, 503: 10_000}[row.want]; resp.StatusCode != row.want || n != want || err != nil {
					t.Errorf("status %d with %d bytes, %v; want %d with %d", resp.StatusCode, n, err, row.want, want)
				}
				if n := bulkhead.Status().Running; n != 0 {
					t.Errorf("%d places are held afterwards", n)
				}
				if n := watch.Leaked() + other.Leaked(); n != 0 {
					t.Errorf("%d response bodies leaked", n)
				}
				wait(t, "the request bodies to be closed", func() bool { return source.Seen().Open == 0 })
				whole := false
				for _, n := range source.Seen().Bytes {
					whole = whole || n == size
				}
				if b := source.Seen(); b.Overlapping > 0 || !whole {
					t.Errorf("the bodies of the request were used wrongly: %+v", b)
				}
			})
		}
	}
}

func canned(status int, text string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(text))}
}

// A response that it returns is the caller's, whatever its status. When it returns an error,
// the caller gets the response that came with cause, if there is one, and else that error.
func TestWhatTheCallerGetsOfAFallback(t *testing.T) {
	errMiss, errDown := errors.New("no copy"), errors.New("down")
	answer := func(status int, err error) sending {
		return func(*http.Request) (*http.Response, error) {
			if err != nil {
				return nil, err
			}
			return canned(status, "the server's"), nil
		}
	}
	for _, row := range []struct {
		name        string
		base        sending
		alternative alternative
		statuses    bool
		want        string
		used        int
	}{
		{"a success", answer(200, nil), func(*http.Request, error) (*http.Response, error) { return canned(200, "a copy"), nil }, false, "200 the server's", 0},
		{"not found is an answer", answer(404, nil), func(*http.Request, error) (*http.Response, error) { return canned(200, "a copy"), nil }, false, "404 the server's", 0},
		{"a copy", answer(503, nil), func(*http.Request, error) (*http.Response, error) { return canned(200, "a copy"), nil }, false, "200 a copy", 1},
		{"a status of one's own", answer(0, errDown), func(*http.Request, error) (*http.Response, error) { return canned(503, "come back later"), nil }, true, "503 come back later", 1},
		{"a miss", answer(503, nil), func(*http.Request, error) (*http.Response, error) { return nil, errMiss }, false, "503 the server's", 1},
		{"nothing to offer", answer(503, nil), func(_ *http.Request, cause error) (*http.Response, error) { return nil, cause }, false, "503 the server's", 0},
		{"a miss, with status errors", answer(503, nil), func(*http.Request, error) (*http.Response, error) { return nil, errMiss }, true,
			"the server answered with status 503 (Service Unavailable); the alternative failed too: no copy", 1},
		{"a miss, and no response", answer(0, errDown), func(*http.Request, error) (*http.Response, error) { return nil, errMiss }, false,
			"down; the alternative failed too: no copy", 1},
		{"nothing to offer, and no response", answer(0, errDown), func(_ *http.Request, cause error) (*http.Response, error) { return nil, cause }, false, "down", 0},
		{"neither response nor error", answer(0, errDown), func(*http.Request, error) (*http.Response, error) { return nil, nil }, false,
			"down; the alternative failed too: transports: the alternative of WithFallback returned neither a response nor an error", 1},
		{"none", answer(0, errDown), nil, false, "down", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen recorder
			watch := &loopback.Watch{Base: row.base}
			opts := []transports.Option{transports.WithFallback(row.alternative)}
			if row.statuses {
				opts = append(opts, transports.WithStatusErrors())
			}
			source := loopback.Bytes(100)
			chain := middleware.NewChain("test", &seen, fallingBack())
			resp, err := transports.New(watch, chain, opts...).RoundTrip(source.Request(t, "PUT", "http://example.com"))
			got := fmt.Sprint(err)
			if err == nil {
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				got = fmt.Sprint(resp.StatusCode, " ", string(text))
			} else if resp != nil {
				t.Error("a response and an error")
			}
			if got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if n := len(seen.of(middleware.FallbackUsed)); n != row.used || watch.Leaked() != 0 {
				t.Errorf("%d fallbacks, want %d, and %d leaked bodies", n, row.used, watch.Leaked())
			}
			if made := source.Seen().Made; made != 1 {
				t.Errorf("%d bodies were made for an alternative that reads none", made)
			}
		})
	}
}

// What a response that was made by hand lacks is filled in, and a body that comes with an
// error is closed.
func TestResponsesOfAFallbackAreComplete(t *testing.T) {
	fail := sending(func(*http.Request) (*http.Response, error) { return nil, errors.New("down") })
	client := transports.Client(&http.Client{Transport: fail}, fallingBack(), transports.WithFallback(
		func(*http.Request, error) (*http.Response, error) { return &http.Response{StatusCode: 200}, nil }))
	resp, err := client.Get("http://example.com/a")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header == nil || resp.Request == nil || resp.Request.URL.Path != "/a" {
		t.Errorf("got %+v", resp)
	}
	body := newSpy("x")
	_, err = transports.New(fail, fallingBack(), transports.WithFallback(func(*http.Request, error) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: body}, errors.New("no")
	})).RoundTrip(request(t, "GET", "http://example.com", nil))
	if err == nil || body.closes.Load() != 1 {
		t.Errorf("%v, and the body was closed %d times", err, body.closes.Load())
	}
}

// In a chain without a Fallback every request is an error, and is not sent.
func TestAFallbackNeedsItsPolicy(t *testing.T) {
	base := sending(func(*http.Request) (*http.Response, error) { t.Error("it was sent"); return canned(200, ""), nil })
	body := newSpy("x")
	transport := transports.New(base, middleware.NewChain("x"), transports.WithFallback(
		func(*http.Request, error) (*http.Response, error) { t.Error("it ran"); return canned(200, ""), nil }))
	_, err := transport.RoundTrip(request(t, "POST", "http://example.com", body))
	if err == nil || !strings.Contains(err.Error(), "put policies.NewFallback before the others") || body.closes.Load() != 1 {
		t.Errorf("got %v, and the body was closed %d times", err, body.closes.Load())
	}
}

// A panic of the alternative, or Goexit, leaves nothing open.
func TestAFallbackThatDoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		watch := &loopback.Watch{Base: sending(func(*http.Request) (*http.Response, error) { return canned(503, "x"), nil })}
		bulkhead := policies.NewBulkhead(policies.BulkheadConfig{})
		transport := transports.New(watch, middleware.NewChain("x", bulkhead, fallingBack()), transports.WithFallback(
			func(*http.Request, error) (*http.Response, error) { leave(); return nil, errors.New("no") }))
		var group sync.WaitGroup
		group.Go(func() {
			defer func() { _ = recover() }()
			_, _ = transport.RoundTrip(request(t, "GET", "http://example.com", nil))
		})
		group.Wait()
		if watch.Opened() != 1 || watch.Leaked() != 0 || bulkhead.Status().Running != 0 {
			t.Errorf("%s: %d of %d bodies leaked, %d places are held", name, watch.Leaked(), watch.Opened(), bulkhead.Status().Running)
		}
	}
}

// A body is opened by the first Read, once, and not after Close.
func TestABodyForAFallbackIsOpenedLate(t *testing.T) {
	fail := sending(func(req *http.Request) (*http.Response, error) { req.Body.Close(); return nil, errors.New("down") })
	source := loopback.Text("content")
	transport := transports.New(fail, fallingBack(), transports.WithFallback(func(req *http.Request, _ error) (*http.Response, error) {
		got, err := io.ReadAll(req.Body)
		if string(got) != "content" || err != nil {
			t.Errorf("the body is %q, %v", got, err)
		}
		req.Body.Close()
		again, err := req.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		return canned(200, ""), nil
	}))
	do(t, transport, source.Request(t, "PUT", "http://example.com"), 200)
	if b := source.Seen(); b.Open != 0 || b.Made != 3 {
		t.Errorf("%+v", b)
	}
	closed := transports.New(fail, fallingBack(), transports.WithFallback(func(req *http.Request, _ error) (*http.Response, error) {
		req.Body.Close()
		if _, err := req.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
			t.Errorf("read after close: %v", err)
		}
		return canned(200, ""), nil
	}))
	do(t, closed, loopback.Text("content").Request(t, "PUT", "http://example.com"), 200)
}

// An alternative that is not needed costs nothing.
func TestAFallbackAllocatesNothing(t *testing.T) {
	base := sending(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	allocations := func(opts ...transports.Option) float64 {
		transport, req := transports.New(base, fallingBack(), opts...), request(t, "GET", "http://example.com", nil)
		return testing.AllocsPerRun(1000, func() { _, _ = transport.RoundTrip(req) })
	}
	without, with := allocations(), allocations(transports.WithFallback(func(*http.Request, error) (*http.Response, error) { return nil, nil }))
	if with != without {
		t.Errorf("%v allocations with an alternative, %v without", with, without)
	}
}

func ExampleWithFallback() {
	origin := httptest.NewServer(http.NotFoundHandler())
	origin.Close() // it is down
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from the mirror") }))
	defer mirror.Close()

	chain := middleware.NewChain("files", policies.NewFallback(policies.FallbackConfig{}))
	client := transports.Client(nil, chain, transports.WithFallback(func(req *http.Request, _ error) (*http.Response, error) {
		req.URL.Host, req.Host = mirror.Listener.Addr().String(), ""
		return http.DefaultTransport.RoundTrip(req)
	}))
	resp, err := client.Get(origin.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	fmt.Println(string(body))
	// Output: from the mirror
}

// A request keeps its generated Idempotency-Key, so that servers which share a store tell
// that it is the same.
func TestAFallbackKeepsTheIdempotencyKey(t *testing.T) {
	var keys []string
	note := sending(func(req *http.Request) (*http.Response, error) {
		keys = append(keys, req.Header.Get("Idempotency-Key"))
		return canned(503, ""), nil
	})
	transport := transports.New(note, fallingBack(), transports.WithIdempotencyKey(), transports.WithFallback(
		func(req *http.Request, _ error) (*http.Response, error) { return note(req) }))
	do(t, transport, request(t, "POST", "http://example.com", nil), 503)
	if len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("the keys are %q", keys)
	}
}
