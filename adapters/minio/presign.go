package minio

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

// GetBucketLocation returns the region of a bucket, which minio-go asks for once.
// What it knows already is nothing to the policies.
func (c *Client) GetBucketLocation(ctx context.Context, bucket string) (string, error) {
	return located(ctx, c, "GetBucketLocation", bucket, func(ctx context.Context, raw *minio.Client) (string, error) {
		return raw.GetBucketLocation(ctx, bucket)
	})
}

// Presign returns a URL with which others may make one request, for as long as it
// says. Signing is done here and is nothing to the policies; where minio-go has to
// ask for the region of the bucket first, that passes them.
func (c *Client) Presign(ctx context.Context, method, bucket, object string, expires time.Duration, params url.Values) (*url.URL, error) {
	return located(ctx, c, "Presign", bucket, func(ctx context.Context, raw *minio.Client) (*url.URL, error) {
		return raw.Presign(ctx, method, bucket, object, expires, params)
	})
}

// PresignHeader is [Client.Presign] with headers that the request must have.
func (c *Client) PresignHeader(ctx context.Context, method, bucket, object string, expires time.Duration, params url.Values, header http.Header) (*url.URL, error) {
	return located(ctx, c, "PresignHeader", bucket, func(ctx context.Context, raw *minio.Client) (*url.URL, error) {
		return raw.PresignHeader(ctx, method, bucket, object, expires, params, header)
	})
}

// PresignedGetObject is [Client.Presign] for a download.
func (c *Client) PresignedGetObject(ctx context.Context, bucket, object string, expires time.Duration, params url.Values) (*url.URL, error) {
	return located(ctx, c, "PresignedGetObject", bucket, func(ctx context.Context, raw *minio.Client) (*url.URL, error) {
		return raw.PresignedGetObject(ctx, bucket, object, expires, params)
	})
}

// PresignedHeadObject is [Client.Presign] for what is known of an object.
func (c *Client) PresignedHeadObject(ctx context.Context, bucket, object string, expires time.Duration, params url.Values) (*url.URL, error) {
	return located(ctx, c, "PresignedHeadObject", bucket, func(ctx context.Context, raw *minio.Client) (*url.URL, error) {
		return raw.PresignedHeadObject(ctx, bucket, object, expires, params)
	})
}

// PresignedPutObject is [Client.Presign] for an upload.
func (c *Client) PresignedPutObject(ctx context.Context, bucket, object string, expires time.Duration) (*url.URL, error) {
	return located(ctx, c, "PresignedPutObject", bucket, func(ctx context.Context, raw *minio.Client) (*url.URL, error) {
		return raw.PresignedPutObject(ctx, bucket, object, expires)
	})
}

// PresignedPostPolicy is [Client.Presign] for the form of a web page. It returns the
// URL and the fields of the form.
func (c *Client) PresignedPostPolicy(ctx context.Context, p *minio.PostPolicy) (*url.URL, map[string]string, error) {
	type form struct {
		url    *url.URL
		fields map[string]string
	}
	f, err := located(ctx, c, "PresignedPostPolicy", bucketOf(p), func(ctx context.Context, raw *minio.Client) (f form, err error) {
		f.url, f.fields, err = raw.PresignedPostPolicy(ctx, p)
		return f, err
	})
	return f.url, f.fields, err
}

// bucketOf returns the bucket of a form, which minio-go shows in its JSON only.
func bucketOf(p *minio.PostPolicy) string {
	if p == nil {
		return ""
	}
	var document struct {
		Conditions [][]any `json:"conditions"`
	}
	if json.Unmarshal([]byte(p.String()), &document) != nil {
		return ""
	}
	for _, c := range document.Conditions {
		if len(c) == 3 && c[1] == "$bucket" {
			bucket, _ := c[2].(string)
			return bucket
		}
	}
	return ""
}

var errNothingSent = errors.New("minio: nothing was sent")

// located runs fn, which asks the server for nothing but the region of the bucket,
// and that only until minio-go knows it.
func located[T any](ctx context.Context, c *Client, name, bucket string, fn func(context.Context, *minio.Client) (T, error)) (T, error) {
	if err := c.check(); err != nil {
		var none T
		return none, err
	}
	if _, known := c.located.Load(bucket); known || c.pinned {
		value, err := fn(ctx, c.raw)
		return value, c.redact(err)
	}
	op := Op{Name: name, Bucket: bucket, Kind: Read}
	value, err := Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (T, error) {
		var sent atomic.Bool
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { sent.Store(true) }})
		value, err := fn(ctx, raw)
		if err == nil && !sent.Load() {
			err = errNothingSent // so that it counts as no success of the server
		}
		return value, err
	})
	if errors.Is(err, errNothingSent) {
		err = nil
	}
	if err == nil && bucket != "" {
		c.located.Store(bucket, struct{}{})
	}
	return value, err
}
