package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// StatObject asks for what is known of an object.
func (c *Client) StatObject(ctx context.Context, bucket, object string, opts minio.StatObjectOptions) (minio.ObjectInfo, error) {
	return read(ctx, c, "StatObject", bucket, func(ctx context.Context, raw *minio.Client) (minio.ObjectInfo, error) {
		return raw.StatObject(ctx, bucket, object, opts)
	})
}

// GetObjectAttributes returns the checksums, parts and size of an object.
func (c *Client) GetObjectAttributes(ctx context.Context, bucket, object string, opts minio.ObjectAttributesOptions) (*minio.ObjectAttributes, error) {
	return read(ctx, c, "GetObjectAttributes", bucket, func(ctx context.Context, raw *minio.Client) (*minio.ObjectAttributes, error) {
		return raw.GetObjectAttributes(ctx, bucket, object, opts)
	})
}
