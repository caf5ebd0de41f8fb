package minio

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestM8TerminalIsNoFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no /dev/zero")
	}
	zero, err := os.Open("/dev/zero") // a character device that accepts Seek
	if err != nil {
		t.Skip(err)
	}
	defer zero.Close()
	if kind := newSource(zero, 10).kind(); kind != Never {
		t.Errorf("kind %v, want Never", kind)
	}
	directory, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	if kind := newSource(directory, 10).kind(); kind != Never {
		t.Errorf("kind %v, want Never", kind)
	}
}

func TestM9NoAttemptReadsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A server that answers before it has read: the request that fails is still
		// inside a Read while the next attempt is due.
		inRead, release := make(chan struct{}), make(chan struct{})
		reader := &stalling{ReadSeeker: strings.NewReader(digits), inRead: inRead, release: release}
		s := newSource(reader, 10)
		first, err := s.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var stale atomic.Pointer[error]
		go func() {
			_, err := io.ReadAll(first)
			stale.Store(&err)
		}()
		<-inRead
		first.close()

		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.open(impatient); err != context.Canceled {
			t.Errorf("open with an ended context: %v", err)
		}

		second := make(chan *view, 1)
		go func() {
			v, err := s.open(t.Context())
			if err != nil {
				t.Error(err)
			}
			second <- v
		}()
		synctest.Wait()
		if len(second) != 0 {
			t.Error("the second attempt did not wait for the Read of the first")
		}
		close(release)
		v := <-second
		if content, err := io.ReadAll(v); string(content) != digits || err != nil {
			t.Errorf("the second attempt read %q, %v", content, err)
		}
		synctest.Wait()
		if err := stale.Load(); err == nil || *err != errViewClosed {
			t.Errorf("the first attempt went on reading: %v", err)
		}
	})
}

// stalling stays in its first Read until it is released.
type stalling struct {
	io.ReadSeeker

	inRead, release chan struct{}
	once            sync.Once
}

func (r *stalling) Read(p []byte) (int, error) {
	r.once.Do(func() {
		close(r.inRead)
		<-r.release
	})
	return r.ReadSeeker.Read(p[:3])
}

func TestM9AttemptsThatOverlap(t *testing.T) {
	for _, row := range []struct {
		name   string
		reader io.Reader
		read   bool
		close  bool
		want   error
	}{
		{"sections", strings.NewReader(digits), true, false, nil},
		{"seeker", seekOnly{strings.NewReader(digits)}, true, false, errShared},
		{"seeker, one after the other", seekOnly{strings.NewReader(digits)}, true, true, nil},
		{"stream", bytes.NewBufferString(digits), true, true, errConsumed},
		{"stream that nobody has read", bytes.NewBufferString(digits), false, true, nil},
		{"stream that nobody has read yet", bytes.NewBufferString(digits), false, false, errShared},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSource(row.reader, 10)
			first, err := s.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if row.read {
				first.Read(make([]byte, 1))
			}
			if row.close {
				first.close()
			}
			if _, err := s.open(t.Context()); err != row.want {
				t.Errorf("the second: %v, want %v", err, row.want)
			}
			first.close()
			if n, err := first.Read(make([]byte, 1)); n != 0 || err != errViewClosed {
				t.Errorf("the first read %d bytes after its end, %v", n, err)
			}
		})
	}
}
