package injector

import (
	"io"
	"sync/atomic"
	"time"
)

// A fuse gives its error instead of what follows the first bytes, if the fault
// strikes. Only then is it one of the times that it strikes: of connections that
// carry a request together, it may not be the first that gets so far.
type fuse struct {
	source  io.Reader
	left    int64
	strikes func() bool
	err     error
	passed  bool
}

func (f *fuse) Read(p []byte) (int, error) {
	n, err := f.source.Read(p)
	if f.passed {
		return n, err
	}
	if int64(n) > f.left {
		if f.strikes() {
			return int(f.left), f.err
		}
		f.passed = true
	}
	f.left -= int64(n)
	return n, err
}

// A turn holds back what the server says first after the client has said something.
type turn struct {
	by       time.Duration
	replaced <-chan struct{}
	asked    atomic.Bool
}

func (t *turn) asks(client io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := client.Read(p)
		if n > 0 {
			t.asked.Store(true)
		}
		return n, err
	})
}

func (t *turn) answers(server io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := server.Read(p)
		if n > 0 && t.asked.Swap(false) {
			pause(t.by, t.replaced)
		}
		return n, err
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A throttle gives no more than rate bytes in a second.
type throttle struct {
	source   io.Reader
	rate     int64
	replaced <-chan struct{}
}

func (t *throttle) Read(p []byte) (int, error) {
	n, err := t.source.Read(p[:min(int64(len(p)), max(t.rate/20, 1))])
	pause(time.Duration(n)*time.Second/time.Duration(t.rate), t.replaced)
	return n, err
}

// pause waits for d, or until the fault is replaced.
func pause(d time.Duration, replaced <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-replaced:
	}
}
