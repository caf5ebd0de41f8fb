package minio

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/middleware"
)

// A content is that of an object. It can be made again at any time. The zero content
// is that there is no object.
type content struct {
	seed uint64
	size int
}

func (c content) bytes() []byte {
	b := make([]byte, c.size)
	var seed [32]byte
	for i := range 8 {
		seed[i] = byte(c.seed >> (8 * i))
	}
	rand.NewChaCha8(seed).Read(b)
	return b
}

// A record is what is known of one object from the answers to its writes.
type record struct {
	contents []content // what it may be; more than one after a write that may have run
	acked    int       // writes that were acknowledged
	sent     int       // writes that the server may have carried out, those included

	// retired: a request that was given up may still be carried out at any time, so
	// nothing more is written here.
	retired bool
}

// settle notes the end of a write of c.
func (r *record) settle(c content, err error, w *watched) {
	switch {
	case err == nil:
		r.contents = []content{c}
		r.acked++
		r.sent++
	case w.uncertain > 0:
		r.contents = append(r.contents, c)
	}
	r.sent += w.uncertain
	r.retired = r.retired || w.uncertain > 0
}

// absent reports whether there may be no such object.
func (r *record) absent() bool {
	for _, c := range r.contents {
		if c.size == 0 {
			return true
		}
	}
	return false
}

// certain returns the content if it can only be one.
func (r *record) certain() (content, bool) {
	if len(r.contents) != 1 || r.retired {
		return content{}, false
	}
	return r.contents[0], r.contents[0].size > 0
}

// checkBytes returns an error unless the object may be this, or begin with it when it
// was cut.
func (r *record) checkBytes(got []byte, whole bool) error {
	for _, c := range r.contents {
		if want := c.bytes(); c.size > 0 && (whole && bytes.Equal(got, want) || !whole && bytes.HasPrefix(want, got)) {
			return nil
		}
	}
	return fmt.Errorf("wrong bytes: %d, whole: %v, of %v", len(got), whole, r.contents)
}

// checkError returns an error if the object cannot be absent but the answer says so.
func (r *record) checkError(err error) error {
	if isCode(err, minio.NoSuchKey) && !r.absent() {
		return fmt.Errorf("lost, though acknowledged: %v: %w", r.contents, err)
	}
	return nil
}

// A witness is the innermost policy. It sees every attempt, and every event.
type witness struct {
	mu          sync.Mutex
	reasons     map[string]int
	examples    map[string]error // of each reason the first error
	classes     map[middleware.Class]int
	transitions []string
	rejections  int // by the breaker
}

// watched is what the witness saw of one operation.
type watched struct {
	attempts  int
	uncertain int // failed, but may have been carried out
	faulty    int // were not a plain answer
}

type watchedKey struct{}

// watch returns a context whose operation is watched.
func watch(ctx context.Context) (context.Context, *watched) {
	w := &watched{}
	return context.WithValue(ctx, watchedKey{}, w), w
}

// Execute implements [middleware.Policy].
func (s *witness) Execute(ctx context.Context, next middleware.Next) error {
	err := next.Do(ctx)
	v := middleware.VerdictOf(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reasons[v.Reason]++; s.reasons[v.Reason] == 1 {
		s.examples[v.Reason] = err
	}
	s.classes[v.Class]++
	w, ok := ctx.Value(watchedKey{}).(*watched)
	if !ok {
		return err
	}
	w.attempts++
	switch v.Reason {
	case "", "not_found", "precondition":
	case "throttled", "denied", "connect", "damaged_body":
		w.faulty++
	default:
		w.faulty++
		w.uncertain++
	}
	return err
}

// Observe implements [middleware.Observer].
func (s *witness) Observe(_ context.Context, e middleware.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Kind == middleware.Transition:
		s.transitions = append(s.transitions, e.From+" -> "+e.To)
	case e.Kind == middleware.Rejected && e.Policy == "breaker":
		s.rejections++
	}
}

func (s *witness) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.reasons)
	clear(s.examples)
	clear(s.classes)
	s.transitions, s.rejections = nil, 0
}

func (s *witness) example(reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.examples[reason]
}

// seen returns a copy of what was seen.
func (s *witness) seen() (reasons map[string]int, classes map[middleware.Class]int, transitions []string, rejections int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.reasons), maps.Clone(s.classes), slices.Clone(s.transitions), s.rejections
}

// A stream is a reader that cannot be rewound.
type stream struct{ r io.Reader }

func (s stream) Read(p []byte) (int, error) { return s.r.Read(p) }
