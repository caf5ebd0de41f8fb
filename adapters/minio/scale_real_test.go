//go:build real

package minio

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
	"github.com/tidegate-go/tidegate/policies"
)

// A contestant is a way to move objects, over connections of its own.
type contestant struct {
	name string
	put  func(ctx context.Context, bucket, key string, r io.Reader, size int64, opts minio.PutObjectOptions) (minio.UploadInfo, error)
	get  func(ctx context.Context, bucket, key string) (io.ReadCloser, error)
}

func (s realServer) raw(t testing.TB, address string) *minio.Client {
	t.Helper()
	o := s.options(t)
	transport := o.Transport.(*http.Transport)
	transport.MaxIdleConnsPerHost = 16            // more than there are workers
	transport.ResponseHeaderTimeout = time.Minute // the disk may have 1 GiB to write
	raw, err := minio.New(address, &o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// bare is minio-go alone.
func (s realServer) bare(t testing.TB, name, address string) contestant {
	t.Helper()
	raw := s.raw(t, address)
	return contestant{name, raw.PutObject, func(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
		return raw.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	}}
}

// ours is a Client with the policies that a program would have, and more if there are any.
func (s realServer) ours(t testing.TB, name, address string, more ...middleware.Policy) contestant {
	t.Helper()
	c := Wrap(s.raw(t, address), middleware.NewChain("s3", append([]middleware.Policy{
		policies.NewRetry(policies.RetryConfig{Attempts: 3}),
		policies.NewBreaker(policies.BreakerConfig{FailureRate: 0.5, MinCalls: 20}),
		policies.NewBulkhead(policies.BulkheadConfig{MaxConcurrent: 16}),
		policies.NewTimeout(policies.TimeoutConfig{Limit: 5 * time.Minute}),
	}, more...)...))
	return contestant{name, c.PutObject, func(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
		return c.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	}}
}

// A load is a number of objects that so many workers move at the same time.
type load struct {
	name    string
	objects int
	size    int64
	workers int
}

func (l load) bytes() int64 { return int64(l.objects) * l.size }

// upload puts the objects prefix/0, prefix/1 and so on.
func (l load) upload(ctx context.Context, c contestant, prefix string, heap *liveHeap) error {
	return l.each(func(i int) error {
		r := io.NewSectionReader(pattern{heap}, start(i), l.size)
		info, err := c.put(ctx, "bucket", fmt.Sprint(prefix, "/", i), r, l.size, minio.PutObjectOptions{})
		if err == nil && info.Size != l.size {
			err = fmt.Errorf("%d bytes were uploaded, want %d", info.Size, l.size)
		}
		return err
	})
}

// download gets the objects that upload has put, and compares their contents.
func (l load) download(ctx context.Context, c contestant, prefix string, heap *liveHeap) error {
	return l.each(func(i int) error {
		object, err := c.get(ctx, "bucket", fmt.Sprint(prefix, "/", i))
		if err != nil {
			return err
		}
		defer object.Close()
		w := &comparison{offset: start(i), heap: heap}
		n, err := io.Copy(w, object)
		if err == nil && n != l.size {
			err = fmt.Errorf("%d bytes were downloaded, want %d", n, l.size)
		}
		return err
	})
}

func (l load) each(move func(i int) error) error {
	var (
		next    atomic.Int64
		failure atomic.Pointer[error]
		workers sync.WaitGroup
	)
	for range l.workers {
		workers.Go(func() {
			for failure.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= l.objects {
					return
				}
				if err := move(i); err != nil {
					err = fmt.Errorf("object %d: %w", i, err)
					failure.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	workers.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// block is what a pattern repeats. Its length has no factor in common with sizes of
// parts and buffers, so that content in the wrong place does not look right.
var block = randomBytes(1<<17 - 1)

// start is where the content of object i begins in the pattern.
func start(i int) int64 { return int64(i) * 4099 }

// A pattern is content without an end that takes no memory.
type pattern struct{ heap *liveHeap }

func (p pattern) ReadAt(b []byte, offset int64) (int, error) {
	for n := 0; n < len(b); {
		n += copy(b[n:], block[(offset+int64(n))%int64(len(block)):])
	}
	p.heap.pass(len(b))
	return len(b), nil
}

// A comparison fails at the first byte that is not the pattern's.
type comparison struct {
	offset int64
	heap   *liveHeap
}

func (c *comparison) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		want := block[c.offset%int64(len(block)):]
		want = want[:min(len(want), len(b)-n)]
		if !bytes.Equal(b[n:n+len(want)], want) {
			return n, fmt.Errorf("the content is wrong in the %d bytes from %d on", len(want), c.offset)
		}
		n += len(want)
		c.offset += int64(len(want))
	}
	c.heap.pass(len(b))
	return len(b), nil
}

// A liveHeap finds the peak of the memory that a transfer cannot do without. It forces
// a garbage collection each time that step bytes have passed, in the middle of the
// transfer, and takes what the collection found reachable. So neither the clock nor the
// pace of the collector nor garbage has a part in it. A nil liveHeap does nothing.
type liveHeap struct {
	step   int64
	before int64

	passed atomic.Int64
	mu     sync.Mutex // guards peak
	peak   int64
}

func newLiveHeap(step int64) *liveHeap {
	runtime.GC() // twice: a sync.Pool keeps what it has through the first
	runtime.GC()
	before := readMetrics("/gc/heap/live:bytes")
	return &liveHeap{step: step, before: before, peak: before}
}

func (h *liveHeap) pass(n int) {
	if h == nil {
		return
	}
	if passed := h.passed.Add(int64(n)); passed/h.step == (passed-int64(n))/h.step {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	runtime.GC()
	h.peak = max(h.peak, readMetrics("/gc/heap/live:bytes"))
}

// growth is what the transfer added, in bytes.
func (h *liveHeap) growth() int64 { return h.peak - h.before }

// readMetrics returns the sum of metrics of the runtime.
func readMetrics(names ...string) (sum int64) {
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	for _, s := range samples {
		sum += int64(s.Value.Uint64())
	}
	return sum
}

const (
	mib = 1 << 20

	// allowance is how much more memory a Client may take than minio-go does.
	allowance = 8 * mib
)

// serve starts a server with a bucket, and returns its address.
func (s realServer) serve(t testing.TB) (address string) {
	t.Helper()
	s.find(t)
	address = freeAddress(t)
	s.start(t, t.TempDir(), address)
	if err := s.raw(t, address).MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return address
}

// TestRealScale moves objects with minio-go alone and with a Client, and compares what
// they hold in memory meanwhile. That the comparison can fail is shown by a Client that
// holds twice the allowance.
func TestRealScale(t *testing.T) {
	for _, s := range realServers {
		t.Run(s.program, func(t *testing.T) {
			address := s.serve(t)
			bare, ours := s.bare(t, "bare", address), s.ours(t, "ours", address)
			hoarder := s.ours(t, "hoarder", address, middleware.PolicyFunc(func(ctx context.Context, next middleware.Next) error {
				hoard := make([]byte, 2*allowance)
				return next.DoThen(ctx, func() { runtime.KeepAlive(hoard) })
			}))
			for _, row := range []struct {
				load
				contestant
				within bool
			}{
				{load{"500 objects of 4 KiB", 500, 4 << 10, 8}, ours, true},
				{load{"64 MiB", 1, 64 * mib, 1}, ours, true},
				{load{"64 MiB", 1, 64 * mib, 1}, hoarder, false},
			} {
				t.Run(row.load.name+"/"+row.contestant.name, func(t *testing.T) {
					for _, d := range directions {
						limit := row.memory(t, d, bare) + allowance
						got := row.memory(t, d, row.contestant)
						t.Logf("%s: %.1f MiB, limit %.1f", d.name, float64(got)/mib, float64(limit)/mib)
						if (got <= limit) != row.within {
							t.Errorf("%s: it holds %d bytes more than before, the limit is %d", d.name, got, limit)
						}
					}
				})
			}
		})
	}
}

// A direction is one of two ways.
type direction struct {
	name string
	move func(l load, ctx context.Context, c contestant, prefix string, heap *liveHeap) error
}

// directions are in an order in which there is something to download.
var directions = []direction{{"put", load.upload}, {"get", load.download}}

// memory returns how much the contestant holds while it moves the load, in bytes.
func (l load) memory(t testing.TB, d direction, c contestant) int64 {
	t.Helper()
	heap := newLiveHeap(l.bytes() / 16)
	if err := d.move(l, t.Context(), c, c.name, heap); err != nil {
		t.Fatal(err)
	}
	return heap.growth()
}
