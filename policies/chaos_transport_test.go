package policies_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
	"github.com/tidegate-go/tidegate/transports"
)

// A slowBase answers after a while, with a body that takes a while.
type slowBase struct {
	answer, body time.Duration
	requests     int
	attempts     []int
}

func (b *slowBase) RoundTrip(req *http.Request) (*http.Response, error) {
	b.requests++
	b.attempts = append(b.attempts, middleware.Attempt(req.Context()))
	if err := rest(req.Context(), b.answer); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Request: req, Body: io.NopCloser(&slowBody{ctx: req.Context(), takes: b.body})}, nil
}

type slowBody struct {
	ctx   context.Context
	takes time.Duration
}

func (b *slowBody) Read([]byte) (int, error) {
	if err := rest(b.ctx, b.takes); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A request that is cut is repeated if it may be, and one whose body is cut says so to its reader.
func TestAChaosCutsRequestsAndBodies(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name         string
		method       string
		answer, body time.Duration
		requests     int
		err, readErr bool
	}{
		{"GET, no answer in time", "GET", time.Minute, 0, 3, true, false},
		{"POST, no answer in time", "POST", time.Minute, 0, 1, true, false},
		{"GET, a body that takes long", "GET", s, time.Minute, 1, false, true},
		{"GET, in time", "GET", s, s, 1, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			base := &slowBase{answer: row.answer, body: row.body}
			chain := middleware.NewChain("x", policies.NewRetry(policies.RetryConfig{Delay: ms}),
				policies.NewChaos(policies.ChaosConfig{Enabled: true, CutRate: 1, CutAfter: 5 * s}))
			req, err := http.NewRequestWithContext(t.Context(), row.method, "http://example.com", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transports.New(base, chain).RoundTrip(req)
			if errors.Is(err, policies.ErrChaos) != row.err || errors.Is(err, context.Canceled) || base.requests != row.requests {
				t.Errorf("%s: %v after %d requests", row.name, err, base.requests)
			}
			if err != nil {
				return
			}
			_, err = io.ReadAll(resp.Body)
			if errors.Is(err, policies.ErrChaos) != row.readErr || (err == nil) == row.readErr {
				t.Errorf("%s: reading: %v", row.name, err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A request that an operation makes in its second attempt is the first of its own call.
func TestARequestInARepeatedAttemptIsAFirstOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := &slowBase{}
		client := transports.New(base, middleware.NewChain("inner", policies.NewRetry(policies.RetryConfig{})))
		_ = middleware.NewChain("outer", unbounded("retry", 2, 0)).Do(t.Context(), func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.com", nil)
			if err != nil {
				return err
			}
			resp, err := client.RoundTrip(req)
			if err != nil {
				return err
			}
			return errors.Join(errBroken, resp.Body.Close())
		})
		if len(base.attempts) != 2 || base.attempts[0] != 1 || base.attempts[1] != 1 {
			t.Errorf("the requests are the attempts %v, want 1 and 1", base.attempts)
		}
	})
}
