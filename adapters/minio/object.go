package minio

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// An Object is an object that is being downloaded. What the policies hold for the
// download they hold until its end: the end of the content, an error of Read, or
// Close. An Object is for one goroutine, save that Close may be called at any time.
type Object struct {
	info minio.ObjectInfo
	body io.ReadCloser
	ctx  context.Context // of the attempt that the body belongs to
	end  func()
	err  error // of Read, from which on it stays

	closing  sync.Once
	closeErr error
}

// GetObject asks for an object and returns when the server has answered, so an
// object that does not exist is an error here and not of the first Read. The content
// streams afterwards: it is not repeated, and unless a timeout in the chain says
// that it counts streams, it takes as long as it takes. The caller must call Close,
// or read to the end.
func (c *Client) GetObject(ctx context.Context, bucket, object string, opts minio.GetObjectOptions) (*Object, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	op := Op{Name: "GetObject", Bucket: bucket, Kind: Read}
	o, end, err := middleware.Stream(c.enter(ctx, op), c.chain, func(ctx context.Context) (*Object, error) {
		body, info, _, err := minio.Core{Client: c.raw}.GetObject(ctx, bucket, object, opts)
		if err != nil {
			return nil, c.judged(ctx, op.Kind, err)
		}
		return &Object{info: info, body: body, ctx: ctx}, nil
	}, (*Object).discard)
	if err == nil && o == nil {
		err = errNoResult
	}
	if err != nil {
		end()
		return nil, err
	}
	o.end = end
	return o, nil
}

// errNoResult is the error of a streamed operation that a policy answered in its
// own way, without a stream.
var errNoResult = errors.New("minio: a policy answered the call without a result")

func (o *Object) discard() {
	if o != nil {
		o.body.Close()
	}
}

// Info returns what the server said of the object when the download began.
func (o *Object) Info() minio.ObjectInfo { return o.info }

// Read reads the content. When a timeout of the chain has cut it, the error is that
// timeout's [*middleware.Rejection].
func (o *Object) Read(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.body.Read(p)
	if err != nil {
		o.err = err
		if err != io.EOF {
			o.err = causeOf(o.ctx, err)
		}
		o.Close()
	}
	return n, o.err
}

// Close ends the download. It may be called more than once.
func (o *Object) Close() error {
	o.closing.Do(func() {
		o.closeErr = o.body.Close()
		o.end()
	})
	return o.closeErr
}

// causeOf returns the timeout of the chain that ended ctx, if one did, and otherwise
// err.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); errors.Is(cause, middleware.ErrTimeout) {
			return cause
		}
	}
	return err
}

// StatObject asks for what is known of an object.
func (c *Client) StatObject(ctx context.Context, bucket, object string, opts minio.StatObjectOptions) (minio.ObjectInfo, error) {
	op := Op{Name: "StatObject", Bucket: bucket, Kind: Read}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (minio.ObjectInfo, error) {
		return raw.StatObject(ctx, bucket, object, opts)
	})
}

// FGetObject downloads an object into a file, through a temporary one beside it. A
// chain's attempt timeout covers the whole download. No two calls may write one file
// at once.
func (c *Client) FGetObject(ctx context.Context, bucket, object, filePath string, opts minio.GetObjectOptions) error {
	op := Op{Name: "FGetObject", Bucket: bucket, Kind: Read}
	return c.Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
		return raw.FGetObject(ctx, bucket, object, filePath, opts)
	})
}

// RemoveObject removes an object; it is no error when there is none. In a bucket
// with versions, a repeat without a VersionID may add a second delete marker.
func (c *Client) RemoveObject(ctx context.Context, bucket, object string, opts minio.RemoveObjectOptions) error {
	op := Op{Name: "RemoveObject", Bucket: bucket, Kind: Write}
	return c.Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveObject(ctx, bucket, object, opts)
	})
}
