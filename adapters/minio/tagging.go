package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"
)

// GetBucketTagging returns the tags of a bucket.
func (c *Client) GetBucketTagging(ctx context.Context, bucket string) (*tags.Tags, error) {
	return read(ctx, c, "GetBucketTagging", bucket, func(ctx context.Context, raw *minio.Client) (*tags.Tags, error) {
		return raw.GetBucketTagging(ctx, bucket)
	})
}

// SetBucketTagging replaces the tags of a bucket.
func (c *Client) SetBucketTagging(ctx context.Context, bucket string, t *tags.Tags) error {
	return c.write(ctx, "SetBucketTagging", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketTagging(ctx, bucket, t)
	})
}

// RemoveBucketTagging removes the tags of a bucket.
func (c *Client) RemoveBucketTagging(ctx context.Context, bucket string) error {
	return c.write(ctx, "RemoveBucketTagging", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveBucketTagging(ctx, bucket)
	})
}

// GetObjectTagging returns the tags of an object.
func (c *Client) GetObjectTagging(ctx context.Context, bucket, object string, opts minio.GetObjectTaggingOptions) (*tags.Tags, error) {
	return read(ctx, c, "GetObjectTagging", bucket, func(ctx context.Context, raw *minio.Client) (*tags.Tags, error) {
		return raw.GetObjectTagging(ctx, bucket, object, opts)
	})
}

// PutObjectTagging replaces the tags of an object.
func (c *Client) PutObjectTagging(ctx context.Context, bucket, object string, t *tags.Tags, opts minio.PutObjectTaggingOptions) error {
	return c.write(ctx, "PutObjectTagging", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.PutObjectTagging(ctx, bucket, object, t, opts)
	})
}

// RemoveObjectTagging removes the tags of an object.
func (c *Client) RemoveObjectTagging(ctx context.Context, bucket, object string, opts minio.RemoveObjectTaggingOptions) error {
	return c.write(ctx, "RemoveObjectTagging", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveObjectTagging(ctx, bucket, object, opts)
	})
}
