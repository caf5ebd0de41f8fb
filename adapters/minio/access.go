package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/cors"
	"github.com/minio/minio-go/v7/pkg/policy"
)

// GetBucketPolicy returns the access policy of a bucket, as JSON.
func (c *Client) GetBucketPolicy(ctx context.Context, bucket string) (string, error) {
	return read(ctx, c, "GetBucketPolicy", bucket, func(ctx context.Context, raw *minio.Client) (string, error) {
		return raw.GetBucketPolicy(ctx, bucket)
	})
}

// SetBucketPolicy sets the access policy of a bucket, or removes it when it is empty.
func (c *Client) SetBucketPolicy(ctx context.Context, bucket, policy string) error {
	return c.write(ctx, "SetBucketPolicy", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketPolicy(ctx, bucket, policy)
	})
}

// SetCannedBucketPolicy sets one of the usual access policies.
func (c *Client) SetCannedBucketPolicy(ctx context.Context, bucket string, bucketPolicy policy.BucketPolicy) error {
	return c.write(ctx, "SetCannedBucketPolicy", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetCannedBucketPolicy(ctx, bucket, bucketPolicy)
	})
}

// GetBucketCors returns the rules for requests of other origins, nil if there are
// none.
func (c *Client) GetBucketCors(ctx context.Context, bucket string) (*cors.Config, error) {
	return read(ctx, c, "GetBucketCors", bucket, func(ctx context.Context, raw *minio.Client) (*cors.Config, error) {
		return raw.GetBucketCors(ctx, bucket)
	})
}

// SetBucketCors sets the rules for requests of other origins, or removes them when
// config is nil.
func (c *Client) SetBucketCors(ctx context.Context, bucket string, config *cors.Config) error {
	return c.write(ctx, "SetBucketCors", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketCors(ctx, bucket, config)
	})
}

// GetObjectACL returns an object with its grants.
func (c *Client) GetObjectACL(ctx context.Context, bucket, object string) (*minio.ObjectInfo, error) {
	return read(ctx, c, "GetObjectACL", bucket, func(ctx context.Context, raw *minio.Client) (*minio.ObjectInfo, error) {
		return raw.GetObjectACL(ctx, bucket, object)
	})
}
