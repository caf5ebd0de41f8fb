package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/minio/minio-go/v7"
)

// Every way in which an error leaves a Client is without the name of the object.
func TestM18RedactionIsWhole(t *testing.T) {
	const key = "secret-key"
	cut := func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	refuse := func(_ int, w http.ResponseWriter, r *http.Request) { fail(w, r, 403, "AccessDenied") }
	put := func(ctx context.Context, c *Client, reader io.Reader, opts minio.PutObjectOptions) error {
		_, err := c.PutObject(ctx, "bucket", key, reader, 10, opts)
		return err
	}
	for _, row := range []struct {
		name   string
		answer func(int, http.ResponseWriter, *http.Request)
		run    func(context.Context, *Client) error
		is     func(error) bool // what is still found
	}{
		{"minio-go's own text", cut, func(ctx context.Context, c *Client) error {
			_, err := c.StatObject(ctx, "bucket", key, minio.StatObjectOptions{})
			return err
		}, func(err error) bool { _, ok := errors.AsType[*url.Error](err); return ok }},
		{"a reader that is too short", func(_ int, w http.ResponseWriter, r *http.Request) { succeed(w, r, "") }, func(ctx context.Context, c *Client) error {
			return put(ctx, c, strings.NewReader("abc"), minio.PutObjectOptions{})
		}, func(err error) bool { return err != nil }},
		{"no reader", refuse, func(ctx context.Context, c *Client) error {
			return put(ctx, c, nil, minio.PutObjectOptions{})
		}, func(err error) bool { return minio.ToErrorResponse(err).Code == minio.InvalidArgument }},
		{"ambiguous", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(412)
			fmt.Fprintf(w, "<Error><Code>PreconditionFailed</Code><Key>%s</Key><Message>%s is there</Message></Error>", key, key)
		}, func(ctx context.Context, c *Client) error {
			var opts minio.PutObjectOptions
			opts.SetMatchETagExcept("*")
			return put(ctx, c, strings.NewReader("0123456789"), opts)
		}, func(err error) bool {
			_, ok := errors.AsType[*AmbiguousError](err)
			return ok && isCode(err, minio.PreconditionFailed)
		}},
		{"a later page of a listing", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				panic(http.ErrAbortHandler)
			}
			page(w, r, 2)
		}, func(ctx context.Context, c *Client) (last error) {
			for _, err := range c.ListObjects(ctx, "bucket", minio.ListObjectsOptions{Prefix: key}) {
				last = err
			}
			return last
		}, func(err error) bool { return err != nil }},
		{"an error of the caller's around it", refuse, func(ctx context.Context, c *Client) error {
			return c.Do(ctx, Op{Kind: Read}, func(ctx context.Context, raw *minio.Client) error {
				return fmt.Errorf("%w: %w", io.ErrNoProgress, minio.ErrorResponse{Code: "AccessDenied", StatusCode: 403, Message: key + " is not yours", Key: key, BucketName: "bucket"})
			})
		}, func(err error) bool { return errors.Is(err, io.ErrNoProgress) && isCode(err, "AccessDenied") }},
		{"and around a request", refuse, func(ctx context.Context, c *Client) error {
			return c.Do(ctx, Op{Kind: Read}, func(ctx context.Context, raw *minio.Client) error {
				return fmt.Errorf("%w: %w", io.ErrNoProgress, &url.Error{Op: "Get", URL: "https://s3.test/bucket/" + key, Err: io.EOF})
			})
		}, func(err error) bool { return errors.Is(err, io.ErrNoProgress) && errors.Is(err, io.EOF) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answer: row.answer}
				c := s.connect(t, retrying(2))
				WithRedactedNames()(&c.options)
				err := row.run(t.Context(), c)
				if err == nil || !row.is(err) {
					t.Fatalf("error %v (%T)", err, err)
				}
				text := err.Error()
				if response, ok := errors.AsType[minio.ErrorResponse](err); ok {
					text += fmt.Sprintf("%+v", response)
				}
				if request, ok := errors.AsType[*url.Error](err); ok {
					text += request.URL + request.Error()
				}
				if strings.Contains(text, key) {
					t.Error(text)
				}
			})
		})
	}
}
