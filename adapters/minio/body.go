package minio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// An answer is a response whose content is still to be read.
type answer struct {
	content io.ReadCloser
	info    minio.ObjectInfo
	header  http.Header
}

// A body is the content of an answer. What the policies hold for it they hold until
// its end: the end of the content, an error of Read, or Close.
type body struct {
	answer
	ctx   context.Context // of the attempt that it belongs to
	reads func(begin bool)
	end   func()
	err   error // of Read, from which on it stays

	closing  sync.Once
	closeErr error
}

// errNoResult is the error of a streamed operation that a policy answered in its
// own way, without a stream.
var errNoResult = errors.New("minio: a policy answered the call without a result")

// stream runs fn inside the chain. What it returns is read outside of it. fn gets a
// context that lives as long as the body.
func (c *Client) stream(ctx context.Context, op Op, fn func(context.Context) (answer, error)) (*body, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b, end, err := middleware.Stream(c.enter(ctx, op), c.chain, func(ctx context.Context) (*body, error) {
		b := &body{ctx: ctx, reads: middleware.ReadsOf(ctx)}
		err := c.mended(ctx, op, func(ctx context.Context) (err error) {
			b.answer, err = fn(ctx)
			return err
		})
		if err != nil {
			return nil, c.judged(ctx, op.Kind, err)
		}
		return b, nil
	}, (*body).discard)
	if err == nil && b == nil {
		err = errNoResult
	}
	if err != nil {
		end()
		return nil, err
	}
	b.end = end
	return b, nil
}

func (b *body) discard() {
	if b != nil {
		b.content.Close()
	}
}

// Read reads the content. When a timeout of the chain has cut it, the error is that
// timeout's rejection.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.read(p)
	if err != nil {
		b.err = err
		if !errors.Is(err, io.EOF) {
			b.err = causeOf(b.ctx, err)
		}
		b.Close()
	}
	return n, b.err
}

func (b *body) read(p []byte) (int, error) {
	if b.reads != nil {
		b.reads(true)
		defer b.reads(false)
	}
	return b.content.Read(p)
}

// Close ends the content. It may be called more than once, and at any time.
func (b *body) Close() error {
	b.closing.Do(func() {
		b.closeErr = b.content.Close()
		b.end()
	})
	return b.closeErr
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
