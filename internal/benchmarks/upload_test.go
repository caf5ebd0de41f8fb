package benchmarks

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
)

const mebi = 1 << 20

// BenchmarkUpload is how much memory it takes to send a stream that can be read once,
// with a retry around: the most that the heap grows. Where a library keeps all of it
// the stream is shorter, so that it also runs on small machines; B/B, the bytes of heap
// for each byte sent, is for any length.
func BenchmarkUpload(b *testing.B) {
	for _, work := range []struct {
		name   string
		size   int64
		others bool
	}{
		{"a stream of 1 GiB", 1024 * mebi, false},
		{"a stream of 128 MiB", 128 * mebi, true},
	} {
		for _, l := range transportLibraries {
			if l.wrap(instant{}, retryStack) == nil || l.name != "tidegate" && !work.others {
				continue
			}
			runOnOne(b, work.name+"/"+l.name, func(b *testing.B) {
				var grown int64
				for b.Loop() {
					grown = upload(b, l, work.size)
				}
				b.ReportMetric(0, "ns/op") // most of it is the collector's: not printed
				b.ReportMetric(float64(grown)/mebi, "MiB")
				b.ReportMetric(float64(grown)/float64(work.size), "B/B")
			})
		}
	}
}

// A stream is not kept: the heap grows by some buffers, whatever the length.
func TestUploadsTakeConstantMemory(t *testing.T) {
	const bound = 1 * mebi
	for _, size := range []int64{1 * mebi, 64 * mebi} {
		if grown := upload(t, libraryNamed(t, "tidegate"), size); grown > bound {
			t.Errorf("a stream of %d bytes: the heap grew by %d, want at most %d", size, grown, bound)
		}
	}
}

// The heap is measured while the stream is held, if it is.
func TestUploadsThatAreKeptAreSeen(t *testing.T) {
	keeper := transportLibrary{"keeper", func(base http.RoundTripper, _ stack) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			kept, err := io.ReadAll(req.Body)
			if err != nil {
				return nil, err
			}
			defer runtime.KeepAlive(kept)
			return nil, fmt.Errorf("%d bytes are kept", len(kept))
		})
	}}
	stream := newStream(16 * mebi)
	_, err := keeper.wrap(nil, retryStack).RoundTrip(post(t, "http://example.com/", stream))
	if grown := stream.grown(); err == nil || grown < 16*mebi {
		t.Errorf("the heap grew by %d bytes, and %v", grown, err)
	}
}

// upload sends a stream, and returns by how much the heap grew while it was read.
func upload(tb testing.TB, l transportLibrary, size int64) int64 {
	tb.Helper()
	var received atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		n, _ := io.Copy(io.Discard, req.Body)
		received.Store(n)
	}))
	defer server.Close()
	base := new(http.Transport)
	defer base.CloseIdleConnections()
	rt := l.wrap(base, retryStack)
	if status, err := exchange(rt, get(tb, server.URL)); err != nil || status != http.StatusOK { // dials
		tb.Fatal(status, err)
	}

	stream := newStream(size)
	status, err := exchange(rt, post(tb, server.URL, stream))
	if err != nil || status != http.StatusOK || received.Load() != size {
		tb.Fatalf("status %d, error %v, %d of %d bytes received", status, err, received.Load(), size)
	}
	return stream.grown()
}

func post(tb testing.TB, url string, body io.Reader) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, url, body)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// A stream is an io.Reader and no more: it can be neither set back nor had again. From
// time to time, and at its end, it looks at the heap, after a collection.
type stream struct {
	left, step, next int64
	before, most     int64
}

func newStream(size int64) *stream {
	const looks = 16
	step := size / looks
	return &stream{left: size, step: step, next: size - step, before: heapInUse()}
}

func (s *stream) Read(p []byte) (int, error) {
	if s.left <= s.next {
		s.next -= s.step
		s.most = max(s.most, heapInUse())
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), s.left)
	clear(p[:n])
	s.left -= n
	return int(n), nil
}

// grown returns by how much the heap had grown when it was largest.
func (s *stream) grown() int64 { return max(0, s.most-s.before) }
