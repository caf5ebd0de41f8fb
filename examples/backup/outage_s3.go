package main

import (
	"context"
	"fmt"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/adapters/minio"
	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
	"github.com/tidegate-go/tidegate/internal/injector"
)

// s3Fails takes the first S3 server down in four ways. Every backup is stored.
func (d *demonstration) s3Fails(ctx context.Context) error {
	begin, server := d.line.Elapsed(), d.stage.s3
	p, err := d.pack(ctx, "second.tar.gz")
	if err != nil {
		return err
	}
	for _, drill := range []struct {
		fault injector.Fault
		aside string
	}{
		{injector.Busy(time.Second).Times(1), "minio-go keeps Retry-After to itself, so the backoff decides"},
		{injector.Hang().Times(1), ""},
		{injector.CutRequest(3 << 20).Times(1), "the next attempt reads the file from its beginning"},
	} {
		if err := d.fault(server, drill.fault, drill.aside); err != nil {
			return err
		}
		if err := d.store(ctx, p); err != nil {
			return err
		}
	}

	if err := d.fault(server, injector.Refuse(), ""); err != nil {
		return err
	}
	if err := d.storeDuringOutage(ctx, p); err != nil {
		return err
	}
	if err := d.burst(ctx, "s3", func(ctx context.Context) error {
		_, err := d.clients.s3.StatObject(ctx, bucket, "any", miniogo.StatObjectOptions{})
		return err
	}); err != nil {
		return err
	}
	if err := d.bringBack(ctx, server); err != nil {
		return err
	}
	moved, err := d.reconcile(ctx)
	if err != nil {
		return err
	}
	if err := d.store(ctx, p); err != nil {
		return err
	}
	d.summary("s3", begin, "4 faults, %d backups by way of the second bucket", moved)
	return nil
}

// storeDuringOutage stores three backups: the first is tried three times, the
// second opens the breaker, the third is rejected.
func (d *demonstration) storeDuringOutage(ctx context.Context, p *packed) error {
	for n := range 3 {
		err := d.traced(ctx, "backup", func(ctx context.Context) error {
			if n == 0 {
				d.show = exhibit{"a backup while S3 is down", traceOf(ctx)}
			}
			return d.store(ctx, p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reconcile moves what the second bucket holds into the first. Its first uploads
// are the probes of the breaker.
func (d *demonstration) reconcile(ctx context.Context) (moved int, err error) {
	waiting, err := list(ctx, d.clients.standby)
	if err != nil {
		return 0, err
	}
	err = d.untilDone(ctx, "s3", func() bool { return moved == len(waiting) }, func(ctx context.Context) error {
		for _, object := range waiting[moved:] {
			begin := time.Now()
			switch err := d.move(ctx, object); {
			case err == nil:
				moved++
				d.line.Line(timeline.Good, "s3", "reconcile", "%s moved from the second bucket, in %s", object, timeline.Duration(time.Since(begin)))
			case ctx.Err() != nil:
				return err
			default:
				d.refused("s3", "reconcile", object, err, time.Since(begin))
				return nil
			}
		}
		return nil
	})
	return moved, err
}

// move copies an object by way of a file, so that each half can be repeated.
func (d *demonstration) move(ctx context.Context, object string) error {
	file := d.path("moving-" + object)
	if err := d.clients.standby.FGetObject(ctx, bucket, object, file, miniogo.GetObjectOptions{}); err != nil {
		return err
	}
	if _, err := d.clients.s3.FPutObject(ctx, bucket, object, file, miniogo.PutObjectOptions{PartSize: partSize}); err != nil {
		return err
	}
	return d.clients.standby.RemoveObject(ctx, bucket, object, miniogo.RemoveObjectOptions{})
}

func list(ctx context.Context, c *minio.Client) ([]string, error) {
	var names []string
	for object, err := range c.ListObjects(ctx, bucket, miniogo.ListObjectsOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("list the bucket: %w", err)
		}
		names = append(names, object.Key)
	}
	return names, nil
}
