package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/tidegate-go/tidegate/middleware"
)

// A policy should derive its context from the one it gets. One that does not costs the
// request what is known of it, and no more.
func TestAPolicyMayGiveAnotherContext(t *testing.T) {
	detached := middleware.PolicyFunc(func(_ context.Context, next middleware.Next) error { return next.Do(context.Background()) })
	base := &instant{http.Response{StatusCode: http.StatusTooManyRequests, Body: http.NoBody, Header: http.Header{}}}
	var seen error
	judged := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		seen = next.Do(ctx)
		return seen
	})
	rt, err := rest.TransportFor(Wrap(&rest.Config{Host: "https://10.0.0.1", Transport: base}, middleware.NewChain("", judged, detached)))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://10.0.0.1/api/v1/namespaces/a/pods/b/eviction", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	if v := middleware.VerdictOf(seen); v.Class != middleware.Success {
		t.Errorf("an eviction is judged %+v", v)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// What holds a request to the Timeout of the config goes with it, in whatever way it fails.
func TestAFailedRequestLeavesNoContext(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error": func() error { return errors.New("refused") },
		"a panic":  func() error { panic("a transport of somebody") },
	} {
		for _, path := range []string{"/api/v1/pods", "/api/v1/pods?watch=true"} {
			var sent *http.Request
			base := roundTripFunc(func(req *http.Request) (*http.Response, error) {
				sent = req
				return nil, fail()
			})
			rt, err := rest.TransportFor(Wrap(&rest.Config{Host: "https://10.0.0.1", Transport: base, Timeout: time.Hour}, nil))
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://10.0.0.1"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			func() {
				defer func() { _ = recover() }()
				if resp, err := rt.RoundTrip(req); err == nil {
					_ = resp.Body.Close()
					t.Error("it succeeded")
				}
			}()
			if sent == nil || sent.Context().Err() == nil {
				t.Errorf("after %s its context has not ended: %s", name, path)
			}
		}
	}
}
