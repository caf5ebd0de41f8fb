package minio

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// BucketExists reports whether a bucket exists.
func (c *Client) BucketExists(ctx context.Context, bucket string) (bool, error) {
	op := Op{Name: "BucketExists", Bucket: bucket, Kind: Read}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (bool, error) {
		return raw.BucketExists(ctx, bucket)
	})
}

// MakeBucket makes a bucket. When an attempt failed and may have made it all the
// same, a later one that finds the bucket owned by the caller has succeeded.
func (c *Client) MakeBucket(ctx context.Context, bucket string, opts minio.MakeBucketOptions) error {
	op := Op{Name: "MakeBucket", Bucket: bucket, Kind: Write}
	var uncertain atomic.Bool
	return c.Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
		earlier := uncertain.Load()
		err := raw.MakeBucket(ctx, bucket, opts)
		if earlier && isCode(err, minio.BucketAlreadyOwnedByYou) {
			return nil
		}
		if mayHaveRun(err) {
			uncertain.Store(true)
		}
		return err
	})
}

func isCode(err error, code string) bool {
	response, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && response.Code == code
}

// mayHaveRun reports whether an attempt that failed with err may have done what it
// was to do.
func mayHaveRun(err error) bool {
	if err == nil {
		return false
	}
	if response, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return meaningOfResponse(response).class == middleware.Failure
	}
	return !notSent(err)
}
