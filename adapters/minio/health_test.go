package minio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestHealthCheckAsksTheServer(t *testing.T) {
	for _, row := range []struct {
		status  int
		code    string
		healthy bool
	}{
		{200, "", true},
		{404, "NoSuchBucket", true},
		{403, "AccessDenied", true},
		{403, "InvalidAccessKeyId", true},
		{400, "InvalidRequest", true},
		{405, "MethodNotAllowed", true},
		{501, "NotImplemented", true},
		{429, "TooManyRequests", false},
		{503, "SlowDown", false},
		{503, "ServiceUnavailable", false},
		{503, "XMinioServerNotInitialized", false},
		{500, "InternalError", false},
		{502, "BadGateway", false},
		{504, "GatewayTimeout", false},
	} {
		for _, region := range []string{"us-east-1", ""} {
			t.Run(fmt.Sprintf("%s%d in %q", row.code, row.status, region), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
						switch {
						case row.status != 200:
							w.Header().Set("X-Minio-Error-Code", row.code)
							fail(w, r, row.status, row.code)
						case r.URL.Query().Has("location"):
							fmt.Fprint(w, "<LocationConstraint>us-east-1</LocationConstraint>")
						}
					}}
					c := s.connect(t, nil, func(o *minio.Options) { o.Region = region })
					if err := c.HealthCheck(t.Context()); (err == nil) != row.healthy {
						t.Errorf("healthy %v, want %v: %v", err == nil, row.healthy, err)
					}
					if got := s.seen(); len(got) == 0 || region != "" && (len(got) != 1 || got[0].method != http.MethodHead) {
						t.Errorf("requests %v", got)
					}
				})
			})
		}
	}
}

func TestHealthCheckPassesNoPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen, breaker := failFirst(1, 503, "ServiceUnavailable", ""), &verdicts{}, policies.NewBreaker(policies.BreakerConfig{})
		breaker.ForceOpen()
		c := s.connect(t, middleware.NewChain("s3", seen, retryPolicy(3), breaker))
		wantCode(t, c.HealthCheck(t.Context()), "503 Service Unavailable")
		s.wantRequests(t, 1)
		if err := c.HealthCheck(t.Context()); err != nil {
			t.Error(err)
		}
		s.wantRequests(t, 2)
		seen.want(t)
	})
}

func TestHealthCheckWithoutAnAnswer(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, row := range []struct {
		name  string
		check func(*testing.T) error
		want  error
	}{
		{"no client", func(t *testing.T) error { return (*Client)(nil).HealthCheck(t.Context()) }, errNoClient},
		{"no client of minio-go", func(t *testing.T) error { return Wrap(nil, nil).HealthCheck(t.Context()) }, errNoClient},
		{"connection refused", func(t *testing.T) error {
			c := always(200, "").connect(t, nil, func(o *minio.Options) {
				o.Transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, refused })
			})
			return c.HealthCheck(t.Context())
		}, refused},
		{"cancelled", func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return always(200, "").connect(t, nil).HealthCheck(ctx)
		}, context.Canceled},
		{"silent", func(t *testing.T) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			s := &script{answer: func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
			return s.connect(t, nil).HealthCheck(ctx)
		}, context.DeadlineExceeded},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := row.check(t); !errors.Is(err, row.want) {
					t.Errorf("%v, want %v", err, row.want)
				}
			})
		})
	}
}

func TestHealthCheckClosesABreakerWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failFirst(3, 503, "ServiceUnavailable", "content")
		var c *Client
		breaker := policies.NewBreaker(policies.BreakerConfig{
			FailureThreshold: 1, SuccessThreshold: 1, Timeout: 10 * time.Second, RecoveryTime: time.Minute,
			HealthCheck: func(ctx context.Context) error { return c.HealthCheck(ctx) },
		})
		defer breaker.Close()
		c = s.connect(t, middleware.NewChain("s3", breaker))
		stat := func() error {
			_, err := c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{})
			return err
		}
		wantCode(t, stat(), "503 Service Unavailable")
		if err := stat(); !errors.Is(err, middleware.ErrOpen) {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		s.wantRequests(t, 4) // the call, two checks that fail, one that passes
		if status := breaker.Status(); status.State != policies.Closed || status.Last.Reason != "health_check_passed" {
			t.Errorf("%+v", status)
		}
		if err := stat(); err != nil {
			t.Error(err)
		}
	})
}
