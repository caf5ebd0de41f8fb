package minio

import (
	"context"
	"iter"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// ListObjects lists the objects of a bucket. Each iteration is a listing of its own,
// which begins with it. An error ends it, and is the second value of the last pair.
//
// The policies see the request for the first page; until the first object is there
// it may be repeated. Later pages are asked for as the iteration goes on, outside of
// the policies, and what these hold they hold until it ends.
func (c *Client) ListObjects(ctx context.Context, bucket string, opts minio.ListObjectsOptions) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		l, end, err := c.list(ctx, bucket, opts)
		defer end()
		if err != nil {
			yield(minio.ObjectInfo{}, err)
			return
		}
		defer l.stop()
		for ; l.more; l.advance() {
			if !yield(l.object, nil) {
				return
			}
		}
		if l.err != nil {
			yield(minio.ObjectInfo{}, l.err)
		}
	}
}

func (c *Client) list(ctx context.Context, bucket string, opts minio.ListObjectsOptions) (*listing, func(), error) {
	if err := c.check(); err != nil {
		return nil, func() {}, err
	}
	op := Op{Name: "ListObjects", Bucket: bucket, Kind: Read}
	l, end, err := middleware.Stream(c.enter(ctx, op), c.chain, func(ctx context.Context) (*listing, error) {
		l := newListing(ctx, c.raw.ListObjectsIter(ctx, bucket, opts))
		if l.err != nil {
			l.stop()
			return nil, c.judged(ctx, op.Kind, l.err)
		}
		return l, nil
	}, (*listing).discard)
	if err == nil && l == nil {
		err = errNoResult
	}
	return l, end, err
}

// A listing is a position in a listing of minio-go.
type listing struct {
	ctx    context.Context
	next   func() (minio.ObjectInfo, bool)
	stop   func()
	object minio.ObjectInfo
	more   bool // object is one of the listing
	err    error
}

func newListing(ctx context.Context, objects iter.Seq[minio.ObjectInfo]) *listing {
	l := &listing{ctx: ctx}
	l.next, l.stop = iter.Pull(objects)
	l.advance()
	return l
}

func (l *listing) advance() {
	l.object, l.more = l.next()
	switch {
	case l.more:
		l.err = l.object.Err
	default:
		l.err = l.ctx.Err() // then minio-go ends a listing as if it were complete
	}
	if l.err != nil {
		l.more, l.err = false, causeOf(l.ctx, l.err)
	}
}

func (l *listing) discard() {
	if l != nil {
		l.stop()
	}
}
