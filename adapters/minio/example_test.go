package minio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/adapters/minio"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func Example() {
	server, down := startS3()
	defer server.Close()

	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 3})
	chain := middleware.NewChain("s3", policies.NewRetry(policies.RetryConfig{}), breaker)
	client, err := minio.New(server.Listener.Addr().String(), miniogo.Options{
		Creds:     credentials.NewStaticV4("key", "secret", ""),
		Region:    "us-east-1",
		Secure:    true,
		Transport: server.Client().Transport,
	}, chain)
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	if err := client.MakeBucket(ctx, "backups", miniogo.MakeBucketOptions{}); err != nil {
		fmt.Println(err)
	}

	down.Store(2) // two attempts fail, the third one succeeds
	content := strings.NewReader("all of Monday")
	info, err := client.PutObject(ctx, "backups", "monday", content, content.Size(), miniogo.PutObjectOptions{})
	fmt.Println("uploaded", info.Size, "bytes,", err)

	object, err := client.GetObject(ctx, "backups", "monday", miniogo.GetObjectOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer object.Close()
	restored, err := io.ReadAll(object)
	fmt.Printf("%s, %v\n", restored, err)

	_, err = client.GetObject(ctx, "backups", "tuesday", miniogo.GetObjectOptions{})
	fmt.Println(miniogo.ToErrorResponse(err).Code, breaker.State())

	down.Store(1000)
	_, err = client.GetObject(ctx, "backups", "monday", miniogo.GetObjectOptions{})
	fmt.Println(miniogo.ToErrorResponse(err).StatusCode, breaker.State())
	_, err = client.GetObject(ctx, "backups", "monday", miniogo.GetObjectOptions{})
	fmt.Println(errors.Is(err, middleware.ErrOpen))
	// Output:
	// uploaded 13 bytes, <nil>
	// all of Monday, <nil>
	// NoSuchKey closed
	// 503 open
	// true
}

// A client with policies, as the README shows it.
func ExampleNew() {
	server, _ := startS3()
	defer server.Close()
	endpoint, transport := server.Listener.Addr().String(), server.Client().Transport
	creds := credentials.NewStaticV4("key", "secret", "")
	ctx, file := context.Background(), strings.NewReader("all of Monday")

	var store *minio.Client
	breaker := policies.NewBreaker(policies.BreakerConfig{
		HealthCheck: func(ctx context.Context) error { return store.HealthCheck(ctx) }, // may close it without a call
	})
	defer breaker.Close()
	chain := middleware.NewChain("nightly",
		policies.NewRetry(policies.RetryConfig{}),
		breaker,
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 20}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 15 * time.Minute}), // an upload counts whole, a download until it begins
	)
	options := miniogo.Options{Creds: creds, Secure: true, Region: "eu-west-1", Transport: transport}
	store, err := minio.New(endpoint, options, chain, minio.WithResume(3))
	if err != nil {
		panic(err)
	}
	if _, err = store.PutObject(ctx, "nightly", "monday.tar", file, file.Size(), miniogo.PutObjectOptions{}); err != nil {
		panic(err)
	}
	object, err := store.GetObject(ctx, "nightly", "monday.tar", miniogo.GetObjectOptions{}) // NoSuchKey comes here, not from Read
	if err != nil {
		panic(err)
	}
	defer object.Close()
	var old []miniogo.ObjectInfo
	for found, err := range store.ListObjects(ctx, "nightly", miniogo.ListObjectsOptions{Prefix: "2025/", Recursive: true}) {
		if err != nil {
			panic(err)
		}
		old = append(old, found)
	}
	for removed, err := range store.RemoveObjects(ctx, "nightly", slices.Values(old), miniogo.RemoveObjectsOptions{}) {
		fmt.Println(removed.ObjectName, err)
	}
	content, err := io.ReadAll(object)
	fmt.Println(string(content), err)
	// Output: all of Monday <nil>
}

// startS3 returns a server that answers 503 while down is above zero, and counts it down.
func startS3() (server *httptest.Server, down *atomic.Int32) {
	objects := s3mem.New()
	if err := objects.CreateBucket("nightly"); err != nil {
		panic(err)
	}
	s3 := gofakes3.New(objects, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	down = new(atomic.Int32)
	return httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s3.ServeHTTP(w, r)
	})), down
}
