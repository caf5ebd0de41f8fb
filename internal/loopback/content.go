package loopback

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
)

// A Sum says of bytes how many they are and which, without keeping them.
type Sum struct {
	Length int64
	SHA256 string // in hexadecimal
}

// SumOf reads r to its end. Its error is that of r.
func SumOf(r io.Reader) (Sum, error) {
	run := newRunning()
	_, err := io.Copy(run, r)
	return run.sum(), err
}

// A running sum is an io.Writer. It is not safe for concurrent use.
type running struct {
	length int64
	hash   hash.Hash
}

func newRunning() *running { return &running{hash: sha256.New()} }

func (r *running) Write(p []byte) (int, error) {
	r.length += int64(len(p))
	return r.hash.Write(p)
}

func (r *running) sum() Sum { return Sum{r.length, hex.EncodeToString(r.hash.Sum(nil))} }

// Generate returns a reader of that many bytes, always the same ones, that needs
// no memory for them. A negative size is endless. Bytes that are missing in the
// middle, doubled or swapped give another Sum.
func Generate(size int64) io.Reader { return &generator{size: size} }

type generator struct{ size, at int64 }

// block is repeated. Its length is a prime, so that no buffer fits it.
var block = func() []byte {
	b := make([]byte, 32749)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}()

// Read never fails.
func (g *generator) Read(p []byte) (int, error) {
	if g.size >= 0 {
		if g.at == g.size {
			return 0, io.EOF
		}
		p = p[:min(int64(len(p)), g.size-g.at)]
	}
	n := 0
	for n < len(p) {
		copied := copy(p[n:], block[g.at%int64(len(block)):])
		n += copied
		g.at += int64(copied)
	}
	return n, nil
}
