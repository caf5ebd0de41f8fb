package minio

import (
	"context"
	"errors"
	"io"

	"github.com/minio/minio-go/v7"
)

// A Selection is what a query has selected, while it is being read. What the
// policies hold for it they hold until its end, an error of Read, or Close. It is for
// one goroutine, save that Close may be called at any time.
type Selection struct {
	*body
	results *minio.SelectResults
}

// SelectObjectContent runs an SQL query on an object, and returns when the server has
// accepted it. The caller must call Close, or read to the end. See [Client.GetObject];
// a selection is never continued. When it ends without the statistics that S3 sends at
// the end, it was cut, and the error of Read is io.ErrUnexpectedEOF.
func (c *Client) SelectObjectContent(ctx context.Context, bucket, object string, opts minio.SelectObjectOptions) (*Selection, error) {
	op := Op{Name: "SelectObjectContent", Bucket: bucket, Kind: Read}
	b, err := c.stream(ctx, op, func(ctx context.Context) (answer, error) {
		own, cancel := context.WithCancel(ctx)
		results, err := c.raw.SelectObjectContent(own, bucket, object, opts)
		if err != nil {
			cancel()
			return answer{}, err
		}
		return answer{content: selected{results, cancel}}, nil
	})
	if err != nil {
		return nil, err
	}
	return &Selection{b, b.content.(selected).SelectResults}, nil
}

// selected ends the request before minio-go closes it: minio-go reads what is left
// first, for which a server that has fallen silent would keep it waiting.
type selected struct {
	*minio.SelectResults
	cancel context.CancelFunc
}

// Read reads the records. To minio-go an answer that is cut between two messages is
// complete, and it does not say whether there was an End. The Stats come right before.
func (s selected) Read(p []byte) (int, error) {
	n, err := s.SelectResults.Read(p)
	if errors.Is(err, io.EOF) && s.Stats().XMLName.Local == "" {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close ends the request.
func (s selected) Close() error {
	s.cancel()
	return s.SelectResults.Close()
}

// Stats returns what the server has said of the whole query. It must not be called
// before that was read to the end.
func (s *Selection) Stats() *minio.StatsMessage { return s.results.Stats() }

// Progress returns what the server has said of the query last. Like Stats it must not
// be called before the end.
func (s *Selection) Progress() *minio.ProgressMessage { return s.results.Progress() }
