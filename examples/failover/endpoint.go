package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/adapters/minio"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// An endpoint is a bucket of an S3 server with a chain of its own, so that what happens
// to one says nothing about the other.
type endpoint struct {
	*minio.Client

	bucket  string
	breaker *policies.Breaker
}

// newEndpoint returns the endpoint of a server. Close its breaker. What is in milliseconds
// suits a demonstration: for a real server leave it out, the defaults are longer.
func newEndpoint(name, bucket, addr string, transport http.RoundTripper, observers ...middleware.Policy) (*endpoint, error) {
	e := &endpoint{bucket: bucket}
	e.breaker = policies.NewBreaker(policies.BreakerConfig{
		FailureThreshold: 3,
		Timeout:          10 * time.Millisecond, // until the first health check
		HealthInterval:   50 * time.Millisecond,
		HealthCheck:      func(ctx context.Context) error { return e.HealthCheck(ctx) }, // e.Client is set below
		RecoveryTime:     10 * time.Minute,                                              // when calls are tried, should no health check pass
	})
	chain := middleware.NewChain(name, append(observers,
		policies.NewRetry(policies.RetryConfig{Attempts: 2, Delay: time.Millisecond}),
		e.breaker,
		policies.NewTimeout(policies.TimeoutConfig{Limit: 15 * time.Minute}), // an upload counts whole
	)...)
	var err error
	e.Client, err = minio.New(addr, miniogo.Options{
		Creds:     credentials.NewStaticV4("key", "secret", ""),
		Secure:    true,
		Region:    "us-east-1",
		Transport: transport,
	}, chain)
	return e, err
}

// put uploads a write, whose content it reads anew for each attempt.
func (e *endpoint) put(ctx context.Context, name string, w *write) error {
	_, err := e.PutObject(ctx, e.bucket, name, io.NewSectionReader(w.content, 0, w.size), w.size, w.options())
	return err
}

// unavailable reports whether a call with this error is one for the other endpoint: a
// policy rejected it, or it failed in a way that the breaker counts. An answer such as
// AccessDenied or SlowDown is none, nor is the end of the caller's own context.
func unavailable(ctx context.Context, err error, kind minio.Kind) bool {
	if ctx.Err() != nil {
		return false
	}
	_, rejected := errors.AsType[*middleware.Rejection](err)
	return rejected || minio.Classify(err, kind).Class == middleware.Failure
}

// answered reports whether err is an answer of the server with one of the codes.
func answered(err error, codes ...string) bool {
	response, ok := errors.AsType[miniogo.ErrorResponse](err)
	for _, code := range codes {
		if ok && response.Code == code {
			return true
		}
	}
	return false
}
