package loopback

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// An upload is the body of a request. What is read from it is counted and hashed.
type upload struct {
	request *http.Request
	from    io.Reader
	begin   func() // before the first read: 100 Continue
	ended   func() // after the last

	reading sync.Mutex // held by the reader

	mu       sync.Mutex
	begun    bool
	content  *running
	trailer  http.Header
	complete bool
	err      error
}

// Read reads what the client sends.
func (u *upload) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	u.mu.Lock()
	first, err := !u.begun, u.err
	u.begun = true
	u.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if first {
		u.begin()
	}
	n, err := u.from.Read(p)
	u.mu.Lock()
	_, _ = u.content.Write(p[:n])
	u.err = err
	if errors.Is(err, io.EOF) {
		u.complete = true
		u.trailer = u.request.Trailer.Clone()
	}
	complete := u.complete
	u.mu.Unlock()
	if complete {
		u.ended()
	}
	return n, err
}

// Close does nothing: the server reads what is left.
func (u *upload) Close() error { return nil }

func (u *upload) describe(r *Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r.Body, r.Complete, r.Trailer = u.content.sum(), u.complete, u.trailer
}
