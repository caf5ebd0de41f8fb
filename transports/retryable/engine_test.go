package retryable

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// The client inside does nothing by itself: it neither logs nor follows, keeps no cookies
// and has no limits.
func TestTheClientOfAnEngineIsBare(t *testing.T) {
	c := NewEngine().client
	if c.Logger != nil || c.RequestLogHook != nil || c.ResponseLogHook != nil || c.PrepareRetry != nil {
		t.Error("it has hooks")
	}
	if c.HTTPClient.Jar != nil || c.HTTPClient.Timeout != 0 || c.HTTPClient.CheckRedirect(nil, nil) != http.ErrUseLastResponse {
		t.Errorf("it does more than it is asked to: %+v", c.HTTPClient)
	}
	if _, can := c.HTTPClient.Transport.(interface{ CloseIdleConnections() }); can {
		t.Error("it can close connections")
	}
}

func TestAnEngineThatNobodyMade(t *testing.T) {
	for _, e := range []*Engine{nil, new(Engine)} {
		err := e.Run(t.Context(), func(context.Context) (time.Duration, bool) {
			t.Error("it made an attempt")
			return 0, false
		})
		if err != errZeroEngine {
			t.Errorf("got %v", err)
		}
	}
}

// A request that is used again has the context of one call, not of all there were.
func TestTheContextOfACallReplacesThatOfTheLast(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var last *call
	for range 3 {
		begin(req, 0)
		ctx, ok := req.Context().(*callContext)
		if !ok || ctx.Context != t.Context() || ctx.call == last {
			t.Errorf("the context is %v", req.Context())
		}
		last = callOf(req.Context())
		if begin(req, 1); callOf(req.Context()) != last || last.attempt != 2 {
			t.Errorf("attempt %d of another call", last.attempt)
		}
	}
}
