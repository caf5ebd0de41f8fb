package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// GetBucketVersioning returns whether a bucket keeps versions.
func (c *Client) GetBucketVersioning(ctx context.Context, bucket string) (minio.BucketVersioningConfiguration, error) {
	return read(ctx, c, "GetBucketVersioning", bucket, func(ctx context.Context, raw *minio.Client) (minio.BucketVersioningConfiguration, error) {
		return raw.GetBucketVersioning(ctx, bucket)
	})
}

// SetBucketVersioning says whether a bucket keeps versions.
func (c *Client) SetBucketVersioning(ctx context.Context, bucket string, config minio.BucketVersioningConfiguration) error {
	return c.write(ctx, "SetBucketVersioning", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketVersioning(ctx, bucket, config)
	})
}

// EnableVersioning lets a bucket keep versions.
func (c *Client) EnableVersioning(ctx context.Context, bucket string) error {
	return c.write(ctx, "EnableVersioning", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.EnableVersioning(ctx, bucket)
	})
}

// SuspendVersioning lets a bucket keep no more versions than it has.
func (c *Client) SuspendVersioning(ctx context.Context, bucket string) error {
	return c.write(ctx, "SuspendVersioning", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SuspendVersioning(ctx, bucket)
	})
}
