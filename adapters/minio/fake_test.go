package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a fake S3 that answers the n-th request, counted from 1, in a way of
// the test's own. It serves on pipes, so it also works in virtual time.
type script struct {
	answer func(n int, w http.ResponseWriter, r *http.Request)

	mu       sync.Mutex
	requests []request
}

type request struct {
	method, path, query, body string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, request{r.Method, r.URL.Path, r.URL.RawQuery, ""})
	n := len(s.requests)
	s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.requests[n-1].body = string(body)
	s.mu.Unlock()
	s.answer(n, w, r)
}

func (s *script) seen() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.requests...)
}

func (s *script) wantRequests(t *testing.T, want int) {
	t.Helper()
	if got := s.seen(); len(got) != want {
		t.Errorf("the server saw %d requests, want %d: %v", len(got), want, got)
	}
}

// connect returns a client of s.
func (s *script) connect(t *testing.T, chain *middleware.Chain, change ...func(*minio.Options)) *Client {
	t.Helper()
	// Without a signature the body of an upload is its content.
	anonymous := credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	o := minio.Options{Creds: anonymous, Region: "us-east-1", Transport: s.transport(t)}
	for _, f := range change {
		f(&o)
	}
	c, err := New("s3.test", o, chain)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *script) transport(t *testing.T) *http.Transport {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	var open sync.WaitGroup // connections; a server's Close does not wait for them
	server := &http.Server{Handler: s, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Done()
		default:
		}
	}}
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-served
		open.Wait()
	})
	return transport
}

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// fail answers with an S3 error. To a HEAD request it has no body.
func fail(w http.ResponseWriter, r *http.Request, status int, code string) {
	w.Header().Set("X-Amz-Request-Id", "4711")
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead && code != "" {
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>scripted</Message><RequestId>4711</RequestId></Error>", code)
	}
}

// succeed answers any of the requests of the tests.
func succeed(w http.ResponseWriter, r *http.Request, content string) {
	w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	w.Header().Set("ETag", `"0123456789abcdef"`)
	switch r.Method {
	case http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		io.WriteString(w, content)
	}
}

// always answers every request with the same error.
func always(status int, code string) *script {
	return &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) { fail(w, r, status, code) }}
}

// failFirst answers the first n requests with the same error.
func failFirst(n, status int, code, content string) *script {
	return &script{answer: func(i int, w http.ResponseWriter, r *http.Request) {
		if i <= n {
			fail(w, r, status, code)
			return
		}
		succeed(w, r, content)
	}}
}

// retrying is a chain of one Retry.
func retrying(attempts int) *middleware.Chain {
	return middleware.NewChain("s3", policies.NewRetry(policies.RetryConfig{Attempts: attempts, Jitter: -1}))
}

// verdicts is a policy that notes the verdict of every attempt inside it.
type verdicts struct {
	mu   sync.Mutex
	seen []middleware.Verdict
}

func (v *verdicts) Execute(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = append(v.seen, middleware.VerdictOf(err))
	return err
}

func (v *verdicts) want(t *testing.T, want ...middleware.Verdict) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if fmt.Sprint(v.seen) != fmt.Sprint(want) {
		t.Errorf("verdicts %v, want %v", v.seen, want)
	}
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	var response minio.ErrorResponse
	if !errors.As(err, &response) || response.Code != want {
		t.Errorf("error %v (%T), want an ErrorResponse with code %q", err, err, want)
	}
}
