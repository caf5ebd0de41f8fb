package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/examples/backup/internal/archive"
	"github.com/tidegate-go/tidegate/examples/backup/internal/ledger"
	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
	"github.com/tidegate-go/tidegate/internal/injector"
)

// balance counts: each backup is in the first bucket, and recorded once.
func (d *demonstration) balance(ctx context.Context) error {
	objects, err := list(ctx, d.clients.s3)
	if err != nil {
		return err
	}
	left, err := list(ctx, d.clients.standby)
	if err != nil {
		return err
	}
	for _, b := range d.backups {
		if !slices.Contains(objects, b.object) {
			return fmt.Errorf("%s is not in the first bucket", b.object)
		}
	}
	records, posts := d.stage.ledger.Counts()
	if len(objects) != len(d.backups) || len(left) != 0 || records != len(d.backups) || len(d.outbox) != 0 {
		return fmt.Errorf("of %d backups, %d are in the first bucket, %d in the second, %d recorded and %d still to be told of",
			len(d.backups), len(objects), len(left), records, len(d.outbox))
	}
	d.line.Line(timeline.Good, "s3", "balance", "%d backups made, %d objects in the first bucket, none left in the second", len(d.backups), len(objects))
	d.line.Line(timeline.Good, "http", "balance", "%d records of %d requests that arrived: each backup once", records, posts)
	return d.audit(ctx)
}

// audit asks for every record. The first question is not answered, so another goes out
// beside it; the last ones come faster than the rate limit allows.
func (d *demonstration) audit(ctx context.Context) error {
	if !d.calm {
		if err := d.fault(d.stage.web, injector.Hang().Times(1), "a question may be asked twice, so nobody waits for the time limit"); err != nil {
			return err
		}
	}
	for n, b := range d.backups {
		err := d.traced(ctx, "look up", func(ctx context.Context) error {
			switch n {
			case 0:
				d.more = append(d.more, exhibit{"hedged", traceOf(ctx)})
			case len(d.backups) - 1:
				d.more = append(d.more, exhibit{"held back by a rate limit", traceOf(ctx)})
			}
			record, err := d.lookUp(ctx, b)
			if err == nil && record.Object != b.object {
				err = fmt.Errorf("%s is the record of %s, not of %s", b.id, record.Object, b.object)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	d.line.Line(timeline.Good, "records", "balance", "%d records looked up: each is that of its backup", len(d.backups))
	return nil
}

// restore downloads the newest backup, unpacks it into an empty folder and compares
// every file with what was packed.
func (d *demonstration) restore(ctx context.Context) error {
	newest := d.backups[len(d.backups)-1]
	if d.sabotage != nil {
		if err := d.sabotage(d.stage); err != nil {
			return err
		}
	} else if !d.calm {
		if err := d.fault(d.stage.s3, injector.CutAnswer(newest.size/2).Times(1), "the next attempt goes on where the file ends"); err != nil {
			return err
		}
	}
	return d.traced(ctx, "restore", func(ctx context.Context) error {
		record, err := d.lookUp(ctx, newest)
		if err != nil {
			return err
		}
		d.line.Line(timeline.Good, "records", "look up", "%s is %s, SHA-256 %.8s...", newest.id, record.Object, record.SHA256)
		begin, file := time.Now(), d.path("download.tar.gz")
		if err := d.clients.s3.FGetObject(ctx, record.Bucket, record.Object, file, miniogo.GetObjectOptions{}); err != nil {
			return err
		}
		d.line.Line(timeline.Good, "s3", "download", "%s: %s, in %s", record.Object, mib(newest.size), timeline.Duration(time.Since(begin)))
		return d.check(newest, record, file)
	})
}

// lookUp asks for the record of a backup, by a link that carries a token.
func (d *demonstration) lookUp(ctx context.Context, b *backup) (ledger.Record, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://"+d.stage.web.Addr()+"/backups/"+b.id+"?token="+token, http.NoBody)
	if err != nil {
		return ledger.Record{}, err
	}
	_, record, err := call(d.clients.records, req)
	return record, err
}

// check unpacks the file and compares, file by file, even when it is damaged: so it
// finds out which files are.
func (d *demonstration) check(b *backup, record ledger.Record, file string) error {
	sum, err := sumOf(file)
	if err != nil {
		return err
	}
	var errs []error
	if sum != record.SHA256 {
		errs = append(errs, fmt.Errorf("%s has the SHA-256 %s, the record says %s", record.Object, sum, record.SHA256))
	}
	packed, err := os.Open(file)
	if err != nil {
		return err
	}
	defer packed.Close()
	restored := d.path("restored")
	if err := archive.Unpack(restored, packed); err != nil {
		errs = append(errs, fmt.Errorf("%s cannot be unpacked: %w", record.Object, err))
	}
	got, err := archive.Scan(restored)
	if err != nil {
		return err
	}
	errs = append(errs, b.manifest.Compare(got))
	if err := errors.Join(errs...); err != nil {
		d.line.Line(timeline.Bad, "-", "compare", "the restored files are not the ones that were backed up")
		return fmt.Errorf("restore: %w", err)
	}
	d.line.Line(timeline.Good, "-", "compare", "%d files: the SHA-256 of each is that of the file that was backed up", len(got))
	return nil
}

func sumOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// verdict is the last line.
func (d *demonstration) verdict() string {
	m := d.backups[len(d.backups)-1].manifest
	return fmt.Sprintf("\nrestored %d files, %d bytes, all checksums equal", len(m), m.Size())
}
