package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/adapters/minio"
	"github.com/tidegate-go/tidegate/examples/backup/internal/archive"
	"github.com/tidegate-go/tidegate/examples/backup/internal/ledger"
	"github.com/tidegate-go/tidegate/examples/backup/internal/timeline"
)

const (
	bucket    = "backups"
	partSize  = 5 << 20 // the smallest that S3 allows
	blobBytes = 6 << 20 // so that every archive has two parts
)

// A backup is an archive under a name of its own.
type backup struct {
	*packed
	object string
	id     string        // in the backup service
	told   trace.TraceID // the last time that the service was to be told of it
}

// packed is an archive of the work folder.
type packed struct {
	file     string
	size     int64
	sum      [sha256.Size]byte
	commit   string
	manifest archive.Manifest
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func (d *demonstration) remote() string { return "http://" + d.stage.git.Addr() + "/" + repoName }

func (d *demonstration) checkout() string { return filepath.Join(d.work(), "project") }

// clone clones the repository into a new folder and returns the commit that it got.
func (d *demonstration) clone(ctx context.Context, to string) (commit string, err error) {
	begin := time.Now()
	made, err := d.clients.git.Clone(ctx, d.remote(), to, git.CloneOptions{})
	if err != nil {
		return "", err
	}
	m, err := archive.Scan(to)
	if err != nil {
		return "", err
	}
	d.line.Line(timeline.Good, "git", "clone", "%d files, %s, in %s", len(m), mib(m.Size()), timeline.Duration(time.Since(begin)))
	return made.Commit, nil
}

// blob writes a file of random data, the same each time.
func (d *demonstration) blob() error {
	data := make([]byte, blobBytes)
	_, _ = rand.NewChaCha8([32]byte([]byte("the same random data every time."))).Read(data)
	return os.WriteFile(filepath.Join(d.work(), "payload.bin"), data, 0o600)
}

// pack archives the work folder.
func (d *demonstration) pack(ctx context.Context, name string) (p *packed, err error) {
	begin := time.Now()
	p = &packed{file: d.path(name), commit: d.commit}
	_, span := d.tracer.Start(ctx, "archive")
	defer span.End()
	file, err := os.Create(p.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sum := sha256.New()
	if p.manifest, err = archive.Pack(io.MultiWriter(file, sum), d.work()); err != nil {
		return nil, err
	}
	p.sum = [sha256.Size]byte(sum.Sum(nil))
	if p.size, err = file.Seek(0, io.SeekCurrent); err != nil {
		return nil, err
	}
	d.line.Line(timeline.Good, "-", "archive", "%d files into %s, SHA-256 %x..., in %s",
		len(p.manifest), mib(p.size), p.sum[:4], timeline.Duration(time.Since(begin)))
	return p, file.Close()
}

// store uploads an archive under the next name: to the first bucket, or when that
// cannot be had to the second. Either way it is a backup.
func (d *demonstration) store(ctx context.Context, p *packed) error {
	b := &backup{packed: p, object: fmt.Sprintf("backup-%d.tar.gz", len(d.backups)+1)}
	options := miniogo.PutObjectOptions{PartSize: partSize, NumThreads: 2, ContentType: "application/gzip"}
	return d.traced(ctx, "store", func(ctx context.Context) error {
		begin := time.Now()
		_, err := d.clients.s3.FPutObject(ctx, bucket, b.object, b.file, options)
		took := time.Since(begin)
		if err == nil {
			d.line.Line(timeline.Good, "s3", "upload", "%s: %s in parts, in %s", b.object, mib(b.size), timeline.Duration(took))
			d.backups = append(d.backups, b)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		d.refused("s3", "upload", b.object, err, took)
		begin = time.Now()
		if _, err := d.clients.standby.FPutObject(ctx, bucket, b.object, b.file, options); err != nil {
			return err
		}
		d.line.Line(timeline.Good, "standby", "fallback", "%s: %s into the second bucket, in %s", b.object, mib(b.size), timeline.Duration(time.Since(begin)))
		d.backups = append(d.backups, b)
		return nil
	})
}

// notify tells the backup service of a backup. The key lets the service know a
// repeated request, so a record is added once however often it is sent. A backup
// that cannot be told of waits in the outbox.
func (d *demonstration) notify(ctx context.Context, b *backup) error {
	req, err := d.announcement(ctx, b)
	if err != nil {
		return err
	}
	var status int
	var record ledger.Record
	var took time.Duration
	err = d.traced(ctx, "notify", func(ctx context.Context) (err error) {
		b.told = traceOf(ctx)
		begin := time.Now()
		status, record, err = call(d.clients.web, req.WithContext(ctx))
		took = time.Since(begin)
		return err
	})
	switch {
	case err == nil:
		b.id = record.ID
		note := "recorded as " + record.ID
		if status == http.StatusOK {
			note = "was recorded already, as " + record.ID
		}
		d.line.Line(timeline.Good, "http", "notify", "%s %s, in %s", b.object, note, timeline.Duration(took))
		return nil
	case ctx.Err() != nil:
		return err
	}
	d.refused("http", "notify", b.object, err, took)
	d.outbox = append(d.outbox, b)
	d.line.Line(timeline.Quiet, "http", "outbox", "%s waits for the service to come back", b.object)
	return nil
}

// announcement returns the request that tells the backup service of a backup.
func (d *demonstration) announcement(ctx context.Context, b *backup) (*http.Request, error) {
	body, err := json.Marshal(b.record())
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.stage.web.Addr()+"/backups", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", b.object)
	return req, nil
}

// call sends a request and reads the record that answers it.
func call(client *http.Client, req *http.Request) (status int, record ledger.Record, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, record, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return resp.StatusCode, record, fmt.Errorf("the backup service answered %s", resp.Status)
	}
	return resp.StatusCode, record, json.NewDecoder(resp.Body).Decode(&record)
}

func (b *backup) record() ledger.Record {
	r := ledger.Record{Bucket: bucket, Object: b.object, Commit: b.commit, Bytes: b.size, SHA256: hex.EncodeToString(b.sum[:])}
	for _, f := range b.manifest {
		r.Files = append(r.Files, ledger.File{Path: f.Path, Bytes: f.Size, SHA256: hex.EncodeToString(f.SHA256[:])})
	}
	return r
}

// goodDay is the whole job without a fault.
func (d *demonstration) goodDay(ctx context.Context) error {
	ctx, span := d.tracer.Start(ctx, "backup")
	defer span.End()
	d.show = exhibit{"a backup on a good day", traceOf(ctx)}
	for _, c := range []*minio.Client{d.clients.s3, d.clients.standby} {
		if err := c.MakeBucket(ctx, bucket, miniogo.MakeBucketOptions{}); err != nil {
			return err
		}
	}
	if err := d.blob(); err != nil {
		return err
	}
	var err error
	if d.commit, err = d.clone(ctx, d.checkout()); err != nil {
		return err
	}
	p, err := d.pack(ctx, "first.tar.gz")
	if err != nil {
		return err
	}
	if err := d.store(ctx, p); err != nil {
		return err
	}
	if err := d.notify(ctx, d.backups[0]); err != nil {
		return err
	}
	if len(d.outbox) > 0 {
		return errors.New("the backup service fails on a good day")
	}
	return nil
}
