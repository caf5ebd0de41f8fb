package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// GetBucketInventoryConfiguration returns an inventory configuration of a bucket.
func (c *Client) GetBucketInventoryConfiguration(ctx context.Context, bucket, id string) (*minio.InventoryConfiguration, error) {
	return read(ctx, c, "GetBucketInventoryConfiguration", bucket, func(ctx context.Context, raw *minio.Client) (*minio.InventoryConfiguration, error) {
		return raw.GetBucketInventoryConfiguration(ctx, bucket, id)
	})
}

// DeleteBucketInventoryConfiguration removes an inventory configuration.
func (c *Client) DeleteBucketInventoryConfiguration(ctx context.Context, bucket, id string) error {
	return c.write(ctx, "DeleteBucketInventoryConfiguration", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.DeleteBucketInventoryConfiguration(ctx, bucket, id)
	})
}

// ListBucketInventoryConfigurations returns one page of the inventory configurations
// of a bucket: the first one, or the one of a token.
func (c *Client) ListBucketInventoryConfigurations(ctx context.Context, bucket, token string) (*minio.InventoryListResult, error) {
	return read(ctx, c, "ListBucketInventoryConfigurations", bucket, func(ctx context.Context, raw *minio.Client) (*minio.InventoryListResult, error) {
		return raw.ListBucketInventoryConfigurations(ctx, bucket, token)
	})
}

// GetBucketInventoryJobStatus returns how far the job of an inventory configuration
// is.
func (c *Client) GetBucketInventoryJobStatus(ctx context.Context, bucket, id string) (*minio.InventoryJobStatus, error) {
	return read(ctx, c, "GetBucketInventoryJobStatus", bucket, func(ctx context.Context, raw *minio.Client) (*minio.InventoryJobStatus, error) {
		return raw.GetBucketInventoryJobStatus(ctx, bucket, id)
	})
}

// GenerateInventoryConfigYAML returns a template of an inventory configuration.
func (c *Client) GenerateInventoryConfigYAML(ctx context.Context, bucket, id string) (string, error) {
	return read(ctx, c, "GenerateInventoryConfigYAML", bucket, func(ctx context.Context, raw *minio.Client) (string, error) {
		return raw.GenerateInventoryConfigYAML(ctx, bucket, id)
	})
}

// PutBucketInventoryConfiguration sets an inventory configuration, given as YAML.
func (c *Client) PutBucketInventoryConfiguration(ctx context.Context, bucket, id, yaml string, opts ...minio.InventoryPutConfigOption) error {
	return c.write(ctx, "PutBucketInventoryConfiguration", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.PutBucketInventoryConfiguration(ctx, bucket, id, yaml, opts...)
	})
}
