package minio

import (
	"context"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/cors"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"github.com/minio/minio-go/v7/pkg/notification"
	"github.com/minio/minio-go/v7/pkg/policy"
	"github.com/minio/minio-go/v7/pkg/replication"
	"github.com/minio/minio-go/v7/pkg/sse"
	"github.com/minio/minio-go/v7/pkg/tags"
)

// operations are the methods of a Client that are calls through the chain.
var operations = []struct {
	name   string
	kind   Kind
	beside bool // a hedge may run it beside itself
	run    func(context.Context, *Client) error
}{
	{"BucketExists", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.BucketExists(ctx, "bucket")
		return err
	}},
	{"MakeBucket", Write, false, func(ctx context.Context, c *Client) error {
		return c.MakeBucket(ctx, "bucket", minio.MakeBucketOptions{})
	}},
	{"RemoveBucket", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveBucket(ctx, "bucket")
	}},
	{"RemoveBucketWithOptions", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveBucketWithOptions(ctx, "bucket", minio.RemoveBucketOptions{})
	}},
	{"CreateSession", Read, false, func(ctx context.Context, c *Client) error {
		_, err := c.CreateSession(ctx, "bucket--use1-az4--x-s3", minio.SessionReadOnly)
		return err
	}},
	{"GetBucketVersioning", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketVersioning(ctx, "bucket")
		return err
	}},
	{"SetBucketVersioning", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketVersioning(ctx, "bucket", minio.BucketVersioningConfiguration{Status: minio.Enabled})
	}},
	{"EnableVersioning", Write, false, func(ctx context.Context, c *Client) error {
		return c.EnableVersioning(ctx, "bucket")
	}},
	{"SuspendVersioning", Write, false, func(ctx context.Context, c *Client) error {
		return c.SuspendVersioning(ctx, "bucket")
	}},
	{"GetBucketPolicy", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketPolicy(ctx, "bucket")
		return err
	}},
	{"SetBucketPolicy", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketPolicy(ctx, "bucket", `{"Version":"2012-10-17"}`)
	}},
	{"SetCannedBucketPolicy", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetCannedBucketPolicy(ctx, "bucket", policy.BucketPolicyReadOnly)
	}},
	{"GetBucketCors", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketCors(ctx, "bucket")
		return err
	}},
	{"SetBucketCors", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketCors(ctx, "bucket", &cors.Config{})
	}},
	{"GetObjectACL", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetObjectACL(ctx, "bucket", "object")
		return err
	}},
	{"GetBucketEncryption", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketEncryption(ctx, "bucket")
		return err
	}},
	{"SetBucketEncryption", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketEncryption(ctx, "bucket", sse.NewConfigurationSSES3())
	}},
	{"RemoveBucketEncryption", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveBucketEncryption(ctx, "bucket")
	}},
	{"UpdateObjectEncryption", Write, false, func(ctx context.Context, c *Client) error {
		_, err := c.UpdateObjectEncryption(ctx, "bucket", "object", minio.UpdateObjectEncryptionOptions{KMSKeyArn: "arn"})
		return err
	}},
	{"GetBucketTagging", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketTagging(ctx, "bucket")
		return err
	}},
	{"SetBucketTagging", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketTagging(ctx, "bucket", someTags())
	}},
	{"RemoveBucketTagging", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveBucketTagging(ctx, "bucket")
	}},
	{"GetObjectTagging", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetObjectTagging(ctx, "bucket", "object", minio.GetObjectTaggingOptions{})
		return err
	}},
	{"PutObjectTagging", Write, false, func(ctx context.Context, c *Client) error {
		return c.PutObjectTagging(ctx, "bucket", "object", someTags(), minio.PutObjectTaggingOptions{})
	}},
	{"RemoveObjectTagging", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveObjectTagging(ctx, "bucket", "object", minio.RemoveObjectTaggingOptions{})
	}},
	{"GetObjectLegalHold", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetObjectLegalHold(ctx, "bucket", "object", minio.GetObjectLegalHoldOptions{})
		return err
	}},
	{"PutObjectLegalHold", Write, false, func(ctx context.Context, c *Client) error {
		return c.PutObjectLegalHold(ctx, "bucket", "object", minio.PutObjectLegalHoldOptions{Status: new(minio.LegalHoldEnabled)})
	}},
	{"GetObjectRetention", Read, true, func(ctx context.Context, c *Client) error {
		_, _, err := c.GetObjectRetention(ctx, "bucket", "object", "")
		return err
	}},
	{"PutObjectRetention", Write, false, func(ctx context.Context, c *Client) error {
		return c.PutObjectRetention(ctx, "bucket", "object", minio.PutObjectRetentionOptions{})
	}},
	{"GetObjectLockConfig", Read, true, func(ctx context.Context, c *Client) error {
		_, _, _, _, err := c.GetObjectLockConfig(ctx, "bucket")
		return err
	}},
	{"SetObjectLockConfig", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetObjectLockConfig(ctx, "bucket", nil, nil, nil)
	}},
	{"GetBucketObjectLockConfig", Read, true, func(ctx context.Context, c *Client) error {
		_, _, _, err := c.GetBucketObjectLockConfig(ctx, "bucket")
		return err
	}},
	{"SetBucketObjectLockConfig", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketObjectLockConfig(ctx, "bucket", nil, nil, nil)
	}},
	{"GetObjectAnnotation", Read, true, func(ctx context.Context, c *Client) error {
		content, err := c.GetObjectAnnotation(ctx, "bucket", "object", "note", minio.GetObjectAnnotationOptions{})
		return closed(content, err)
	}},
	{"ListObjectAnnotations", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.ListObjectAnnotations(ctx, "bucket", "object", minio.ListObjectAnnotationsOptions{})
		return err
	}},
	{"PutObjectAnnotation", Write, false, func(ctx context.Context, c *Client) error {
		_, err := c.PutObjectAnnotation(ctx, "bucket", "object", "note", strings.NewReader("content"), minio.PutObjectAnnotationOptions{})
		return err
	}},
	{"RemoveObjectAnnotation", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveObjectAnnotation(ctx, "bucket", "object", "note", minio.RemoveObjectAnnotationOptions{})
	}},
	{"GetBucketLifecycle", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketLifecycle(ctx, "bucket")
		return err
	}},
	{"GetBucketLifecycleWithInfo", Read, true, func(ctx context.Context, c *Client) error {
		_, _, err := c.GetBucketLifecycleWithInfo(ctx, "bucket")
		return err
	}},
	{"SetBucketLifecycle", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketLifecycle(ctx, "bucket", &lifecycle.Configuration{Rules: []lifecycle.Rule{{ID: "r"}}})
	}},
	{"RestoreObject", Write, false, func(ctx context.Context, c *Client) error {
		return c.RestoreObject(ctx, "bucket", "object", "", minio.RestoreRequest{})
	}},
	{"GetBucketQOS", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketQOS(ctx, "bucket")
		return err
	}},
	{"SetBucketQOS", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketQOS(ctx, "bucket", &minio.QOSConfig{})
	}},
	{"GetBucketQOSMetrics", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketQOSMetrics(ctx, "bucket", "")
		return err
	}},
	{"GetBucketNotification", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketNotification(ctx, "bucket")
		return err
	}},
	{"SetBucketNotification", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketNotification(ctx, "bucket", notification.Configuration{})
	}},
	{"RemoveAllBucketNotification", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveAllBucketNotification(ctx, "bucket")
	}},
	{"GetBucketReplication", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketReplication(ctx, "bucket")
		return err
	}},
	{"SetBucketReplication", Write, false, func(ctx context.Context, c *Client) error {
		return c.SetBucketReplication(ctx, "bucket", replication.Config{Role: "r"})
	}},
	{"RemoveBucketReplication", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveBucketReplication(ctx, "bucket")
	}},
	{"CheckBucketReplication", Read, false, func(ctx context.Context, c *Client) error {
		return c.CheckBucketReplication(ctx, "bucket")
	}},
	{"GetBucketReplicationMetrics", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketReplicationMetrics(ctx, "bucket")
		return err
	}},
	{"GetBucketReplicationMetricsV2", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketReplicationMetricsV2(ctx, "bucket")
		return err
	}},
	{"GetBucketReplicationResyncStatus", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketReplicationResyncStatus(ctx, "bucket", "arn")
		return err
	}},
	{"ResetBucketReplication", Once, false, func(ctx context.Context, c *Client) error {
		_, err := c.ResetBucketReplication(ctx, "bucket", time.Hour)
		return err
	}},
	{"ResetBucketReplicationOnTarget", Once, false, func(ctx context.Context, c *Client) error {
		_, err := c.ResetBucketReplicationOnTarget(ctx, "bucket", time.Hour, "arn")
		return err
	}},
	{"CancelBucketReplicationResync", Write, false, func(ctx context.Context, c *Client) error {
		_, err := c.CancelBucketReplicationResync(ctx, "bucket", "arn")
		return err
	}},
	{"GetBucketInventoryConfiguration", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketInventoryConfiguration(ctx, "bucket", "id")
		return err
	}},
	{"PutBucketInventoryConfiguration", Write, false, func(ctx context.Context, c *Client) error {
		return c.PutBucketInventoryConfiguration(ctx, "bucket", "id", "yaml")
	}},
	{"DeleteBucketInventoryConfiguration", Write, false, func(ctx context.Context, c *Client) error {
		return c.DeleteBucketInventoryConfiguration(ctx, "bucket", "id")
	}},
	{"ListBucketInventoryConfigurations", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.ListBucketInventoryConfigurations(ctx, "bucket", "")
		return err
	}},
	{"GetBucketInventoryJobStatus", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetBucketInventoryJobStatus(ctx, "bucket", "id")
		return err
	}},
	{"GenerateInventoryConfigYAML", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GenerateInventoryConfigYAML(ctx, "bucket", "id")
		return err
	}},
	{"ListBucketInventoryConfigurationsIterator", Read, true, func(ctx context.Context, c *Client) error {
		return firstError(c.ListBucketInventoryConfigurationsIterator(ctx, "bucket"))
	}},
	{"StatObject", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.StatObject(ctx, "bucket", "object", minio.StatObjectOptions{})
		return err
	}},
	{"GetObjectAttributes", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.GetObjectAttributes(ctx, "bucket", "object", minio.ObjectAttributesOptions{})
		return err
	}},
	{"GetObject", Read, true, func(ctx context.Context, c *Client) error {
		content, err := c.GetObject(ctx, "bucket", "object", minio.GetObjectOptions{})
		return closed(content, err)
	}},
	{"FGetObject", Read, false, func(ctx context.Context, c *Client) error {
		file := aFile()
		defer os.Remove(file)
		return c.FGetObject(ctx, "bucket", "object", file, minio.GetObjectOptions{})
	}},
	{"SelectObjectContent", Read, false, func(ctx context.Context, c *Client) error {
		content, err := c.SelectObjectContent(ctx, "bucket", "object", minio.SelectObjectOptions{})
		return closed(content, err)
	}},
	{"PromptObject", Once, false, func(ctx context.Context, c *Client) error {
		content, err := c.PromptObject(ctx, "bucket", "object", "what is it?", minio.PromptObjectOptions{})
		return closed(content, err)
	}},
	{"PutObject", Write, false, func(ctx context.Context, c *Client) error {
		_, err := c.PutObject(ctx, "bucket", "object", strings.NewReader("content"), 7, minio.PutObjectOptions{})
		return err
	}},
	{"FPutObject", Write, false, func(ctx context.Context, c *Client) error {
		file := aFile()
		defer os.Remove(file)
		_, err := c.FPutObject(ctx, "bucket", "object", file, minio.PutObjectOptions{})
		return err
	}},
	{"AppendObject", Once, false, func(ctx context.Context, c *Client) error {
		_, err := c.AppendObject(ctx, "bucket", "object", strings.NewReader("content"), 7, minio.AppendObjectOptions{})
		return err
	}},
	{"PutObjectFanOut", Once, false, func(ctx context.Context, c *Client) error {
		_, err := c.PutObjectFanOut(ctx, "bucket", strings.NewReader("content"), fanOut("a", "b"))
		return err
	}},
	{"PutObjectsSnowball", Never, false, func(ctx context.Context, c *Client) error {
		return c.PutObjectsSnowball(ctx, "bucket", minio.SnowballOptions{InMemory: true}, snowball("a", "b"))
	}},
	{"CopyObject", Write, false, func(ctx context.Context, c *Client) error {
		_, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: "bucket", Object: "copy"}, minio.CopySrcOptions{Bucket: "bucket", Object: "object"})
		return err
	}},
	{"ComposeObject", Write, false, func(ctx context.Context, c *Client) error {
		_, err := c.ComposeObject(ctx, minio.CopyDestOptions{Bucket: "bucket", Object: "copy"}, minio.CopySrcOptions{Bucket: "bucket", Object: "object"})
		return err
	}},
	{"RemoveObject", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveObject(ctx, "bucket", "object", minio.RemoveObjectOptions{})
	}},
	{"RemoveIncompleteUpload", Write, false, func(ctx context.Context, c *Client) error {
		return c.RemoveIncompleteUpload(ctx, "bucket", "object")
	}},
	{"RemoveObjects", Write, false, func(ctx context.Context, c *Client) error {
		return firstError(c.RemoveObjects(ctx, "bucket", objectsNamed("object"), minio.RemoveObjectsOptions{}))
	}},
	{"ListBuckets", Read, true, func(ctx context.Context, c *Client) error {
		_, err := c.ListBuckets(ctx)
		return err
	}},
	{"ListDirectoryBuckets", Read, true, func(ctx context.Context, c *Client) error {
		return firstError(c.ListDirectoryBuckets(ctx))
	}},
	{"ListObjects", Read, true, func(ctx context.Context, c *Client) error {
		return firstError(c.ListObjects(ctx, "bucket", minio.ListObjectsOptions{}))
	}},
	{"ListIncompleteUploads", Read, true, func(ctx context.Context, c *Client) error {
		return firstError(c.ListIncompleteUploads(ctx, "bucket", "", true))
	}},
}

// needs returns the options without which minio-go refuses to try an operation.
func needs(name string) func(*minio.Options) {
	return func(o *minio.Options) {
		if name == "AppendObject" || name == "PutObjectFanOut" || name == "CreateSession" {
			o.Creds, o.TrailingHeaders = credentials.NewStaticV4("key", "secret", ""), true
		}
	}
}

func closed(content io.Closer, err error) error {
	if err == nil {
		content.Close()
	}
	return err
}

func firstError[T any](items iter.Seq2[T, error]) error {
	for _, err := range items {
		return err
	}
	return nil
}

func objectsNamed(names ...string) iter.Seq[minio.ObjectInfo] {
	return func(yield func(minio.ObjectInfo) bool) {
		for _, name := range names {
			if !yield(minio.ObjectInfo{Key: name}) {
				return
			}
		}
	}
}

func someTags() *tags.Tags {
	t, err := tags.NewTags(map[string]string{"colour": "green"}, false)
	if err != nil {
		panic(err)
	}
	return t
}

func fanOut(names ...string) (r minio.PutObjectFanOutRequest) {
	for _, name := range names {
		r.Entries = append(r.Entries, minio.PutObjectFanOutEntry{Key: name})
	}
	return r
}

func snowball(names ...string) <-chan minio.SnowballObject {
	objects := make(chan minio.SnowballObject, len(names))
	for _, name := range names {
		objects <- minio.SnowballObject{Key: name, Size: 7, Content: strings.NewReader("content")}
	}
	close(objects)
	return objects
}

func aFile() string {
	f, err := os.CreateTemp("", "tidegate-")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString("content"); err != nil {
		panic(err)
	}
	return f.Name()
}
