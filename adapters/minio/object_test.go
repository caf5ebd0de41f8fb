package minio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

func TestM3GetObjectIsForced(t *testing.T) {
	for _, row := range []struct {
		status   int
		code     string
		requests int
	}{
		{503, "ServiceUnavailable", 3},
		{404, "NoSuchKey", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := always(row.status, row.code)
			o, err := s.connect(t, retrying(3)).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
			if o != nil {
				t.Error("an object besides the error")
			}
			wantCode(t, err, row.code)
			s.wantRequests(t, row.requests)
		})
	}
}

func TestGetObjectAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failFirst(2, 500, "InternalError", "content")
		o, err := s.connect(t, retrying(3)).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := o.info; got.Key != "object" || got.Size != 7 || got.ETag != "0123456789abcdef" {
			t.Errorf("info %+v", got)
		}
		content, err := io.ReadAll(o)
		if string(content) != "content" || err != nil {
			t.Errorf("read %q, %v", content, err)
		}
		if n, err := o.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("read after the end: %d, %v", n, err)
		}
		if err := errors.Join(o.Close(), o.Close()); err != nil {
			t.Error(err)
		}
	})
}

// slow answers with n times one chunk, one each second.
func slow(n int, chunk string) *script {
	return &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		for range n {
			io.WriteString(w, chunk)
			w.(http.Flusher).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return
			}
		}
	}}
}

func TestM4LargeSlowBodyOutlastsTheAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunks, chunk = 60, 100_000
		s := slow(chunks, strings.Repeat("x", chunk))
		timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Second})
		o, err := s.connect(t, middleware.NewChain("s3", retryPolicy(3), timeout)).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		start := time.Now()
		n, err := io.Copy(io.Discard, o)
		if n != chunks*chunk || err != nil || time.Since(start) < 50*time.Second {
			t.Errorf("read %d bytes in %v, %v", n, time.Since(start), err)
		}
		s.wantRequests(t, 1)
	})
}

func TestM4TimeoutOfTheStreamIsTheErrorOfRead(t *testing.T) {
	for name, change := range map[string]func(*minio.Options){
		"net/http": func(*minio.Options) {},
		"a transport that only says that the context ended": func(o *minio.Options) {
			base := o.Transport
			o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				response, err := base.RoundTrip(r)
				if err == nil {
					response.Body = terseBody{response.Body, r.Context()}
				}
				return response, err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timeout := policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Second, Scope: policies.UntilEnd})
				c := slow(60, "x").connect(t, middleware.NewChain("s3", timeout), change)
				o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				for range 2 {
					var rejection *middleware.Rejection
					if _, err := io.Copy(io.Discard, o); !errors.As(err, &rejection) || !errors.Is(err, middleware.ErrTimeout) || rejection.Chain != "s3" {
						t.Errorf("error %v, want the timeout of the chain", err)
					}
				}
			})
		})
	}
}

type terseBody struct {
	io.ReadCloser
	ctx context.Context
}

func (b terseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if ended := b.ctx.Err(); ended != nil {
		return n, ended
	}
	return n, err
}

func TestCutBodyIsAnErrorOfRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}}
		ended := 0
		c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), holder(&ended)))
		o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(o)
		if string(content) != "half of it" || err != io.ErrUnexpectedEOF {
			t.Errorf("read %q, %v", content, err)
		}
		if ended != 1 {
			t.Error("the error did not end the stream")
		}
		o.Close()
		s.wantRequests(t, 1)
	})
}

// holder is a policy that counts when what it holds is released.
func holder(ended *int) middleware.Policy {
	return middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		return next.DoThen(ctx, func() { *ended++ })
	})
}

func TestPoliciesHoldUntilTheEndOfTheObject(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(*Object)
	}{
		{"end of the content", func(o *Object) { io.Copy(io.Discard, o) }},
		{"close", func(o *Object) { o.Close() }},
		{"close in the middle", func(o *Object) { o.Read(make([]byte, 1)); o.Close() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := 0
				c := failFirst(0, 0, "", "content").connect(t, middleware.NewChain("s3", holder(&ended)))
				o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if err != nil || ended != 0 {
					t.Fatalf("error %v, released %d times", err, ended)
				}
				row.end(o)
				if ended != 1 {
					t.Errorf("released %d times", ended)
				}
				o.Close()
				if ended != 1 {
					t.Errorf("released %d times", ended)
				}
			})
		})
	}
}

// bodies counts the response bodies that are open.
func bodies(open *atomic.Int32) func(*minio.Options) {
	return func(o *minio.Options) {
		base := o.Transport
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil {
				open.Add(1)
				response.Body = &countedBody{ReadCloser: response.Body, open: open}
			}
			return response, err
		})
	}
}

type countedBody struct {
	io.ReadCloser
	open   *atomic.Int32
	closed atomic.Bool
}

func (b *countedBody) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.open.Add(-1)
	}
	return b.ReadCloser.Close()
}

func TestM5FailedAttemptsCloseTheirBody(t *testing.T) {
	errLate := errors.New("too late")
	for _, row := range []struct {
		name   string
		policy middleware.PolicyFunc
		want   int32 // open bodies while the caller has an object
	}{
		{"second run wins", func(ctx context.Context, next middleware.Next) error {
			next.Do(ctx)
			return next.Do(ctx)
		}, 1},
		{"refused afterwards", func(ctx context.Context, next middleware.Next) error {
			next.Do(ctx)
			return errLate
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var open atomic.Int32
				c := failFirst(0, 0, "", "content").connect(t, middleware.NewChain("s3", row.policy), bodies(&open))
				o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if got := open.Load(); got != row.want || (err == nil) != (row.want == 1) {
					t.Errorf("%d bodies are open, want %d; error %v", got, row.want, err)
				}
				if o != nil {
					o.Close()
				}
				if got := open.Load(); got != 0 {
					t.Errorf("%d bodies are still open", got)
				}
			})
		})
	}
}

func TestPolicyThatAnswersWithoutAnObject(t *testing.T) {
	chain := middleware.NewChain("s3", middleware.PolicyFunc(func(context.Context, middleware.Next) error { return nil }))
	c := failFirst(0, 0, "", "").connect(t, chain)
	if o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{}); o != nil || err != errNoResult {
		t.Errorf("got %v, %v", o, err)
	}
	for _, err := range c.ListObjects(t.Context(), "bucket", minio.ListObjectsOptions{}) {
		if err != errNoResult {
			t.Error(err)
		}
	}
}

func TestFGetObjectIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := 0
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && cut == 0 {
				cut++
				w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
				w.Header().Set("Content-Length", "7")
				io.WriteString(w, "con")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			succeed(w, r, "content")
		}}
		seen := &verdicts{}
		path := filepath.Join(t.TempDir(), "object")
		c := s.connect(t, middleware.NewChain("s3", retryPolicy(2), seen))
		if err := c.FGetObject(t.Context(), "bucket", "object", path, minio.GetObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if string(content) != "content" || err != nil {
			t.Errorf("read %q, %v", content, err)
		}
		seen.want(t, middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "network"}, middleware.Verdict{})
	})
}

// A policy that panics leaves no context behind at the caller's.
func TestPanicOfAPolicyEndsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended <-chan struct{}
		bad := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			ended = ctx.Done()
			panic("boom")
		})
		c := failFirst(0, 0, "", "").connect(t, middleware.NewChain("s3", bad))
		func() {
			defer func() { recover() }()
			c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		}()
		<-ended
	})
}

// minio-go goes on with a file that a former download left, and writes the range into the
// options, where the next attempt would find it.
func TestFGetObjectRepeatsFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const content = "0123456789"
		gets := 0
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"e"`)
			if r.Method == http.MethodGet {
				if gets++; gets == 1 {
					fail(w, r, 503, "ServiceUnavailable")
					return
				}
			}
			http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader(content))
		}}
		path := filepath.Join(t.TempDir(), "f")
		sum := sha256.Sum256([]byte("fe"))
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), hex.EncodeToString(sum[:])+".part.minio"), []byte("01234"), 0o600); err != nil {
			t.Fatal(err)
		}
		var opts minio.GetObjectOptions
		if err := opts.SetMatchETag("e"); err != nil {
			t.Fatal(err)
		}
		if err := s.connect(t, retrying(3)).FGetObject(t.Context(), "bucket", "object", path, opts); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); string(got) != content || err != nil || gets != 2 {
			t.Errorf("the file has %q, %v, after %d requests", got, err, gets)
		}
		if opts.Header().Get("Range") != "" {
			t.Error("the caller's options have changed")
		}
	})
}

// An Object as the source of an upload is read once, not with a request for each piece.
func TestUploadOfAnObjectReadsItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(strings.Repeat("0123456789", 50_000))
		inner := s.answer
		gets := 0
		s.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				succeed(w, r, "")
				return
			}
			gets++
			inner(n, w, r)
		}
		c := s.connect(t, nil)
		o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if _, err := c.PutObject(t.Context(), "bucket", "copy", o, 500_000, minio.PutObjectOptions{}); err != nil || gets != 1 {
			t.Errorf("%d downloads, %v", gets, err)
		}
	})
}
