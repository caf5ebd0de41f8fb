package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEndings(t *testing.T) {
	for _, row := range []struct {
		name   string
		step   Step
		http1  func(error) bool
		http2  func(error) bool
		body   int64 // of the request
		before int64 // is received of it; -1: all
	}{
		{"close", Close(), isEOF, isEOF, 0, -1},
		{"close after the request", Close(), isEOF, isEOF, 1 << 20, -1},
		{"close before the body", Close().After(0), lost, lost, 64 << 20, 0},
		{"close in the body", Close().After(1000), lost, lost, 64 << 20, 1000},
		{"reset", Reset(), isReset, lost, 0, -1},
		{"reset after the request", Reset(), isReset, lost, 1 << 20, -1},
		{"reset in the body", Reset().After(1000), lost, lost, 64 << 20, 1000},
		{"raw text", Raw("HTTP/1.1 2000 no\r\n\r\n"), isMalformed, nil, 0, -1},
		{"internal error", ResetStream(2), nil, hasCode("2"), 0, -1},
		{"cancel", ResetStream(8), nil, hasCode("8"), 0, -1},
		{"enhance your calm", ResetStream(11), nil, hasCode("11"), 0, -1},
		{"in the body", ResetStream(11).After(1000), nil, hasCode("11"), 64 << 20, 1000},
	} {
		t.Run(row.name, func(t *testing.T) {
			Each(t, func(t *testing.T, mode Mode) {
				want := row.http1
				if mode == HTTP2 {
					want = row.http2
				}
				if want == nil {
					return
				}
				s := New(t, mode, Script(row.step))
				source := Bytes(row.body)
				source.NoGetBody = true
				r := source.Request(t, "POST", s.URL)
				if row.body == 0 {
					r.Body, r.ContentLength = nil, 0
				}
				if got := send(t, s, r); got.err == nil || !want(got.err) {
					t.Errorf("got %v", got.err)
				}
				seen := s.Requests()[0]
				if all := row.before < 0; seen.Complete != all || all && seen.Body != source.Sum() || !all && seen.Body.Length < row.before {
					t.Errorf("received %+v, complete: %v", seen.Body, seen.Complete)
				}
			})
		})
	}
}

// net/http says that HTTP/2 ended in mid-response, even before it began.
func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

func isMalformed(err error) bool { return strings.Contains(err.Error(), "malformed HTTP status") }

func hasCode(code string) func(error) bool {
	return func(err error) bool { return codeOf(err) == code }
}

// Close is no reset, even if the client has sent what the server did not read.
func TestCloseIsNoReset(t *testing.T) {
	for _, option := range []Option{Script(Close().After(1)), Connections(CloseAtOnce)} {
		s := New(t, option)
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 50_000))
		for range 2 {
			if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v, want io.EOF", n, err)
			}
			if _, err := conn.Write(make([]byte, 1000)); err != nil {
				t.Errorf("the client can write no more: %v", err)
			}
		}
		if s.Open() != 1 {
			t.Errorf("%d connections are open, want 1 until the client closes it", s.Open())
		}
		conn.Close()
		s.WantOpen(0)
	}
}

// net/http sends a POST no second time when a connection that it used again turns
// out to be dead, and a GET it does.
func TestCloseOfAReusedConnection(t *testing.T) {
	for _, mode := range []Mode{HTTP1, HTTPS1} {
		t.Run(mode.String(), func(t *testing.T) {
			s := New(t, mode, Script(IfReused(Close(), OK("x"))))
			wantAnswer(t, get(t, s), 200, "x")
			if got := do(t, s, "POST", strings.NewReader("y")); got.err != io.EOF {
				t.Errorf("got %v, want io.EOF", got.err)
			}
			if s.Count() != 2 || s.Opened() != 1 {
				t.Errorf("%d requests on %d connections, want 2 on 1", s.Count(), s.Opened())
			}
			wantAnswer(t, get(t, s), 200, "x")
			wantAnswer(t, get(t, s), 200, "x")
			if s.Count() != 5 || s.Opened() != 3 {
				t.Errorf("%d requests on %d connections, want 5 on 3: the last one twice", s.Count(), s.Opened())
			}
		})
	}
}

// net/http repeats what a server refuses to process, if it can.
func TestRefusedStream(t *testing.T) {
	s := New(t, HTTP2, Script(ResetStream(7), OK("x")))
	wantAnswer(t, get(t, s), 200, "x")
	if s.Count() != 2 || s.Opened() != 1 {
		t.Errorf("%d requests on %d connections, want 2 on 1", s.Count(), s.Opened())
	}

	s = New(t, HTTP2, Script(ResetStream(7), OK("x")))
	source := Text("y")
	source.NoGetBody = true
	if got := send(t, s, source.Request(t, "POST", s.URL)); got.err == nil || !strings.Contains(got.err.Error(), "REFUSED_STREAM") {
		t.Errorf("got %v, want REFUSED_STREAM", got.err)
	}
	if s.Count() != 1 {
		t.Errorf("%d requests, want 1", s.Count())
	}
}

// A request that GOAWAY leaves unprocessed is repeated on another connection. One
// that came before it goes on.
func TestGoAway(t *testing.T) {
	more := make(chan struct{})
	s := New(t, HTTP2, Script(OK("earlier").Pause(3, more), GoAway(0), OK("x")))
	r, cancel := cancellable(t, s)
	defer cancel()
	earlier, err := s.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer earlier.Body.Close()
	wantAnswer(t, get(t, s), 200, "x")
	wantUsed(t, s, 2, 1)
	close(more)
	if got, err := io.ReadAll(earlier.Body); string(got) != "earlier" || err != nil {
		t.Errorf("the earlier body is %q, %v", got, err)
	}
	s.WantOpen(s.Opened() - 1)
}

// wantUsed wants connections with that many requests each. The client may have
// opened others in vain.
func wantUsed(t *testing.T, s *Server, want ...int) {
	t.Helper()
	got := slices.DeleteFunc(s.PerConnection(), func(n int) bool { return n == 0 })
	if !slices.Equal(got, want) {
		t.Errorf("the connections had %v requests, want %v", got, want)
	}
}

func TestGoAwayOfTheFirst(t *testing.T) {
	s := New(t, HTTP2, Script(GoAway(0), OK("x")))
	wantAnswer(t, get(t, s), 200, "x")
	wantUsed(t, s, 1, 1)

	// With an error net/http does not repeat the first request of a connection.
	s = New(t, HTTP2, Script(GoAway(11), OK("x")))
	if got := get(t, s); got.err == nil || !strings.Contains(got.err.Error(), "GOAWAY from server ErrCode:ENHANCE_YOUR_CALM") {
		t.Errorf("got %v", got.err)
	}
}

func TestHang(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(Hang()))
		r, cancel := cancellable(t, s)
		ended := make(chan error)
		go func() {
			ended <- send(t, s, r).err
		}()
		s.WantCount(1)
		if s.Open() != 1 {
			t.Errorf("%d connections are open, want 1", s.Open())
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if mode != HTTP2 {
			s.WantOpen(0)
		}
	})
}

// The context of a request ends with the client's interest in it.
func TestHandlerSeesTheClientGo(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		noticed := make(chan struct{})
		s := New(t, mode, Script(Handler(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			close(noticed)
		})))
		r, cancel := cancellable(t, s)
		go send(t, s, r)
		s.WantCount(1)
		cancel()
		select {
		case <-noticed:
		case <-time.After(patience):
			t.Error("it was not noticed")
		}
	})
}

// Close does not wait for what hangs.
func TestCloseEndsWhatHangs(t *testing.T) {
	never := make(chan struct{})
	for _, step := range []Step{
		Hang(), Hang().After(0), OK("").Hold(never), OK("x").Pause(0, never), OK("xy").Cut(1, Hang()), OK("").Endless(),
		Handler(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		Handler(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }),
	} {
		t.Run(step.String(), func(t *testing.T) {
			Each(t, func(t *testing.T, mode Mode) {
				s := New(t, mode, Script(step))
				endless := Bytes(-1)
				for _, r := range []*http.Request{Text("x").Request(t, "PUT", s.URL), endless.Request(t, "PUT", s.URL)} {
					go func() {
						if resp, err := s.Transport().RoundTrip(r); err == nil {
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
					}()
				}
				s.WantCount(2)
				began := time.Now()
				s.Close()
				if took := time.Since(began); took > patience/2 {
					t.Errorf("it took %v", took)
				}
				if s.Open() != 0 {
					t.Errorf("%d connections are open", s.Open())
				}
			})
		})
	}
}
