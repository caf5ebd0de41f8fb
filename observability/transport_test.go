package observability_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/observability"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// roundTrip is a transport of one function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// respond returns a transport that answers each request with the status and body.
func respond(status int, body io.ReadCloser) roundTrip {
	return func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, ProtoMajor: 2, Header: http.Header{}, Body: body, Request: req}, nil
	}
}

func request(t *testing.T, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// serve starts a server and returns a transport to it that leaves nothing behind.
func serve(t *testing.T, handler http.HandlerFunc) (server *httptest.Server, base *http.Transport) {
	t.Helper()
	server = httptest.NewServer(handler)
	base = new(http.Transport)
	t.Cleanup(func() {
		base.CloseIdleConnections()
		server.Close()
	})
	return server, base
}

// A server must be able to tell the attempts apart: each carries the span of that
// very attempt.
func TestEachAttemptTellsTheServerOfItsOwnSpan(t *testing.T) {
	var mu sync.Mutex
	var parents []string
	server, base := serve(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		parents = append(parents, req.Header.Get("Traceparent"))
		if len(parents) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}
	})
	r := newRecorder()
	o := r.observer()
	retry := policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond})
	client := &http.Client{Transport: transports.New(o.Transport(base), middleware.NewChain("x", o, retry))}
	req := request(t, http.MethodGet, server.URL)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(req.Header) != 0 {
		t.Errorf("the request of the caller has the headers %v", req.Header)
	}
	var want []string
	for _, s := range r.named("GET") {
		want = append(want, "00-"+s.SpanContext.TraceID().String()+"-"+s.SpanContext.SpanID().String()+"-01")
		if s.Parent.SpanID() != r.span(t, "x GET").SpanContext.SpanID() {
			t.Errorf("span %v is not a child of the operation", s.SpanContext.SpanID())
		}
	}
	if len(want) != 3 {
		t.Fatalf("%d attempts ended, want 3: the responses that were given up too", len(want))
	}
	if !slices.Equal(parents, want) {
		t.Errorf("the server was told %q, want %q", parents, want)
	}
}

// A request that is part of no sampled trace is told as such.
func TestPropagation(t *testing.T) {
	for _, row := range []struct {
		name    string
		opts    []sdktrace.TracerProviderOption
		options []observability.Option
		want    string // the end of the header
	}{
		{"sampled", nil, nil, "-01"},
		{"not sampled", []sdktrace.TracerProviderOption{sdktrace.WithSampler(sdktrace.NeverSample())}, nil, "-00"},
		{"by a propagator of one's own", nil, []observability.Option{observability.WithPropagator(propagation.Baggage{})}, ""},
		{"a nil propagator", nil, []observability.Option{observability.WithPropagator(nil)}, "-01"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := "none"
			o := newRecorder(row.opts...).observer(row.options...)
			req := request(t, http.MethodGet, "http://example.com")
			req.Header.Set("X-Own", "kept")
			resp, err := o.Transport(roundTrip(func(sent *http.Request) (*http.Response, error) {
				got = sent.Header.Get("Traceparent")
				if sent.Header.Get("X-Own") != "kept" {
					t.Error("a header of the caller is lost")
				}
				return respond(204, http.NoBody)(sent)
			})).RoundTrip(req)
			if err != nil || resp.Request != req {
				t.Errorf("got %v, a response to the caller's request is %t", err, resp.Request == req)
			}
			if got == "none" || got[max(0, len(got)-3):] != row.want {
				t.Errorf("the server was told %q, want one that ends in %q", got, row.want)
			}
			if len(req.Header) != 1 {
				t.Errorf("the request of the caller has the headers %v", req.Header)
			}
		})
	}
}

// What the conventions for HTTP clients require.
func TestAttributesOfAnAttempt(t *testing.T) {
	for _, row := range []struct {
		method, url string
		status      int
		name, want  string
	}{
		{"GET", "http://example.com/a?b=c", 200, "GET",
			"attempt=1 http.request.method=GET http.response.status_code=200 network.protocol.version=2 outcome=success server.address=example.com server.port=80 url.full=http://example.com/a?b=c"},
		{"", "https://example.com", 301, "GET",
			"attempt=1 http.request.method=GET http.response.status_code=301 network.protocol.version=2 outcome=success server.address=example.com server.port=443 url.full=https://example.com"},
		{"PUT", "https://[::1]:8443/", 403, "PUT",
			"attempt=1 error.type=403 http.request.method=PUT http.response.status_code=403 network.protocol.version=2 outcome=failure server.address=::1 server.port=8443 url.full=https://[::1]:8443/"},
		{"PROPFIND", "https://example.com:99999999999999999999/", 500, "HTTP",
			"attempt=1 error.type=500 http.request.method=_OTHER http.request.method_original=PROPFIND http.response.status_code=500 network.protocol.version=2 outcome=failure server.address=example.com url.full=https://example.com:99999999999999999999/"},
		{"GET", "unix://example.com/", 200, "GET",
			"attempt=1 http.request.method=GET http.response.status_code=200 network.protocol.version=2 outcome=success server.address=example.com url.full=unix://example.com/"},
	} {
		t.Run(row.name+" "+row.url, func(t *testing.T) {
			r := newRecorder()
			req := request(t, row.method, row.url)
			req.Method = row.method
			if _, err := r.observer().Transport(respond(row.status, http.NoBody)).RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			s := r.span(t, row.name)
			if got := text(s.Attributes); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if s.SpanKind != trace.SpanKindClient {
				t.Errorf("kind %v", s.SpanKind)
			}
			if red := s.Status.Code == codes.Error; red != (row.status >= 400) || s.Status.Description != "" {
				t.Errorf("status %d: the span's status is %+v", row.status, s.Status)
			}
		})
	}
}

func TestARequestWithoutURLIsTheBasesAffair(t *testing.T) {
	r := newRecorder()
	if _, err := r.observer().Transport(respond(200, http.NoBody)).RoundTrip(&http.Request{}); err != nil {
		t.Fatal(err)
	}
	r.span(t, "GET")
}

func TestTransportWithoutATracerIsItsBase(t *testing.T) {
	base := new(http.Transport)
	var none *observability.Observer
	for name, o := range map[string]*observability.Observer{
		"no provider":    observability.New(),
		"a nil provider": observability.New(observability.WithTracerProvider(nil), nil),
		"zero":           {},
		"nil":            none,
	} {
		if got := o.Transport(base); got != base {
			t.Errorf("%s: got %T, want the base", name, got)
		}
		if got := o.Transport(nil); got != http.DefaultTransport {
			t.Errorf("%s, nil base: got %T, want http.DefaultTransport", name, got)
		}
	}
}

type closer struct {
	roundTrip
	closed bool
}

func (c *closer) CloseIdleConnections() { c.closed = true }

func TestTransportPassesOnWhatItsBaseCan(t *testing.T) {
	base := new(closer)
	wrapped := newRecorder().observer().Transport(base)
	(&http.Client{Transport: wrapped}).CloseIdleConnections()
	if !base.closed {
		t.Error("the idle connections of the base are open")
	}
	if got := wrapped.(interface{ WrappedRoundTripper() http.RoundTripper }).WrappedRoundTripper(); got != http.RoundTripper(base) {
		t.Errorf("it wraps %T, want the base", got)
	}
	wrapped = newRecorder().observer().Transport(roundTrip(nil))
	(&http.Client{Transport: wrapped}).CloseIdleConnections() // which its base cannot
}
