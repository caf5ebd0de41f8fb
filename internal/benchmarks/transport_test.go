package benchmarks

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A stack is what a transport is wrapped in.
type stack int

const (
	retryStack     stack = iota // a retry
	fullStack                   // timeout, retry, breaker and rate limit: the chain of BenchmarkChain
	repeatStack                 // a retry after 503, three attempts and hardly a wait
	noopStack                   // a span for each call and request, of the no-op tracer provider
	unsampledStack              // the same, of an SDK that samples nothing
)

// A transportLibrary is one that wraps transports.
type transportLibrary struct {
	name string

	// wrap returns base in the stack, nil if it cannot be wrapped so.
	wrap func(base http.RoundTripper, s stack) http.RoundTripper
}

// Tidegate is the first, the others are what it is compared with. Bare is no library:
// it is the transport itself, and what a caller would write by hand.
var transportLibraries = []transportLibrary{
	{"tidegate", tidegateTransport},
	{"bare", bareTransport},
	{"failsafehttp", failsafeTransport},
	{"go-retryablehttp", retryableTransport},
	{"otelhttp", otelTransport},
}

func bareTransport(base http.RoundTripper, s stack) http.RoundTripper {
	if s == repeatStack {
		return byHand{base}
	}
	return base
}

// byHand repeats a request without a body after 503, and leaves nothing open.
type byHand struct{ base http.RoundTripper }

func (t byHand) RoundTrip(req *http.Request) (*http.Response, error) {
	for left := attempts - 1; ; left-- {
		resp, err := t.base.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || left == 0 {
			return resp, err
		}
		if err := finish(resp); err != nil {
			return nil, err
		}
	}
}

// instant answers at once, without a connection, and like http.Transport asks for the
// end of the request's context.
type instant struct{}

func (instant) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := succeedUnlessDone(req.Context()); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"text/plain"}},
		Body:          io.NopCloser(strings.NewReader(smallBody)),
		ContentLength: int64(len(smallBody)),
		Request:       req,
	}, nil
}

const smallBody = "a small body, as of a health check"

func get(tb testing.TB, url string) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// exchange sends the request and reads the response to its end.
func exchange(rt http.RoundTripper, req *http.Request) (status int, err error) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, finish(resp)
}

func finish(resp *http.Response) error {
	_, err := io.Copy(io.Discard, resp.Body)
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	return err
}
