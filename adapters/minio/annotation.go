package minio

import (
	"bytes"
	"context"
	"io"

	"github.com/minio/minio-go/v7"
)

// ListObjectAnnotations lists the annotations of an object.
func (c *Client) ListObjectAnnotations(ctx context.Context, bucket, object string, opts minio.ListObjectAnnotationsOptions) ([]minio.ObjectAnnotation, error) {
	return read(ctx, c, "ListObjectAnnotations", bucket, func(ctx context.Context, raw *minio.Client) ([]minio.ObjectAnnotation, error) {
		return raw.ListObjectAnnotations(ctx, bucket, object, opts)
	})
}

// RemoveObjectAnnotation removes an annotation of an object.
func (c *Client) RemoveObjectAnnotation(ctx context.Context, bucket, object, annotation string, opts minio.RemoveObjectAnnotationOptions) error {
	return c.write(ctx, "RemoveObjectAnnotation", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveObjectAnnotation(ctx, bucket, object, annotation, opts)
	})
}

// maxAnnotation is the most that S3 takes for an annotation, in bytes.
const maxAnnotation = 1 << 20

// GetObjectAnnotation asks for an annotation of an object, and returns when the
// server has answered. The caller must close the content, or read it to the end; what
// the policies hold for it they hold until then.
func (c *Client) GetObjectAnnotation(ctx context.Context, bucket, object, annotation string, opts minio.GetObjectAnnotationOptions) (io.ReadCloser, error) {
	op := Op{Name: "GetObjectAnnotation", Bucket: bucket, Kind: Read, Idempotent: true}
	b, err := c.stream(ctx, op, func(ctx context.Context) (a answer, err error) {
		a.content, err = c.raw.GetObjectAnnotation(ctx, bucket, object, annotation, opts)
		return a, err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// PutObjectAnnotation sets an annotation of an object to what payload holds from
// where it stands, at most 1 MiB, which is read before the first attempt. It returns
// the annotation's ETag.
func (c *Client) PutObjectAnnotation(ctx context.Context, bucket, object, annotation string, payload io.ReadSeeker, opts minio.PutObjectAnnotationOptions) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	if isNil(payload) {
		return "", c.redact(nilReader(bucket, object))
	}
	content, err := io.ReadAll(io.LimitReader(payload, maxAnnotation+1)) // minio-go refuses more
	if err != nil {
		return "", err
	}
	op := Op{Name: "PutObjectAnnotation", Bucket: bucket, Kind: Write}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (string, error) {
		return raw.PutObjectAnnotation(ctx, bucket, object, annotation, bytes.NewReader(content), opts)
	})
}
