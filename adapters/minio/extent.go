package minio

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// An extent is the part of an object that an answer has.
type extent struct {
	first int64 // position in the object
	size  int64 // negative: unknown
	total int64 // of the object, 0: unknown
}

// extentOf returns the extent of the content of an answer.
func extentOf(a answer) extent {
	e := extent{size: a.info.Size, total: a.info.Size}
	if a.header.Get("Content-Length") == "" {
		e.size, e.total = -1, 0
	}
	var last int64
	if r, ok := strings.CutPrefix(a.header.Get("Content-Range"), "bytes "); ok {
		if _, err := fmt.Sscanf(r, "%d-%d/", &e.first, &last); err != nil || last < e.first {
			return extent{size: -1}
		}
		e.size, e.total = last-e.first+1, 0
		if _, total, ok := strings.Cut(r, "/"); ok {
			e.total, _ = strconv.ParseInt(total, 10, 64) // or *
		}
	}
	return e
}

var errRange = errors.New("minio: the server did not answer with the range of the object that was asked for")

// check returns an error unless an answer has the content at a position: a server
// may ignore ranges, or conditions.
func (o *Object) check(a answer, offset int64) error {
	switch e := extentOf(a); {
	case a.info.ETag != o.info.ETag, e.total != o.whole.total && e.total > 0 && o.whole.total > 0:
		return ErrChanged
	case e.first != o.whole.first+offset || e.size < 0:
		return errRange
	default:
		return nil
	}
}

// part returns the options that ask for a part of the content.
func (o *Object) part(offset, size int64) minio.GetObjectOptions {
	opts := fresh(o.opts)
	first := o.whole.first + offset
	opts.Set("Range", fmt.Sprintf("bytes=%d-%d", first, first+size-1))
	return opts
}

// continued returns the options that ask for what opts has got already, and for
// nothing else: not for a version that came later.
func continued(opts minio.GetObjectOptions, info minio.ObjectInfo) minio.GetObjectOptions {
	opts = fresh(opts, "Range", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
	opts.PartNumber, opts.Checksum = 0, false
	if opts.VersionID == "" {
		opts.VersionID = info.VersionID
	}
	if isStrong(info.ETag) {
		opts.Set("If-Match", `"`+info.ETag+`"`)
	}
	return opts
}

// fresh returns a copy of opts that shares no map with it, without some of its
// headers: minio-go and who continues a download write to these maps.
func fresh(opts minio.GetObjectOptions, without ...string) minio.GetObjectOptions {
	c := minio.GetObjectOptions{
		ServerSideEncryption: opts.ServerSideEncryption, VersionID: opts.VersionID, PartNumber: opts.PartNumber, Checksum: opts.Checksum,
		RDMABuffer: opts.RDMABuffer, RDMABufferSize: opts.RDMABufferSize,
		ParallelWorkers: opts.ParallelWorkers, ParallelChunkSize: opts.ParallelChunkSize, Internal: opts.Internal,
	}
	made := c.Header() // of the fields
	for key, values := range opts.Header() {
		if _, again := made[key]; !again && len(values) > 0 && !slices.Contains(without, key) {
			c.Set(key, values[0])
		}
	}
	// Query parameters may change the content, and minio-go does not show them.
	if params := reflect.ValueOf(opts).FieldByName("reqParams"); params.Kind() == reflect.Map {
		for key, values := range params.Seq2() {
			for i := range values.Len() {
				c.AddReqParam(key.String(), values.Index(i).String())
			}
		}
	}
	return c
}

// isStrong reports whether an ETag stands for these very bytes.
func isStrong(etag string) bool { return etag != "" && !strings.HasPrefix(etag, "W/") }

// changed returns err as ErrChanged if it says so.
func changed(err error) error {
	if isCode(err, minio.PreconditionFailed) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}

// A brokenOff is the error of an answer that broke off. Whatever it is, the network
// or the server is to blame.
type brokenOff struct{ error }

func (b *brokenOff) Unwrap() error { return b.error }

// because returns the error for the caller of a call that was made because of an
// earlier one. A rejection that knows no error of the operation gets that cause.
func because(err, cause error) error {
	if r, ok := errors.AsType[*middleware.Rejection](err); ok {
		if r.Err != nil || cause == nil {
			return err
		}
		own := *r
		own.Err = cause
		return &own
	}
	if b, ok := errors.AsType[*brokenOff](err); ok {
		return b.error
	}
	return err
}
