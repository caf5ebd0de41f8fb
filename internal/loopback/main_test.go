package loopback

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A result is what a plain client of net/http sees of one request.
type result struct {
	*http.Response

	body    string
	err     error // of the round trip
	bodyErr error
}

func get(t *testing.T, s *Server) result {
	t.Helper()
	return do(t, s, http.MethodGet, nil)
}

func do(t *testing.T, s *Server, method string, body io.Reader) result {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, s, r)
}

func send(t *testing.T, s *Server, r *http.Request) result {
	t.Helper()
	resp, err := s.Transport().RoundTrip(r)
	if err != nil {
		return result{err: err}
	}
	defer resp.Body.Close()
	var body strings.Builder
	_, err = io.Copy(&body, resp.Body)
	return result{Response: resp, body: body.String(), bodyErr: err}
}

func wantAnswer(t *testing.T, got result, status int, body string) {
	t.Helper()
	if got.err != nil || got.bodyErr != nil {
		t.Errorf("failed: %v, %v", got.err, got.bodyErr)
	} else if got.StatusCode != status || got.body != body {
		t.Errorf("got %d with %d bytes, want %d with %d", got.StatusCode, len(got.body), status, len(body))
	}
}

// cancellable returns a GET and what cancels it.
func cancellable(t *testing.T, s *Server) (*http.Request, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, cancel
}
