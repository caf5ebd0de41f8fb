//go:build real

package kubernetes_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/adapters/kubernetes"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A wire is the way from clients to the API server, below the chain. It counts the
// requests that the chain lets through, and may answer them in the server's place.
type wire struct {
	cut atomic.Bool // the connection that is next to carry an answer is reset instead

	mu       sync.Mutex
	requests map[string]int // by method and path
	answer   func(*http.Request) *http.Response
	answered int // requests that did not reach the server
}

// wrapped returns a config for clients of the API server by way of the chain and then
// of the wire.
func (c *realCluster) wrapped(w *wire, chain *middleware.Chain, opts ...kubernetes.Option) *rest.Config {
	return kubernetes.Wrap(w.below(c.config), chain, opts...)
}

// below returns a copy of config with the wire.
func (w *wire) below(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(base http.RoundTripper) http.RoundTripper { return &hop{w, base} })
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &cutConn{conn, &w.cut}, nil
	}
	return config
}

// set gives all requests to answer, which returns nil for those that are to reach the
// server. The wire is locked meanwhile.
func (w *wire) set(answer func(*http.Request) *http.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// count returns how many requests there were whose method is the first word and whose
// path ends with the second.
func (w *wire) count(what string) (n int) {
	method, path, _ := strings.Cut(what, " ")
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, times := range w.requests {
		if strings.HasPrefix(name, method+" ") && strings.HasSuffix(name, path) {
			n += times
		}
	}
	return n
}

// total returns how many requests there were.
func (w *wire) total() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.requests {
		n += times
	}
	return n
}

// faults returns how many requests did not reach the server.
func (w *wire) faults() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answered
}

func (w *wire) take(r *http.Request) *http.Response {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.requests == nil {
		w.requests = map[string]int{}
	}
	w.requests[r.Method+" "+r.URL.Path]++
	if w.answer == nil {
		return nil
	}
	resp := w.answer(r)
	if resp != nil {
		w.answered++
	}
	return resp
}

// A hop is a wire in one client.
type hop struct {
	*wire
	base http.RoundTripper
}

func (h *hop) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := h.take(r)
	if resp == nil {
		return h.base.RoundTrip(r)
	}
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	return resp, nil
}

func (h *hop) WrappedRoundTripper() http.RoundTripper { return h.base }

// statusAnswer is an answer as the API server gives it.
func statusAnswer(r *http.Request, code int, reason, retryAfter string) *http.Response {
	body := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"` + reason + `","reason":"` + reason + `"}`
	header := http.Header{"Content-Type": {"application/json"}}
	if retryAfter != "" {
		header.Set("Retry-After", retryAfter)
	}
	return &http.Response{
		StatusCode: code, Proto: "HTTP/2.0", ProtoMajor: 2, Header: header, Request: r,
		Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
	}
}

// A cutConn is a connection that is reset when it is to carry an answer while cut is
// set: the server has had the request, and the client has no answer.
type cutConn struct {
	net.Conn
	cut *atomic.Bool
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.cut.CompareAndSwap(true, false) {
		c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

// A realChain is a chain as most programs have it.
type realChain struct {
	*middleware.Chain
	breakers *policies.Keyed[*policies.Breaker]

	mu     sync.Mutex
	events map[middleware.Kind]int
}

// newChain returns a chain whose breakers open after failures failures, one for each
// key, with more policies inside.
func newChain(inside ...middleware.Policy) *realChain {
	return newChainThat(1, inside...)
}

func newChainThat(failures int, inside ...middleware.Policy) *realChain {
	c := &realChain{events: map[middleware.Kind]int{}}
	c.breakers = policies.NewKeyed(policies.KeyedConfig{}, func(key string) *policies.Breaker {
		return policies.NewBreaker(policies.BreakerConfig{Key: key, FailureThreshold: failures})
	})
	c.Chain = middleware.NewChain("kubernetes", append([]middleware.Policy{middleware.ObserverFunc(c.observe), c.breakers}, inside...)...)
	return c
}

func (c *realChain) observe(_ context.Context, e middleware.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events[e.Kind]++
}

// seen returns how many events of the kind there were.
func (c *realChain) seen(kind middleware.Kind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events[kind]
}

func (c *realChain) wantClosed(t testing.TB) {
	t.Helper()
	for key, b := range c.breakers.All() {
		if b.State() != policies.Closed {
			t.Errorf("the breaker of %q is %v: %v", key, b.State(), b.Status().Last)
		}
	}
}
