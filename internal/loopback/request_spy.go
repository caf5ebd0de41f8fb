package loopback

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A Source makes the bodies of a request, all with the same content, and watches
// them: the first one and those of GetBody. It is safe for concurrent use. Make it
// with Text or Bytes.
type Source struct {
	// NoGetBody leaves GetBody out of the request. GetBodyErr is what GetBody
	// returns, if it is not nil. Both are set before Request.
	NoGetBody  bool
	GetBodyErr error

	content func() io.Reader
	length  int64

	mu     sync.Mutex
	seen   Bodies
	bodies []*body
	inside int // bodies that are being read
}

// Bodies says what became of the bodies of a Source.
type Bodies struct {
	Made        int     // bodies
	GetBody     int     // calls of GetBody
	Reads       int     // calls of Read
	Closes      int     // calls of Close
	Open        int     // bodies that were never closed
	Untouched   int     // bodies that were never read
	Bytes       []int64 // read of each body, in the order in which they were made
	AfterClose  int     // reads that began after the Close of their body
	Overlapping int     // reads that began while another body was being read
	Concurrent  int     // reads that began while the same body was being read
}

// Text returns a source of bodies with that content.
func Text(content string) *Source {
	return &Source{content: func() io.Reader { return strings.NewReader(content) }, length: int64(len(content))}
}

// Bytes returns a source of bodies of that many bytes, those of Generate, that
// need no memory. A negative size is endless and announced as unknown.
func Bytes(size int64) *Source {
	return &Source{content: func() io.Reader { return Generate(size) }, length: max(size, -1)}
}

// Request returns a request with the first body. Its context is that of the test.
func (s *Source) Request(t testing.TB, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, s.Body())
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = s.length
	if !s.NoGetBody {
		r.GetBody = s.GetBody
	}
	return r
}

// Body returns a new body.
func (s *Source) Body() io.ReadCloser {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &body{source: s, from: s.content(), reading: make(chan struct{}, 1)}
	s.bodies = append(s.bodies, b)
	return b
}

// GetBody returns a new body, or GetBodyErr.
func (s *Source) GetBody() (io.ReadCloser, error) {
	s.mu.Lock()
	s.seen.GetBody++
	s.mu.Unlock()
	if s.GetBodyErr != nil {
		return nil, s.GetBodyErr
	}
	return s.Body(), nil
}

// Sum returns that of the content, which must have an end.
func (s *Source) Sum() Sum {
	sum, err := SumOf(s.content())
	if err != nil {
		panic(err) // nothing that makes content can fail
	}
	return sum
}

// Seen returns what has become of the bodies so far.
func (s *Source) Seen() Bodies {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	seen.Made = len(s.bodies)
	for _, b := range s.bodies {
		if !b.closed {
			seen.Open++
		}
		if b.reads == 0 {
			seen.Untouched++
		}
		seen.Bytes = append(seen.Bytes, b.bytes)
	}
	return seen
}

// A body is one of a source. All but the reader is under the lock of the source.
type body struct {
	source *Source
	from   io.Reader

	reading chan struct{} // full while somebody reads

	reads  int
	inside int
	bytes  int64
	closed bool
}

// Read reads the content. It does so after Close as well, and that is noted.
func (b *body) Read(p []byte) (int, error) {
	s := b.source
	s.mu.Lock()
	s.seen.Reads++
	b.reads++
	if b.closed {
		s.seen.AfterClose++
	}
	if b.inside > 0 {
		s.seen.Concurrent++
	}
	if s.inside > b.inside {
		s.seen.Overlapping++
	}
	b.inside++
	s.inside++
	s.mu.Unlock()

	b.reading <- struct{}{}
	n, err := b.from.Read(p)
	<-b.reading

	s.mu.Lock()
	defer s.mu.Unlock()
	b.inside--
	s.inside--
	b.bytes += int64(n)
	return n, err
}

// Close counts.
func (b *body) Close() error {
	b.source.mu.Lock()
	defer b.source.mu.Unlock()
	b.source.seen.Closes++
	b.closed = true
	return nil
}
