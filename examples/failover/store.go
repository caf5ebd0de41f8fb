package main

import (
	"context"
	"fmt"
	"io"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/adapters/minio"
)

// A Store keeps objects at the primary, and at the secondary what the primary could not
// take. The secondary's bucket must be used for nothing else. A Store has no state but its
// clock: programs may share the endpoints. It is safe for concurrent use.
type Store struct {
	primary, secondary *endpoint
	clock              clock
}

// Put stores content, from where it stands to its end, and returns who holds it. Where
// content stands afterwards is undefined.
//
// After a rejection the primary holds nothing of this call. After a time-out, a cut
// connection or a 5xx that is unknown: it may have stored the content and failed to say
// so. That is harmless, because both endpoints then hold the same write. Its version is
// the same, so Get may take either, and Reconcile finds it at the primary and only drops
// the copy. When Put returns an error, the write may still turn up later, as it may with
// one endpoint; and so may a request that a server carries out after the caller gave it up.
func (s *Store) Put(ctx context.Context, key string, content io.ReadSeeker) (holder string, err error) {
	w, err := newWrite(s.clock.version(), content)
	if err != nil {
		return "", err
	}
	err = s.primary.put(ctx, key, w)
	if err == nil {
		return "primary", nil
	}
	if !unavailable(ctx, err, minio.Write) {
		return "", err
	}
	if other := s.secondary.put(ctx, pendingName(key, w.version), w); other != nil {
		return "", fmt.Errorf("put %s: primary: %w; secondary: %w", key, err, other)
	}
	return "secondary", nil
}

// Get opens the newest content of key, which is the caller's to close. What is at the
// primary only cannot be read while the primary is down.
func (s *Store) Get(ctx context.Context, key string) (*Object, error) {
	var gone error
	for range 3 {
		// Asked in the other order, both could miss what Reconcile moves meanwhile.
		version, doubt := s.pending(ctx, key)
		object, err := s.primary.open(ctx, key)
		switch {
		case err == nil && object.Version >= version:
			object.Holder, object.Doubt = "primary", doubt
			return object, nil
		case err == nil:
			object.Close()
		case version == "" && doubt != nil:
			return nil, fmt.Errorf("get %s: primary: %w; secondary: %w", key, err, doubt)
		case version == "", !unavailable(ctx, err, minio.Read) && !answered(err, miniogo.NoSuchKey):
			return nil, err
		}
		object, gone = s.secondary.open(ctx, pendingName(key, version))
		switch {
		case gone == nil:
			object.Holder = "secondary"
			return object, nil
		case !answered(gone, miniogo.NoSuchKey): // or else Reconcile has just moved it
			return nil, fmt.Errorf("get %s: primary: %w; secondary: %w", key, err, gone)
		}
	}
	return nil, gone
}

// pending returns the version of the newest write of key that is not copied back yet, or
// "" when there is none. It is the least of all versions.
func (s *Store) pending(ctx context.Context, key string) (newest string, err error) {
	// What is pending of keys below this one comes as a prefix, whose version is "".
	listing := miniogo.ListObjectsOptions{Prefix: pendingName(key, "")}
	for o, err := range s.secondary.ListObjects(ctx, s.secondary.bucket, listing) {
		if err != nil {
			return "", err
		}
		_, version := splitName(o.Key)
		newest = max(newest, version)
	}
	return newest, nil
}
