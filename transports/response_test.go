package transports_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

func TestH13H14TheLastResponseIsReturnedReadable(t *testing.T) {
	over(t, answers(503), func(t *testing.T, s *server) {
		var seen recorder
		got := do(t, transports.New(s.base, s.retrying(3, &seen)), request(t, "GET", s.URL, nil), 503)
		if got != "xxx" {
			t.Errorf("the body is %q, want that of the third response", got)
		}
		wantRequests(t, s, 3)
		stopped := seen.of(middleware.RetryStopped)
		if len(stopped) != 1 {
			t.Fatalf("%d events, want 1", len(stopped))
		}
		var status interface{ ErrorType() string }
		if !errors.As(stopped[0].Err, &status) || status.ErrorType() != "503" {
			t.Errorf("the event has the error %v", stopped[0].Err)
		}
	})
}

func TestH14AlsoWhenTheDeadlineForbidsAnotherAttempt(t *testing.T) {
	over(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(503)
		io.WriteString(w, "later")
	}, func(t *testing.T, s *server) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if got := do(t, transports.New(s.base, s.retrying(3)), request(t, "GET", s.URL, nil).WithContext(ctx), 503); got != "later" {
			t.Errorf("the body is %q", got)
		}
		wantRequests(t, s, 1)
	})
}

func TestH14ACallerMayWantAnErrorInstead(t *testing.T) {
	over(t, answers(503, 503, 404), func(t *testing.T, s *server) {
		rt := transports.New(s.base, s.retrying(2), transports.WithStatusErrors())
		resp, err := rt.RoundTrip(request(t, "GET", s.URL, nil))
		var status interface{ StatusCode() int }
		if resp != nil || !errors.As(err, &status) || status.StatusCode() != 503 {
			t.Errorf("got %v, %v", resp, err)
		}
		// What is no failure stays a response.
		do(t, rt, request(t, "GET", s.URL, nil), 404)
		if n := s.connections.Load(); n != 1 {
			t.Errorf("%d connections: the response was not drained and closed", n)
		}
	})
}

func TestH13AResponseAlwaysHasABody(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 503}, nil }), retrying(2))
		resp, err := rt.RoundTrip(request(t, "GET", "http://example.com", nil))
		if err != nil || resp == nil || resp.Body == nil {
			t.Fatalf("got %v, %v", resp, err)
		}
	})
}

func TestH15DiscardedResponsesGiveTheConnectionBack(t *testing.T) {
	for _, row := range []struct {
		name        string
		size        int
		chunked     bool
		connections int32
	}{
		{"small", 16 << 10, false, 1},
		{"chunked", 16 << 10, true, 1},
		{"at the cap", 64 << 10, false, 1},
		{"beyond the cap", 64<<10 + 1, false, 6},
		{"chunked, beyond the cap", 256 << 10, true, 6},
	} {
		t.Run(row.name, func(t *testing.T) {
			over(t, func(w http.ResponseWriter, _ *http.Request) {
				if !row.chunked {
					w.Header().Set("Content-Length", fmt.Sprint(row.size))
				}
				w.WriteHeader(503)
				w.(http.Flusher).Flush()
				w.Write(make([]byte, row.size))
			}, func(t *testing.T, s *server) {
				do(t, transports.New(s.base, s.retrying(6)), request(t, "GET", s.URL, nil), 503)
				wantRequests(t, s, 6)
				want := row.connections
				if s.EnableHTTP2 { // closing a stream leaves the connection
					want = 1
				}
				if n := s.connections.Load(); n != want {
					t.Errorf("%d connections, want %d", n, want)
				}
			})
		})
	}
}

func TestH15OneConnectionPerHostIsEnough(t *testing.T) {
	over(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		w.Write(make([]byte, 256<<10)) // too much to drain
	}, func(t *testing.T, s *server) {
		s.base.MaxConnsPerHost = 1
		do(t, transports.New(s.base, s.retrying(3)), request(t, "GET", s.URL, nil), 503)
		wantRequests(t, s, 3)
	})
}

func TestH15AResponseThatDoesNotEndIsNotWaitedFor(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(503)
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the client gives it up
	}, func(t *testing.T, s *server) {
		resp, err := transports.New(s.base, s.retrying(3)).RoundTrip(request(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		wantRequests(t, s, 3)
	})
}

func TestH15DiscardedBodiesAreClosed(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		for name, row := range map[string]struct {
			resp  http.Response
			reads bool
		}{
			"drained":                        {http.Response{ContentLength: 5}, true},
			"of unknown length":              {http.Response{ContentLength: -1}, true},
			"HTTP/2 is not drained":          {http.Response{ContentLength: 5, ProtoMajor: 2}, false},
			"too long to be drained":         {http.Response{ContentLength: 1 << 20}, false},
			"a connection of another nature": {http.Response{StatusCode: 101}, false},
		} {
			t.Run(name, func(t *testing.T) {
				var bodies []*spy
				rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) {
					if n := len(bodies); n > 0 && bodies[n-1].closes.Load() == 0 {
						t.Error("the next attempt began before the last response was closed")
					}
					bodies = append(bodies, newSpy("hello"))
					resp := row.resp
					if resp.StatusCode == 0 {
						resp.StatusCode = 503
					}
					resp.Body = bodies[len(bodies)-1]
					return &resp, nil
				}), retrying(2), transports.WithClassifier(func(*http.Request, *http.Response, error) middleware.Verdict {
					return middleware.Verdict{Class: middleware.Failure, Retry: true}
				}))
				resp, err := rt.RoundTrip(request(t, "GET", "http://example.com", nil))
				if err != nil || len(bodies) != 2 {
					t.Fatalf("%d attempts, %v", len(bodies), err)
				}
				if read := bodies[0].reads.Load() > 0; read != row.reads {
					t.Errorf("drained: %t, want %t", read, row.reads)
				}
				if bodies[1].closes.Load() != 0 {
					t.Error("the delivered body was closed")
				}
				resp.Body.Close()
			})
		}
	})
}

func TestH16TheResponseIsTheInnerOneWithItsTrailers(t *testing.T) {
	over(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42") // not announced
	}, func(t *testing.T, s *server) {
		var inner *http.Response
		rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
			resp, err := s.base.RoundTrip(r)
			inner = resp
			return resp, err
		}), s.retrying(2))
		resp, err := rt.RoundTrip(request(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		if resp != inner || resp.Trailer.Get("X-Sum") != "42" {
			t.Errorf("the same response: %t, trailer %v", resp == inner, resp.Trailer)
		}
	})
}

func TestH17SwitchedProtocols(t *testing.T) {
	s := serve(t, "HTTP/1", func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, buffered)
	})
	var held atomic.Int32
	rt := transports.New(s.base, s.retrying(3, holding(&held),
		policies.NewTimeout(policies.TimeoutConfig{Limit: time.Minute, Scope: policies.UntilEnd})))
	req := request(t, "GET", s.URL, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := rt.RoundTrip(req)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	if held.Load() != 0 {
		t.Error("something is still held after the hand-over")
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("the body is a %T that cannot write", resp.Body)
	}
	lines := bufio.NewReader(conn)
	for i := range 3 {
		line := fmt.Sprintf("line %d\n", i)
		io.WriteString(conn, line)
		if got, err := lines.ReadString('\n'); got != line || err != nil {
			t.Fatalf("echo of %q: %q, %v", line, got, err)
		}
	}
	if _, ok := resp.Body.(interface{ CloseWrite() error }); !ok {
		t.Error("CloseWrite is hidden")
	}
}

// holding returns a policy that holds something until the result has ended.
func holding(held *atomic.Int32) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		held.Add(1)
		return next.DoThen(ctx, func() { held.Add(-1) })
	})
}

func TestH17AbilitiesOfABodyAreKept(t *testing.T) {
	type writer struct {
		*spy
		io.Writer
	}
	type closer struct {
		*spy
		closeWriter
	}
	type both struct {
		*spy
		io.Writer
		closeWriter
	}
	for _, inner := range []io.ReadCloser{
		newSpy(""), writer{newSpy(""), io.Discard}, closer{newSpy(""), closeWriter{}}, both{newSpy(""), io.Discard, closeWriter{}},
	} {
		rt := transports.New(baseFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: inner}, nil
		}), nil)
		resp, err := rt.RoundTrip(request(t, "GET", "http://example.com", nil))
		if err != nil {
			t.Fatal(err)
		}
		abilities := func(b io.ReadCloser) [2]bool {
			_, writes := b.(io.Writer)
			_, closes := b.(interface{ CloseWrite() error })
			return [2]bool{writes, closes}
		}
		if got, want := abilities(resp.Body), abilities(inner); got != want {
			t.Errorf("%T: writes and closes its writing side: %t, want %t", inner, got, want)
		}
		resp.Body.Close()
	}
}

type closeWriter struct{}

func (closeWriter) CloseWrite() error { return nil }

// An orderedBody notes when it is closed.
type orderedBody struct {
	io.Reader
	log *[]string
}

func (b orderedBody) Close() error {
	*b.log = append(*b.log, "close")
	return nil
}

func TestH18TheAttemptEndsOnceWithItsBody(t *testing.T) {
	broken := errors.New("broken")
	for name, row := range map[string]struct {
		body io.Reader
		use  func(io.ReadCloser)
		want []string
	}{
		"closed":          {strings.NewReader("x"), func(b io.ReadCloser) { b.Close() }, []string{"close", "end"}},
		"closed twice":    {strings.NewReader("x"), func(b io.ReadCloser) { b.Close(); b.Close() }, []string{"close", "end", "close"}},
		"read to the end": {strings.NewReader("x"), func(b io.ReadCloser) { io.ReadAll(b) }, []string{"end"}},
		"read and closed": {strings.NewReader("x"), func(b io.ReadCloser) { io.ReadAll(b); b.Close() }, []string{"end", "close"}},
		"broken":          {readerFunc(func([]byte) (int, error) { return 0, broken }), func(b io.ReadCloser) { io.ReadAll(b) }, []string{"end"}},
		"not finished":    {strings.NewReader("x"), func(b io.ReadCloser) { b.Read(make([]byte, 1)) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var log []string
			hold := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				ctx, cancel := context.WithCancel(ctx)
				return next.DoThen(ctx, func() { log = append(log, "end"); cancel() })
			})
			var attempt *http.Request
			rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
				attempt = r
				return &http.Response{StatusCode: 200, Body: orderedBody{row.body, &log}}, nil
			}), middleware.NewChain("", hold))
			resp, err := rt.RoundTrip(request(t, "GET", "http://example.com", nil))
			if err != nil || attempt.Context().Err() != nil {
				t.Fatalf("%v; the context of the attempt: %v", err, attempt.Context().Err())
			}
			row.use(resp.Body)
			if !reflect.DeepEqual(log, row.want) {
				t.Errorf("order %q, want %q", log, row.want)
			}
			resp.Body.Close()
		})
	}
}

// The end of the body releases what is held, and leaves the context of the attempt alone
// until the body is closed: the request may still be on its way.
func TestH18TheEndOfTheBodyCancelsNothing(t *testing.T) {
	for name, policy := range map[string]func() middleware.Policy{
		"timeout":       func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{}) },
		"of each read":  func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{Scope: policies.EachRead}) },
		"until the end": func() middleware.Policy { return policies.NewTimeout(policies.TimeoutConfig{Scope: policies.UntilEnd}) },
		"of another maker": func() middleware.Policy {
			return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				ctx, cancel := context.WithCancel(ctx)
				return next.DoUntil(ctx, middleware.CancelFunc(cancel))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var held atomic.Int32
			var attempt context.Context
			rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
				attempt = r.Context() //nolint:fatcontext // the test looks at it later
				return &http.Response{StatusCode: 200, Body: newSpy("x")}, nil
			}), middleware.NewChain("", holding(&held), policy()))
			req := request(t, "GET", "http://example.com", nil)
			req.Cancel = make(chan struct{})
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			done := attempt.Done() // a timer runs, if one will
			if held.Load() != 1 {
				t.Error("the permit was given back before the body")
			}
			io.ReadAll(resp.Body)
			if held.Load() != 0 {
				t.Error("the permit was not given back at the end of the body")
			}
			if attempt.Err() != nil {
				t.Errorf("at the end of the body the context of the attempt had ended: %v", attempt.Err())
			}
			resp.Body.Close()
			select {
			case <-done:
			default:
				t.Error("closing the body did not end the context of the attempt")
			}
		})
	}
}

func TestH25RedirectsBelongToTheClient(t *testing.T) {
	target := serve(t, "HTTP/1", answers(200))
	over(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, http.StatusFound) }, func(t *testing.T, s *server) {
		var keys []string
		seen := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			keys = append(keys, middleware.OperationOf(ctx).Key)
			return next.Do(ctx)
		})
		client := transports.Client(&http.Client{Transport: s.base}, s.retrying(3, seen))
		resp, err := client.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := []string{s.URL, target.URL}; !reflect.DeepEqual(keys, want) {
			t.Errorf("the keys were %q, want %q", keys, want)
		}
	})
}
