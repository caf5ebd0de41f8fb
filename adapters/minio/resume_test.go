package minio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidegate-go/tidegate/internal/injector"
	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A shelf is a server with one object. It honours ranges and conditions, and cuts
// answers.
type shelf struct {
	script

	mu      sync.Mutex
	content string
	etag    string
	cuts    map[int]int // by the number of the request: bytes after which it is cut
	status  map[int]int // by the number of the request: a status instead of the object
	deaf    bool        // ignores ranges and conditions
}

func newShelf(content string) *shelf {
	s := &shelf{content: content, etag: "one", cuts: map[int]int{}, status: map[int]int{}}
	s.answer = func(n int, w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		content, etag, status, deaf := s.content, s.etag, s.status[n], s.deaf
		cut, isCut := s.cuts[n]
		s.mu.Unlock()
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("ETag", `"`+etag+`"`)
		if status != 0 {
			fail(w, r, status, map[int]string{503: "ServiceUnavailable", 404: "NoSuchKey"}[status])
			return
		}
		if match := r.Header.Get("If-Match"); match != "" && match != `"`+etag+`"` && !deaf {
			fail(w, r, 412, "PreconditionFailed")
			return
		}
		code := http.StatusOK
		var first, last int
		if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n > 0 && !deaf {
			if n == 1 || last >= len(content) {
				last = len(content) - 1
			}
			code = http.StatusPartialContent
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(content)))
			content = content[first : last+1]
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.WriteHeader(code)
		if isCut {
			io.WriteString(w, content[:min(cut, len(content))])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, content)
	}
	return s
}

// change puts another object in the place of the first.
func (s *shelf) change(content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content, s.etag = content, "two"
}

// resuming returns a client of s that resumes downloads.
func (s *shelf) resuming(t *testing.T, chain *middleware.Chain, n int) *Client {
	c := s.connect(t, chain)
	WithResume(n)(&c.options)
	return c
}

func TestM6DownloadIsResumedWhereItBroke(t *testing.T) {
	content := strings.Repeat("0123456789", 20_000)
	for _, row := range []struct {
		name     string
		resumes  int
		attempts int
		cuts     map[int]int
		status   map[int]int
		ok       bool
		read     int
		requests int
	}{
		{"off by default", 0, 3, map[int]int{1: 70_000}, nil, false, 70_000, 1},
		{"once", 1, 3, map[int]int{1: 70_000}, nil, true, len(content), 2},
		{"at the first byte", 1, 3, map[int]int{1: 0}, nil, true, len(content), 2},
		{"at the last byte", 1, 3, map[int]int{1: len(content) - 1}, nil, true, len(content), 2},
		{"three times", 3, 3, map[int]int{1: 70_000, 2: 1, 3: 100_000}, nil, true, len(content), 4},
		{"once too often", 2, 3, map[int]int{1: 70_000, 2: 1, 3: 10}, nil, false, 70_011, 3},
		{"the server is down for a moment", 1, 3, map[int]int{1: 70_000}, map[int]int{2: 503}, true, len(content), 3},
		{"the server stays down", 1, 3, map[int]int{1: 70_000}, map[int]int{2: 503, 3: 503}, false, 70_000, 3},
		{"the object is gone", 1, 3, map[int]int{1: 70_000}, map[int]int{2: 404}, false, 70_000, 2},
		{"no retry in the chain", 1, 1, map[int]int{1: 70_000}, nil, false, 70_000, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(content)
				s.cuts, s.status = row.cuts, row.status
				ended := 0
				c := s.resuming(t, middleware.NewChain("s3", retryPolicy(row.attempts), holder(&ended)), row.resumes)
				o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				got, err := io.ReadAll(o)
				if (err == nil) != row.ok || string(got) != content[:row.read] {
					t.Errorf("read %d bytes, %v; want %d", len(got), err, row.read)
				}
				if _, again := o.Read(make([]byte, 1)); again == nil || !row.ok && again != err {
					t.Errorf("then %v", again)
				}
				s.wantRequests(t, row.requests)
				for _, r := range s.seen()[1:] {
					if r.method != http.MethodGet {
						t.Errorf("request %+v", r)
					}
				}
				if ended == 0 {
					t.Error("the policies hold on")
				}
			})
		})
	}
}

func TestM6AnotherObjectIsNeverSplicedIn(t *testing.T) {
	for _, row := range []struct {
		name string
		deaf bool
	}{
		{"412", false},
		{"the server ignores conditions and ranges", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(strings.Repeat("a", 1000))
				s.cuts = map[int]int{1: 500}
				o, err := s.resuming(t, retrying(3), 1).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				s.change(strings.Repeat("b", 1000))
				s.deaf = row.deaf
				got, err := io.ReadAll(o)
				if len(got) != 500 || !errors.Is(err, ErrChanged) {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
				if !row.deaf {
					wantCode(t, err, "PreconditionFailed")
				}
			})
		})
	}
	t.Run("the server ignores ranges", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf(strings.Repeat("ab", 500))
			s.cuts, s.deaf = map[int]int{1: 501}, true
			o, err := s.resuming(t, retrying(3), 1).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			if got, err := io.ReadAll(o); len(got) != 501 || !errors.Is(err, errRange) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
	})
}

func TestM6RangesAreResumedWithinTheRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf("0123456789abcdefghij")
		s.cuts = map[int]int{1: 3, 2: 1}
		var opts minio.GetObjectOptions
		if err := opts.SetRange(5, 14); err != nil {
			t.Fatal(err)
		}
		before := opts.Header()
		o, err := s.resuming(t, retrying(3), 2).GetObject(t.Context(), "bucket", "object", opts)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if got, err := io.ReadAll(o); string(got) != "56789abcde" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if after := opts.Header(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the caller's options changed from %v to %v", before, after)
		}
	})
}

// Each continuation passes the policies, which learn of what broke off.
func TestM6PoliciesSeeTheBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf("0123456789")
		s.cuts = map[int]int{1: 5}
		seen := &verdicts{}
		var waits []time.Duration
		observer := middleware.ObserverFunc(func(_ context.Context, e middleware.Event) {
			if e.Kind == middleware.RetryScheduled {
				waits = append(waits, e.Wait)
			}
		})
		chain := middleware.NewChain("s3", observer, policies.NewRetry(policies.RetryConfig{Delay: time.Second, Jitter: -1}), seen)
		o, err := s.resuming(t, chain, 1).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if got, err := io.ReadAll(o); string(got) != "0123456789" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		broken := middleware.Verdict{Class: middleware.Failure, Retry: true, Reason: "network"}
		seen.want(t, middleware.Verdict{}, broken, middleware.Verdict{})
		if !slices.Equal(waits, []time.Duration{time.Second}) {
			t.Errorf("waits %v", waits)
		}
	})
}

func TestM6OpenBreakerRefusesToResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf("0123456789")
		s.cuts = map[int]int{1: 5}
		breaker := policies.NewBreaker(policies.BreakerConfig{})
		o, err := s.resuming(t, middleware.NewChain("s3", retryPolicy(3), breaker), 1).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		breaker.ForceOpen()
		got, err := io.ReadAll(o)
		if string(got) != "01234" || !errors.Is(err, middleware.ErrOpen) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read %q, %v; want the refusal and what broke off", got, err)
		}
	})
}

func TestM6CallersEndIsNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slow(60, "x")
		c := s.connect(t, retrying(3))
		WithResume(5)(&c.options)
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		o, err := c.GetObject(ctx, "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if _, err := io.Copy(io.Discard, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.wantRequests(t, 1)
	})
}

func TestM6CloseEndsAResumption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf("0123456789")
		s.cuts = map[int]int{1: 5}
		c := s.resuming(t, middleware.NewChain("s3", policies.NewRetry(policies.RetryConfig{Delay: time.Hour, MaxDelay: time.Hour, Jitter: -1})), 1)
		o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.AfterFunc(time.Minute, func() { o.Close() })
		got, err := io.ReadAll(o)
		if string(got) != "01234" || err == nil || time.Since(start) != time.Minute {
			t.Errorf("read %q, %v after %v", got, err, time.Since(start))
		}
		if _, err := o.Read(make([]byte, 1)); err == nil {
			t.Error("no error after Close")
		}
		s.wantRequests(t, 1)
	})
}

func TestObjectSeeksAndReadsAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := []byte(strings.Repeat("0123456789", 50))
		s := newShelf(string(content))
		ended := 0
		o, err := s.connect(t, middleware.NewChain("s3", holder(&ended))).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(o, content); err != nil {
			t.Error(err)
		}
		if info, err := o.Stat(); err != nil || info.Size != int64(len(content)) {
			t.Errorf("%+v, %v", info, err)
		}
		if _, err := o.Seek(-1, io.SeekStart); !errors.Is(err, errPosition) {
			t.Error(err)
		}
		if _, err := o.Seek(0, 7); !errors.Is(err, errPosition) {
			t.Error(err)
		}
		if _, err := o.ReadAt(make([]byte, 1), -1); !errors.Is(err, errPosition) {
			t.Error(err)
		}
		if _, err := o.Seek(-3, io.SeekEnd); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(o); string(got) != "789" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		requests := len(s.seen())
		if ended != requests {
			t.Errorf("%d requests, %d released", requests, ended)
		}
		_, err1 := o.Seek(0, io.SeekStart)
		_, err2 := o.ReadAt(make([]byte, 1), 0)
		_, err3 := o.Read(make([]byte, 1))
		for _, err := range []error{err1, err2} {
			if !errors.Is(err, errClosed) {
				t.Error(err)
			}
		}
		if err3 == nil {
			t.Error("read after Close")
		}
	})
}

func TestReadAtIsRepeatedAndConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := strings.Repeat("0123456789", 10)
		s := newShelf(content)
		s.cuts, s.status = map[int]int{2: 3}, map[int]int{3: 503}
		o, err := s.connect(t, retrying(3)).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		p := make([]byte, 10)
		if n, err := o.ReadAt(p, 25); n != 10 || err != nil || string(p) != "5678901234" {
			t.Errorf("read %d bytes %q, %v", n, p, err)
		}
		s.wantRequests(t, 4)
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				p := make([]byte, 10)
				if n, err := o.ReadAt(p, int64(10*i)); n != 10 || err != nil || string(p) != "0123456789" {
					t.Errorf("read %d bytes %q, %v", n, p, err)
				}
			})
		}
		got, err := io.ReadAll(o)
		all.Wait()
		if err != nil || string(got) != content {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		s.change(content)
		if _, err := o.ReadAt(p, 0); !errors.Is(err, ErrChanged) {
			t.Error(err)
		}
	})
}

// A download that is to be verified as a whole is not put together.
func TestM6VerifiedDownloadIsNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf("0123456789")
		s.cuts = map[int]int{1: 5}
		o, err := s.resuming(t, retrying(3), 5).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{Checksum: true})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if got, err := io.ReadAll(o); !bytes.Equal(got, []byte("01234")) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read %q, %v", got, err)
		}
		s.wantRequests(t, 1)
	})
}

func TestM6ResumeOverBrokenConnections(t *testing.T) {
	o := minio.Options{Creds: credentials.NewStaticV4("key", "secret", ""), Region: "us-east-1", Transport: freshTransport(t)}
	resume(t, startPlainFake(t), o)
}

func freshTransport(t *testing.T) http.RoundTripper {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// resume downloads an object of 3 MiB whose every connection is cut after 1 MiB, and
// lists 25 objects while connections are cut between the pages.
func resume(t *testing.T, address string, o minio.Options) {
	const mib = 1 << 20
	way := injector.New()
	if err := way.Start(address); err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	breaker := policies.NewBreaker(policies.BreakerConfig{})
	var failures atomic.Int32
	count := middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
		err := next.Do(ctx)
		if middleware.VerdictOf(err).Class == middleware.Failure {
			failures.Add(1)
		}
		return err
	})
	chain := middleware.NewChain("s3", policies.NewRetry(policies.RetryConfig{Delay: time.Millisecond}), breaker, count)
	c, err := New(way.Addr(), o, chain, WithResume(5))
	if err != nil {
		t.Fatal(err)
	}
	ctx, content := t.Context(), randomBytes(3*mib)
	if err := c.MakeBucket(ctx, "resume", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	plain := minio.PutObjectOptions{DisableContentSha256: true}
	if _, err := c.PutObject(ctx, "resume", "object", bytes.NewReader(content), 3*mib, plain); err != nil {
		t.Fatal(err)
	}
	if err := way.Set(injector.CutAnswer(mib)); err != nil {
		t.Fatal(err)
	}
	object, err := c.GetObject(ctx, "resume", "object", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if object.resumes > 2 {
		t.Errorf("resumed only %d times: nothing was cut", 5-object.resumes)
	}

	if err := way.Set(injector.Fault{}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("list/%02d ä", i)
		if _, err := c.PutObject(ctx, "resume", key, strings.NewReader("x"), 1, plain); err != nil {
			t.Fatal(err)
		}
		want = append(want, key)
	}
	var got []string
	failures.Store(0)
	for o, err := range c.ListObjects(ctx, "resume", minio.ListObjectsOptions{Prefix: "list/", Recursive: true, MaxKeys: 5}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, o.Key); len(got) == 3 || len(got) == 12 {
			if err := way.Set(injector.CutAnswer(0).Times(1)); err != nil { // of the next page
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %d objects: %v", len(got), got)
	}
	if n := failures.Load(); n < 2 {
		t.Errorf("%d failures: nothing was cut", n)
	}
	if breaker.State() != policies.Closed {
		t.Errorf("the breaker is %v", breaker.State())
	}
}

func TestM6CloseWhileReopeningIsErrClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf("0123456789")
		s.cuts = map[int]int{1: 5}
		inner := s.answer
		s.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				<-r.Context().Done()
				return
			}
			inner(n, w, r)
		}
		o, err := s.resuming(t, retrying(3), 1).GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { o.Close() })
		if got, err := io.ReadAll(o); string(got) != "01234" || !errors.Is(err, os.ErrClosed) {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// A server may give something else for a range than for the whole.
func TestM6RestOfAnotherLengthIsNotSplicedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"e"`)
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			if n == 1 {
				w.Header().Set("Content-Length", "80")
				io.WriteString(w, strings.Repeat("made", 10))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader(strings.Repeat("RAW", 40)))
		}}
		c := s.connect(t, retrying(3))
		WithResume(1)(&c.options)
		o, err := c.GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if got, err := io.ReadAll(o); len(got) != 40 || !errors.Is(err, ErrChanged) {
			t.Errorf("read %q, %v", got, err)
		}
	})
}
