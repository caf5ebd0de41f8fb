package minio

import (
	"context"
	"errors"
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
	// as PutObjectsSnowball does. It is not repeated.
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

	// Idempotent says that it may also run several times at once, so that a hedge may
	// run it beside itself. False is right for a function that writes to variables
	// around it.
	Idempotent bool
}

// Do runs fn, any operation of minio-go, inside the chain. fn may run several
// times as op.Kind allows, each time with its own context, which ends when fn
// returns. The error is the one that fn returned, or a rejection.
//
// The policies see what fn returns. Of an operation that reports errors elsewhere
// (in a channel, an iterator, the items of a result or a later Read) fn has to
// collect them. The operations of minio.Core are reached with
// minio.Core{Client: raw}.
func (c *Client) Do(ctx context.Context, op Op, fn func(context.Context, *minio.Client) error) error {
	if fn == nil {
		return errNoFunction(op)
	}
	if err := c.check(); err != nil {
		return err
	}
	return c.chain.Do(c.enter(ctx, op), func(ctx context.Context) error {
		return c.attempt(ctx, op, func(ctx context.Context) error { return fn(ctx, c.raw) })
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
	return middleware.Call(c.enter(ctx, op), c.chain, func(ctx context.Context) (value T, err error) {
		err = c.attempt(ctx, op, func(ctx context.Context) (err error) {
			value, err = fn(ctx, c.raw)
			return err
		})
		return value, err
	})
}

func errNoFunction(op Op) error {
	return fmt.Errorf("minio: operation %q on bucket %q: the function is nil", op.Name, op.Bucket)
}

// read is Call for an operation that changes nothing and may run beside itself.
func read[T any](ctx context.Context, c *Client, name, bucket string, fn func(context.Context, *minio.Client) (T, error)) (T, error) {
	return Call(ctx, c, Op{Name: name, Bucket: bucket, Kind: Read, Idempotent: true}, fn)
}

// write is Do for an operation whose repeat leaves what one run leaves.
func (c *Client) write(ctx context.Context, name, bucket string, fn func(context.Context, *minio.Client) error) error {
	return c.Do(ctx, Op{Name: name, Bucket: bucket, Kind: Write}, fn)
}

// enter returns the context of a call of op.
func (c *Client) enter(ctx context.Context, op Op) context.Context {
	key := c.host
	if c.options.byBucket && op.Bucket != "" {
		key += "/" + op.Bucket
	}
	return middleware.WithOperation(ctx, middleware.Operation{Name: op.Name, Key: key, Idempotent: op.Idempotent})
}

// attempt runs fn for one attempt, with a context that ends with it: some of
// minio-go's workers end with their context only.
func (c *Client) attempt(ctx context.Context, op Op, fn func(context.Context) error) error {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	return c.judged(ctx, op.Kind, c.mended(own, op, fn))
}

// mended runs fn, and once more if it failed for a reason that is gone by then.
func (c *Client) mended(ctx context.Context, op Op, fn func(context.Context) error) error {
	err := fn(ctx)
	if op.Kind == Never || !c.mend(op, err) || ctx.Err() != nil {
		return err
	}
	return fn(ctx)
}

// mend reports whether the cause of err has been removed: minio-go has noted the
// bucket's region, which by itself it would act on only with a MaxRetries above 1,
// or the token is renewed.
func (c *Client) mend(op Op, err error) bool {
	switch meaningOf(err) {
	case wrongRegion:
		if c.pinned {
			return false
		}
		response, _ := errors.AsType[minio.ErrorResponse](err)
		if response.Code != minio.AccessDenied {
			return true
		}
		// Some servers name the region in every such answer.
		known, _ := c.regions.Swap(op.Bucket, response.Region)
		return known != response.Region
	case expired:
		if c.creds == nil {
			return false
		}
		c.creds.Expire()
		return true
	default:
		return false
	}
}

// judged returns the error of an attempt with its verdict. ctx is the context that
// the attempt was given by the chain.
func (c *Client) judged(ctx context.Context, kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return middleware.Judged(c.redact(err), c.judge(ctx, kind, err))
}

func (c *Client) judge(ctx context.Context, kind Kind, err error) middleware.Verdict {
	if _, answered := errors.AsType[minio.ErrorResponse](err); !answered && ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), middleware.ErrTimeout) {
			return timedOut.verdict(kind)
		}
		return canceled.verdict(kind)
	}
	m := meaningOf(err)
	v := m.verdict(kind)
	switch {
	case m == wrongRegion && isCode(err, minio.AccessDenied): // in the right region too
		return denied.verdict(kind)
	case m == wrongRegion, m == expired && c.creds != nil: // the attempt has tried what would help
		v.Retry = false
	case m == expired, m == damaged:
		v.Retry = v.Retry && middleware.Attempt(ctx) == 1
	}
	return v
}
