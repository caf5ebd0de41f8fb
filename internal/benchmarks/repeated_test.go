package benchmarks

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// The calls of BenchmarkRepeated, one after the other.
const repeatedCalls = 1000

// BenchmarkRepeated counts the connections that calls open which succeed at the second
// attempt, and the bodies of responses that nobody closes. 2 KiB is less than
// go-retryablehttp reads of a response that it gives up, and 16 KiB is more.
func BenchmarkRepeated(b *testing.B) {
	for _, size := range []int{2 << 10, 16 << 10} {
		work := fmt.Sprintf("%d GETs, 503 and then 200, bodies of %d KiB", repeatedCalls, size>>10)
		for _, l := range transportLibraries {
			if l.wrap(instant{}, repeatStack) == nil {
				continue
			}
			runOnOne(b, work+"/"+l.name, func(b *testing.B) {
				var conns, leaks int64
				for b.Loop() {
					conns, leaks = repeatCalls(b, l, size)
				}
				b.ReportMetric(0, "ns/op") // counts are what matters
				b.ReportMetric(float64(conns), "conns")
				b.ReportMetric(float64(leaks), "leaks")
			})
		}
	}
}

// Retries of Tidegate open no connection more than a loop written by hand, and leave
// no body open.
func TestRepeatedCallsKeepTheirConnection(t *testing.T) {
	for _, size := range []int{0, 2 << 10, 16 << 10} {
		bare, leaks := repeatCalls(t, libraryNamed(t, "bare"), size)
		if bare != 1 || leaks != 0 {
			t.Fatalf("by hand: %d connections and %d leaks, want one and none", bare, leaks)
		}
		conns, leaks := repeatCalls(t, libraryNamed(t, "tidegate"), size)
		if conns > bare || leaks != 0 {
			t.Errorf("bodies of %d bytes: %d connections and %d leaks, want %d and none", size, conns, leaks, bare)
		}
	}
}

// The counts are not blind to what they are there for.
func TestRepeatedCallsCountLeaks(t *testing.T) {
	careless := transportLibrary{"careless", func(base http.RoundTripper, _ stack) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if _, err := base.RoundTrip(req); err != nil { // its body stays open
				return nil, err
			}
			return base.RoundTrip(req)
		})
	}}
	conns, leaks := repeatCalls(t, careless, 16<<10)
	if conns != repeatedCalls+1 || leaks != repeatedCalls {
		t.Errorf("%d connections and %d leaks, want %d and %d", conns, leaks, repeatedCalls+1, repeatedCalls)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func libraryNamed(tb testing.TB, name string) transportLibrary {
	tb.Helper()
	for _, l := range transportLibraries {
		if l.name == name {
			return l
		}
	}
	tb.Fatalf("there is no library %q", name)
	return transportLibrary{}
}

// repeatCalls makes the calls. Each is answered with 503, and when it comes again with
// 200, with bodies of that size.
func repeatCalls(tb testing.TB, l transportLibrary, size int) (conns, leaks int64) {
	tb.Helper()
	var opened atomic.Int64
	var seen sync.Map
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		if _, again := seen.LoadOrStore(req.URL.Path, true); !again {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(make([]byte, size))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	base := new(http.Transport)
	defer base.CloseIdleConnections()
	bodies := &openBodies{base: base, bodies: make(map[*countedBody]struct{})}
	defer bodies.close()

	rt := l.wrap(bodies, repeatStack)
	for i := range repeatedCalls {
		status, err := exchange(rt, get(tb, server.URL+"/"+strconv.Itoa(i)))
		if err != nil || status != http.StatusOK {
			tb.Fatal(status, err)
		}
	}
	return opened.Load(), bodies.count()
}

// openBodies knows the bodies of responses that have not been closed.
type openBodies struct {
	base http.RoundTripper

	mu     sync.Mutex
	bodies map[*countedBody]struct{}
}

func (o *openBodies) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.base.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	body := &countedBody{ReadCloser: resp.Body, of: o}
	resp.Body = body
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bodies[body] = struct{}{}
	return resp, nil
}

func (o *openBodies) count() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int64(len(o.bodies))
}

// close closes what others have left open.
func (o *openBodies) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for body := range o.bodies {
		_ = body.ReadCloser.Close()
	}
}

type countedBody struct {
	io.ReadCloser

	of *openBodies
}

func (b *countedBody) Close() error {
	b.of.mu.Lock()
	delete(b.of.bodies, b)
	b.of.mu.Unlock()
	return b.ReadCloser.Close()
}
