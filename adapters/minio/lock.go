package minio

import (
	"context"
	"time"

	"github.com/minio/minio-go/v7"
)

// GetObjectLegalHold returns whether an object is on legal hold.
func (c *Client) GetObjectLegalHold(ctx context.Context, bucket, object string, opts minio.GetObjectLegalHoldOptions) (*minio.LegalHoldStatus, error) {
	return read(ctx, c, "GetObjectLegalHold", bucket, func(ctx context.Context, raw *minio.Client) (*minio.LegalHoldStatus, error) {
		return raw.GetObjectLegalHold(ctx, bucket, object, opts)
	})
}

// PutObjectLegalHold puts an object on legal hold, or takes it off.
func (c *Client) PutObjectLegalHold(ctx context.Context, bucket, object string, opts minio.PutObjectLegalHoldOptions) error {
	return c.write(ctx, "PutObjectLegalHold", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.PutObjectLegalHold(ctx, bucket, object, opts)
	})
}

// PutObjectRetention says until when an object is kept.
func (c *Client) PutObjectRetention(ctx context.Context, bucket, object string, opts minio.PutObjectRetentionOptions) error {
	return c.write(ctx, "PutObjectRetention", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.PutObjectRetention(ctx, bucket, object, opts)
	})
}

// SetObjectLockConfig says how long the objects of a bucket are kept by default, or
// that they are not when all of it is nil.
func (c *Client) SetObjectLockConfig(ctx context.Context, bucket string, mode *minio.RetentionMode, validity *uint, unit *minio.ValidityUnit) error {
	return c.write(ctx, "SetObjectLockConfig", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetObjectLockConfig(ctx, bucket, mode, validity, unit)
	})
}

// SetBucketObjectLockConfig is the same as [Client.SetObjectLockConfig].
func (c *Client) SetBucketObjectLockConfig(ctx context.Context, bucket string, mode *minio.RetentionMode, validity *uint, unit *minio.ValidityUnit) error {
	return c.write(ctx, "SetBucketObjectLockConfig", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketObjectLockConfig(ctx, bucket, mode, validity, unit)
	})
}

// GetObjectRetention returns until when an object is kept.
func (c *Client) GetObjectRetention(ctx context.Context, bucket, object, versionID string) (*minio.RetentionMode, *time.Time, error) {
	type result struct {
		mode  *minio.RetentionMode
		until *time.Time
	}
	r, err := read(ctx, c, "GetObjectRetention", bucket, func(ctx context.Context, raw *minio.Client) (r result, err error) {
		r.mode, r.until, err = raw.GetObjectRetention(ctx, bucket, object, versionID)
		return r, err
	})
	return r.mode, r.until, err
}

type lockConfig struct {
	state    string
	mode     *minio.RetentionMode
	validity *uint
	unit     *minio.ValidityUnit
}

// GetObjectLockConfig returns whether the objects of a bucket can be kept, and how
// long they are by default.
func (c *Client) GetObjectLockConfig(ctx context.Context, bucket string) (state string, mode *minio.RetentionMode, validity *uint, unit *minio.ValidityUnit, err error) {
	r, err := read(ctx, c, "GetObjectLockConfig", bucket, func(ctx context.Context, raw *minio.Client) (r lockConfig, err error) {
		r.state, r.mode, r.validity, r.unit, err = raw.GetObjectLockConfig(ctx, bucket)
		return r, err
	})
	return r.state, r.mode, r.validity, r.unit, err
}

// GetBucketObjectLockConfig returns how long the objects of a bucket are kept by
// default.
func (c *Client) GetBucketObjectLockConfig(ctx context.Context, bucket string) (mode *minio.RetentionMode, validity *uint, unit *minio.ValidityUnit, err error) {
	r, err := read(ctx, c, "GetBucketObjectLockConfig", bucket, func(ctx context.Context, raw *minio.Client) (r lockConfig, err error) {
		r.mode, r.validity, r.unit, err = raw.GetBucketObjectLockConfig(ctx, bucket)
		return r, err
	})
	return r.mode, r.validity, r.unit, err
}
