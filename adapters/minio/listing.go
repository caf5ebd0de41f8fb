package minio

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// A listing describes how to list. Each iteration is a listing of its own, which
// begins with it.
//
// The policies see the request for the first page; until the first item is there
// it may be repeated. Later pages are asked for as the iteration goes on, outside of
// the policies, and what these hold they hold until it ends. When one of them fails
// and the listing can be continued, that is one more failed attempt to the policies:
// a retry in the chain waits, and lists what is left.
type listing[T any] struct {
	client *Client
	op     Op

	// open lists what comes after an item, everything if that is nil. Its items may
	// have errors too.
	open func(ctx context.Context, raw *minio.Client, after *T) iter.Seq2[T, error]

	// follows reports whether an item may come after another one. It is nil when open
	// cannot list what is left.
	follows func(item, after T) bool
}

// items iterates over the items. An error ends them, and is the second value of the
// last pair.
func (l listing[T]) items(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		i := iteration[T]{listing: l, yield: yield}
		for i.run(ctx) {
		}
	}
}

// An iteration is over the items of a listing.
type iteration[T any] struct {
	listing[T]

	yield func(T, error) bool
	last  *T    // that was yielded
	cause error // for which the listing is to be continued after the last
}

// run lists what comes after the last item, and reports whether to go on with another
// run. It yields the error if not.
func (i *iteration[T]) run(ctx context.Context) bool {
	p, end, err := i.begin(ctx, i.last, i.cause)
	defer end()
	if err != nil {
		return i.fail(because(err, i.cause))
	}
	defer p.stop()
	if i.last != nil && p.more && !i.follows(p.item, *i.last) {
		return i.fail(i.client.redact(i.cause)) // the server cannot list what is left
	}
	for ; p.more; p.advance() {
		if i.last != nil && i.follows != nil && !i.follows(p.item, *i.last) {
			i.follows = nil // not in order, so what is left has no beginning
		}
		if !i.yield(p.item, nil) {
			return false
		}
		item := p.item
		i.last = &item
	}
	switch {
	case p.err == nil:
		return false
	case i.follows == nil || i.last == nil || ctx.Err() != nil:
		return i.fail(i.client.redact(p.err))
	}
	i.cause = p.err
	return true
}

func (i *iteration[T]) fail(err error) bool {
	var none T
	i.yield(none, err)
	return false
}

func (l listing[T]) begin(ctx context.Context, after *T, cause error) (*position[T], func(), error) {
	c := l.client
	if err := c.check(); err != nil {
		return nil, func() {}, err
	}
	var told atomic.Bool
	p, end, err := middleware.Stream(c.enter(ctx, l.op), c.chain, func(ctx context.Context) (p *position[T], err error) {
		err = c.mended(ctx, l.op, func(ctx context.Context) error {
			if cause != nil && told.CompareAndSwap(false, true) {
				return cause
			}
			p = newPosition(ctx, l.open(ctx, c.raw, after))
			if p.err != nil {
				p.stop()
			}
			return p.err
		})
		if err != nil {
			return nil, c.judged(ctx, l.op.Kind, err)
		}
		return p, nil
	}, (*position[T]).discard)
	if err == nil && p == nil {
		err = errNoResult
	}
	return p, end, err
}

// A position is one in a listing of minio-go.
type position[T any] struct {
	ctx   context.Context
	reads func(begin bool)
	next  func() (T, error, bool)
	stop  func()
	item  T
	more  bool // item is one of the listing
	err   error
}

func newPosition[T any](ctx context.Context, items iter.Seq2[T, error]) *position[T] {
	p := &position[T]{ctx: ctx}
	p.next, p.stop = iter.Pull2(items)
	p.advance()
	p.reads = middleware.ReadsOf(ctx) // the first item was waited for inside the policies
	return p
}

func (p *position[T]) advance() {
	if p.reads != nil {
		p.reads(true)
		defer p.reads(false)
	}
	p.item, p.err, p.more = p.next()
	if !p.more {
		p.err = p.ctx.Err() // then minio-go ends a listing as if it were complete
	}
	if p.err != nil {
		p.more, p.err = false, causeOf(p.ctx, p.err)
	}
}

func (p *position[T]) discard() {
	if p != nil {
		p.stop()
	}
}

// ListObjects lists the objects of a bucket. An error ends the iteration, and is
// the second value of its last pair. Nothing is sent before the iteration begins.
//
// The policies see the request for the first page, and hold what they hold to the
// end of the iteration. Later pages are asked for outside of them. When one fails,
// that is one more failed attempt to the policies: a retry in the chain waits, and
// the listing goes on after the last object. It does where S3 permits that: with
// Recursive, and neither WithVersions nor Unsorted. Otherwise the failure of a later
// page ends the iteration.
//
// Unsorted does what minio-go's ListUnsorted does.
func (c *Client) ListObjects(ctx context.Context, bucket string, opts minio.ListObjectsOptions) iter.Seq2[minio.ObjectInfo, error] {
	l := listing[minio.ObjectInfo]{client: c, op: Op{Name: "ListObjects", Bucket: bucket, Kind: Read, Idempotent: true}}
	l.open = func(ctx context.Context, raw *minio.Client, after *minio.ObjectInfo) iter.Seq2[minio.ObjectInfo, error] {
		opts := opts
		if after != nil {
			opts.StartAfter = after.Key
		}
		return withErrors(raw.ListObjectsIter(ctx, bucket, opts), func(o minio.ObjectInfo) error { return o.Err })
	}
	if opts.Recursive && !opts.WithVersions && !opts.Unsorted {
		l.follows = func(item, after minio.ObjectInfo) bool { return item.Key > after.Key }
	}
	return l.items(ctx)
}

// ListIncompleteUploads lists the uploads in parts that were neither completed nor
// aborted. See [Client.ListObjects]; a failure of a later page ends the iteration.
func (c *Client) ListIncompleteUploads(ctx context.Context, bucket, prefix string, recursive bool) iter.Seq2[minio.ObjectMultipartInfo, error] {
	l := listing[minio.ObjectMultipartInfo]{client: c, op: Op{Name: "ListIncompleteUploads", Bucket: bucket, Kind: Read, Idempotent: true}}
	l.open = func(ctx context.Context, raw *minio.Client, _ *minio.ObjectMultipartInfo) iter.Seq2[minio.ObjectMultipartInfo, error] {
		return withErrors(received(ctx, func(ctx context.Context) <-chan minio.ObjectMultipartInfo {
			return raw.ListIncompleteUploads(ctx, bucket, prefix, recursive)
		}), func(u minio.ObjectMultipartInfo) error { return u.Err })
	}
	return l.items(ctx)
}

// ListBuckets lists the buckets of the caller.
func (c *Client) ListBuckets(ctx context.Context) ([]minio.BucketInfo, error) {
	return read(ctx, c, "ListBuckets", "", func(ctx context.Context, raw *minio.Client) ([]minio.BucketInfo, error) {
		return raw.ListBuckets(ctx)
	})
}

// ListDirectoryBuckets lists the directory buckets of the caller. See
// [Client.ListObjects]; a failure of a later page ends the iteration.
func (c *Client) ListDirectoryBuckets(ctx context.Context) iter.Seq2[minio.BucketInfo, error] {
	l := listing[minio.BucketInfo]{client: c, op: Op{Name: "ListDirectoryBuckets", Kind: Read, Idempotent: true}}
	l.open = func(ctx context.Context, raw *minio.Client, _ *minio.BucketInfo) iter.Seq2[minio.BucketInfo, error] {
		buckets, err := raw.ListDirectoryBuckets(ctx)
		if err != nil {
			return func(yield func(minio.BucketInfo, error) bool) { yield(minio.BucketInfo{}, err) }
		}
		return buckets
	}
	return l.items(ctx)
}

// ListBucketInventoryConfigurationsIterator lists the inventory configurations of a
// bucket. See [Client.ListObjects]; a failure of a later page ends the iteration.
func (c *Client) ListBucketInventoryConfigurationsIterator(ctx context.Context, bucket string) iter.Seq2[minio.InventoryConfiguration, error] {
	l := listing[minio.InventoryConfiguration]{
		client: c, op: Op{Name: "ListBucketInventoryConfigurationsIterator", Bucket: bucket, Kind: Read, Idempotent: true},
	}
	l.open = func(ctx context.Context, raw *minio.Client, _ *minio.InventoryConfiguration) iter.Seq2[minio.InventoryConfiguration, error] {
		return raw.ListBucketInventoryConfigurationsIterator(ctx, bucket)
	}
	return l.items(ctx)
}

// withErrors returns items with the errors that they hold as second values.
func withErrors[T any](items iter.Seq[T], errorOf func(T) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for item := range items {
			if !yield(item, errorOf(item)) {
				return
			}
		}
	}
}

// received returns what comes from a channel, whose sender ends with its context.
func received[T any](ctx context.Context, open func(context.Context) <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		ctx, cancel := context.WithCancel(ctx)
		items := open(ctx)
		defer func() {
			cancel()
			for range items { // the sender would wait for its last one to be taken
			}
		}()
		for item := range items {
			if !yield(item) {
				return
			}
		}
	}
}
