package minio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

const accessKey, secretKey = "tidegate", "tidegate-secret"

var quiet = log.New(io.Discard, "", 0)

// startFake returns the endpoint and the transport of a gofakes3 that serves over
// TLS: over plain HTTP it keeps the framing of signed chunks in the parts of uploads.
func startFake(t *testing.T) (endpoint string, transport http.RoundTripper) {
	t.Helper()
	server := httptest.NewTLSServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), server.Client().Transport
}

// startPlainFake returns the endpoint of a gofakes3 that serves plain HTTP.
func startPlainFake(t *testing.T) (endpoint string) {
	t.Helper()
	server := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestRoundTrip(t *testing.T) {
	endpoint, transport := startFake(t)
	o := minio.Options{
		Creds: credentials.NewStaticV4("key", "secret", ""), Secure: true, Transport: transport, Region: "us-east-1",
	}
	roundTrip(t, endpoint, o)
}

// roundTrip is the suite that every S3 server has to pass.
func roundTrip(t *testing.T, endpoint string, o minio.Options) {
	breaker := policies.NewBreaker(policies.BreakerConfig{FailureThreshold: 1})
	chain := middleware.NewChain("s3", policies.NewRetry(policies.RetryConfig{}), breaker)
	c, err := New(endpoint, o, chain)
	if err != nil {
		t.Fatal(err)
	}
	ctx, bucket := t.Context(), fmt.Sprintf("bucket-%x", rand.Uint64())

	t.Run("bucket", func(t *testing.T) {
		if exists, err := c.BucketExists(ctx, bucket); exists || err != nil {
			t.Fatal(exists, err)
		}
		if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
		if exists, err := c.BucketExists(ctx, bucket); !exists || err != nil {
			t.Fatal(exists, err)
		}
	})

	const mib = 1 << 20
	content := randomBytes(12 * mib)
	for _, row := range []struct {
		name   string
		reader func(b []byte) io.Reader
		length int
		size   int // -1: unknown
	}{
		{"empty", func(b []byte) io.Reader { return bytes.NewReader(b) }, 0, 0},
		{"small", func(b []byte) io.Reader { return bytes.NewReader(b) }, 1000, 1000},
		{"small stream", func(b []byte) io.Reader { return bytes.NewBuffer(b) }, 1000, 1000},
		{"small, size unknown", func(b []byte) io.Reader { return bytes.NewBuffer(b) }, 1000, -1},
		{"parts of a section", func(b []byte) io.Reader { return bytes.NewReader(b) }, 12 * mib, 12 * mib},
		{"parts of a seeker", func(b []byte) io.Reader { return seekOnly{bytes.NewReader(b)} }, 12 * mib, 12 * mib},
		{"parts, size unknown", func(b []byte) io.Reader { return bytes.NewBuffer(b) }, 12 * mib, -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			want := content[:row.length]
			opts := minio.PutObjectOptions{
				ContentType: "application/x-test", PartSize: 5 * mib, UserMetadata: map[string]string{"Colour": "green"},
			}
			info, err := c.PutObject(ctx, bucket, row.name, row.reader(want), int64(row.size), opts)
			if err != nil || info.Key != row.name {
				t.Fatalf("%+v, %v", info, err)
			}
			stat, err := c.StatObject(ctx, bucket, row.name, minio.StatObjectOptions{})
			if err != nil || stat.Size != int64(row.length) || stat.ContentType != "application/x-test" || stat.UserMetadata["Colour"] != "green" {
				t.Errorf("stat %+v, %v", stat, err)
			}
			object, err := c.GetObject(ctx, bucket, row.name, minio.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer object.Close()
			if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
			}
			if got := object.info; got.Size != stat.Size || got.ETag != stat.ETag {
				t.Errorf("info %+v, stat %+v", got, stat)
			}
		})
	}

	t.Run("files", func(t *testing.T) {
		from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
		if err := os.WriteFile(from, content[:mib], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.FPutObject(ctx, bucket, "file", from, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := c.FGetObject(ctx, bucket, "file", to, minio.GetObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, content[:mib]) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})

	t.Run("range", func(t *testing.T) {
		var opts minio.GetObjectOptions
		if err := opts.SetRange(100, 199); err != nil {
			t.Fatal(err)
		}
		object, err := c.GetObject(ctx, bucket, "small", opts)
		if err != nil {
			t.Fatal(err)
		}
		defer object.Close()
		if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, content[100:200]) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})

	t.Run("listing", func(t *testing.T) {
		for i := range 25 {
			key := fmt.Sprintf("list/%02d", i)
			if _, err := c.PutObject(ctx, bucket, key, strings.NewReader(key), int64(len(key)), minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		var keys []string
		for object, err := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "list/", MaxKeys: 10}) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, object.Key)
		}
		if len(keys) != 25 || !slices.IsSorted(keys) {
			t.Errorf("%d keys: %v", len(keys), keys)
		}
		for range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "list/", MaxKeys: 10}) {
			break
		}
		for _, err := range c.ListObjects(ctx, bucket+"-none", minio.ListObjectsOptions{}) {
			wantCode(t, err, "NoSuchBucket")
		}
	})

	t.Run("answers that are errors", func(t *testing.T) {
		_, err := c.GetObject(ctx, bucket, "none", minio.GetObjectOptions{})
		wantCode(t, err, "NoSuchKey")
		_, err = c.StatObject(ctx, bucket, "none", minio.StatObjectOptions{})
		wantCode(t, err, "NoSuchKey")
		if status := minio.ToErrorResponse(err).StatusCode; status != 404 {
			t.Errorf("status %d", status)
		}
		_, err = c.PutObject(ctx, bucket+"-none", "object", strings.NewReader("x"), 1, minio.PutObjectOptions{})
		wantCode(t, err, "NoSuchBucket")
		if s := breaker.State(); s != policies.Closed {
			t.Errorf("the breaker is %v", s)
		}
	})

	t.Run("any operation", func(t *testing.T) {
		op := Op{Name: "ListBuckets", Kind: Read}
		buckets, err := Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) ([]minio.BucketInfo, error) {
			return raw.ListBuckets(ctx)
		})
		if err != nil || !slices.ContainsFunc(buckets, func(b minio.BucketInfo) bool { return b.Name == bucket }) {
			t.Errorf("%v, %v", buckets, err)
		}
	})

	t.Run("seek and read at", func(t *testing.T) {
		object, err := c.GetObject(ctx, bucket, "small", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer object.Close()
		if _, err := object.Seek(-100, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, content[900:1000]) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		p := make([]byte, 50)
		if n, err := object.ReadAt(p, 300); n != 50 || err != nil || !bytes.Equal(p, content[300:350]) {
			t.Errorf("read %d bytes, %v", n, err)
		}
	})

	t.Run("copy", func(t *testing.T) {
		info, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "copy"}, minio.CopySrcOptions{Bucket: bucket, Object: "small"})
		if err != nil || info.Key != "copy" {
			t.Fatalf("%+v, %v", info, err)
		}
		stat, err := c.StatObject(ctx, bucket, "copy", minio.StatObjectOptions{})
		if err != nil || stat.Size != 1000 {
			t.Errorf("%+v, %v", stat, err)
		}
	})

	t.Run("presigned", func(t *testing.T) {
		u, err := c.PresignedGetObject(ctx, bucket, "small", time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: o.Transport}).Get(u.String())
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, content[:1000]) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})

	t.Run("health", func(t *testing.T) {
		if err := c.HealthCheck(ctx); err != nil {
			t.Error(err)
		}
	})

	t.Run("remove", func(t *testing.T) {
		objects := func(yield func(minio.ObjectInfo) bool) {
			for object, err := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
				if err != nil {
					t.Error(err)
				}
				if err != nil || !yield(object) {
					return
				}
			}
		}
		removed := 0
		for result, err := range c.RemoveObjects(ctx, bucket, objects, minio.RemoveObjectsOptions{}) {
			if err != nil {
				t.Errorf("%s: %v", result.ObjectName, err)
			}
			removed++
		}
		if removed < 30 {
			t.Errorf("%d objects removed", removed)
		}
		if err := c.RemoveObject(ctx, bucket, "none", minio.RemoveObjectOptions{}); err != nil {
			t.Error(err)
		}
		if err := c.RemoveBucket(ctx, bucket); err != nil {
			t.Error(err)
		}
		wantCode(t, c.RemoveBucket(ctx, bucket), "NoSuchBucket")
	})

	t.Run("cancelled", func(t *testing.T) {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := c.BucketExists(gone, bucket); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if s := breaker.State(); s != policies.Closed {
			t.Errorf("the breaker is %v", s)
		}
	})
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}
