package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
)

// ErrChanged is the error of reading on in an [Object] when the server has another
// one under its name by now. It wraps the server's answer, if there is one.
var ErrChanged = errors.New("minio: the object has changed since the download began")

var (
	errClosed   = fmt.Errorf("minio: the object is closed: %w", fs.ErrClosed)
	errNoLength = errors.New("minio: the server did not say how long the object is, so there is no Seek and no ReadAt")
	errPosition = errors.New("minio: the position is before the beginning of the object, or whence is unknown")
)

// An Object is an object that is being downloaded: what was asked for, the whole
// one or a range of it, whose first byte is at position 0. What the policies hold for
// the download they hold until its end: the end of the content, an error of Read, a
// Seek, or Close.
//
// An Object is for one goroutine, save that ReadAt may be called by several at once,
// and Close at any time.
type Object struct {
	client *Client
	ctx    context.Context // of the caller
	bucket string
	name   string
	opts   minio.GetObjectOptions // of GetObject, for whatever is asked for afterwards
	info   minio.ObjectInfo
	whole  extent
	verify bool // the content is to be verified as a whole

	offset  int64 // of the next byte that Read gives
	resumes int   // how many are left
	err     error // of Read, from which on it stays

	mu     sync.Mutex
	body   *body              // nil when the content at offset has to be asked for
	abort  context.CancelFunc // of the latest request
	closed bool
}

// GetObject asks for an object and returns when the server has answered, so an
// object that does not exist is an error here and not of the first Read. The content
// streams afterwards: unless a timeout in the chain says that it counts streams, it
// takes as long as it takes, and a connection that breaks off is the error of Read.
// The caller must call Close, or read to the end.
//
// With [WithResume] a download that breaks off is one more failed attempt to the
// policies: a retry in the chain waits as after any other, and asks for the rest of
// the same object; all limits begin anew. When there is another object by then, the
// error is [ErrChanged]. A download that opts.Checksum verifies is not continued.
//
// opts.ParallelWorkers and opts.RDMABuffer are not used.
func (c *Client) GetObject(ctx context.Context, bucket, object string, opts minio.GetObjectOptions) (*Object, error) {
	o := &Object{client: c, ctx: ctx, bucket: bucket, name: object, verify: opts.Checksum}
	b, err := o.get(opts, nil)
	if err != nil {
		return nil, err
	}
	o.body, o.info, o.whole = b, b.info, extentOf(b.answer)
	o.opts, o.resumes = continued(opts, b.info), c.options.resumes
	return o, nil
}

// get asks for content. Its first attempt fails with the cause, if there is one:
// so the policies learn of it, and decide whether and when there is another.
func (o *Object) get(opts minio.GetObjectOptions, cause error) (*body, error) {
	ctx, abort := context.WithCancel(o.ctx)
	if !o.aborts(abort) {
		abort()
		return nil, errClosed
	}
	op := Op{Name: "GetObject", Bucket: o.bucket, Kind: Read, Idempotent: true}
	done := false
	defer func() {
		if !done {
			abort()
		}
	}()
	var told atomic.Bool
	b, err := o.client.stream(ctx, op, func(ctx context.Context) (answer, error) {
		if cause != nil && told.CompareAndSwap(false, true) {
			return answer{}, &brokenOff{cause}
		}
		content, info, header, err := minio.Core{Client: o.client.raw}.GetObject(ctx, o.bucket, o.name, opts)
		return answer{content, info, header}, err
	})
	if err != nil {
		return nil, because(err, cause)
	}
	done = true
	end := b.end
	b.end = func() { end(); abort() }
	return b, nil
}

// aborts makes Close call abort, or reports that Close was called before.
func (o *Object) aborts(abort context.CancelFunc) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abort = abort
	return !o.closed
}

func (o *Object) isClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// Stat returns what the server said of the object when the download began. The
// error is nil; it is there to be like the Stat of a minio-go Object.
func (o *Object) Stat() (minio.ObjectInfo, error) { return o.info, nil }

// Read reads the content. When a timeout of the chain has cut it, the error is that
// timeout's [*middleware.Rejection].
func (o *Object) Read(p []byte) (int, error) {
	for o.err == nil {
		b, err := o.current()
		if err != nil {
			o.err = err
			break
		}
		n, err := b.Read(p)
		o.offset += int64(n)
		if err != nil {
			o.err = o.outlive(err)
		}
		if n > 0 || o.err == nil && err == nil {
			return n, o.err
		}
	}
	return 0, o.err
}

// current returns the content at the offset, which it asks for after a Seek.
func (o *Object) current() (*body, error) {
	o.mu.Lock()
	b, closed := o.body, o.closed
	o.mu.Unlock()
	switch {
	case closed:
		return nil, errClosed
	case b != nil:
		return b, nil
	case o.offset >= o.whole.size:
		return nil, io.EOF
	}
	if err := o.open(nil); err != nil {
		return nil, err
	}
	return o.current()
}

// open asks for the content from the offset on.
func (o *Object) open(cause error) error {
	b, err := o.get(o.part(o.offset, o.whole.size-o.offset), cause)
	if err != nil {
		if o.isClosed() {
			return errClosed
		}
		return changed(err)
	}
	if err = o.check(b.answer, o.offset); err != nil {
		b.Close()
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		b.Close()
		return errClosed
	}
	o.body = b
	return nil
}

// outlive returns nil when the download goes on in spite of err, the error at its
// offset, and otherwise the error that Read has.
func (o *Object) outlive(err error) error {
	o.mu.Lock()
	closed := o.closed
	o.body = nil
	o.mu.Unlock()
	complete := o.whole.size < 0 || o.offset >= o.whole.size
	switch {
	case closed:
		return errClosed
	case errors.Is(err, io.EOF) && complete:
		return err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	if complete || o.verify || !isStrong(o.info.ETag) || o.resumes == 0 || o.ctx.Err() != nil {
		return err
	}
	o.resumes--
	return o.open(err)
}

// Seek sets the position of the next Read, as [io.Seeker] says. The next Read asks
// for the content from there on, inside the policies. It does not undo an error of
// Read, save for io.EOF.
func (o *Object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += o.offset
	case io.SeekEnd:
		offset += o.whole.size
	default:
		return 0, errPosition
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return 0, errClosed
	case offset == o.offset && whence != io.SeekEnd:
		return offset, nil
	case o.whole.size < 0:
		return 0, errNoLength
	case offset < 0:
		return 0, errPosition
	}
	if o.body != nil && offset != o.offset {
		o.body.Close()
		o.body = nil
	}
	o.offset = offset
	if errors.Is(o.err, io.EOF) {
		o.err = nil
	}
	return offset, nil
}

// ReadAt reads from a position of the content, as [io.ReaderAt] says, with a request
// of its own that passes the policies whole. It neither uses nor moves the position
// of Read.
func (o *Object) ReadAt(p []byte, offset int64) (int, error) {
	switch {
	case o.isClosed():
		return 0, errClosed
	case o.whole.size < 0:
		return 0, errNoLength
	case offset < 0:
		return 0, errPosition
	case len(p) == 0:
		return 0, nil
	case offset >= o.whole.size:
		return 0, io.EOF
	}
	wanted := p[:min(int64(len(p)), o.whole.size-offset)]
	n := 0
	err := o.client.Do(o.ctx, Op{Name: "GetObject", Bucket: o.bucket, Kind: Read}, func(ctx context.Context, raw *minio.Client) error {
		n = 0
		content, info, header, err := minio.Core{Client: raw}.GetObject(ctx, o.bucket, o.name, o.part(offset, int64(len(wanted))))
		if err != nil {
			return err
		}
		defer content.Close()
		if err = o.check(answer{content, info, header}, offset); err != nil {
			return err
		}
		if n, err = io.ReadFull(content, wanted); err != nil {
			return &brokenOff{causeOf(ctx, err)}
		}
		return nil
	})
	switch {
	case err != nil:
		return n, changed(because(err, nil))
	case len(wanted) < len(p):
		return n, io.EOF
	default:
		return n, nil
	}
}

// Close ends the download. It may be called more than once. Calls of ReadAt that are
// under way go on.
func (o *Object) Close() error {
	o.mu.Lock()
	o.closed = true
	b, abort := o.body, o.abort
	o.mu.Unlock()
	var err error
	if b != nil {
		err = b.Close()
	}
	abort()
	return err
}

// FGetObject downloads an object into a file, through a temporary one beside it. A
// chain's attempt timeout covers the whole download. No two calls may write one file
// at once.
func (c *Client) FGetObject(ctx context.Context, bucket, object, filePath string, opts minio.GetObjectOptions) error {
	op := Op{Name: "FGetObject", Bucket: bucket, Kind: Read}
	return c.Do(ctx, op, func(ctx context.Context, raw *minio.Client) error {
		return raw.FGetObject(ctx, bucket, object, filePath, fresh(opts)) // it writes to the maps of opts
	})
}
