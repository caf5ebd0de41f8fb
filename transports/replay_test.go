package transports_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A body without GetBody can be sent again as long as nobody has read from it.
func TestH5ABodyThatNobodyReadIsSentAgain(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, func(t *testing.T, s *server) {
		for _, method := range []string{"PUT", "POST"} {
			var dials atomic.Int32
			s.base.CloseIdleConnections()
			s.base.DialContext = at(&dials, closedPort(t), closedPort(t))
			body := newSpy("payload")
			if got := do(t, transports.New(s.base, s.retrying(3)), request(t, method, s.URL, body), 200); got != "payload" {
				t.Errorf("%s: the server got %q", method, got)
			}
			wait(t, "the body to be closed", func() bool { return body.closes.Load() > 0 })
		}
	})
}

// The attempt that a body was taken from cannot read it any more, nor close it under the
// next one.
func TestH5ABodyBelongsToOneAttempt(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		broken := errors.New("broken")
		for _, closes := range []bool{true, false} {
			var bodies []io.ReadCloser
			var got []byte
			rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
				bodies = append(bodies, r.Body)
				if len(bodies) < 3 {
					if closes {
						r.Body.Close()
					}
					return nil, broken
				}
				if n, err := bodies[0].Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("an earlier attempt read %d bytes, %v", n, err)
				}
				bodies[0].Close()
				got, _ = io.ReadAll(r.Body)
				r.Body.Close()
				return &http.Response{StatusCode: 200}, nil
			}), retrying(3))
			body := newSpy("payload")
			do(t, rt, request(t, "PUT", "http://example.com", body), 200)
			if string(got) != "payload" || body.closes.Load() != 1 {
				t.Errorf("the last attempt got %q; the body was closed %d times", got, body.closes.Load())
			}
		}
	})
}

// A transport that has answered may be about to read the body: the answer is then the last,
// and not given up for an attempt that cannot be made.
func TestH14AnAnswerBeforeTheBodyWasReadIsKept(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		for closes, want := range map[bool]int{false: 1, true: 3} {
			attempts := 0
			var group sync.WaitGroup
			rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
				attempts++
				if closes {
					r.Body.Close()
				} else {
					group.Go(func() {
						if got, err := io.ReadAll(r.Body); string(got) != "payload" || err != nil {
							t.Errorf("the body is %q, %v", got, err)
						}
						r.Body.Close()
					})
				}
				return &http.Response{StatusCode: 503, Body: newSpy("busy")}, nil
			}), retrying(3))
			body := newSpy("payload")
			if got := do(t, rt, request(t, "PUT", "http://example.com", body), 503); got != "busy" || attempts != want {
				t.Errorf("closes %t: %q after %d attempts, want %d", closes, got, attempts, want)
			}
			group.Wait()
			if body.closes.Load() != 1 {
				t.Errorf("closes %t: the body was closed %d times", closes, body.closes.Load())
			}
		}
	})
}

// An only body that an attempt has is not taken off it by one beside it.
func TestH5AnAttemptUnderWayKeepsItsBody(t *testing.T) {
	waiting := make(chan struct{})
	hedge := policies.NewHedge(policies.HedgeConfig{Delay: time.Millisecond, When: func(context.Context) bool { return true }})
	ended := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		if middleware.Attempt(ctx) == 2 {
			close(waiting)
		}
		return err
	})
	rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
		<-waiting
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		return &http.Response{StatusCode: 200, Body: newSpy(string(got))}, err
	}), middleware.NewChain("", hedge, ended))
	if got := do(t, rt, request(t, "PUT", "http://example.com", newSpy("payload")), 200); got != "payload" {
		t.Errorf("the server got %q", got)
	}
}

// When no attempt reads the body, it is closed once, at the end.
func TestH3ABodyThatNobodyReadIsClosedAtTheEnd(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		body := newSpy("payload")
		attempts := 0
		rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
			if attempts++; body.closes.Load() != 0 {
				t.Error("the body was closed before the last attempt")
			}
			r.Body.Close()
			return nil, errors.New("broken")
		}), retrying(3))
		if resp, err := rt.RoundTrip(request(t, "PUT", "http://example.com", body)); resp != nil || err == nil {
			t.Errorf("%v, %v", resp, err)
		}
		if attempts != 3 || body.closes.Load() != 1 || body.reads.Load() != 0 {
			t.Errorf("%d attempts, %d times closed, %d reads", attempts, body.closes.Load(), body.reads.Load())
		}
	})
}

// A store keeps what a server read, and answers 503 but to the last of some requests.
type store struct {
	mu      sync.Mutex
	bodies  [][]byte
	lengths []int64
}

func (s *store) handler(requests int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bodies, s.lengths = append(s.bodies, got), append(s.lengths, r.ContentLength)
		if len(s.bodies) < requests {
			w.WriteHeader(503)
		}
	}
}

func (s *store) take() (bodies [][]byte, lengths []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bodies, lengths = s.bodies, s.lengths
	s.bodies, s.lengths = nil, nil
	return bodies, lengths
}

func TestH6AFileIsReadAgainFromWhereItStood(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	name := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var got store
	over(t, got.handler(3), func(t *testing.T, s *server) {
		for _, length := range []int64{0, int64(len(content)) - 5} { // 0: unknown
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			file.Seek(5, io.SeekStart)
			req := request(t, "PUT", s.URL, file)
			req.ContentLength = length
			do(t, transports.New(s.base, s.retrying(3), transports.WithReplay(0)), req, 200)
			bodies, lengths := got.take()
			if len(bodies) != 3 {
				t.Fatalf("%d requests, want 3", len(bodies))
			}
			for i, body := range bodies {
				if sha256.Sum256(body) != sha256.Sum256(content[5:]) || length > 0 && lengths[i] != length {
					t.Errorf("attempt %d: %d bytes of %d", i+1, len(body), lengths[i])
				}
			}
			wait(t, "the file to be closed", func() bool { _, err := file.Stat(); return errors.Is(err, os.ErrClosed) })
		}
	})
}

// The file is closed after the last attempt has closed its part of it, also when no
// attempt was made.
func TestH6AFileIsClosedWhenNobodyReadsIt(t *testing.T) {
	refuse := middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
		return next.Reject(middleware.Rejection{Reason: middleware.ErrOpen})
	})
	for name, chain := range map[string]*middleware.Chain{"no attempt": middleware.NewChain("", refuse), "an attempt": nil} {
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		var body io.ReadCloser
		rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
			body = r.Body
			return &http.Response{StatusCode: 200}, nil
		}), chain, transports.WithReplay(0))
		rt.RoundTrip(request(t, "PUT", "http://example.com", file))
		if body != nil {
			if _, err := file.Stat(); err != nil {
				t.Errorf("%s: the file was closed while an attempt may read it: %v", name, err)
			}
			body.Close()
			body.Close()
		}
		if _, err := file.Stat(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: the file was not closed: %v", name, err)
		}
	}
}

func TestH6OptInBufferingHasACap(t *testing.T) {
	var got store
	over(t, got.handler(2), func(t *testing.T, s *server) {
		for _, row := range []struct {
			name         string
			size, length int64
			want         int // requests
		}{
			{"at the cap", 1000, -1, 2},
			{"at the cap, with its length", 1000, 1000, 2},
			{"empty", 0, -1, 2},
			{"over the cap", 1001, -1, 1},
			{"far over the cap", 1 << 20, -1, 1},
			{"without a cap", 1 << 20, -1, 2},
			{"said to be over the cap", 1001, 1001, 1},
		} {
			t.Run(row.name, func(t *testing.T) {
				got.take()
				content := strings.Repeat("x", int(row.size))
				limit := int64(1000)
				if row.name == "without a cap" {
					limit = math.MaxInt64
				}
				body := newSpy(content)
				req := request(t, "PUT", s.URL, body)
				req.ContentLength = row.length
				status := map[int]int{1: 503, 2: 200}[row.want]
				do(t, transports.New(s.base, s.retrying(2), transports.WithReplay(limit)), req, status)
				bodies, lengths := got.take()
				if len(bodies) != row.want {
					t.Fatalf("%d requests, want %d", len(bodies), row.want)
				}
				for i := range bodies {
					if string(bodies[i]) != content || lengths[i] != row.length && row.size > 0 {
						t.Errorf("attempt %d: %d bytes with the length %d, want %d and %d", i+1, len(bodies[i]), lengths[i], row.size, row.length)
					}
				}
				wait(t, "the body to be closed", func() bool { return body.closes.Load() > 0 })
			})
		}
	})
}

// What the caller's body says while it is being kept, it says to the transport.
func TestH6AnErrorOfTheBodyIsNotLost(t *testing.T) {
	broken := errors.New("the disk is broken")
	s := serve(t, "HTTP/1", func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	body := newSpy("")
	body.Reader = io.MultiReader(strings.NewReader("begin"), readerFunc(func([]byte) (int, error) { return 0, broken }))
	resp, err := transports.New(s.base, s.retrying(3), transports.WithReplay(1000)).RoundTrip(request(t, "PUT", s.URL, body))
	if resp != nil || !errors.Is(err, broken) {
		t.Errorf("%v, %v", resp, err)
	}
	wait(t, "the body to be closed", func() bool { return body.closes.Load() > 0 })
}

// What is kept is read inside the policies: a limit, or the caller, ends it, and a refusal
// comes before it.
func TestH11KeepingABodyEndsWithTheContext(t *testing.T) {
	withEngines(t, func(t *testing.T, retrying retryingFunc) {
		for name, row := range map[string]struct {
			limit  time.Duration // of the attempt
			caller time.Duration
			want   error
		}{
			"a limit of the chain":  {time.Second, time.Hour, middleware.ErrTimeout},
			"the caller's deadline": {time.Hour, time.Second, context.DeadlineExceeded},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					silent, write := io.Pipe()
					defer write.Close()
					ctx, cancel := context.WithTimeout(t.Context(), row.caller)
					defer cancel()
					rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
						_, err := io.ReadAll(r.Body)
						r.Body.Close()
						return nil, err
					}), retrying(3, policies.NewTimeout(policies.TimeoutConfig{Limit: row.limit})), transports.WithReplay(1000))
					begin := time.Now()
					_, err := rt.RoundTrip(request(t, "PUT", "http://example.com", silent).WithContext(ctx))
					if took := time.Since(begin); !errors.Is(err, row.want) || took != time.Second {
						t.Errorf("%v after %s", err, took)
					}
				})
			})
		}
		refuse := middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error {
			return next.Reject(middleware.Rejection{Reason: middleware.ErrOpen})
		})
		body := newSpy("payload")
		rt := transports.New(nil, retrying(3, refuse), transports.WithReplay(1000))
		if _, err := rt.RoundTrip(request(t, "PUT", "http://example.com", body)); err == nil || body.reads.Load() != 0 || body.closes.Load() != 1 {
			t.Errorf("%v; %d reads, closed %d times", err, body.reads.Load(), body.closes.Load())
		}
	})
}

// Without the option nothing is read before it is sent, nor kept.
func TestH6NothingIsKeptUnlessAskedFor(t *testing.T) {
	var file struct {
		*spy
		io.ReaderAt
		io.Seeker
	}
	for _, replay := range []bool{false, true} {
		file.spy = newSpy("payload")
		file.ReaderAt, file.Seeker = strings.NewReader("payload"), strings.NewReader("payload")
		var own bool
		rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
			_, err := io.ReadAll(r.Body)
			own = file.reads.Load() > 0
			return &http.Response{StatusCode: 200}, err
		}), nil, map[bool]transports.Option{true: transports.WithReplay(100)}[replay])
		do(t, rt, request(t, "PUT", "http://example.com", file), 200)
		if own == replay {
			t.Errorf("replay %t: the body itself was read: %t", replay, own)
		}
	}
}

func TestH8TheCallerHasTheLastWord(t *testing.T) {
	over(t, answers(503), func(t *testing.T, s *server) {
		asks := transports.WithIdempotent(func(r *http.Request) bool { return r.URL.Path == "/git-upload-pack" })
		for _, row := range []struct {
			name, method, path string
			decided            []bool
			want               int
		}{
			{"a POST that only asks", "POST", "/git-upload-pack", nil, 2},
			{"any other", "POST", "/git-receive-pack", nil, 1},
			{"the function takes nothing away", "GET", "/", nil, 2},
			{"the context allows it", "POST", "/", []bool{true}, 2},
			{"the context forbids it", "GET", "/", []bool{false}, 1},
			{"the context wins over the function", "POST", "/git-upload-pack", []bool{false}, 1},
			{"the inner context wins", "POST", "/", []bool{false, true}, 2},
		} {
			s.requests.Store(0)
			req := request(t, row.method, s.URL+row.path, strings.NewReader("x"))
			for _, is := range row.decided {
				req = req.WithContext(transports.Idempotent(req.Context(), is))
			}
			do(t, transports.New(s.base, s.retrying(2), asks), req, 503)
			if got := int(s.requests.Load()); got != row.want {
				t.Errorf("%s: %d attempts, want %d", row.name, got, row.want)
			}
		}
	})
}

func TestH8AFunctionInPlaceOfTheMethod(t *testing.T) {
	over(t, answers(503), func(t *testing.T, s *server) {
		chosen := transports.WithRepeatable(func(r *http.Request) bool { return r.URL.Path == "/yes" })
		for _, row := range []struct {
			name, method, path string
			decided            any
			want               int
		}{
			{"a POST that may", "POST", "/yes", nil, 2},
			{"a PUT that may not", "PUT", "/no", nil, 1},
			{"a GET that may not", "GET", "/no", nil, 1},
			{"the context wins", "PUT", "/no", true, 2},
			{"the context wins", "PUT", "/yes", false, 1},
		} {
			s.requests.Store(0)
			req := request(t, row.method, s.URL+row.path, strings.NewReader("x"))
			if is, ok := row.decided.(bool); ok {
				req = req.WithContext(transports.Idempotent(req.Context(), is))
			}
			do(t, transports.New(s.base, s.retrying(2), chosen), req, 503)
			if got := int(s.requests.Load()); got != row.want {
				t.Errorf("%s: %d attempts, want %d", row.name, got, row.want)
			}
		}
	})
}

func TestH9AnIdempotencyKeyIsTheSameForAllAttempts(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	over(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		keys = append(keys, strings.Join(append(r.Header["Idempotency-Key"], r.Header["X-Idempotency-Key"]...), ","))
		mu.Unlock()
		w.WriteHeader(503)
	}, func(t *testing.T, s *server) {
		rt := transports.New(s.base, s.retrying(3), transports.WithIdempotencyKey())
		used := make(map[string]bool)
		for _, row := range []struct {
			name, method, header string
			decided              bool
			own                  string // the key that arrives, if it is not made
			want                 int
		}{
			{"a POST gets one", "POST", "", false, "", 3},
			{"each another one", "PATCH", "", false, "", 3},
			{"the caller's stays", "POST", "Idempotency-Key", false, "mine", 3},
			{"by its other name too", "POST", "X-Idempotency-Key", false, "mine", 3},
			{"a GET needs none", "GET", "", false, "none", 3},
			{"not in its canonical form", "POST", "idempotency-key", false, "mine", 1},
			{"the caller decided otherwise", "POST", "", true, "none", 1},
		} {
			mu.Lock()
			keys = nil
			mu.Unlock()
			req := request(t, row.method, s.URL, strings.NewReader("x"))
			if row.header != "" {
				req.Header[row.header] = []string{"mine"}
			}
			if row.decided {
				req = req.WithContext(transports.Idempotent(req.Context(), false))
			}
			header := req.Header.Clone()
			do(t, rt, req, 503)
			mu.Lock()
			got := slices.Clone(keys)
			mu.Unlock()
			if len(got) != row.want || len(slices.Compact(got)) != 1 {
				t.Fatalf("%s: the keys were %q, want %d times the same", row.name, got, row.want)
			}
			switch key := got[0]; {
			case row.own == "none" && key != "", row.own == "mine" && key != "mine":
				t.Errorf("%s: the key is %q", row.name, key)
			case row.own == "" && (len(key) < 20 || used[key]):
				t.Errorf("%s: the key is %q, short or used before", row.name, key)
			default:
				used[key] = true
			}
			if !reflect.DeepEqual(req.Header, header) {
				t.Errorf("%s: the caller's header was changed: %v", row.name, req.Header)
			}
		}
	})
}
