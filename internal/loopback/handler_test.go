package loopback

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	for _, row := range []struct {
		name    string
		serve   http.HandlerFunc
		status  int
		body    string
		length  int64
		trailer http.Header
	}{
		{"nothing", func(http.ResponseWriter, *http.Request) {}, 200, "", 0, nil},
		{"short", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			w.WriteHeader(500) // too late
			io.WriteString(w, "no")
		}, 404, "no", 2, nil},
		{"long", func(w http.ResponseWriter, _ *http.Request) {
			for range 3000 {
				io.WriteString(w, "x")
			}
		}, 200, strings.Repeat("x", 3000), -1, nil},
		{"announced", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3000")
			io.WriteString(w, strings.Repeat("x", 3000))
		}, 200, strings.Repeat("x", 3000), 3000, nil},
		{"echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, 200, "ping", 4, nil},
		{"flush", func(w http.ResponseWriter, _ *http.Request) {
			http.NewResponseController(w).Flush()
			io.WriteString(w, "x")
		}, 200, "x", -1, nil},
		{"trailers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "A, B")
			io.WriteString(w, "x")
			w.Header().Set("B", "1")
			w.Header().Set(http.TrailerPrefix+"C", "2")
		}, 200, "x", -1, http.Header{"A": nil, "B": {"1"}, "C": {"2"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			Each(t, func(t *testing.T, mode Mode) {
				s := New(t, mode, Script(Handler(row.serve)))
				for range 2 {
					got := do(t, s, "POST", strings.NewReader("ping"))
					wantAnswer(t, got, row.status, row.body)
					if got.Response == nil || got.ContentLength != row.length || !reflect.DeepEqual(got.Trailer, row.trailer) {
						t.Errorf("got %+v", got)
					}
				}
				if s.Opened() != 1 {
					t.Errorf("%d connections, want 1", s.Opened())
				}
			})
		})
	}
}

func TestHandlerThatAborts(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(Handler(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })))
		got := do(t, s, "POST", nil)
		if mode == HTTP2 && codeOf(got.err) != "2" || mode != HTTP2 && !isReset(got.err) {
			t.Errorf("got %v", got.err)
		}
	})
}

// A client sees half of a connection closed, in both directions.
func TestEcho(t *testing.T) {
	for _, mode := range []Mode{HTTP1, HTTPS1} {
		t.Run(mode.String(), func(t *testing.T) {
			s := New(t, mode, Script(Echo("x", "bye")))
			r, cancel := cancellable(t, s)
			defer cancel()
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "x")
			watch := &Watch{Base: s.Transport()}
			resp, err := watch.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "x" {
				t.Fatalf("got %v", resp)
			}
			conn, ok := resp.Body.(interface {
				io.ReadWriter
				CloseWrite() error
			})
			if !ok {
				t.Fatalf("the body is a %T", resp.Body)
			}
			for _, word := range []string{"one", "two"} {
				fmt.Fprint(conn, word)
				got := make([]byte, 3)
				if _, err := io.ReadFull(conn, got); string(got) != word || err != nil {
					t.Errorf("got %q, %v, want %q", got, err, word)
				}
			}
			err = conn.CloseWrite()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(conn); string(got) != "bye" || err != nil {
				t.Errorf("got %q, %v, want the farewell", got, err)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	s := New(t, Script(OK("x")))
	w := &Watch{Base: s.Transport()}
	want := func(opened, closed, drained int) {
		t.Helper()
		if w.Opened() != opened || w.Closed() != closed || w.Drained() != drained || w.Leaked() != opened-closed {
			t.Errorf("opened %d, closed %d, drained %d, leaked %d", w.Opened(), w.Closed(), w.Drained(), w.Leaked())
		}
	}
	round := func() *http.Response {
		r, _ := cancellable(t, s)
		resp, err := w.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := resp.Body.(io.Writer); ok {
			t.Error("the body of an ordinary response has Write")
		}
		return resp
	}
	first, second := round(), round()
	want(2, 0, 0)
	first.Body.Close()
	first.Body.Close()
	want(2, 1, 0)
	io.ReadAll(second.Body)
	io.ReadAll(second.Body)
	want(2, 1, 1)
	second.Body.Close()
	want(2, 2, 1)
	w.CloseIdleConnections()
	s.WantOpen(0)

	w.Base = refusing{}
	if resp, err := w.RoundTrip(nil); resp != nil || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, %v", resp, err)
	}
	want(2, 2, 1)
	w.CloseIdleConnections()
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrClosedPipe }
