package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// CopyObject copies an object within the server. In a bucket with versions a repeat
// may add a second one. See [AmbiguousError].
func (c *Client) CopyObject(ctx context.Context, dst minio.CopyDestOptions, src minio.CopySrcOptions) (minio.UploadInfo, error) {
	earlier := c.newDoubt()
	op := Op{Name: "CopyObject", Bucket: dst.Bucket, Kind: Write}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (minio.UploadInfo, error) {
		info, err := raw.CopyObject(ctx, dst, src)
		return info, earlier.explain(op, err)
	})
}

// ComposeObject makes an object of others, within the server. Like [Client.CopyObject]
// it is repeated as a whole. minio-go asks for the sources without heed to ctx.
func (c *Client) ComposeObject(ctx context.Context, dst minio.CopyDestOptions, srcs ...minio.CopySrcOptions) (minio.UploadInfo, error) {
	earlier := c.newDoubt()
	op := Op{Name: "ComposeObject", Bucket: dst.Bucket, Kind: Write}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (minio.UploadInfo, error) {
		if err := ctx.Err(); err != nil {
			return minio.UploadInfo{}, err
		}
		info, err := raw.ComposeObject(ctx, dst, srcs...)
		return info, earlier.explain(op, err)
	})
}
