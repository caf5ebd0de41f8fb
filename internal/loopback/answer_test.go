package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestAnswers(t *testing.T) {
	big, err := io.ReadAll(Generate(6 << 20)) // more than any window
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		step   Step
		method string
		status int
		body   string
		length int64
		header string // of X
	}{
		{"no body", Status(503), "GET", 503, "", 0, ""},
		{"body", OK("hello"), "GET", 200, "hello", 5, ""},
		{"header", Status(429).Header("X", "1"), "POST", 429, "", 0, "1"},
		{"size", Status(200).Size(6 << 20), "GET", 200, string(big), 6 << 20, ""},
		{"chunked", OK("hello").Chunked(), "GET", 200, "hello", -1, ""},
		{"large and chunked", OK("").Size(6 << 20).Chunked(), "GET", 200, string(big), -1, ""},
		{"HEAD", OK("hello"), "HEAD", 200, "", 5, ""},
		{"no content", Status(204), "DELETE", 204, "", 0, ""},
		{"not modified", Status(304), "GET", 304, "", 0, ""},
		{"long header", Status(200).Header("X", strings.Repeat("x", 40<<10)), "GET", 200, "", 0, strings.Repeat("x", 40<<10)},
		{"last", OK("bye").Last(), "GET", 200, "bye", 3, ""},
		{"before the body", OK("no").After(0), "PUT", 200, "no", 2, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			Each(t, func(t *testing.T, mode Mode) {
				s := New(t, mode, Script(row.step))
				for range 2 {
					var body io.Reader
					if row.method == "PUT" {
						body = strings.NewReader("content")
					}
					got := do(t, s, row.method, body)
					wantAnswer(t, got, row.status, row.body)
					if got.Response != nil && (got.ContentLength != row.length || got.Header.Get("X") != row.header) {
						t.Errorf("length %d, header %.9q", got.ContentLength, got.Header.Get("X"))
					}
				}
				want := 1
				if row.name == "last" {
					want = 2
				}
				if row.method != "PUT" && s.Opened() != want {
					t.Errorf("%d connections, want %d", s.Opened(), want)
				}
			})
		})
	}
}

// What comes before a pause is there before it ends.
func TestPauses(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		more, next := make(chan struct{}), make(chan struct{})
		s := New(t, mode, Script(
			OK("hello").Pause(2, more).Pause(5, more),
			OK("hello").Trickle(2, next).Chunked(),
		))
		for _, pieces := range [][]string{{"he", "llo", ""}, {"he", "ll", "o"}} {
			r, cancel := cancellable(t, s)
			defer cancel()
			resp, err := s.Transport().RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			for i, want := range pieces {
				got := make([]byte, len(want))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
				if i < 2 {
					select {
					case more <- struct{}{}:
					case next <- struct{}{}:
					}
				}
			}
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
		}
	})
}

func TestHold(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		held := make(chan struct{})
		s := New(t, mode, Script(OK("").Hold(held)))
		answered := make(chan result)
		go func() { answered <- get(t, s) }()
		s.WantCount(1)
		select {
		case <-answered:
			t.Error("it did not wait")
		default:
		}
		held <- struct{}{}
		wantAnswer(t, <-answered, 200, "")
	})
}

// The client sees the end of an endless body when it wants to.
func TestEndless(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(OK("").Endless()))
		r, cancel := cancellable(t, s)
		defer cancel()
		resp, err := s.Transport().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if n, err := io.CopyN(io.Discard, resp.Body, 20<<20); err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		cancel()
		if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCuts(t *testing.T) {
	streamError := func(code uint32) func(error) bool {
		return func(err error) bool { return codeOf(err) == fmt.Sprint(code) }
	}
	is := func(want error) func(error) bool {
		return func(err error) bool { return errors.Is(err, want) }
	}
	for _, row := range []struct {
		name   string
		ending Ending
		http2  bool // only
		want   func(error) bool
	}{
		{"close", Close(), false, is(io.ErrUnexpectedEOF)},
		{"reset", Reset(), false, is(syscall.ECONNRESET)},
		{"refused stream", ResetStream(7), true, streamError(7)},
		{"internal error", ResetStream(2), true, streamError(2)},
		{"cancel", ResetStream(8), true, streamError(8)},
		{"enhance your calm", ResetStream(11), true, streamError(11)},
	} {
		for name, answer := range map[string]Answer{
			"announced": OK("hello"), "chunked": OK("hello").Chunked(), "large": OK("").Size(1 << 20), "endless": OK("").Endless(),
		} {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				Each(t, func(t *testing.T, mode Mode) {
					if row.http2 && mode != HTTP2 {
						return
					}
					const cut = 3
					s := New(t, mode, Script(answer.Cut(cut, row.ending)))
					got := get(t, s)
					want := row.want
					if row.name == "reset" && mode == HTTP2 {
						want = lost // see Reset
					}
					switch {
					case got.err != nil:
						// The system may drop what the client did not read before a reset.
						if row.name != "reset" || !want(got.err) {
							t.Errorf("no response: %v", got.err)
						}
					case !want(got.bodyErr):
						t.Errorf("the body ends with %v", got.bodyErr)
					case len(got.body) != cut && row.name != "reset":
						t.Errorf("%d bytes came, want %d", len(got.body), cut)
					}
				})
			})
		}
	}
}

// lost reports whether an error is that of a lost connection. A client that still
// writes when it reads of the end may see that it has closed its own side.
func lost(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// codeOf returns the code of an error of HTTP/2, as a user of net/http finds it.
func codeOf(err error) string {
	if found, ok := errors.AsType[streamError](err); ok {
		return fmt.Sprint(found.Code)
	}
	return fmt.Sprintf("none (%v)", err)
}

type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "" }

func TestHangingBody(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(OK("hello").Cut(3, Hang()), OK("")))
		r, cancel := cancellable(t, s)
		resp, err := s.Transport().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		io.ReadFull(resp.Body, make([]byte, 3))
		cancel()
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("got %d, %v", n, err)
		}
		if mode != HTTP2 {
			s.WantOpen(0) // the server has noticed
		}
	})
}

func TestInformational(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(OK("x").Info(103, "Link", "</a>").Info(103, "Link", "</b>")))
		var hints []string
		r, cancel := cancellable(t, s)
		defer cancel()
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, header.Get("Link")))
				return nil
			},
		}))
		got := send(t, s, r)
		wantAnswer(t, got, 200, "x")
		if fmt.Sprint(hints) != "[103</a> 103</b>]" && fmt.Sprint(hints) != "[103 </a> 103 </b>]" {
			t.Errorf("the hints are %q", hints)
		}
		if got.Header.Get("Link") != "" {
			t.Error("the hint is in the answer")
		}
	})
}

func TestTrailers(t *testing.T) {
	for _, announce := range []bool{true, false} {
		Each(t, func(t *testing.T, mode Mode) {
			s := New(t, mode, Script(OK("x").Trailer("X-Sum", "1", announce).Trailer("X-Sum", "2", false)))
			r, cancel := cancellable(t, s)
			defer cancel()
			resp, err := s.Transport().RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, announced := resp.Trailer["X-Sum"]; announced != announce {
				t.Errorf("announced: %v, want %v", announced, announce)
			}
			io.Copy(io.Discard, resp.Body)
			if want := (http.Header{"X-Sum": {"1", "2"}}); !reflect.DeepEqual(resp.Trailer, want) {
				t.Errorf("the trailers are %v", resp.Trailer)
			}
		})
	}
}

// The client waits for 100 Continue, and gets it when the server wants the body.
func TestContinue(t *testing.T) {
	Each(t, func(t *testing.T, mode Mode) {
		s := New(t, mode, Script(OK("x"), Status(403).After(0).Last()))
		s.Transport().ExpectContinueTimeout = patience
		for _, want := range []Bodies{{Bytes: []int64{1000}}, {Bytes: []int64{0}}} {
			source := Bytes(1000)
			r := source.Request(t, "PUT", s.URL)
			r.Header.Set("Expect", "100-continue")
			if got := send(t, s, r); got.err != nil {
				t.Error(got.err)
			}
			if got := source.Seen().Bytes; !reflect.DeepEqual(got, want.Bytes) {
				t.Errorf("the client sent %v bytes, want %v", got, want.Bytes)
			}
		}
	})
}
