package observability_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/transports"
)

// failAt is a body that ends with err.
func failAt(text string, err error) io.ReadCloser {
	return io.NopCloser(io.MultiReader(strings.NewReader(text), readFunc(func() error { return err })))
}

type readFunc func() error

func (f readFunc) Read([]byte) (int, error) { return 0, f() }

// An attempt lasts as long as its body, and no longer.
func TestAnAttemptEndsWithItsBody(t *testing.T) {
	read := func(b io.ReadCloser) { _, _ = io.Copy(io.Discard, b) }
	for _, row := range []struct {
		name   string
		base   roundTrip
		before bool // it has ended when the response is there
		use    func(io.ReadCloser)
		red    bool
	}{
		{"read to the end", respond(200, io.NopCloser(strings.NewReader("body"))), false, read, false},
		{"closed before the end", respond(200, io.NopCloser(strings.NewReader("body"))), false, func(b io.ReadCloser) { b.Close() }, false},
		{"read and closed, twice", respond(200, io.NopCloser(strings.NewReader("body"))), false, func(b io.ReadCloser) {
			read(b)
			b.Close()
			b.Close()
		}, false},
		{"cut", respond(200, failAt("bo", io.ErrUnexpectedEOF)), false, read, true},
		{"cut, and closed after", respond(200, failAt("bo", io.ErrUnexpectedEOF)), false, func(b io.ReadCloser) {
			read(b)
			b.Close()
		}, true},
		{"a failure status", respond(500, io.NopCloser(strings.NewReader("body"))), false, read, true},
		{"no body", respond(204, http.NoBody), true, read, false},
		{"a switch of protocols", respond(101, io.NopCloser(strings.NewReader("body"))), true, read, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRecorder()
			resp, err := r.observer().Transport(row.base).RoundTrip(request(t, http.MethodGet, "http://example.com"))
			if err != nil {
				t.Fatal(err)
			}
			if ended := len(r.named("GET")) == 1; ended != row.before {
				t.Errorf("with the response in hand, the span has ended: %t, want %t", ended, row.before)
			}
			row.use(resp.Body)
			if red := r.span(t, "GET").Status.Code == codes.Error; red != row.red {
				t.Errorf("red is %t, want %t", red, row.red)
			}
		})
	}
}

// What is answered, or let go, when nobody waits for it any more is no failure and no success.
func TestAnAttemptThatWasGivenUp(t *testing.T) {
	body := func() io.ReadCloser { return io.NopCloser(strings.NewReader("body")) }
	for _, row := range []struct {
		name                 string
		status               int
		before, within, late bool // when it is given up: before the answer, or with its body in hand; or a deadline passes
		read                 bool // to the end, before it is closed
		body                 io.ReadCloser
		want                 string
	}{
		{"a failure that comes after", 503, true, false, false, false, body(), "cancelled"},
		{"one without a body", 503, true, false, false, false, http.NoBody, "cancelled"},
		{"one that is read", 503, true, false, false, true, body(), "cancelled"},
		{"a success that comes after", 200, true, false, false, true, body(), "cancelled"},
		{"a failure that came before", 503, false, true, false, false, body(), "failure"},
		{"a success that came before", 200, false, true, false, false, body(), "cancelled"},
		{"one that is read nevertheless", 200, false, true, false, true, body(), "cancelled"},
		{"a success that nobody gives up", 200, false, false, false, false, body(), "success"},
		{"a failure after the deadline", 503, true, false, true, false, body(), "failure"},
		{"a success after the deadline", 200, false, true, true, false, body(), "success"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				end := func(now bool) {
					switch {
					case now && row.late:
						time.Sleep(time.Hour)
					case now:
						cancel()
					}
				}
				base := func(req *http.Request) (*http.Response, error) {
					end(row.before)
					return respond(row.status, row.body)(req)
				}
				resp, err := r.observer().Transport(roundTrip(base)).RoundTrip(request(t, http.MethodGet, "http://example.com").WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}
				end(row.within)
				if row.read {
					_, _ = io.Copy(io.Discard, resp.Body)
				}
				resp.Body.Close()
				s := r.span(t, "GET")
				if red := s.Status.Code == codes.Error; !has(s.Attributes, "tidegate.outcome", row.want) || red != (row.want == "failure") {
					t.Errorf("it is %v %s, want %s", s.Status, text(s.Attributes), row.want)
				}
			})
		})
	}
}

// The operation lasts as long as the response that it brought; what it says of
// itself was settled when the chain returned.
func TestAStreamedOperationEndsWithItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		o := r.observer()
		answer := func(req *http.Request) (*http.Response, error) {
			time.Sleep(ms)
			return respond(200, failAt("bo", io.ErrUnexpectedEOF))(req)
		}
		transport := transports.New(o.Transport(roundTrip(answer)), middleware.NewChain("x", o))
		resp, err := transport.RoundTrip(request(t, http.MethodGet, "http://example.com"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := len(r.spans.GetSpans()); n != 0 {
			t.Errorf("%d spans have ended before the body", n)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		operation := r.span(t, "x GET")
		if took := operation.EndTime.Sub(operation.StartTime); took != time.Second+ms {
			t.Errorf("the operation took %s", took)
		}
		if operation.Status.Code != codes.Unset || !has(operation.Attributes, "tidegate.outcome", "success") {
			t.Errorf("the operation is %v %s", operation.Status, text(operation.Attributes))
		}
		if s := r.span(t, "GET"); s.Status.Code != codes.Error || !has(s.Attributes, "error.type", "unexpected_eof") {
			t.Errorf("the attempt whose body was cut is %v %s", s.Status, text(s.Attributes))
		}
		if got, want := r.measured(t, "tidegate.operation.duration"), "chain.name=x outcome=success: 1, sum 0.001"; len(got) != 1 || got[0] != want {
			t.Errorf("measured %q, want %q", got, want)
		}
	})
}

// The connection of a switched protocol is read and written by its owner.
func TestASwitchedProtocolKeepsItsConnection(t *testing.T) {
	server, base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(line)
		_ = rw.Flush()
	})
	r := newRecorder()
	o := r.observer()
	req := request(t, http.MethodGet, server.URL)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := transports.New(o.Transport(base), middleware.NewChain("x", o)).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r.span(t, "GET")
	conn, ok := resp.Body.(io.ReadWriter)
	if !ok {
		t.Fatalf("the body is a %T and cannot be written to", resp.Body)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if got, err := bufio.NewReader(conn).ReadString('\n'); got != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestErrorsOfAnAttempt(t *testing.T) {
	timeout := &middleware.Rejection{Policy: "timeout", Reason: middleware.ErrTimeout}
	for _, row := range []struct {
		name  string
		cause error // why the context has ended, or nil
		err   error
		red   bool
		want  string
	}{
		{"a failure", nil, errors.New("refused"), true, "attempt=1 error.type=*errors.errorString outcome=failure"},
		{"the caller cancelled", context.Canceled, context.Canceled, false, "attempt=1 outcome=cancelled"},
		{"the caller cancelled, and the error says something else", context.Canceled, io.ErrClosedPipe, false, "attempt=1 outcome=cancelled"},
		{"a concurrent attempt won", middleware.ErrSuperseded, middleware.ErrSuperseded, false, "attempt=1 outcome=cancelled"},
		{"a timeout of the chain", timeout, context.Canceled, true, "attempt=1 error.type=timeout outcome=timeout"},
		{"a deadline that only the base knows", nil, context.DeadlineExceeded, true, "attempt=1 error.type=deadline_exceeded outcome=failure"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRecorder()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if row.cause != nil {
				cancel(row.cause)
			}
			req := request(t, http.MethodGet, "http://example.com").WithContext(ctx)
			_, err := r.observer().Transport(roundTrip(func(*http.Request) (*http.Response, error) { return nil, row.err })).RoundTrip(req)
			if err != row.err {
				t.Errorf("got the error %v", err)
			}
			s := r.span(t, "GET")
			if red := s.Status.Code == codes.Error; red != row.red {
				t.Errorf("red is %t, want %t", red, row.red)
			}
			if got := text(slices.DeleteFunc(s.Attributes, common)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestAPanicOfTheBaseEndsTheAttempt(t *testing.T) {
	r := newRecorder()
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic is lost")
			}
		}()
		_, _ = r.observer().Transport(roundTrip(func(*http.Request) (*http.Response, error) { panic("boom") })).
			RoundTrip(request(t, http.MethodGet, "http://example.com"))
	}()
	if s := r.span(t, "GET"); !has(s.Attributes, "error.type", "panic") {
		t.Errorf("got %s", text(s.Attributes))
	}
}
