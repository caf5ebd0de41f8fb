package minio

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// PutObject uploads size bytes of reader from where it stands, and reads no more, or
// all of it when size is -1. It does not close the reader. A chain's attempt timeout
// covers the whole upload.
//
// It is repeated only when the reader can be rewound: an io.Seeker that is not a
// pipe or a terminal. Every attempt then begins at the offset that the reader had
// at the call, and one that is an io.ReaderAt too is not moved.
//
// With any other reader, and whenever size is -1, there is one attempt, unless it
// found no connection and so has read nothing. When it is an upload in parts, minio-go,
// which has the part in memory, sends each part up to 3 times, with waits of at most a
// second, save when Options.MaxRetries was set or the Client is of [Wrap]. To have a
// huge file repeated by parts and not as a whole, hide that it can be rewound:
// struct{ io.Reader }{file}. With size -1 a part is about 500 MiB unless opts.PartSize
// says otherwise.
//
// An upload with a condition (If-Match, If-None-Match) of up to 5 GiB is one request:
// minio-go does not say the condition when it completes an upload in parts, and some
// servers then overwrite what they should not. With size -1, or more, that can happen.
//
// An error of the reader, or one that holds less than size, does not count against
// the server. When an upload in parts has failed, minio-go aborts it, for up
// to a minute and after the end of ctx too. See [AmbiguousError] for uploads that may
// have succeeded after all.
func (c *Client) PutObject(ctx context.Context, bucket, object string, reader io.Reader, size int64, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	if err := c.check(); err != nil {
		return minio.UploadInfo{}, err
	}
	if isNil(reader) {
		return minio.UploadInfo{}, c.redact(nilReader(bucket, object))
	}
	opts.DisableMultipart = opts.DisableMultipart || wholeForCondition(opts, size)
	s := newSource(reader, size)
	op, raw := Op{Name: "PutObject", Bucket: bucket, Kind: s.kind()}, c.raw
	if size < 0 || op.Kind == Never {
		op.Kind, raw = Never, c.streams
	}
	earlier := c.newDoubt()
	earlier.repeats = earlier.repeats || raw != c.raw
	return upload(ctx, c, op, s, func(ctx context.Context, v *view) (minio.UploadInfo, error) {
		opts := opts
		opts.UserMetadata = maps.Clone(opts.UserMetadata) // minio-go writes to it
		info, err := raw.PutObject(ctx, bucket, object, v.Reader, size, opts)
		return info, earlier.explain(op, err)
	})
}

// upload runs fn, which sends what it reads, inside the chain. An operation that is
// Never to be repeated is Once as long as nothing has been read.
func upload[T any](ctx context.Context, c *Client, op Op, s *source, fn func(context.Context, *view) (T, error)) (T, error) {
	return middleware.Call(c.enter(ctx, op), c.chain, func(ctx context.Context) (value T, err error) {
		a := uploadAttempt{source: s}
		run := func(ctx context.Context) error {
			a.kind = op.Kind
			return a.run(ctx, func(ctx context.Context, v *view) (err error) {
				value, err = fn(ctx, v)
				return err
			})
		}
		if err = run(ctx); a.kind != Never && c.mend(op, err) && ctx.Err() == nil {
			err = run(ctx)
		}
		if a.guilty {
			return value, middleware.Judged(c.redact(err), badReader.verdict(a.kind))
		}
		return value, c.judged(ctx, a.kind, err)
	})
}

// An uploadAttempt is one attempt to send what a source holds.
type uploadAttempt struct {
	source *source
	kind   Kind
	guilty bool // the reader is to blame
}

func (a *uploadAttempt) run(ctx context.Context, fn func(context.Context, *view) error) error {
	v, err := a.source.open(ctx)
	if err != nil {
		a.guilty = true
		return err
	}
	defer v.close()
	own, cancel := context.WithCancel(ctx) // minio-go's workers end with it only
	defer cancel()
	if err = fn(own, v); err == nil {
		return nil
	}
	if a.kind == Never && !v.used.Load() {
		a.kind = Once
	}
	a.guilty, err = v.explain(err)
	return err
}

// The least that is uploaded in parts, and the most that S3 takes in one request, in
// bytes.
const (
	minPart      = 5 << 20
	maxSinglePut = 5 << 30
)

// wholeForCondition reports whether an upload has a condition that one in parts would
// lose, and may be one request.
func wholeForCondition(opts minio.PutObjectOptions, size int64) bool {
	if size < minPart || size > maxSinglePut {
		return false // before the header, which costs allocations
	}
	header := opts.Header()
	return header.Get("If-Match") != "" || header.Get("If-None-Match") != ""
}

func nilReader(bucket, object string) error {
	return minio.ErrorResponse{
		StatusCode: http.StatusBadRequest,
		Code:       minio.InvalidArgument,
		Message:    "The reader is nil. For an empty object pass an empty one, such as bytes.NewReader(nil).",
		BucketName: bucket,
		Key:        object,
	}
}

// FPutObject uploads a file as [Client.PutObject] does. Every attempt opens it anew. A
// chain's attempt timeout covers the whole upload. See [AmbiguousError].
func (c *Client) FPutObject(ctx context.Context, bucket, object, filePath string, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	if file, err := os.Stat(filePath); err == nil && wholeForCondition(opts, file.Size()) {
		opts.DisableMultipart = true
	}
	earlier := c.newDoubt()
	op := Op{Name: "FPutObject", Bucket: bucket, Kind: Write}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (minio.UploadInfo, error) {
		opts := opts
		opts.UserMetadata = maps.Clone(opts.UserMetadata) // minio-go writes to it
		info, err := raw.FPutObject(ctx, bucket, object, filePath, opts)
		return info, earlier.explain(op, err)
	})
}

// AppendObject adds what reader holds to the end of an object. A second run would
// add it twice, so it is repeated only when nothing was carried out, and the reader
// can be rewound as for [Client.PutObject]. With opts.ChunkSize it is not repeated.
func (c *Client) AppendObject(ctx context.Context, bucket, object string, reader io.Reader, size int64, opts minio.AppendObjectOptions) (minio.UploadInfo, error) {
	if err := c.check(); err != nil {
		return minio.UploadInfo{}, err
	}
	if isNil(reader) {
		return minio.UploadInfo{}, c.redact(nilReader(bucket, object))
	}
	s := newSource(reader, size)
	op := Op{Name: "AppendObject", Bucket: bucket, Kind: Once}
	if s.kind() == Never || opts.ChunkSize > 0 { // of several chunks some may have been added
		op.Kind = Never
	}
	return upload(ctx, c, op, s, func(ctx context.Context, v *view) (minio.UploadInfo, error) {
		return c.raw.AppendObject(ctx, bucket, object, v.Reader, size, opts)
	})
}

// PutObjectFanOut uploads what reader holds as several objects. It is repeated only
// when nothing was carried out, and the reader can be rewound as for
// [Client.PutObject]. When all objects have an error, the policies see a failure. The
// caller gets the items as minio-go gave them, and looks at the Error of each.
//
// minio-go sends the request without heed to ctx, and when the reader fails it sends
// what came before as if it were all. Here that is an error, though the objects may
// be there.
func (c *Client) PutObjectFanOut(ctx context.Context, bucket string, reader io.Reader, req minio.PutObjectFanOutRequest) ([]minio.PutObjectFanOutResponse, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if isNil(reader) {
		return nil, nilReader(bucket, "")
	}
	s := newSource(reader, -1)
	op := Op{Name: "PutObjectFanOut", Bucket: bucket, Kind: Once}
	if s.kind() == Never {
		op.Kind = Never
	}
	items, err := upload(ctx, c, op, s, func(ctx context.Context, v *view) ([]minio.PutObjectFanOutResponse, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		//nolint:staticcheck // SA1019: who still calls it is to be protected too.
		items, err := c.raw.PutObjectFanOut(ctx, bucket, v.Reader, req)
		switch fault := v.fault.Load(); {
		case err != nil:
			return items, err
		case fault != nil:
			return items, *fault
		case len(items) > 0 && !hasSuccess(items):
			return items, errAllFailed
		}
		return items, nil
	})
	if errors.Is(err, errAllFailed) {
		return items, nil
	}
	return items, err
}

// errAllFailed stands inside the chain for items that all have an error.
var errAllFailed = errors.New("minio: every object of the fan-out has an error")

func hasSuccess(items []minio.PutObjectFanOutResponse) bool {
	for _, item := range items {
		if item.Error == "" {
			return true
		}
	}
	return false
}

// PutObjectsSnowball uploads the objects of a channel as one archive, which the
// server unpacks. The channel is drained once, so there is one attempt. The server
// does not say which objects it could not unpack.
func (c *Client) PutObjectsSnowball(ctx context.Context, bucket string, opts minio.SnowballOptions, objects <-chan minio.SnowballObject) error {
	opts.Opts.UserMetadata = maps.Clone(opts.Opts.UserMetadata) // minio-go writes to it
	op := Op{Name: "PutObjectsSnowball", Bucket: bucket, Kind: Never}
	return c.Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
		return raw.PutObjectsSnowball(ctx, bucket, opts, objects)
	})
}
