package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// signers are the methods of a Client that need the region of "bucket" and nothing
// else of the server. They return the signature, or the region.
var signers = []struct {
	name string
	run  func(context.Context, *Client) (string, error)
}{
	{"GetBucketLocation", func(ctx context.Context, c *Client) (string, error) {
		return c.GetBucketLocation(ctx, "bucket")
	}},
	{"Presign", func(ctx context.Context, c *Client) (string, error) {
		return signature(c.Presign(ctx, http.MethodDelete, "bucket", "object", time.Hour, nil))
	}},
	{"PresignHeader", func(ctx context.Context, c *Client) (string, error) {
		header := http.Header{"Content-Type": {"text/plain"}}
		return signature(c.PresignHeader(ctx, http.MethodPut, "bucket", "object", time.Hour, nil, header))
	}},
	{"PresignedGetObject", func(ctx context.Context, c *Client) (string, error) {
		return signature(c.PresignedGetObject(ctx, "bucket", "object", time.Hour, nil))
	}},
	{"PresignedHeadObject", func(ctx context.Context, c *Client) (string, error) {
		return signature(c.PresignedHeadObject(ctx, "bucket", "object", time.Hour, nil))
	}},
	{"PresignedPutObject", func(ctx context.Context, c *Client) (string, error) {
		return signature(c.PresignedPutObject(ctx, "bucket", "object", time.Hour))
	}},
	{"PresignedPostPolicy", func(ctx context.Context, c *Client) (string, error) {
		p := minio.NewPostPolicy()
		if err := errors.Join(p.SetBucket("bucket"), p.SetKey("object"), p.SetExpires(time.Now().Add(time.Hour))); err != nil {
			return "", err
		}
		u, fields, err := c.PresignedPostPolicy(ctx, p)
		if err == nil && u == nil {
			return "", errors.New("no URL")
		}
		return fields["x-amz-signature"], err
	}},
}

func signature(u *url.URL, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return u.Query().Get("X-Amz-Signature"), nil
}

// signed gives a client keys to sign with, and a region, unless that is empty.
func signed(region string) func(*minio.Options) {
	return func(o *minio.Options) {
		o.Creds, o.Region, o.MaxRetries = credentials.NewStaticV4("key", "secret", ""), region, 1
	}
}

// locates answers with a region, after n failures for each bucket. It knows no
// bucket "broken".
func locates(n int) *script {
	failures := map[string]int{}
	var mu sync.Mutex
	return &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		failures[r.URL.Path]++
		failed := failures[r.URL.Path] <= n
		mu.Unlock()
		if failed || strings.HasPrefix(r.URL.Path, "/broken") {
			fail(w, r, 503, "ServiceUnavailable")
			return
		}
		io.WriteString(w, "<LocationConstraint>eu-west-7</LocationConstraint>")
	}}
}

var (
	unavailableOnce = middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "unavailable"}
	nothingSent     = middleware.Verdict{Class: middleware.Ignored, Reason: "local"}
)

func TestM16WithARegionSigningIsLocal(t *testing.T) {
	for _, row := range signers {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen, breaker := always(500, "InternalError"), &verdicts{}, policies.NewBreaker(policies.BreakerConfig{})
				breaker.ForceOpen()
				c := s.connect(t, middleware.NewChain("s3", seen, retryPolicy(3), breaker), signed("us-east-1"))
				if got, err := row.run(t.Context(), c); got == "" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				s.wantRequests(t, 0)
				seen.want(t)
			})
		})
	}
}

func TestM16WithoutARegionItIsAskedForOnce(t *testing.T) {
	for _, row := range signers {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen, breaker := locates(1), &verdicts{}, policies.NewBreaker(policies.BreakerConfig{})
				var names []string
				noting := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
					names = append(names, middleware.OperationOf(ctx).Name)
					return next.Do(ctx)
				})
				c := s.connect(t, middleware.NewChain("s3", noting, retryPolicy(2), breaker, seen), signed(""))
				if got, err := row.run(t.Context(), c); got == "" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				breaker.ForceOpen()
				for _, next := range signers {
					if got, err := next.run(t.Context(), c); got == "" || err != nil {
						t.Errorf("then %s: %q, %v", next.name, got, err)
					}
				}
				s.wantRequests(t, 2)
				for _, r := range s.seen() {
					if r.method != http.MethodGet || r.path != "/bucket/" || r.query != "location=" {
						t.Errorf("request %v", r)
					}
				}
				seen.want(t, unavailableOnce, middleware.Verdict{})
				if fmt.Sprint(names) != fmt.Sprint([]string{row.name}) {
					t.Errorf("operations %v", names)
				}
				// What is known of one bucket is not known of another.
				if _, err := c.GetBucketLocation(t.Context(), "another"); !errors.Is(err, middleware.ErrOpen) {
					t.Errorf("another bucket: %v", err)
				}
			})
		})
	}
}

func TestM16WhatWasKnownIsNoSuccessOfTheServer(t *testing.T) {
	for _, row := range signers {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := locates(0), &verdicts{}
				breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1, SuccessThreshold: 1, Timeout: time.Second})
				raw := s.connect(t, nil, signed("")).Raw()
				if _, err := raw.GetBucketLocation(t.Context(), "bucket"); err != nil {
					t.Fatal(err)
				}
				c := Wrap(raw, middleware.NewChain("s3", breaker, seen))
				if _, err := c.GetBucketLocation(t.Context(), "broken"); err == nil || breaker.State() != policies.Open {
					t.Fatalf("the breaker is %v after %v", breaker.State(), err)
				}
				time.Sleep(time.Minute)
				for range 2 { // the second one does not pass the chain
					if got, err := row.run(t.Context(), c); got == "" || err != nil {
						t.Errorf("%q, %v", got, err)
					}
				}
				s.wantRequests(t, 2)
				seen.want(t, unavailableOnce, nothingSent)
				if breaker.State() == policies.Closed {
					t.Error("the breaker is closed")
				}
				if _, err := c.GetBucketLocation(t.Context(), "fresh"); err != nil || breaker.State() != policies.Closed {
					t.Errorf("after an answer of the server (%v) the breaker is %v", err, breaker.State())
				}
			})
		})
	}
}

func TestM16AFailedLookUpIsAFailure(t *testing.T) {
	for _, row := range signers {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, seen := locates(2), &verdicts{}
				c := s.connect(t, middleware.NewChain("s3", seen), signed(""))
				for range 2 {
					got, err := row.run(t.Context(), c)
					wantCode(t, err, "ServiceUnavailable")
					if got != "" {
						t.Errorf("%q besides the error", got)
					}
				}
				if got, err := row.run(t.Context(), c); got == "" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				s.wantRequests(t, 3)
				seen.want(t, unavailableOnce, unavailableOnce, middleware.Verdict{})
			})
		})
	}
}

func TestM16WhatCannotBeSignedIsNoMatterOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := locates(0), &verdicts{}
		c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), seen), signed(""))
		if _, err := c.PresignedPutObject(t.Context(), "bucket", "object", 0); err == nil {
			t.Error("no error for a URL that never holds")
		}
		if _, _, err := c.PresignedPostPolicy(t.Context(), minio.NewPostPolicy()); err == nil {
			t.Error("no error for an empty form")
		}
		s.wantRequests(t, 0)
		for _, v := range seen.seen {
			if v.Class == middleware.Failure || v.Retry {
				t.Errorf("verdict %v", v)
			}
		}
		for _, row := range signers {
			if got, err := row.run(t.Context(), Wrap(nil, nil)); got != "" || err != errNoClient {
				t.Errorf("%s: %q, %v", row.name, got, err)
			}
		}
	})
}

// Who watches a chain could use a signature that he sees.
func TestM16NoSignatureIsSeenInTheChain(t *testing.T) {
	for _, known := range []bool{false, true} {
		for _, row := range signers[1:] {
			t.Run(fmt.Sprintf("%s, known %v", row.name, known), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var seen strings.Builder
					observer := middleware.ObserverFunc(func(ctx context.Context, e middleware.Event) {
						fmt.Fprintf(&seen, "%+v %+v\n", middleware.OperationOf(ctx), e)
					})
					noting := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
						err := next.Do(ctx)
						fmt.Fprintf(&seen, "%+v %v\n", middleware.OperationOf(ctx), err)
						return err
					})
					raw := locates(1).connect(t, nil, signed("")).Raw()
					if known {
						raw.GetBucketLocation(t.Context(), "bucket")
						raw.GetBucketLocation(t.Context(), "bucket")
					}
					c := Wrap(raw, middleware.NewChain("s3", observer, noting, retryPolicy(3), noting), WithBucketKeys())
					got, err := row.run(t.Context(), c)
					if len(got) != 64 || err != nil {
						t.Fatalf("%q, %v", got, err)
					}
					text := seen.String()
					if !strings.Contains(text, row.name) || !strings.Contains(text, "s3.test/bucket") {
						t.Errorf("nothing was seen: %s", text)
					}
					if strings.Contains(text, got) || strings.Contains(text, "Signature") {
						t.Errorf("seen: %s", text)
					}
				})
			})
		}
	}
}
