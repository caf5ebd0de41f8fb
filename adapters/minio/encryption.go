package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/sse"
)

// GetBucketEncryption returns how a bucket encrypts by default.
func (c *Client) GetBucketEncryption(ctx context.Context, bucket string) (*sse.Configuration, error) {
	return read(ctx, c, "GetBucketEncryption", bucket, func(ctx context.Context, raw *minio.Client) (*sse.Configuration, error) {
		return raw.GetBucketEncryption(ctx, bucket)
	})
}

// SetBucketEncryption says how a bucket encrypts by default.
func (c *Client) SetBucketEncryption(ctx context.Context, bucket string, config *sse.Configuration) error {
	return c.write(ctx, "SetBucketEncryption", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketEncryption(ctx, bucket, config)
	})
}

// RemoveBucketEncryption lets a bucket encrypt nothing by default.
func (c *Client) RemoveBucketEncryption(ctx context.Context, bucket string) error {
	return c.write(ctx, "RemoveBucketEncryption", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveBucketEncryption(ctx, bucket)
	})
}

// UpdateObjectEncryption changes the key that an object is encrypted with.
func (c *Client) UpdateObjectEncryption(ctx context.Context, bucket, object string, opts minio.UpdateObjectEncryptionOptions) (minio.UpdateObjectEncryptionResult, error) {
	op := Op{Name: "UpdateObjectEncryption", Bucket: bucket, Kind: Write}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (minio.UpdateObjectEncryptionResult, error) {
		return raw.UpdateObjectEncryption(ctx, bucket, object, opts)
	})
}
