package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/adapters/minio"
)

var errDamaged = errors.New("the content does not have the SHA-256 that was stored with it")

// An Object is the content of a key while it is read.
type Object struct {
	Holder  string // which endpoint it comes from
	Version string // empty if another program wrote it

	// Doubt is why the secondary could not be asked for a newer write, nil if it was.
	Doubt error

	body *minio.Object
	sum  string
	hash hash.Hash
	size int64
	left int64
}

func (e *endpoint) open(ctx context.Context, name string) (*Object, error) {
	body, err := e.GetObject(ctx, e.bucket, name, miniogo.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	info, err := body.Stat()
	if err != nil {
		return nil, err
	}
	return &Object{
		Version: info.UserMetadata[versionKey], sum: info.UserMetadata[sumKey],
		body: body, hash: sha256.New(), size: info.Size, left: info.Size,
	}, nil
}

// Read reads the content and holds back its end unless the checksum is right: whoever
// passes the content on cannot take a damaged one for whole.
func (o *Object) Read(p []byte) (int, error) {
	n, err := o.body.Read(p)
	o.hash.Write(p[:n])
	o.left -= int64(n)
	switch {
	case o.left > 0 && errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF
	case o.left <= 0 && o.damaged():
		return 0, errDamaged
	}
	return n, err
}

// damaged reports whether what was read is not what was stored, as far as a checksum tells.
func (o *Object) damaged() bool {
	return o.sum != "" && o.sum != hex.EncodeToString(o.hash.Sum(nil))
}

// Close ends the download.
func (o *Object) Close() error { return o.body.Close() }
