package minio

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

func TestBadInputIsAnErrorAndNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failFirst(0, 0, "", "")
		seen := &verdicts{}
		c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), seen))
		ctx := t.Context()
		list := func(bucket string, o minio.ListObjectsOptions) error {
			for _, err := range c.ListObjects(ctx, bucket, o) {
				return err
			}
			return nil
		}
		second := func(_ any, err error) error { return err }
		content := func() *strings.Reader { return strings.NewReader("content") }
		rows := []struct {
			name string
			err  error
		}{
			{"put: no bucket", second(c.PutObject(ctx, "", "o", content(), 7, minio.PutObjectOptions{}))},
			{"put: bad bucket", second(c.PutObject(ctx, "../x", "o", content(), 7, minio.PutObjectOptions{}))},
			{"put: no object", second(c.PutObject(ctx, "bucket", "", content(), 7, minio.PutObjectOptions{}))},
			{"put: too large", second(c.PutObject(ctx, "bucket", "o", content(), 1<<60, minio.PutObjectOptions{}))},
			{"put: bad metadata", second(c.PutObject(ctx, "bucket", "o", content(), 7, minio.PutObjectOptions{UserMetadata: map[string]string{"a b": "c"}}))},
			{"put file: no file", second(c.FPutObject(ctx, "bucket", "o", t.TempDir()+"/none", minio.PutObjectOptions{}))},
			{"get: no bucket", second(c.GetObject(ctx, "", "o", minio.GetObjectOptions{}))},
			{"get: no object", second(c.GetObject(ctx, "bucket", "", minio.GetObjectOptions{}))},
			{"get file: directory", c.FGetObject(ctx, "bucket", "o", t.TempDir(), minio.GetObjectOptions{})},
			{"stat: no bucket", second(c.StatObject(ctx, "", "o", minio.StatObjectOptions{}))},
			{"list: no bucket", list("", minio.ListObjectsOptions{})},
			{"list: contradictory", list("bucket", minio.ListObjectsOptions{Unsorted: true, UseV1: true})},
			{"remove: no object", c.RemoveObject(ctx, "bucket", "", minio.RemoveObjectOptions{})},
			{"exists: no bucket", second(c.BucketExists(ctx, ""))},
			{"make: bad bucket", c.MakeBucket(ctx, "UPPER", minio.MakeBucketOptions{})},
		}
		for _, row := range rows {
			if row.err == nil {
				t.Errorf("%s: no error", row.name)
			}
		}
		s.wantRequests(t, 0)
		if len(seen.seen) != len(rows) {
			t.Errorf("%d attempts for %d calls", len(seen.seen), len(rows))
		}
		for i, v := range seen.seen {
			if want := (middleware.Verdict{Class: middleware.Ignored, Reason: "local"}); v != want {
				t.Errorf("%s: verdict %+v, want %+v", rows[i].name, v, want)
			}
		}
	})
}

func TestNoClientIsAnError(t *testing.T) {
	if _, err := New("://", minio.Options{}, nil); err == nil {
		t.Error("New accepted a bad endpoint")
	}
	for name, c := range map[string]*Client{"nil": nil, "of nil": Wrap(nil, retrying(2))} {
		if c.Raw() != nil {
			t.Errorf("%s: Raw is not nil", name)
		}
		for _, row := range operations {
			if err := row.run(t.Context(), c); err != errNoClient {
				t.Errorf("%s: %s: %v", name, row.name, err)
			}
		}
	}
	c := Wrap(nil, nil)
	if err := c.Do(t.Context(), Op{Name: "X", Bucket: "b"}, nil); err == nil || !strings.Contains(err.Error(), `"X"`) {
		t.Errorf("nil function: %v", err)
	}
	if _, err := Call[int](t.Context(), c, Op{}, nil); err == nil {
		t.Error("nil function: no error")
	}
}

func TestPanicPassesThrough(t *testing.T) {
	defer func() {
		if recover() != "boom" {
			t.Error("the panic was lost")
		}
	}()
	c := failFirst(0, 0, "", "").connect(t, retrying(2))
	c.Do(t.Context(), Op{}, func(context.Context, *minio.Client) error { panic("boom") })
}

func TestContextOfAFunctionEndsWithIt(t *testing.T) {
	c := failFirst(0, 0, "", "").connect(t, nil)
	var done <-chan struct{}
	err := c.Do(t.Context(), Op{}, func(ctx context.Context, _ *minio.Client) error {
		done = ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		t.Error(err)
	}
	<-done
	n, err := Call(t.Context(), c, Op{}, func(ctx context.Context, _ *minio.Client) (int, error) {
		done = ctx.Done()
		return 1, ctx.Err()
	})
	if n != 1 || err != nil {
		t.Error(n, err)
	}
	<-done
}

func TestDeniedIsNotTakenForAnotherRegionTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("location") {
				io.WriteString(w, "<LocationConstraint>eu-west-1</LocationConstraint>")
				return
			}
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
			fail(w, r, 403, "AccessDenied")
		}}
		seen := &verdicts{}
		c := s.connect(t, middleware.NewChain("s3", seen), func(o *minio.Options) { o.Region = "" })
		for range 3 {
			_, err := c.PutObject(t.Context(), "bucket", "object", strings.NewReader("x"), 1, minio.PutObjectOptions{})
			wantCode(t, err, "AccessDenied")
		}
		denied := middleware.Verdict{Class: middleware.Success, Reason: "denied"}
		seen.want(t, denied, denied, denied)
		s.wantRequests(t, 1+4) // the location, and one that might have been in another region
	})
}
