package main

import (
	"context"
	"errors"
	"fmt"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/adapters/minio"
)

var (
	errForeign = errors.New("the primary has an object that another program wrote: keep one of the two by hand")
	errGone    = errors.New("another Reconcile was faster")
	errMoving  = errors.New("others keep writing this key: try again later")
)

// Moves are what a Reconcile did with the writes that were pending.
type Moves struct {
	Copied  int // to the primary
	Dropped int // the primary had that write or a newer one
}

// Reconcile copies what is pending back to the primary, the older of two writes first,
// and holds no more of an object in memory than minio-go does. It may be interrupted at
// any point, run again, and run twice at once. A write that fails stays pending, and
// Reconcile goes on with the next one unless an endpoint is down.
func (s *Store) Reconcile(ctx context.Context) (Moves, error) {
	var moves Moves
	var failed []error
	for o, err := range s.secondary.ListObjects(ctx, s.secondary.bucket, miniogo.ListObjectsOptions{Recursive: true}) {
		if err == nil {
			err = s.settle(ctx, o.Key, &moves)
		}
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("pending %q: %w", o.Key, err))
		if ctx.Err() != nil || !errors.Is(err, errDamaged) && unavailable(ctx, err, minio.Write) {
			break
		}
	}
	return moves, errors.Join(failed...)
}

// settle brings one pending write to the primary, if it is the newer one, and removes it.
//
// The removal needs no condition, and S3 has none to rely on: a DELETE with If-Match is
// recent, minio-go cannot send it, and to compare the ETag first leaves a gap for a write in
// between. Here no write goes to a name that exists, so there is nothing but this
// write to remove.
func (s *Store) settle(ctx context.Context, name string, moves *Moves) error {
	copied, err := s.restore(ctx, name)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.secondary.RemoveObject(ctx, s.secondary.bucket, name, miniogo.RemoveObjectOptions{}); err != nil {
		return err
	}
	if copied {
		moves.Copied++
	} else {
		moves.Dropped++
	}
	return nil
}

// restore copies a pending write to the primary unless that has it or a newer one. A PUT
// with a condition closes the gap between looking and writing, and when it fails restore
// looks again. A server that ignores the condition leaves the gap open, and an ETag cannot
// tell the object that was seen from a newer write of the same content.
func (s *Store) restore(ctx context.Context, name string) (copied bool, err error) {
	key, version := splitName(name)
	for range 3 {
		var opts miniogo.PutObjectOptions
		held, err := s.primary.StatObject(ctx, s.primary.bucket, key, miniogo.StatObjectOptions{})
		switch there := held.UserMetadata[versionKey]; {
		case answered(err, miniogo.NoSuchKey):
			opts.SetMatchETagExcept("*")
		case err != nil:
			return false, err
		case there == "":
			return false, errForeign
		case there >= version: // equal: Put, or a Reconcile that was cut short, had stored this very write
			return false, nil
		default:
			opts.SetMatchETag(held.ETag)
		}
		err = s.copyBack(ctx, name, opts)
		if !answered(err, miniogo.PreconditionFailed, "ConditionalRequestConflict", miniogo.NoSuchKey) {
			return err == nil, err
		}
	}
	return false, errMoving
}

// copyBack streams a pending write to the primary, which acknowledges it only if its
// checksum was right.
func (s *Store) copyBack(ctx context.Context, name string, opts miniogo.PutObjectOptions) error {
	o, err := s.secondary.open(ctx, name)
	switch {
	case answered(err, miniogo.NoSuchKey):
		return errGone
	case err != nil:
		return err
	}
	defer o.Close()
	if o.sum == "" || o.size == 0 && o.damaged() { // of no content nothing is read
		return errDamaged
	}
	key, version := splitName(name)
	w := write{version: version, sum: o.sum, size: o.size}
	opts.UserMetadata = w.options().UserMetadata
	opts.DisableMultipart = w.size <= 5<<30 // minio-go drops the condition of an upload in parts
	_, err = s.primary.PutObject(ctx, s.primary.bucket, key, o, w.size, opts)
	return err
}
