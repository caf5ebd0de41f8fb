package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// BucketExists reports whether a bucket exists.
func (c *Client) BucketExists(ctx context.Context, bucket string) (bool, error) {
	return read(ctx, c, "BucketExists", bucket, func(ctx context.Context, raw *minio.Client) (bool, error) {
		return raw.BucketExists(ctx, bucket)
	})
}

// MakeBucket makes a bucket. When an attempt failed and may have made it all the
// same, a later one that finds the bucket owned by the caller has succeeded.
func (c *Client) MakeBucket(ctx context.Context, bucket string, opts minio.MakeBucketOptions) error {
	return c.settle(ctx, "MakeBucket", bucket, minio.BucketAlreadyOwnedByYou, func(ctx context.Context, raw *minio.Client) error {
		return raw.MakeBucket(ctx, bucket, opts)
	})
}

// RemoveBucket removes an empty bucket. When an attempt failed and may have removed
// it all the same, a later one that finds no bucket has succeeded.
func (c *Client) RemoveBucket(ctx context.Context, bucket string) error {
	return c.settle(ctx, "RemoveBucket", bucket, minio.NoSuchBucket, func(ctx context.Context, raw *minio.Client) error {
		c.located.Delete(bucket) // minio-go forgets its region too
		return raw.RemoveBucket(ctx, bucket)
	})
}

// RemoveBucketWithOptions removes a bucket, with all that is in it when opts says so.
// It is repeated like [Client.RemoveBucket].
func (c *Client) RemoveBucketWithOptions(ctx context.Context, bucket string, opts minio.RemoveBucketOptions) error {
	return c.settle(ctx, "RemoveBucketWithOptions", bucket, minio.NoSuchBucket, func(ctx context.Context, raw *minio.Client) error {
		c.located.Delete(bucket)
		return raw.RemoveBucketWithOptions(ctx, bucket, opts)
	})
}

// CreateSession makes credentials for a directory bucket.
func (c *Client) CreateSession(ctx context.Context, bucket string, mode minio.SessionMode) (credentials.Value, error) {
	op := Op{Name: "CreateSession", Bucket: bucket, Kind: Read}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (credentials.Value, error) {
		return raw.CreateSession(ctx, bucket, mode)
	})
}
