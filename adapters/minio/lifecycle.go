package minio

import (
	"context"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
)

// GetBucketLifecycle returns the lifecycle rules of a bucket.
func (c *Client) GetBucketLifecycle(ctx context.Context, bucket string) (*lifecycle.Configuration, error) {
	return read(ctx, c, "GetBucketLifecycle", bucket, func(ctx context.Context, raw *minio.Client) (*lifecycle.Configuration, error) {
		return raw.GetBucketLifecycle(ctx, bucket)
	})
}

// SetBucketLifecycle replaces the lifecycle rules of a bucket, or removes them when
// there are none in config.
func (c *Client) SetBucketLifecycle(ctx context.Context, bucket string, config *lifecycle.Configuration) error {
	return c.write(ctx, "SetBucketLifecycle", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketLifecycle(ctx, bucket, config)
	})
}

// RestoreObject brings back an object from an archive for a time. When an attempt
// failed and may have begun it all the same, a later one that finds it begun has
// succeeded.
func (c *Client) RestoreObject(ctx context.Context, bucket, object, versionID string, req minio.RestoreRequest) error {
	return c.settle(ctx, "RestoreObject", bucket, "RestoreAlreadyInProgress", func(ctx context.Context, raw *minio.Client) error {
		return raw.RestoreObject(ctx, bucket, object, versionID, req)
	})
}

// GetBucketLifecycleWithInfo is [Client.GetBucketLifecycle], with the time at which
// the rules were changed last.
func (c *Client) GetBucketLifecycleWithInfo(ctx context.Context, bucket string) (*lifecycle.Configuration, time.Time, error) {
	type result struct {
		config  *lifecycle.Configuration
		updated time.Time
	}
	r, err := read(ctx, c, "GetBucketLifecycleWithInfo", bucket, func(ctx context.Context, raw *minio.Client) (r result, err error) {
		r.config, r.updated, err = raw.GetBucketLifecycleWithInfo(ctx, bucket)
		return r, err
	})
	return r.config, r.updated, err
}
