package transports

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
)

var (
	errOneBody  = errors.New("it cannot be sent twice: the request has no GetBody, and reading it has begun")
	errNilBody  = errors.New("GetBody returned nil")
	errTakenOff = errors.New("transports: the body of the request belongs to another attempt")
)

// An upload is the body of the caller's request, and what the attempts get of it. The base
// transport may go on reading the body of an attempt after it has returned, so no two
// attempts have the same one.
type upload struct {
	body   io.ReadCloser // the caller's, nil without one
	buffer int64         // how many bytes of it may be kept
	once   sync.Once     // keeps them

	mu      sync.Mutex
	getBody func() (io.ReadCloser, error) // nil: it can be had only once
	longer  io.ReadCloser                 // the caller's body with what was read in vain, or nil
	given   bool                          // the caller's body went to an attempt, or is closed
	only    *single                       // the attempt's that has a body without GetBody
}

// A replay says what may be done to send a body without GetBody again.
type replay struct {
	allowed bool
	buffer  int64 // how many bytes may be kept
}

// open looks at what can be done with the body of req.
func (u *upload) open(req *http.Request, replay replay) {
	u.body, u.getBody = req.Body, req.GetBody
	if !hasBody(req) || u.getBody != nil || !replay.allowed {
		return
	}
	if file := newSections(req.Body); file != nil {
		u.body, u.getBody = file, file.open
		u.given = true // nobody gets the caller's own
		return
	}
	if req.ContentLength <= replay.buffer {
		u.buffer = min(replay.buffer, math.MaxInt64-1)
	}
}

// keep reads the body if it has no more bytes than may be kept, and closes it then. When
// it has more, it can be had once, from its beginning. When ctx ends first, the body is
// closed, which is to end a Read that waits.
func (u *upload) keep(ctx context.Context) {
	caller := u.body
	stop := context.AfterFunc(ctx, func() { _ = caller.Close() }) // the reader gets the error
	kept, err := io.ReadAll(io.LimitReader(caller, u.buffer+1))
	if !stop() {
		err = context.Cause(ctx)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil && int64(len(kept)) <= u.buffer {
		_ = caller.Close() // it has been read to its end
		u.given = true
		u.getBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
		return
	}
	rest := io.Reader(caller)
	if err != nil {
		rest = failing{err}
	}
	u.longer = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(kept), rest), caller}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// next returns the body for one more attempt, and what gives further ones, if anything.
func (u *upload) next(ctx context.Context) (body io.ReadCloser, again func() (io.ReadCloser, error), err error) {
	if u.body == nil || u.body == http.NoBody {
		return u.body, u.getBody, nil
	}
	if u.buffer > 0 {
		u.once.Do(func() { u.keep(ctx) })
	}
	u.mu.Lock()
	again = u.getBody
	if again == nil {
		defer u.mu.Unlock()
		if u.given {
			return nil, nil, errOneBody
		}
		u.given, u.only = true, &single{body: u.body}
		if u.longer != nil {
			u.only.body = u.longer
		}
		return u.only, nil, nil
	}
	first := !u.given
	u.given = true
	u.mu.Unlock()
	if first {
		return u.body, again, nil
	}
	body, err = again()
	if err == nil && body == nil {
		err = errNilBody
	}
	return body, again, err
}

// shared reports whether several attempts may have a body at the same time.
func (u *upload) shared() bool {
	if u.body == nil || u.body == http.NoBody {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.getBody != nil
}

// repeatable reports whether there may be another attempt. Of an only body reclaim has
// the last word.
func (u *upload) repeatable() bool {
	if u.shared() {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.given || u.only != nil && u.only.unread()
}

// reclaim reports whether there can be another attempt, and takes an only body off the
// one that has ended, which can then not begin to read it. When that has a response it
// may still be about to, unless it has closed the body.
func (u *upload) reclaim(answered bool) bool {
	if u.shared() {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.only != nil && u.only.takeOff(answered) {
		u.given, u.only = false, nil
	}
	return !u.given
}

// close closes the caller's body, unless an attempt took it: then the base transport
// closes it.
func (u *upload) close() {
	if u.body == nil {
		return
	}
	u.mu.Lock()
	given, only := u.given, u.only
	u.given = true
	u.mu.Unlock()
	switch file, inPlace := u.body.(*sections); {
	case inPlace:
		file.done()
	case only != nil:
		only.settle()
	case !given:
		_ = u.body.Close() // nobody has read from it
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nobody has read from it
	}
}

// A single is a body that can be had only once, as one attempt has it. Until that has
// begun to read, it can be taken off it: closing it is only noted.
type single struct {
	body io.ReadCloser

	mu     sync.Mutex
	state  singleState
	closed bool // the attempt has closed it
	over   bool // there will be no other attempt
}

type singleState uint8

const (
	unread singleState = iota
	begun
	takenOff
)

func (s *single) Read(p []byte) (int, error) {
	s.mu.Lock()
	switch {
	case s.state == takenOff:
		s.mu.Unlock()
		return 0, errTakenOff
	case s.closed:
		s.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	s.state = begun
	s.mu.Unlock()
	return s.body.Read(p)
}

func (s *single) Close() error {
	s.mu.Lock()
	ours := s.state == begun || s.over && s.state == unread && !s.closed
	s.closed = true
	s.mu.Unlock()
	if ours {
		return s.body.Close()
	}
	return nil
}

// takeOff reports whether nobody reads the body through s, nor ever will.
func (s *single) takeOff(onlyIfClosed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != unread || onlyIfClosed && !s.closed {
		return false
	}
	s.state = takenOff
	return true
}

func (s *single) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == unread
}

// settle closes the body if the last attempt has closed it without having read it.
func (s *single) settle() {
	s.mu.Lock()
	s.over = true
	ours := s.state == unread && s.closed
	s.mu.Unlock()
	if ours {
		_ = s.body.Close() // nobody has read from it
	}
}

// sections is a body that can be read in its place, such as a file: each attempt reads
// what follows the offset at which it stood. It is closed with the last attempt's.
type sections struct {
	io.ReadCloser // the caller's

	at    io.ReaderAt
	begin int64
	users atomic.Int64 // the exchange, and the attempts' bodies that are open
}

// newSections returns nil if the body cannot be read in its place.
func newSections(body io.ReadCloser) *sections {
	at, ok := body.(io.ReaderAt)
	if !ok {
		return nil
	}
	seeker, ok := body.(io.Seeker)
	if !ok {
		return nil
	}
	begin, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil { // a pipe
		return nil
	}
	f := &sections{ReadCloser: body, at: at, begin: begin}
	f.users.Store(1)
	return f
}

func (f *sections) open() (io.ReadCloser, error) {
	f.users.Add(1)
	return &section{Reader: io.NewSectionReader(f.at, f.begin, math.MaxInt64-f.begin), of: f}, nil
}

func (f *sections) done() {
	if f.users.Add(-1) == 0 {
		_ = f.Close() // it was only read
	}
}

type section struct {
	io.Reader

	of   *sections
	once sync.Once
}

func (s *section) Close() error {
	s.once.Do(s.of.done)
	return nil
}

// A trailerBody copies the trailers that the caller sets while the body of its
// request is being read to the attempt, whose map is its own.
type trailerBody struct {
	io.ReadCloser

	from, to http.Header
}

func (b *trailerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.to {
			b.to[name] = b.from[name]
		}
	}
	return n, err
}
