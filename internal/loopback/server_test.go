package loopback

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestTheLastStepRepeats(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(Status(503), Status(429), OK("x")))
		for _, want := range []int{503, 429, 200, 200} {
			if got := get(t, s); got.err != nil || got.StatusCode != want {
				t.Errorf("got %v, want %d", got, want)
			}
		}
	})
}

func TestRulesComeBeforePathsBeforeTheScript(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode,
			Script(Status(500)),
			At("/a", Status(404), Status(410)),
			Rule(func(r Request) Step {
				if r.Number == 3 || r.Path == "/b?c=d" {
					return OK("")
				}
				return nil
			}),
		)
		for i, row := range []struct {
			path string
			want int
		}{{"/a", 404}, {"/", 500}, {"/a", 200}, {"/a?x", 410}, {"/b?c=d", 200}, {"/b", 500}} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+row.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := send(t, s, r); got.err != nil || got.StatusCode != row.want {
				t.Errorf("request %d of %s: got %v, want %d", i+1, row.path, got, row.want)
			}
		}
	})
}

func TestWithoutAScriptItAnswers(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) { wantAnswer(t, get(t, New(t, mode)), 200, "") })
}

// The server notes requests, and bodies of any size without keeping them.
func TestRequests(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode)
		source := Bytes(20 << 20)
		r := source.Request(t, "PUT", s.URL+"/a?b=c")
		r.Header["X-A"] = []string{"1", strings.Repeat("~<>{}|é", 9)}
		r.Host = "example.com"
		wantAnswer(t, send(t, s, r), 200, "")
		r = Text("hello").Request(t, "POST", s.URL+"/x")
		r.ContentLength = -1
		r.Trailer = http.Header{"X-Sum": {"3"}}
		wantAnswer(t, send(t, s, r), 200, "")
		wantAnswer(t, get(t, s), 200, "")

		got := s.Requests()
		if len(got) != 3 || s.Count() != 3 {
			t.Fatalf("%d requests, want 3", len(got))
		}
		hello, _ := SumOf(strings.NewReader("hello"))
		nothing, _ := SumOf(strings.NewReader(""))
		proto := map[Mode]string{HTTP1: "HTTP/1.1", HTTPS1: "HTTP/1.1", HTTP2: "HTTP/2.0"}[mode]
		host := strings.TrimPrefix(strings.TrimPrefix(s.URL, "https://"), "http://")
		for i, want := range []Request{
			{1, 1, 1, "PUT", "/a?b=c", "example.com", proto, r.Header, nil, 20 << 20, source.Sum(), true},
			{2, 1, 2, "POST", "/x", host, proto, nil, http.Header{"X-Sum": {"3"}}, -1, hello, true},
			{3, 1, 3, "GET", "/", host, proto, nil, nil, 0, nothing, true},
		} {
			header := got[i].Header
			if header.Get("User-Agent") == "" || i == 0 && (len(header["X-A"]) != 2 || header["X-A"][1] != strings.Repeat("~<>{}|é", 9)) {
				t.Errorf("request %d: the header is %v", i+1, header)
			}
			want.Header, got[i].Header = nil, nil
			if !reflect.DeepEqual(got[i], want) {
				t.Errorf("request %d:\n got %+v\nwant %+v", i+1, got[i], want)
			}
		}
	})
}

func TestManyRequestsAtOnce(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(OK("").Size(200<<10)))
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				got := send(t, s, Bytes(int64(i)*50_000).Request(t, "PUT", fmt.Sprint(s.URL, "/", i)))
				if got.err != nil || got.bodyErr != nil || len(got.body) != 200<<10 {
					t.Errorf("request %d: %v, %v", i, got.err, got.bodyErr)
				}
			})
		}
		group.Wait()
		sum := 0
		for _, n := range s.PerConnection() {
			sum += n
		}
		if sum != 20 {
			t.Errorf("%d requests on the connections, want 20", sum)
		}
		for _, r := range s.Requests() {
			var i int64
			fmt.Sscanf(r.Path, "/%d", &i)
			if want := Bytes(i * 50_000).Sum(); r.Body != want {
				t.Errorf("%s: got %v, want %v", r.Path, r.Body, want)
			}
		}
	})
}

func TestConnectionsOpenAndClose(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(OK("x")))
		for want := 1; want <= 3; want++ {
			wantAnswer(t, get(t, s), 200, "x")
			if s.Open() != 1 || s.Opened() != want {
				t.Errorf("%d connections are open and %d were, want 1 and %d", s.Open(), s.Opened(), want)
			}
			s.Transport().CloseIdleConnections()
			s.WantOpen(0)
		}
	})
}

func TestRefused(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		resp, err := http.Get(Refused(t, mode))
		if resp != nil || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDownAndUp(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(OK("x")))
		for range 3 {
			wantAnswer(t, get(t, s), 200, "x")
			s.Down()
			s.WantOpen(0)
			s.Transport().CloseIdleConnections()
			if got := do(t, s, "POST", nil); !errors.Is(got.err, syscall.ECONNREFUSED) {
				t.Errorf("it is down, and yet: %v", got.err)
			}
			s.Up()
			s.Up()
		}
	})
}

func TestConnections(t *testing.T) {
	var unknown x509.UnknownAuthorityError
	for _, row := range []struct {
		begin Connection
		tls   bool
		want  func(error) bool
	}{
		{CloseAtOnce, false, func(err error) bool {
			return errors.Is(err, io.EOF) || strings.Contains(err.Error(), "server closed idle connection")
		}},
		{ResetAtOnce, false, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) }},
		{BreakTLS, true, func(err error) bool { return errors.Is(err, io.EOF) }},
		{AlertTLS, true, func(err error) bool { return strings.Contains(err.Error(), "remote error: tls: handshake failure") }},
		{UntrustedTLS, true, func(err error) bool { return errors.As(err, &unknown) }},
	} {
		t.Run(row.begin.String(), func(t *testing.T) {
			Each(t, func(t *testing.T, mode Mode) {
				if row.tls && mode == HTTP1 {
					return
				}
				s := New(t, mode, Connections(row.begin, Serve))
				if got := do(t, s, "POST", nil); !row.want(got.err) {
					t.Errorf("got %v", got.err)
				}
				wantAnswer(t, get(t, s), 200, "")
				if s.Count() != 1 || s.Opened() != 2 {
					t.Errorf("%d requests on %d connections, want 1 on 2", s.Count(), s.Opened())
				}
			})
		})
	}
}

func TestSilentConnection(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Connections(Silent))
		r, cancel := cancellable(t, s)
		ended := make(chan error)
		go func() { ended <- send(t, s, r).err }()
		s.WantOpen(1)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || s.Count() != 0 {
			t.Errorf("got %v and %d requests", err, s.Count())
		}
		s.Transport().CloseIdleConnections()
		if mode == HTTP1 {
			s.WantOpen(0)
		}
	})
}

// A judge is a test that notes why it failed.
type judge struct {
	testing.TB

	failures []string
}

func (j *judge) Error(args ...any)                 { j.failures = append(j.failures, fmt.Sprint(args...)) }
func (j *judge) Errorf(format string, args ...any) { j.Error(fmt.Sprintf(format, args...)) }

// A handler that cannot be ended is reported, and does not keep Close.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		release := make(chan struct{})
		j := &judge{TB: t}
		s := New(j, mode, Script(Handler(func(http.ResponseWriter, *http.Request) { <-release })))
		r, _ := cancellable(t, s)
		ended := make(chan error)
		go func() { ended <- send(t, s, r).err }()
		s.WantCount(1)
		s.patience = time.Millisecond
		s.Close()
		if len(j.failures) != 1 || !strings.Contains(j.failures[0], "a handler still runs") {
			t.Errorf("got %q", j.failures)
		}
		if err := <-ended; !lost(err) {
			t.Errorf("the client got %v", err)
		}
		close(release)
		s.group.Wait()
	})
}

func TestWhatMakesTheTestFail(t *testing.T) {
	boom := Handler(func(http.ResponseWriter, *http.Request) { panic("boom") })
	for _, row := range []struct {
		name    string
		options []Option
		want    []string
	}{
		{"nothing", []Option{Script(OK(""), OK("never"))}, nil},
		{"every step used", []Option{EveryStep(), Script(OK("")), Connections(Serve)}, nil},
		{"unused steps", []Option{EveryStep(), Script(OK(""), Status(404), Reset()), At("/a", Hang()), Connections(Serve, Silent)}, []string{
			"loopback: step 2 of the script of connections was never used: silent",
			"loopback: step 2 of the script was never used: status 404",
			"loopback: step 3 of the script was never used: reset",
			"loopback: step 1 of the script of /a was never used: hang",
		}},
		{"panic", []Option{Script(boom)}, []string{"loopback: a handler panicked: boom"}},
		{"HTTP/2 only", []Option{HTTPS1, Script(ResetStream(7))}, []string{"loopback: ResetStream needs HTTP/2, and the server speaks HTTPS/1"}},
		{"HTTP/2 only", []Option{Script(GoAway(0))}, []string{"loopback: GoAway needs HTTP/2, and the server speaks HTTP/1"}},
		{"HTTP/1 only", []Option{HTTP2, Script(Echo("x", ""))}, []string{"loopback: Echo needs HTTP/1, and the server speaks HTTP/2"}},
		{"HTTP/1 only", []Option{HTTP2, Script(Raw(""))}, []string{"loopback: Raw needs HTTP/1, and the server speaks HTTP/2"}},
		{"TLS only", []Option{Connections(BreakTLS)}, []string{"loopback: break TLS: there is no TLS in mode HTTP/1"}},
	} {
		j := &judge{TB: t}
		s := New(j, row.options...)
		do(t, s, "POST", nil)
		s.Close()
		s.Close()
		if !reflect.DeepEqual(j.failures, row.want) {
			t.Errorf("%s: got %q, want %q", row.name, j.failures, row.want)
		}
	}
}
