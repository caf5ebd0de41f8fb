package minio

import (
	"context"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/replication"
)

// GetBucketReplication returns the replication rules of a bucket.
func (c *Client) GetBucketReplication(ctx context.Context, bucket string) (replication.Config, error) {
	return read(ctx, c, "GetBucketReplication", bucket, func(ctx context.Context, raw *minio.Client) (replication.Config, error) {
		return raw.GetBucketReplication(ctx, bucket)
	})
}

// SetBucketReplication replaces the replication rules of a bucket.
func (c *Client) SetBucketReplication(ctx context.Context, bucket string, config replication.Config) error {
	return c.write(ctx, "SetBucketReplication", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.SetBucketReplication(ctx, bucket, config)
	})
}

// RemoveBucketReplication removes the replication rules of a bucket.
func (c *Client) RemoveBucketReplication(ctx context.Context, bucket string) error {
	return c.write(ctx, "RemoveBucketReplication", bucket, func(ctx context.Context, raw *minio.Client) error {
		return raw.RemoveBucketReplication(ctx, bucket)
	})
}

// CheckBucketReplication asks whether replication from a bucket would work. The
// server may write to the targets to find out.
func (c *Client) CheckBucketReplication(ctx context.Context, bucket string) error {
	op := Op{Name: "CheckBucketReplication", Bucket: bucket, Kind: Read}
	return c.Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
		return raw.CheckBucketReplication(ctx, bucket)
	})
}

// GetBucketReplicationMetrics returns how far the replication of a bucket is.
func (c *Client) GetBucketReplicationMetrics(ctx context.Context, bucket string) (replication.Metrics, error) {
	return read(ctx, c, "GetBucketReplicationMetrics", bucket, func(ctx context.Context, raw *minio.Client) (replication.Metrics, error) {
		return raw.GetBucketReplicationMetrics(ctx, bucket)
	})
}

// GetBucketReplicationMetricsV2 returns how far the replication of a bucket is, node
// by node.
func (c *Client) GetBucketReplicationMetricsV2(ctx context.Context, bucket string) (replication.MetricsV2, error) {
	return read(ctx, c, "GetBucketReplicationMetricsV2", bucket, func(ctx context.Context, raw *minio.Client) (replication.MetricsV2, error) {
		return raw.GetBucketReplicationMetricsV2(ctx, bucket)
	})
}

// GetBucketReplicationResyncStatus returns how far the resync to a target is.
func (c *Client) GetBucketReplicationResyncStatus(ctx context.Context, bucket, arn string) (replication.ResyncTargetsInfo, error) {
	return read(ctx, c, "GetBucketReplicationResyncStatus", bucket, func(ctx context.Context, raw *minio.Client) (replication.ResyncTargetsInfo, error) {
		return raw.GetBucketReplicationResyncStatus(ctx, bucket, arn)
	})
}

// ResetBucketReplication begins a resync, and returns its id. Each run begins another
// one, so it is repeated only when nothing was carried out.
func (c *Client) ResetBucketReplication(ctx context.Context, bucket string, olderThan time.Duration) (string, error) {
	op := Op{Name: "ResetBucketReplication", Bucket: bucket, Kind: Once}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (string, error) {
		return raw.ResetBucketReplication(ctx, bucket, olderThan)
	})
}

// ResetBucketReplicationOnTarget is [Client.ResetBucketReplication] for one target.
func (c *Client) ResetBucketReplicationOnTarget(ctx context.Context, bucket string, olderThan time.Duration, arn string) (replication.ResyncTargetsInfo, error) {
	op := Op{Name: "ResetBucketReplicationOnTarget", Bucket: bucket, Kind: Once}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (replication.ResyncTargetsInfo, error) {
		return raw.ResetBucketReplicationOnTarget(ctx, bucket, olderThan, arn)
	})
}

// CancelBucketReplicationResync ends a resync, and returns its id.
func (c *Client) CancelBucketReplicationResync(ctx context.Context, bucket, arn string) (string, error) {
	op := Op{Name: "CancelBucketReplicationResync", Bucket: bucket, Kind: Write}
	return Call(ctx, c, op, func(ctx context.Context, raw *minio.Client) (string, error) {
		return raw.CancelBucketReplicationResync(ctx, bucket, arn)
	})
}
