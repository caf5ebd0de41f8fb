package minio

import (
	"context"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/notification"
)

// GetBucketNotification returns where a bucket sends its events.
func (c *Client) GetBucketNotification(ctx context.Context, bucket string) (notification.Configuration, error) {
	return read(ctx, c, "GetBucketNotification", bucket, func(ctx context.Context, raw *minio.Client) (notification.Configuration, error) {
		return raw.GetBucketNotification(ctx, bucket)
	})
}

// SetBucketNotification says where a bucket sends its events.
func (c *Client) SetBucketNotification(ctx context.Context, bucket string, config notification.Configuration) error {
	return c.write(ctx, "SetBucketNotification", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketNotification(ctx, bucket, config)
	})
}

// RemoveAllBucketNotification lets a bucket send no events.
func (c *Client) RemoveAllBucketNotification(ctx context.Context, bucket string) error {
	return c.write(ctx, "RemoveAllBucketNotification", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveAllBucketNotification(ctx, bucket)
	})
}

// Waits before events are listened for again.
const (
	minListenWait = time.Second
	maxListenWait = 30 * time.Second
)

// ListenBucketNotification gives the events of a bucket as they happen, until the
// iteration or ctx ends. It is the one operation that passes no policy: it has no end
// that they could wait for. An error is the second value of a pair, after which it
// goes on: it listens again after about 1 s, doubling up to about 30 s, and events that happened
// meanwhile are missed. Only an error that would come again ends it, such as that of
// a server that is not MinIO, or a refusal, and the end of ctx.
func (c *Client) ListenBucketNotification(ctx context.Context, bucket, prefix, suffix string, events []string) iter.Seq2[notification.Info, error] {
	return func(yield func(notification.Info, error) bool) {
		if err := c.check(); err != nil {
			yield(notification.Info{}, err)
			return
		}
		waits := backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(minListenWait), backoff.WithMaxInterval(maxListenWait), backoff.WithMultiplier(2), backoff.WithMaxElapsedTime(0),
		)
		for c.listen(ctx, bucket, prefix, suffix, events, func(info notification.Info, err error) bool {
			if err == nil {
				waits.Reset()
			}
			return yield(info, err)
		}) {
			select {
			case <-time.After(waits.NextBackOff()):
			case <-ctx.Done():
			}
		}
	}
}

// ListenNotification is [Client.ListenBucketNotification] for all buckets.
func (c *Client) ListenNotification(ctx context.Context, prefix, suffix string, events []string) iter.Seq2[notification.Info, error] {
	return c.ListenBucketNotification(ctx, "", prefix, suffix, events)
}

// listen gives events until minio-go gives up, and reports whether to go on. It does
// not wait for minio-go's goroutine, which may sleep for half a minute before it sees
// that its context has ended.
func (c *Client) listen(ctx context.Context, bucket, prefix, suffix string, events []string, yield func(notification.Info, error) bool) bool {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	infos := c.raw.ListenBucketNotification(own, bucket, prefix, suffix, events)
	var last error // minio-go goes on after some
	for {
		select {
		case <-ctx.Done():
			yield(notification.Info{}, ctx.Err())
			return false
		case info, open := <-infos:
			switch {
			case ctx.Err() != nil:
				yield(notification.Info{}, ctx.Err())
				return false
			case !open:
				return last == nil || c.judge(ctx, Read, last).Retry
			case info.Err == nil:
				if !yield(info, nil) {
					return false
				}
			default:
				last = info.Err
				if !yield(notification.Info{}, c.redact(last)) {
					return false
				}
			}
		}
	}
}
