package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"reflect"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
)

var (
	errViewClosed = errors.New("minio: the attempt that read this has ended")
	errConsumed   = errors.New("minio: the reader cannot be rewound, and an attempt has read from it")
	errShared     = errors.New("minio: the reader is in use by another attempt")
)

// A source is the reader of an upload and the way to read it again: at any offset,
// after rewinding it, or not at all. minio-go never sees the reader itself, because
// it rewinds what is only an io.Seeker to 0 rather than to where it stood, and
// takes every *os.File for a regular one.
type source struct {
	reader io.Reader
	at     io.ReaderAt // nil unless it can be read at any offset
	seeker io.Seeker   // nil unless it can be rewound
	offset int64       // where it stood before the first attempt
	size   int64       // how much of it is wanted; negative: all

	// turn is held by who reads or moves a reader that has one position. A request
	// that has failed may still be reading its body.
	turn chan struct{}
	last *view // the latest view; guarded by turn
}

func newSource(r io.Reader, size int64) *source {
	s := &source{reader: r, size: size, turn: make(chan struct{}, 1)}
	seeker, ok := r.(io.Seeker)
	if !ok || !isFile(r) {
		return s
	}
	offset, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return s
	}
	s.seeker, s.offset = seeker, offset
	// Each ReadAt of an object that is being downloaded would be a request.
	switch r.(type) {
	case *minio.Object, *Object:
	default:
		s.at, _ = r.(io.ReaderAt)
	}
	return s
}

// isFile reports false for an *os.File that has no content of its own, such as a
// pipe or a terminal: some of them accept a Seek without moving.
func isFile(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return true
	}
	const stream = fs.ModeNamedPipe | fs.ModeSocket | fs.ModeCharDevice | fs.ModeDir
	info, err := f.Stat()
	return err == nil && info.Mode()&stream == 0
}

func isNil(r io.Reader) bool {
	if r == nil {
		return true
	}
	v := reflect.ValueOf(r)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// kind is Never for a reader that one attempt consumes.
func (s *source) kind() Kind {
	if s.seeker == nil {
		return Never
	}
	return Write
}

// open returns what one attempt reads. It waits until no earlier attempt is inside
// a Read of a reader that has to be rewound.
func (s *source) open(ctx context.Context) (*view, error) {
	v := &view{source: s}
	if s.at != nil {
		v.Reader = io.NewSectionReader(sectionReader{v}, s.offset, s.length())
		return v, nil
	}
	v.Reader = streamReader{v}
	select {
	case s.turn <- struct{}{}:
		defer s.giveUp()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case s.last != nil && s.seeker == nil && s.last.used.Load():
		return nil, errConsumed
	case s.last != nil && !s.last.closed.Load():
		return nil, errShared
	}
	if s.seeker != nil {
		if _, err := s.seeker.Seek(s.offset, io.SeekStart); err != nil {
			return nil, fmt.Errorf("minio: rewinding the reader to offset %d: %w", s.offset, err)
		}
	}
	s.last = v
	return v, nil
}

func (s *source) giveUp() { <-s.turn }

func (s *source) length() int64 {
	if s.size < 0 {
		return math.MaxInt64 - s.offset
	}
	return s.size
}

// A view is what one attempt reads of a source. After close it reads nothing more,
// though a Read that has begun may still be under way.
type view struct {
	io.Reader // for minio-go

	source *source
	closed atomic.Bool
	used   atomic.Bool           // something was read, or tried to
	read   int64                 // by streamReader
	fault  atomic.Pointer[error] // the first error of the reader
	wrong  atomic.Bool           // the reader holds less than was promised
}

func (v *view) close() { v.closed.Store(true) }

// explain reports whether the reader is to blame for err, the error of the attempt,
// and returns it, or the reader's own error where minio-go has lost that.
func (v *view) explain(err error) (guilty bool, explained error) {
	fault := v.fault.Load()
	switch {
	case fault == nil:
		return v.wrong.Load(), err
	case errors.Is(err, *fault):
		return true, err
	default:
		return true, fmt.Errorf("minio: reading what is to be uploaded: %w", *fault)
	}
}

func (v *view) note(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		fault := err // not &err, which would cost an allocation for each Read
		v.fault.CompareAndSwap(nil, &fault)
	}
}

type streamReader struct{ v *view }

func (r streamReader) Read(p []byte) (int, error) {
	v, s := r.v, r.v.source
	s.turn <- struct{}{}
	defer s.giveUp()
	if v.closed.Load() {
		return 0, errViewClosed
	}
	v.used.Store(true)
	if s.size >= 0 {
		// net/http looks for more than was promised, and whether it finds any before
		// the server has answered is a matter of luck.
		if p = p[:min(int64(len(p)), s.size-v.read)]; len(p) == 0 {
			return 0, io.EOF
		}
	}
	n, err := s.reader.Read(p)
	v.read += int64(n)
	v.note(err)
	if s.size >= 0 && err == io.EOF && v.read < s.size {
		v.wrong.Store(true)
	}
	return n, err
}

// A sectionReader is read by several goroutines at once, so nothing here may wait.
type sectionReader struct{ v *view }

func (r sectionReader) ReadAt(p []byte, offset int64) (int, error) {
	v, s := r.v, r.v.source
	if v.closed.Load() {
		return 0, errViewClosed
	}
	v.used.Store(true)
	n, err := s.at.ReadAt(p, offset)
	v.note(err)
	if s.size >= 0 && err == io.EOF && n < len(p) { // p ends where the section does
		v.wrong.Store(true)
	}
	return n, err
}
