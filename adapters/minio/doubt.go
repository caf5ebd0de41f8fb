package minio

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// An AmbiguousError is the error of a write that may have succeeded after all: the
// answer to an earlier request of the same call was lost, and a later one was told
// that the condition does not hold (If-None-Match, If-Match) or that there is no such
// upload in parts any more. Who has to know compares the object, its ETag for
// instance.
type AmbiguousError struct {
	Op  string // the name of the operation
	Err error  // the last answer, a minio-go ErrorResponse
}

// Error says what was done and what the server answered.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("minio: %s: the object may have been written by an earlier attempt of this call, whose answer was lost: %v", e.Op, e.Err)
}

// Unwrap returns Err.
func (e *AmbiguousError) Unwrap() error { return e.Err }

// ErrorType returns "ambiguous", for the attribute error.type of spans and metrics.
func (e *AmbiguousError) ErrorType() string { return "ambiguous" }

// A doubt is whether an attempt of a call failed and may have done its work all the
// same. The zero doubt is none. It is safe for concurrent use.
type doubt struct {
	exists  atomic.Bool
	repeats bool // minio-go may repeat requests by itself
}

func (c *Client) newDoubt() *doubt {
	return &doubt{repeats: c != nil && c.repeats}
}

func (d *doubt) note(err error) {
	if mayHaveRun(err) {
		d.exists.Store(true)
	}
}

// explain returns the error of an attempt to write an object.
func (d *doubt) explain(op Op, err error) error {
	if d.exists.Load() && isCode(err, minio.PreconditionFailed) ||
		d.repeats && isCode(err, minio.NoSuchUpload) { // the request that completes it was sent again
		return &AmbiguousError{Op: op.Name, Err: err}
	}
	d.note(err)
	return err
}

// settle is write for an operation that answers with that code when its work had
// been done before. After an attempt that may have done it, that is success.
func (c *Client) settle(ctx context.Context, name, bucket, code string, fn func(context.Context, *minio.Client) error) error {
	earlier := c.newDoubt()
	return c.write(ctx, name, bucket, func(ctx context.Context, raw *minio.Client) error {
		err := fn(ctx, raw)
		if earlier.exists.Load() && isCode(err, code) {
			return nil
		}
		earlier.note(err)
		return err
	})
}

// mayHaveRun reports whether an attempt that failed with err may have done what it
// was to do.
func mayHaveRun(err error) bool {
	if err == nil {
		return false
	}
	m := meaningOf(err)
	if _, answered := errors.AsType[minio.ErrorResponse](err); answered {
		return m.class == middleware.Failure
	}
	return m != connect && m != insecure && m != local && m != rejected
}

func isCode(err error, code string) bool {
	response, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && response.Code == code
}
