package minio

import (
	"context"
	"fmt"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// A Kind says when an operation may be repeated.
type Kind uint8

const (
	// Once: a repeat would do more than one run, as AppendObject and
	// ResetBucketReplication do. It is repeated only when the request was certainly
	// not carried out: no connection came about, or the server refused its region or
	// its token.
	Once Kind = iota
	// Read: nothing changes.
	Read
	// Write: a repeat leaves what one run leaves, as PutObjectTagging does.
	Write
	// Never: an attempt consumes what the next one would need, a reader or a channel,
	// as RemoveObjects and PutObjectsSnowball do. It is not repeated.
	Never
)

// An Op describes an operation to the policies and to those who watch them.
type Op struct {
	// Name is the operation in spans and metrics: the name of the method of minio-go,
	// without identifiers.
	Name string

	// Bucket is the bucket that it goes to, empty if there is none.
	Bucket string

	// Kind says when it may be repeated. The zero Kind is Once.
	Kind Kind
}

// Do runs fn, any operation of minio-go, inside the chain. fn may run several
// times as op.Kind allows, each time with its own context, which ends when fn
// returns. The error is the one that fn returned, or a rejection.
//
// The policies see what fn returns. Of an operation that reports errors elsewhere
// (in a channel, an iterator, the items of a result or a later Read) fn has to
// collect them.
func (c *Client) Do(ctx context.Context, op Op, fn func(context.Context, *minio.Client) error) error {
	if fn == nil {
		return errNoFunction(op)
	}
	if err := c.check(); err != nil {
		return err
	}
	return c.chain.Do(c.enter(ctx, op), func(ctx context.Context) error {
		own, cancel := context.WithCancel(ctx)
		defer cancel()
		return c.judged(ctx, op.Kind, fn(own, c.raw))
	})
}

// Call is [Client.Do] for an operation with a result. The result must be complete
// when fn returns; for one that is still to be read see [Client.GetObject].
func Call[T any](ctx context.Context, c *Client, op Op, fn func(context.Context, *minio.Client) (T, error)) (T, error) {
	var none T
	if fn == nil {
		return none, errNoFunction(op)
	}
	if err := c.check(); err != nil {
		return none, err
	}
	return middleware.Call(c.enter(ctx, op), c.chain, func(ctx context.Context) (T, error) {
		own, cancel := context.WithCancel(ctx)
		defer cancel()
		value, err := fn(own, c.raw)
		return value, c.judged(ctx, op.Kind, err)
	})
}

func errNoFunction(op Op) error {
	return fmt.Errorf("minio: operation %q on bucket %q: the function is nil", op.Name, op.Bucket)
}
