package minio

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestM1NewTakesOptionsByValueAndOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := minio.Options{Region: "us-east-1"}
		before := o
		if _, err := New("s3.test", o, nil); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(o, before) {
			t.Errorf("New changed the caller's options: %+v", o)
		}
		for _, row := range []struct {
			name       string
			maxRetries int
			want       int
		}{
			{"not set", 0, 1},
			{"negative is minio-go's default too", -1, 1},
			{"set by the user", 3, 3},
		} {
			s := always(503, "ServiceUnavailable")
			c := s.connect(t, nil, func(o *minio.Options) { o.MaxRetries = row.maxRetries })
			_, err := c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{})
			if err == nil {
				t.Errorf("%s: no error", row.name)
			}
			s.wantRequests(t, row.want)
		}
	})
}

func TestM1WrapKeepsTheRetriesOfTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(503, "ServiceUnavailable")
		raw, err := minio.New("s3.test", &minio.Options{Region: "us-east-1", Transport: s.transport(t)})
		if err != nil {
			t.Fatal(err)
		}
		c := Wrap(raw, retrying(2))
		if c.Raw() != raw {
			t.Error("Raw is not the wrapped client")
		}
		c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{})
		s.wantRequests(t, 2*minio.MaxRetry)
	})
}

func TestM2RequestsAreAttempts(t *testing.T) {
	for _, row := range operations {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := always(503, "ServiceUnavailable")
				err := row.run(t.Context(), s.connect(t, retrying(4), needs(row.name)))
				if got := minio.ToErrorResponse(err); got.StatusCode != 503 {
					t.Errorf("error %v, want minio-go's own 503", err)
				}
				if row.kind == Read || row.kind == Write {
					s.wantRequests(t, 4)
				} else {
					s.wantRequests(t, 1)
				}
			})
		})
	}
}

func TestM18ErrorsKeepTheirType(t *testing.T) {
	for _, row := range operations {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := always(403, "AccessDenied").connect(t, retrying(3), needs(row.name))
				err := row.run(t.Context(), c)
				wantCode(t, err, "AccessDenied")
				if got := minio.ToErrorResponse(err); got.StatusCode != 403 {
					t.Errorf("ToErrorResponse gives %+v", got)
				}

				gone, cancel := context.WithCancel(t.Context())
				cancel()
				if err := row.run(gone, c); !errors.Is(err, context.Canceled) {
					t.Errorf("after the caller's cancellation: %v", err)
				}

				breaker := policies.NewBreaker(policies.BreakerConfig{})
				breaker.ForceOpen()
				open := always(500, "").connect(t, middleware.NewChain("s3", retryPolicy(3), breaker), needs(row.name))
				var rejection *middleware.Rejection
				if err := row.run(t.Context(), open); !errors.As(err, &rejection) || !errors.Is(err, middleware.ErrOpen) {
					t.Errorf("of an open breaker: %v", err)
				}
			})
		})
	}
}

func retryPolicy(attempts int) *policies.Retry {
	return policies.NewRetry(policies.RetryConfig{Attempts: attempts, Jitter: -1})
}

func TestM18RejectionInsideTheTransportIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaker := policies.NewBreaker(policies.BreakerConfig{Name: "inner"})
		breaker.ForceOpen()
		inner := middleware.NewChain("requests", breaker)
		s := failFirst(0, 0, "", "")
		calls, seen := 0, &verdicts{}
		c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), seen), func(o *minio.Options) {
			base := o.Transport
			o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				calls++
				return middleware.Call(r.Context(), inner, func(ctx context.Context) (*http.Response, error) {
					return base.RoundTrip(r.WithContext(ctx))
				})
			})
		})
		_, err := c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{})
		var rejection *middleware.Rejection
		if !errors.As(err, &rejection) || rejection.Policy != "inner" {
			t.Errorf("error %v, want the rejection of the inner chain", err)
		}
		if calls != 1 {
			t.Errorf("%d requests, want 1", calls)
		}
		seen.want(t, middleware.Verdict{Class: middleware.Ignored, Reason: "rejected"})
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestM19OperationIsNamedAndKeyedByHost(t *testing.T) {
	for _, row := range operations {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got middleware.Operation
				c := failFirst(0, 0, "", "").connect(t, middleware.NewChain("s3", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
					got = middleware.OperationOf(ctx)
					return next.Do(ctx)
				})), needs(row.name))
				row.run(t.Context(), c)
				if want := (middleware.Operation{Name: row.name, Key: "s3.test", Idempotent: row.beside}); got != want {
					t.Errorf("operation %+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestM21LastErrorSurvivesTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(503, "SlowDown")
		c := s.connect(t, middleware.NewChain("s3", policies.NewRetry(policies.RetryConfig{Delay: 5 * time.Second, Jitter: -1})))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := c.RemoveObject(ctx, "bucket", "object", minio.RemoveObjectOptions{})
		wantCode(t, err, "SlowDown")
		if !errors.Is(err, middleware.ErrDeadline) || ctx.Err() != nil {
			t.Errorf("error %v with context %v, want ErrDeadline before the deadline", err, ctx.Err())
		}
		s.wantRequests(t, 1)
	})
}

func TestTimeoutOfTheChainIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				<-release
			}
			succeed(w, r, "content")
		}}
		seen := &verdicts{}
		c := s.connect(t, middleware.NewChain("s3", retryPolicy(2), policies.NewTimeout(policies.TimeoutConfig{Limit: time.Second}), seen))
		if _, err := c.StatObject(t.Context(), "bucket", "object", minio.StatObjectOptions{}); err != nil {
			t.Error(err)
		}
		close(release)
		seen.want(t, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "timeout"}, middleware.Verdict{})
	})
}

func TestCallersEndIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		s := &script{answer: func(int, http.ResponseWriter, *http.Request) { <-release }}
		seen := &verdicts{}
		c := s.connect(t, middleware.NewChain("s3", retryPolicy(2), seen))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.StatObject(ctx, "bucket", "object", minio.StatObjectOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.wantRequests(t, 1)
		seen.want(t, middleware.Verdict{Class: middleware.Ignored, Reason: "canceled"})
	})
}

func TestBreakerOpensOnFailuresNotOnAnswers(t *testing.T) {
	for _, row := range []struct {
		status int
		code   string
		want   policies.State
	}{
		{503, "ServiceUnavailable", policies.Open},
		{500, "InternalError", policies.Open},
		{404, "NoSuchKey", policies.Closed},
		{403, "AccessDenied", policies.Closed},
		{503, "SlowDown", policies.Closed},
	} {
		t.Run(row.code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3})
				s := always(row.status, row.code)
				c := s.connect(t, middleware.NewChain("s3", breaker))
				for range 6 {
					c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				}
				if got := breaker.State(); got != row.want {
					t.Errorf("the breaker is %v, want %v", got, row.want)
				}
				if row.want == policies.Open {
					s.wantRequests(t, 3)
				} else {
					s.wantRequests(t, 6)
				}
			})
		})
	}
}

func TestRegionIsRepairedWithoutARetryInTheChain(t *testing.T) {
	for _, row := range []struct {
		name   string
		region string // of the options
		answer []string
		want   int
		fixed  bool
	}{
		{"repaired", "", []string{"eu-west-1"}, 2, true},
		{"once only", "", []string{"eu-west-1", "eu-west-2"}, 2, false},
		{"fixed by the options", "us-east-1", []string{"eu-west-1"}, 1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				s := &script{}
				s.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
					if r.URL.Query().Has("location") {
						w.Write([]byte("<LocationConstraint>us-east-1</LocationConstraint>"))
						return
					}
					if asked++; asked <= len(row.answer) {
						w.Header().Set("X-Amz-Bucket-Region", row.answer[asked-1])
						fail(w, r, 400, "AuthorizationHeaderMalformed")
						return
					}
					succeed(w, r, "content")
				}
				c := s.connect(t, nil, func(o *minio.Options) { o.Region = row.region })
				o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if err == nil {
					o.Close()
				}
				if fixed := err == nil; fixed != row.fixed || asked != row.want {
					t.Errorf("after %d requests: %v", asked, err)
				}
			})
		})
	}
}

func TestM22ExpiredTokenIsRepeatedOnceWrongKeysNever(t *testing.T) {
	for _, row := range []struct {
		code string
		want int
	}{
		{"ExpiredToken", 2},
		{"ExpiredTokenException", 2},
		{"InvalidAccessKeyId", 1},
		{"SignatureDoesNotMatch", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := always(403, row.code)
			c := s.connect(t, retrying(5))
			_, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
			wantCode(t, err, row.code)
			s.wantRequests(t, row.want)
		})
	}
}
