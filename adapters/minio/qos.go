package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// GetBucketQOS returns the limits that MinIO puts on requests for a bucket.
func (c *Client) GetBucketQOS(ctx context.Context, bucket string) (*minio.QOSConfig, error) {
	return read(ctx, c, "GetBucketQOS", bucket, func(ctx context.Context, raw *minio.Client) (*minio.QOSConfig, error) {
		return raw.GetBucketQOS(ctx, bucket)
	})
}

// SetBucketQOS sets the limits that MinIO puts on requests for a bucket.
func (c *Client) SetBucketQOS(ctx context.Context, bucket string, config *minio.QOSConfig) error {
	return c.write(ctx, "SetBucketQOS", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketQOS(ctx, bucket, config)
	})
}

// GetBucketQOSMetrics returns what came of those limits, on one node or, when node
// is empty, on all.
func (c *Client) GetBucketQOSMetrics(ctx context.Context, bucket, node string) ([]minio.QOSNodeStats, error) {
	return read(ctx, c, "GetBucketQOSMetrics", bucket, func(ctx context.Context, raw *minio.Client) ([]minio.QOSNodeStats, error) {
		return raw.GetBucketQOSMetrics(ctx, bucket, node)
	})
}
