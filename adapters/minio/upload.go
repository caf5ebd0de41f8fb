package minio

import (
	"context"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// PutObject uploads size bytes of reader from where it stands, and reads no more, or
// all of it when size is -1. It does not close the reader. A chain's attempt timeout
// covers the whole upload.
//
// It is repeated only when the reader can be rewound: an io.Seeker that is not a
// pipe or a terminal. Every attempt then begins at the offset that the reader had
// at the call, and one that is an io.ReaderAt too is not moved. Any other reader
// gets one attempt. For large streams, a Client of its own with MaxRetries 3 repeats
// single parts; with size -1 minio-go holds a part in memory, about 500 MiB unless
// opts.PartSize says otherwise.
//
// An error of the reader, or one that holds less than size, does not count against
// the server. When an upload in parts has failed, minio-go aborts it, for up
// to a minute and after the end of ctx too.
func (c *Client) PutObject(ctx context.Context, bucket, object string, reader io.Reader, size int64, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	if err := c.check(); err != nil {
		return minio.UploadInfo{}, err
	}
	if isNil(reader) {
		return minio.UploadInfo{}, minio.ErrorResponse{
			StatusCode: http.StatusBadRequest,
			Code:       minio.InvalidArgument,
			Message:    "The reader is nil. For an empty object pass an empty one, such as bytes.NewReader(nil).",
			BucketName: bucket,
			Key:        object,
		}
	}
	s := newSource(reader, size)
	op := Op{Name: "PutObject", Bucket: bucket, Kind: s.kind()}
	return middleware.Call(c.enter(ctx, op), c.chain, func(ctx context.Context) (minio.UploadInfo, error) {
		v, err := s.open(ctx)
		if err != nil {
			return minio.UploadInfo{}, middleware.Judged(err, badReader.verdict(op.Kind))
		}
		defer v.close()
		own, cancel := context.WithCancel(ctx) // minio-go's workers end with it only
		defer cancel()
		info, err := c.raw.PutObject(own, bucket, object, v.Reader, size, opts)
		if err == nil {
			return info, nil
		}
		guilty, err := v.explain(err)
		if guilty {
			return info, middleware.Judged(err, badReader.verdict(op.Kind))
		}
		return info, c.judged(ctx, op.Kind, err)
	})
}

// FPutObject uploads a file, which every attempt opens anew. A chain's attempt
// timeout covers the whole upload.
func (c *Client) FPutObject(ctx context.Context, bucket, object, filePath string, opts minio.PutObjectOptions) (minio.UploadInfo, error) {
	op := Op{Name: "FPutObject", Bucket: bucket, Kind: Write}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (minio.UploadInfo, error) {
		return raw.FPutObject(ctx, bucket, object, filePath, opts)
	})
}
