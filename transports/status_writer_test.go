package transports_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// A bare is a ResponseWriter that can do nothing besides.
type bare struct {
	header http.Header
	calls  *[]string
}

func (b bare) note(call string) {
	if b.calls != nil {
		*b.calls = append(*b.calls, call)
	}
}
func (b bare) Header() http.Header         { return b.header }
func (b bare) Write(p []byte) (int, error) { b.note("Write"); return len(p), nil }
func (b bare) WriteHeader(int)             { b.note("WriteHeader") }

// http1 can do what the ResponseWriter of HTTP/1 can.
type http1 struct {
	bare
	flush
	hijack
	readFrom
}

type (
	flush    struct{ bare *bare }
	hijack   struct{ bare *bare }
	push     struct{ bare *bare }
	readFrom struct{ bare *bare }
)

func (f flush) Flush() { f.bare.note("Flush") }
func (h hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.bare.note("Hijack")
	return nil, nil, nil
}
func (p push) Push(string, *http.PushOptions) error { p.bare.note("Push"); return nil }
func (r readFrom) ReadFrom(io.Reader) (int64, error) {
	r.bare.note("ReadFrom")
	return 1, nil
}

func TestTheWriterClaimsWhatTheInnerOneCanDo(t *testing.T) {
	var calls []string
	b := &bare{make(http.Header), &calls}
	f, h, p, r := flush{b}, hijack{b}, push{b}, readFrom{b}
	type w = http.ResponseWriter
	for want, inner := range map[string]http.ResponseWriter{
		"": b,
		"Flush": struct {
			w
			flush
		}{b, f},
		"Hijack": struct {
			w
			hijack
		}{b, h},
		"Push": struct {
			w
			push
		}{b, p},
		"ReadFrom": struct {
			w
			readFrom
		}{b, r},
		"Flush Hijack": struct {
			w
			flush
			hijack
		}{b, f, h},
		"Flush Push": struct {
			w
			flush
			push
		}{b, f, p},
		"Flush ReadFrom": struct {
			w
			flush
			readFrom
		}{b, f, r},
		"Hijack Push": struct {
			w
			hijack
			push
		}{b, h, p},
		"Hijack ReadFrom": struct {
			w
			hijack
			readFrom
		}{b, h, r},
		"Push ReadFrom": struct {
			w
			push
			readFrom
		}{b, p, r},
		"Flush Hijack Push": struct {
			w
			flush
			hijack
			push
		}{b, f, h, p},
		"Flush Hijack ReadFrom": struct {
			w
			flush
			hijack
			readFrom
		}{b, f, h, r},
		"Flush Push ReadFrom": struct {
			w
			flush
			push
			readFrom
		}{b, f, p, r},
		"Hijack Push ReadFrom": struct {
			w
			hijack
			push
			readFrom
		}{b, h, p, r},
		"Flush Hijack Push ReadFrom": struct {
			w
			flush
			hijack
			push
			readFrom
		}{b, f, h, p, r},
	} {
		t.Run(want, func(t *testing.T) {
			calls = nil
			transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if w, ok := w.(http.Flusher); ok {
					w.Flush()
				}
				if w, ok := w.(http.Hijacker); ok {
					w.Hijack()
				}
				if w, ok := w.(http.Pusher); ok {
					w.Push("/", nil)
				}
				if w, ok := w.(io.ReaderFrom); ok {
					w.ReadFrom(strings.NewReader("x"))
				}
			}), nil).ServeHTTP(inner, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			if got := strings.Join(calls, " "); got != want {
				t.Errorf("it can %q, want %q", got, want)
			}
		})
	}
}

func TestThatOfNetHTTP(t *testing.T) {
	protected(t, func() http.Handler {
		return http.HandlerFunc(func(outer http.ResponseWriter, r *http.Request) {
			transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				able := func(w any) (can [5]bool) {
					_, can[0] = w.(http.Flusher)
					_, can[1] = w.(http.Hijacker)
					_, can[2] = w.(http.Pusher)
					_, can[3] = w.(io.ReaderFrom)
					_, can[4] = w.(io.StringWriter)
					return can
				}
				if able(w) != able(outer) {
					t.Errorf("it can %t, the inner one %t", able(w), able(outer))
				}
			}), nil).ServeHTTP(outer, r)
		})
	}, func(t *testing.T, s *server) { get(t, s) })
}

// A controlled ResponseWriter can be reached by Unwrap alone.
type controlled struct{ inner http.ResponseWriter }

func (c controlled) Header() http.Header         { return c.inner.Header() }
func (c controlled) Write(p []byte) (int, error) { return c.inner.Write(p) }
func (c controlled) WriteHeader(status int)      { c.inner.WriteHeader(status) }
func (c controlled) Unwrap() http.ResponseWriter { return c.inner }

func TestAResponseControllerReachesTheInnerWriter(t *testing.T) {
	protected(t, func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, leave := context.WithCancel(r.Context())
			transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c := http.NewResponseController(w)
				if err := errors.Join(c.EnableFullDuplex(), c.Flush()); err != nil {
					t.Error(err)
				}
				leave() // the answer has begun all the same
			}), nil).ServeHTTP(controlled{w}, r.WithContext(ctx))
		})
	}, func(t *testing.T, s *server) {
		if resp, body := get(t, s); resp.StatusCode != 200 || body != "" {
			t.Errorf("status %d and body %q", resp.StatusCode, body)
		}
	})
	if err := flushOf(t, bare{header: make(http.Header)}); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("a flush that goes nowhere: %v", err)
	}
}

func flushOf(t *testing.T, inner http.ResponseWriter) (err error) {
	t.Helper()
	transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		err = http.NewResponseController(w).Flush()
	}), nil).ServeHTTP(inner, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	return err
}

// A file goes from the disk to the connection by its ReadFrom, which knows sendfile.
func TestAFileTakesTheShortWay(t *testing.T) {
	const size = 1 << 20
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	var short atomic.Int64
	s := httptest.NewUnstartedServer(transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, name)
	}), middleware.NewChain("", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error { return next.Do(ctx) }))))
	s.Listener = &countingListener{s.Listener, &short}
	s.Start()
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	resp.Body.Close()
	s.Close()                             // the connection counts when all was handed over, which may be after it was read
	if n := short.Load(); n < size-1024 { // net/http takes the beginning itself, to see its type
		t.Errorf("%d bytes took the short way", n)
	}
}

type countingListener struct {
	net.Listener

	read *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{conn.(*net.TCPConn), l.read}, nil
}

type countingConn struct {
	*net.TCPConn

	read *atomic.Int64
}

func (c *countingConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	c.read.Add(n)
	return n, err
}

// A source that breaks before its first byte leaves the status to the handler.
func TestASourceThatBreaksAtOnce(t *testing.T) {
	var failed error
	s := serve(t, "HTTP/1", transports.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, readerFunc(func([]byte) (int, error) { return 0, errors.New("broken") }))
		http.Error(w, err.Error(), http.StatusBadGateway)
	}), middleware.NewChain("", seen(&failed))).ServeHTTP)
	if resp, body := get(t, s); resp.StatusCode != 502 || body != "broken\n" || middleware.VerdictOf(failed).Class != middleware.Failure {
		t.Errorf("status %d, body %q, and for the policies %v", resp.StatusCode, body, failed)
	}
}
