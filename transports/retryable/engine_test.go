package retryable

import (
	"net/http"
	"testing"
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
