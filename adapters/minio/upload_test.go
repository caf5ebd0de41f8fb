package minio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// seekOnly hides everything but Read and Seek.
type seekOnly struct{ io.ReadSeeker }

func seekTo[R io.Seeker](t *testing.T, r R, offset int64) R {
	t.Helper()
	if _, err := r.Seek(offset, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return r
}

func file(t *testing.T, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func pipe(t *testing.T, content string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	io.WriteString(w, content)
	w.Close()
	return r
}

const digits = "0123456789"

func TestM8UploadsBeginWhereTheReaderStood(t *testing.T) {
	for _, row := range []struct {
		name     string
		reader   func(*testing.T) io.Reader
		size     int64
		attempts int
		body     string // of every attempt
	}{
		{"bytes.Reader", func(*testing.T) io.Reader { return bytes.NewReader([]byte(digits)) }, 10, 3, digits},
		{"bytes.Reader at 5", func(t *testing.T) io.Reader { return seekTo(t, bytes.NewReader([]byte(digits)), 5) }, 5, 3, "56789"},
		{"bytes.Reader at 5, a part", func(t *testing.T) io.Reader { return seekTo(t, bytes.NewReader([]byte(digits)), 5) }, 3, 3, "567"},
		{"seeker", func(*testing.T) io.Reader { return seekOnly{strings.NewReader(digits)} }, 10, 3, digits},
		{"seeker at 5", func(t *testing.T) io.Reader { return seekTo(t, seekOnly{strings.NewReader(digits)}, 5) }, 5, 3, "56789"},
		{"file at 5", func(t *testing.T) io.Reader { return seekTo(t, file(t, digits), 5) }, 5, 3, "56789"},
		{"empty", func(*testing.T) io.Reader { return bytes.NewReader(nil) }, 0, 3, ""},
		{"buffer", func(*testing.T) io.Reader { return bytes.NewBufferString(digits) }, 10, 1, digits},
		{"plain reader", func(*testing.T) io.Reader { return io.LimitReader(strings.NewReader(digits), 10) }, 10, 1, digits},
		{"one byte at a time", func(*testing.T) io.Reader { return iotest.OneByteReader(strings.NewReader(digits)) }, 10, 1, digits},
		{"pipe", func(t *testing.T) io.Reader { return pipe(t, digits) }, 10, 1, digits},
	} {
		t.Run(row.name, func(t *testing.T) {
			reader := row.reader(t)
			synctest.Test(t, func(t *testing.T) {
				s := always(503, "ServiceUnavailable")
				seen := &verdicts{}
				c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), seen))
				_, err := c.PutObject(t.Context(), "bucket", "object", reader, row.size, minio.PutObjectOptions{})
				wantCode(t, err, "ServiceUnavailable")
				s.wantRequests(t, row.attempts)
				for _, r := range s.seen() {
					if r.body != row.body {
						t.Errorf("uploaded %q, want %q", r.body, row.body)
					}
				}
				for _, v := range seen.seen {
					if v.Class != middleware.Failure || v.Retry != (row.attempts > 1) {
						t.Errorf("verdict %+v", v)
					}
				}
			})
		})
	}
}

// multipart answers the requests of uploads in parts and keeps the parts. The first
// request that fails says so gets a 500.
type multipart struct {
	script
	fails func(r *http.Request) bool
	failed,
	aborted int
}

func newMultipart(fails func(*http.Request) bool) *multipart {
	m := &multipart{fails: fails}
	var mu sync.Mutex
	m.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		q := r.URL.Query()
		switch {
		case m.failed == 0 && m.fails(r):
			m.failed++
			fail(w, r, 500, "InternalError")
		case q.Has("uploads"):
			io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		case r.Method == http.MethodDelete:
			m.aborted++
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPost:
			io.WriteString(w, `<CompleteMultipartUploadResult><Bucket>bucket</Bucket><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
		default:
			w.Header().Set("ETag", fmt.Sprintf(`"%s"`, q.Get("partNumber")))
		}
	}
	return m
}

// parts returns the last content of each part, put together.
func (m *multipart) object() string {
	parts := map[string]string{}
	for _, r := range m.seen() {
		if r.method == http.MethodPut {
			parts[r.query] = r.body
		}
	}
	var b strings.Builder
	for i := 1; len(parts) > 0; i++ {
		for query, body := range parts {
			if strings.HasPrefix(query, fmt.Sprintf("partNumber=%d&", i)) {
				b.WriteString(body)
				delete(parts, query)
			}
		}
	}
	return b.String()
}

func TestM8UploadInParts(t *testing.T) {
	const mib = 1 << 20
	content := "skip" + strings.Repeat("0123456789abcdef", 12*mib/16)
	isPart2 := func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" }
	opts := minio.PutObjectOptions{PartSize: 5 * mib}
	for _, row := range []struct {
		name   string
		reader func() io.Reader
		size   int64
		whole  bool // repeated as a whole, not by parts
	}{
		{"section", func() io.Reader { return strings.NewReader(content) }, 12 * mib, true},
		{"section, size unknown", func() io.Reader { return strings.NewReader(content) }, -1, false},
		{"seeker", func() io.Reader { return seekOnly{strings.NewReader(content)} }, 12 * mib, true},
		{"seeker, size unknown", func() io.Reader { return seekOnly{strings.NewReader(content)} }, -1, false},
		{"stream", func() io.Reader { return iotest.DataErrReader(strings.NewReader(content)) }, 12 * mib, false},
		{"stream, size unknown", func() io.Reader { return iotest.DataErrReader(strings.NewReader(content)) }, -1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMultipart(isPart2)
			c := m.connect(t, retrying(2))
			reader := row.reader()
			if _, err := io.CopyN(io.Discard, reader, 4); err != nil {
				t.Fatal(err)
			}
			// The context outlives the test: a worker of minio-go that waits for it leaks.
			_, err := c.PutObject(context.Background(), "bucket", "object", reader, row.size, opts)
			if err != nil {
				t.Error(err)
			} else if m.object() != content[4:] {
				t.Error("the object is not what was read")
			}
			if m.failed != 1 || m.aborted != 0 != row.whole {
				t.Errorf("%d failures, %d aborted", m.failed, m.aborted)
			}
		})
	}
}

func TestFailedUploadLeavesNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		aborted := make(chan struct{})
		s := &script{answer: func(_ int, w http.ResponseWriter, r *http.Request) {
			switch q := r.URL.Query(); {
			case q.Has("uploads"):
				io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
			case r.Method == http.MethodDelete:
				close(aborted)
				w.WriteHeader(http.StatusNoContent)
			case q.Get("partNumber") == "2":
				fail(w, r, 403, "AccessDenied")
			default:
				<-aborted // and then nobody takes the result of the part
				w.Header().Set("ETag", `"e"`)
			}
		}}
		content := bytes.NewReader(make([]byte, 12*mib))
		// A worker that waits for this context is left when the bubble ends.
		_, err := s.connect(t, nil).PutObject(context.Background(), "bucket", "object", content, content.Size(), minio.PutObjectOptions{PartSize: 5 * mib})
		wantCode(t, err, "AccessDenied")
	})
}

func TestM9PolicyThatRunsAStreamTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(503, "ServiceUnavailable")
		c := s.connect(t, middleware.NewChain("s3", middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
			next.Do(ctx)
			return next.Do(ctx)
		})))
		_, err := c.PutObject(t.Context(), "bucket", "object", bytes.NewBufferString(digits), 10, minio.PutObjectOptions{})
		if err != errConsumed {
			t.Errorf("error %v, want errConsumed", err)
		}
		s.wantRequests(t, 1)
	})
}

type closing struct {
	io.Reader
	closed atomic.Bool
}

func (r *closing) Close() error {
	r.closed.Store(true)
	return nil
}

func TestM10ReaderIsNotClosed(t *testing.T) {
	for name, s := range map[string]*script{"success": failFirst(0, 0, "", ""), "failure": always(503, "")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &closing{Reader: strings.NewReader(digits)}
				s.connect(t, retrying(2)).PutObject(t.Context(), "bucket", "object", r, 10, minio.PutObjectOptions{})
				if r.closed.Load() {
					t.Error("the reader was closed")
				}
			})
		})
	}
	f := file(t, digits)
	failFirst(0, 0, "", "").connect(t, nil).PutObject(t.Context(), "bucket", "object", f, 10, minio.PutObjectOptions{})
	if _, err := f.Stat(); err != nil {
		t.Error(err)
	}
}

func TestFaultOfTheReaderIsNotTheServers(t *testing.T) {
	errDisk := errors.New("disk on fire")
	for _, row := range []struct {
		name   string
		reader io.Reader
		size   int64
		want   error
	}{
		{"fails", io.MultiReader(strings.NewReader("01234"), iotest.ErrReader(errDisk)), 10, errDisk},
		{"fails with a word that minio-go looks for", io.MultiReader(strings.NewReader("01234"), iotest.ErrReader(io.ErrUnexpectedEOF)), 10, io.ErrUnexpectedEOF},
		{"fails, size unknown", iotest.ErrReader(errDisk), -1, errDisk},
		{"section fails", failingAt{strings.NewReader(digits), errDisk}, 10, errDisk},
		{"too short", bytes.NewBufferString("01234"), 10, nil},
		{"too short section", strings.NewReader("01234"), 10, nil},
		{"too short seeker", seekOnly{strings.NewReader("01234")}, 10, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newMultipart(func(*http.Request) bool { return false })
				seen := &verdicts{}
				c := s.connect(t, middleware.NewChain("s3", retryPolicy(3), seen))
				_, err := c.PutObject(t.Context(), "bucket", "object", row.reader, row.size, minio.PutObjectOptions{PartSize: 5 << 20})
				if err == nil || row.want != nil && !errors.Is(err, row.want) {
					t.Errorf("error %v, want %v", err, row.want)
				}
				seen.want(t, middleware.Verdict{Class: middleware.Ignored, Reason: "reader"})
			})
		})
	}
}

func TestNoMoreThanSizeIsRead(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"stream":  bytes.NewBufferString(digits),
		"seeker":  seekOnly{strings.NewReader(digits)},
		"section": strings.NewReader(digits),
		"blocked": io.MultiReader(strings.NewReader(digits[:5]), blocked{}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := failFirst(0, 0, "", "")
				_, err := s.connect(t, nil).PutObject(t.Context(), "bucket", "object", r, 5, minio.PutObjectOptions{})
				if got := s.seen(); err != nil || len(got) != 1 || got[0].body != digits[:5] {
					t.Errorf("error %v, requests %v, want the first 5 bytes", err, got)
				}
				if rest, ok := r.(*bytes.Buffer); ok && rest.Len() != len(digits)-5 {
					t.Errorf("%d bytes are left, want what was not uploaded", rest.Len())
				}
			})
		})
	}
}

// blocked is a connection on which nothing more comes.
type blocked struct{}

func (blocked) Read([]byte) (int, error) { panic("read beyond the size") }

type failingAt struct {
	*strings.Reader
	err error
}

func (r failingAt) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestSeekThatFailsIsNotTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errSeek := errors.New("stuck")
		r := &stuck{ReadSeeker: strings.NewReader(digits), err: errSeek}
		s := always(503, "ServiceUnavailable")
		c := s.connect(t, retrying(3))
		_, err := c.PutObject(t.Context(), "bucket", "object", r, 10, minio.PutObjectOptions{})
		if !errors.Is(err, errSeek) {
			t.Error(err)
		}
		s.wantRequests(t, 1)
	})
}

// stuck can be sought twice: to learn its position, and by the first attempt.
type stuck struct {
	io.ReadSeeker
	seeks int
	err   error
}

func (r *stuck) Seek(offset int64, whence int) (int64, error) {
	if r.seeks++; r.seeks > 2 {
		return 0, r.err
	}
	return r.ReadSeeker.Seek(offset, whence)
}

func TestNilReaderIsAnError(t *testing.T) {
	var none *bytes.Reader
	for name, reader := range map[string]io.Reader{"nil": nil, "nil pointer": none} {
		s := failFirst(0, 0, "", "")
		_, err := s.connect(t, retrying(2)).PutObject(t.Context(), "bucket", "object", reader, 0, minio.PutObjectOptions{})
		if got := minio.ToErrorResponse(err); got.Code != minio.InvalidArgument || got.BucketName != "bucket" {
			t.Errorf("%s: error %#v", name, err)
		}
		s.wantRequests(t, 0)
	}
}

func TestUploadOfADownload(t *testing.T) {
	source := failFirst(0, 0, "", digits)
	o, err := source.connect(t, nil).Raw().GetObject(t.Context(), "bucket", "object", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if s := newSource(o, 10); s.kind() != Write || s.at != nil {
		t.Error("an object of minio-go is to be rewound, not read at offsets")
	}
	target := failFirst(1, 503, "ServiceUnavailable", "")
	if _, err := target.connect(t, retrying(2)).PutObject(t.Context(), "bucket", "copy", o, 10, minio.PutObjectOptions{}); err != nil {
		t.Error(err)
	}
	for _, r := range target.seen() {
		if r.body != digits {
			t.Errorf("uploaded %q", r.body)
		}
	}
	target.wantRequests(t, 2)
}

func TestFPutObjectIsRepeated(t *testing.T) {
	name := file(t, digits).Name()
	synctest.Test(t, func(t *testing.T) {
		s := failFirst(2, 503, "ServiceUnavailable", "")
		if _, err := s.connect(t, retrying(3)).FPutObject(t.Context(), "bucket", "object", name, minio.PutObjectOptions{}); err != nil {
			t.Error(err)
		}
		s.wantRequests(t, 3)
		for _, r := range s.seen() {
			if r.body != digits {
				t.Errorf("uploaded %q", r.body)
			}
		}
	})
}
