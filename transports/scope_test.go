package transports_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A slowBody takes its time for each of some reads, and watches the context as the body
// of a real response does.
type slowBody struct {
	ctx   context.Context
	takes []time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.takes) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(b.takes[0]):
		b.takes = b.takes[1:]
		p[0] = 'x'
		return 1, nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func (b *slowBody) Close() error { return nil }

// The three scopes, with a limit of ten seconds, in virtual time.
func TestH19TheScopesOfATimeLimit(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name    string
		scope   policies.TimeoutScope
		headers time.Duration
		reads   []time.Duration
		pause   time.Duration // of the reader, after each read
		cut     time.Duration // when the limit ends it; 0: never
	}{
		{"until headers, in time", policies.UntilResult, 9 * s, []time.Duration{time.Hour, time.Hour}, 0, 0},
		{"until headers, too late", policies.UntilResult, 11 * s, nil, 0, 10 * s},
		{"each read, in time", policies.EachRead, 9 * s, []time.Duration{9 * s, 9 * s, 9 * s}, 0, 0},
		{"each read, headers too late", policies.EachRead, 11 * s, nil, 0, 10 * s},
		{"each read, the first too late", policies.EachRead, 1 * s, []time.Duration{time.Hour}, 0, 11 * s},
		{"each read, the third too late", policies.EachRead, 1 * s, []time.Duration{9 * s, 9 * s, time.Hour}, 0, 29 * s},
		{"each read, after a pause, too late", policies.EachRead, 1 * s, []time.Duration{4 * s, time.Hour}, 7 * s, 22 * s},
		{"each read, and the reader takes its time", policies.EachRead, 1 * s, []time.Duration{9 * s, 9 * s}, time.Hour, 0},
		{"until the end, in time", policies.UntilEnd, 2 * s, []time.Duration{3 * s, 4 * s}, 0, 0},
		{"until the end, headers too late", policies.UntilEnd, 11 * s, nil, 0, 10 * s},
		{"until the end, too late", policies.UntilEnd, 2 * s, []time.Duration{3 * s, 4 * s, 4 * s}, 0, 10 * s},
	} {
		for name, engine := range engines {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen recorder
					rt := transports.New(baseFunc(func(r *http.Request) (*http.Response, error) {
						select {
						case <-time.After(row.headers):
							return &http.Response{StatusCode: 200, Body: &slowBody{r.Context(), row.reads}}, nil
						case <-r.Context().Done():
							return nil, r.Context().Err()
						}
					}), middleware.NewChain("", &seen, policies.NewRetry(policies.RetryConfig{Attempts: 1, Engine: engine}),
						policies.NewTimeout(policies.TimeoutConfig{Limit: 10 * s, Scope: row.scope})))
					begin := time.Now()
					resp, err := rt.RoundTrip(request(t, "GET", "http://example.com", nil))
					if err == nil {
						for err == nil {
							_, err = resp.Body.Read(make([]byte, 1))
							if err == nil {
								time.Sleep(row.pause)
							}
						}
						resp.Body.Close()
					}
					took := time.Since(begin)
					if row.cut == 0 {
						if err != io.EOF || len(seen.of(middleware.TimedOut)) != 0 {
							t.Errorf("after %s: %v, %d events", took, err, len(seen.of(middleware.TimedOut)))
						}
						return
					}
					var rejection *middleware.Rejection
					if !errors.As(err, &rejection) || !errors.Is(err, middleware.ErrTimeout) || errors.Is(err, context.Canceled) || rejection.Policy != "timeout" {
						t.Errorf("the reader got %v", err)
					}
					if took != row.cut || len(seen.of(middleware.TimedOut)) != 1 {
						t.Errorf("it was cut after %s with %d events, want %s and 1", took, len(seen.of(middleware.TimedOut)), row.cut)
					}
				})
			})
		}
	}
}

// The same over sockets: a server that falls silent in the middle of a large body.
func TestH19ASilentServerIsCut(t *testing.T) {
	over(t, trickle(200, nil), func(t *testing.T, s *server) {
		var seen recorder
		limit := policies.NewTimeout(policies.TimeoutConfig{Limit: 200 * time.Millisecond, Scope: policies.EachRead})
		resp, err := transports.New(s.base, s.retrying(2, &seen, limit)).RoundTrip(request(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if n != 512<<10 || !errors.Is(err, middleware.ErrTimeout) {
			t.Errorf("%d bytes, then %v", n, err)
		}
		if events := seen.of(middleware.TimedOut); len(events) != 1 || events[0].Reason != "stream" {
			t.Errorf("the events are %+v", events)
		}
	})
}

// everything is a chain of all that may stand around a request, which lets it pass.
func (s *server) everything() *middleware.Chain {
	return middleware.NewChain("everything",
		policies.NewTimeout(policies.TimeoutConfig{Name: "total", Limit: time.Minute, Scope: policies.UntilEnd}),
		policies.NewRetry(policies.RetryConfig{Engine: s.engine}),
		policies.NewHedge(policies.HedgeConfig{Delay: time.Minute}),
		policies.NewBreaker(policies.BreakerConfig{}),
		policies.NewRateLimit(policies.RateLimitConfig{Rate: 1e6}),
		policies.NewBulkhead(policies.BulkheadConfig{}),
		policies.NewTimeout(policies.TimeoutConfig{Name: "attempt", Limit: time.Minute, Scope: policies.EachRead}),
	)
}

func TestH20TheContentIsByteIdentical(t *testing.T) {
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	io.Copy(z, io.LimitReader(counting{}, 1<<20))
	z.Close()
	var plain bytes.Buffer
	io.Copy(&plain, io.LimitReader(counting{}, 1<<20))
	for name, row := range map[string]struct {
		content  []byte
		encoding string
		length   bool
		accept   string // what the client asks for; without, net/http decompresses by itself
	}{
		"plain, its length known": {plain.Bytes(), "", true, "identity"},
		"plain, chunked":          {plain.Bytes(), "", false, "identity"},
		"compressed, asked for":   {compressed.Bytes(), "gzip", true, "gzip"},
		"compressed by net/http":  {compressed.Bytes(), "gzip", true, ""},
		"empty":                   {nil, "", true, "identity"},
		"of an unknown encoding":  {plain.Bytes(), "rot13", true, "rot13"},
	} {
		t.Run(name, func(t *testing.T) {
			over(t, func(w http.ResponseWriter, _ *http.Request) {
				if row.encoding != "" {
					w.Header().Set("Content-Encoding", row.encoding)
				}
				if row.length {
					w.Header().Set("Content-Length", strconv.Itoa(len(row.content)))
				} else {
					w.(http.Flusher).Flush()
				}
				w.Write(row.content)
			}, func(t *testing.T, s *server) {
				read := func(rt http.RoundTripper) (*http.Response, []byte) {
					req := request(t, "GET", s.URL, nil)
					if row.accept != "" {
						req.Header.Set("Accept-Encoding", row.accept)
					}
					resp, err := rt.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					got, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatal(err)
					}
					return resp, got
				}
				want, wantBytes := read(s.base)
				got, gotBytes := read(transports.New(s.base, s.everything()))
				want.Header.Del("Date")
				got.Header.Del("Date")
				if !bytes.Equal(gotBytes, wantBytes) || !reflect.DeepEqual(got.Header, want.Header) || got.ContentLength != want.ContentLength ||
					got.Uncompressed != want.Uncompressed || !reflect.DeepEqual(got.TransferEncoding, want.TransferEncoding) {
					t.Errorf("%d bytes, %d, %v, want %d bytes, %d, %v", len(gotBytes), got.ContentLength, got.Header, len(wantBytes), want.ContentLength, want.Header)
				}
			})
		})
	}
}

// counting is endless text that hardly repeats itself.
type counting struct{}

var counter atomic.Uint64

func (counting) Read(p []byte) (int, error) {
	return copy(p, strconv.FormatUint(counter.Add(1)*0x9E3779B97F4A7C15, 36)), nil
}

func TestH21InformationalAnswersAreNoAttempts(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		answers(503, 200)(w, r)
	}, func(t *testing.T, s *server) {
		var hints []int
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			hints = append(hints, code)
			return nil
		}}
		for _, method := range []string{"GET", "POST"} { // a POST has hooks of its own
			s.requests.Store(0)
			hints = nil
			req := request(t, method, s.URL, nil)
			ctx := transports.Idempotent(httptrace.WithClientTrace(req.Context(), trace), method == "GET")
			want, status := 2, 200
			if method == "POST" {
				want, status = 1, 503
			}
			do(t, transports.New(s.base, s.retrying(3)), req.WithContext(ctx), status)
			wantRequests(t, s, want)
			if len(hints) != want || hints[0] != http.StatusEarlyHints {
				t.Errorf("%s: the hook saw %v, want one 103 for each of %d attempts", method, hints, want)
			}
		}
	})
}

// A bulkhead's place is taken until the body has been read or closed, or, if it is told so,
// until the headers.
func TestH22APlaceIsHeldUntilTheEndOfTheBody(t *testing.T) {
	over(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) }, func(t *testing.T, s *server) {
		for name, row := range map[string]struct {
			early bool
			use   func(io.ReadCloser)
			held  int // before that
		}{
			"read to the end": {false, func(b io.ReadCloser) { io.Copy(io.Discard, b) }, 1},
			"closed":          {false, func(b io.ReadCloser) { b.Close() }, 1},
			"until headers":   {true, func(io.ReadCloser) {}, 0},
		} {
			bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1, UntilResult: row.early})
			rt := transports.New(s.base, s.retrying(1, bulkhead))
			resp, err := rt.RoundTrip(request(t, "GET", s.URL, nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := bulkhead.Status().Running; got != row.held {
				t.Errorf("%s: before it %d places are taken, want %d", name, got, row.held)
			}
			other, err := rt.RoundTrip(request(t, "GET", s.URL, nil))
			if (row.held > 0) != errors.Is(err, middleware.ErrBulkheadFull) {
				t.Errorf("%s: another request meanwhile: %v", name, err)
			}
			if err == nil {
				other.Body.Close()
			}
			row.use(resp.Body)
			if got := bulkhead.Status().Running; got != 0 {
				t.Errorf("%s: afterwards %d places are taken", name, got)
			}
			resp.Body.Close()
		}
	})
}

// A response without a body holds nothing, closed or not: net/http leaks nothing of it.
func TestH22AnEmptyResponseHoldsNoPlace(t *testing.T) {
	over(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(r.Context().Value(numberKey{}).(int)%2*4 + 200) // 204, 200
	}, func(t *testing.T, s *server) {
		for _, method := range []string{"GET", "GET", "HEAD", "HEAD"} {
			bulkhead := policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 1})
			resp, err := transports.New(s.base, s.retrying(1, bulkhead)).RoundTrip(request(t, method, s.URL, nil))
			if err != nil {
				t.Fatal(err)
			}
			if n := bulkhead.Status().Running; n != 0 {
				t.Errorf("%s, %d: %d places are taken", method, resp.StatusCode, n)
			}
			resp.Body.Close()
		}
	})
}
