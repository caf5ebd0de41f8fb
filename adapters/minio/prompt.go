package minio

import (
	"context"
	"io"

	"github.com/minio/minio-go/v7"
)

// PromptObject asks a model of the server about an object. Each run asks again, so it
// is repeated only when nothing was carried out. The caller must close the answer, or
// read it to the end; what the policies hold for it they hold until then.
func (c *Client) PromptObject(ctx context.Context, bucket, object, prompt string, opts minio.PromptObjectOptions) (io.ReadCloser, error) {
	op := Op{Name: "PromptObject", Bucket: bucket, Kind: Once}
	b, err := c.stream(ctx, op, func(ctx context.Context) (a answer, err error) {
		a.content, err = c.raw.PromptObject(ctx, bucket, object, prompt, opts)
		return a, err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}
