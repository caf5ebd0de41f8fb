package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	miniogo "github.com/minio/minio-go/v7"
)

// User metadata of an object, in the form that minio-go gives it back.
const (
	versionKey = "Write-Version"
	sumKey     = "Write-Sha256"
)

// A write is one content of one key. Wherever it is stored it has the same version.
type write struct {
	version string // of two writes of a key the greater is the newer
	sum     string // SHA-256, hexadecimal
	size    int64
	content io.ReaderAt
}

// newWrite reads content once, from where it stands: its checksum travels ahead of it.
func newWrite(version string, content io.ReadSeeker) (*write, error) {
	offset, err := content.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	size, err := io.Copy(hash, content)
	if err != nil {
		return nil, err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	return &write{version: version, sum: sum, size: size, content: &readerAt{content: content, offset: offset}}, nil
}

func (w *write) options() miniogo.PutObjectOptions {
	return miniogo.PutObjectOptions{UserMetadata: map[string]string{versionKey: w.version, sumKey: w.sum}}
}

// A readerAt lets every attempt, at either endpoint, read from an offset of its own. A
// request that failed may still be reading when the next one begins.
type readerAt struct {
	mu      sync.Mutex
	content io.ReadSeeker
	offset  int64
}

func (r *readerAt) ReadAt(p []byte, offset int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.content.Seek(r.offset+offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r.content, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// A clock gives versions that rise, even when the time is set back while it runs. The
// text after the time decides between two machines that wrote in the same nanosecond:
// the choice is arbitrary, and the same everywhere. Machines whose clocks differ order
// their writes by these clocks.
type clock struct{ last atomic.Int64 }

func (c *clock) version() string {
	for {
		last := c.last.Load()
		now := max(time.Now().UnixNano(), last+1)
		if c.last.CompareAndSwap(last, now) {
			return time.Unix(0, now).UTC().Format("20060102T150405.000000000Z") + "-" + rand.Text()
		}
	}
}

// pendingName is the name of a write in the secondary's bucket.
func pendingName(key, version string) string { return key + "/" + version }

func splitName(name string) (key, version string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}
