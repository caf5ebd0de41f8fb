package loopback

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// An inbox keeps what was received on a stream until it is read. The window of the
// stream bounds it.
type inbox struct {
	request *http.Request
	opened  func(n int) // opens the window again

	mu      sync.Mutex
	more    sync.Cond
	kept    bytes.Buffer
	trailer http.Header
	err     error // what comes after the rest; nil: more may come
	owed    int   // bytes by which to open the window
}

func newInbox(opened func(n int)) *inbox {
	b := &inbox{opened: opened}
	b.more.L = &b.mu
	return b
}

// add keeps what was received. It took size bytes of the window.
func (b *inbox) add(p []byte, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.kept.Write(p)
		b.owed += size - len(p)
	}
	b.more.Broadcast()
}

// end is the end of what is received, unless there was one.
func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.more.Broadcast()
}

// finish is the end of a body that has trailers.
func (b *inbox) finish(trailer http.Header) {
	b.mu.Lock()
	b.trailer = trailer
	b.mu.Unlock()
	b.end(io.EOF)
}

// Read waits for something to read. It sets the trailers of the request at the end.
func (b *inbox) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.kept.Len() == 0 && b.err == nil {
		b.more.Wait()
	}
	if b.kept.Len() == 0 {
		if b.trailer != nil {
			b.request.Trailer = b.trailer
		}
		return 0, b.err
	}
	n, err := b.kept.Read(p)
	if b.owed += n; b.owed >= uploadWindow/2 && b.err == nil {
		owed := b.owed
		b.owed = 0
		b.mu.Unlock()
		b.opened(owed)
		b.mu.Lock()
	}
	return n, err
}
